"""Bringing a database up to date; Alembic owns the schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from resolvers.store.database import Database

MIGRATION_LOCK = 0x6263_6F6D_0004


def scripts() -> Path:
    """The migrations: `alembic/` in a checkout, a part of the package when installed."""
    here = Path(__file__).parents[2]
    installed = here / "bcom_graphql" / "migrations"
    return installed if installed.is_dir() else here / "alembic"


async def migrate(database: Database) -> None:
    """Apply what is pending. Processes that start together wait for each other."""
    async with database.translated(), database.engine.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        await connection.run_sync(_upgrade)


async def pending(database: Database) -> bool:
    """Whether the database is older than this code."""
    async with database.connection() as connection:
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    return current != ScriptDirectory(str(scripts())).get_current_head()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
