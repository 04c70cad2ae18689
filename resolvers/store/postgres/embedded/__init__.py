"""PostgreSQL 18 from a wheel: no install, no port, its data in a folder of ours, started again when it ends.

Offers `embedded_postgres`, which runs the server while it is entered, and `Supervised`, which tells how it is. Only the
programs are the library's. Knows nothing of tables.
"""

from resolvers.store.postgres.embedded.programs import EmbeddedFailed
from resolvers.store.postgres.embedded.server import embedded_postgres
from resolvers.store.postgres.embedded.supervision import Supervised

__all__ = ["EmbeddedFailed", "Supervised", "embedded_postgres"]
