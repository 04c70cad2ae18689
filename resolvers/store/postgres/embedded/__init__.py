"""PostgreSQL 18 from a wheel: no installation, no port, data in our own folder, and restarts when it crashes.

Offers `embedded_postgres`, a context manager that runs the server, and `Supervised`, which reports its state. Only the
programs come from the library. Must not know tables.
"""

from resolvers.store.postgres.embedded.programs import EmbeddedFailed
from resolvers.store.postgres.embedded.server import embedded_postgres
from resolvers.store.postgres.embedded.supervision import Supervised

__all__ = ["EmbeddedFailed", "Supervised", "embedded_postgres"]
