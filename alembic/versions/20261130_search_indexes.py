"""Indexes for `search`: by the trigrams of names, and by how numbers begin.

They need the extension pg_trgm, which a database may not have, or not grant: then a search reads the table.
"""

import sqlalchemy as sa
import structlog
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("sites", "networks", "links")

logger = structlog.get_logger(__name__)


def upgrade() -> None:
    for table in TABLES if _has_trigrams() else ():
        op.execute(f"CREATE INDEX ix_search_{table}_name ON {table} USING gin (lower(name) gin_trgm_ops)")
        op.execute(f"CREATE INDEX ix_search_{table}_number ON {table} ((number::varchar) varchar_pattern_ops)")


def _has_trigrams() -> bool:
    """Whether the database knows them by now."""
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    except sa.exc.DBAPIError as error:
        logger.warning("searches will read whole tables: pg_trgm cannot be had for an index", reason=str(error.orig))
        return False
    return True


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP INDEX IF EXISTS ix_search_{table}_name")
        op.execute(f"DROP INDEX IF EXISTS ix_search_{table}_number")
