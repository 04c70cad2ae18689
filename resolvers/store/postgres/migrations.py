"""Bringing a database up to date; Alembic owns the schema."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from resolvers.base.errors import Conflict, InvalidInput
from resolvers.store.postgres import requirements
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.database import Database

HEAD = "head"


def scripts() -> Path:
    """Returns the folder of the migrations: `alembic/` in a checkout, inside the package when installed."""
    here = Path(__file__).parents[3]
    installed = here / "bcom_graphql" / "migrations"
    return installed if installed.is_dir() else here / "alembic"


async def migrate(database: Database, to: str = HEAD) -> str:
    """Applies pending migrations, or undoes those after revision `to`; returns the resulting revision.

    Processes that start together wait for each other. Raises InvalidInput for an unknown revision, Conflict for a
    database that newer code has migrated, UnusableDatabase for one that does not meet the requirements.
    """
    await requirements.check(database)
    async with database.long_transaction() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int(AdvisoryLock.MIGRATIONS)})
        return await connection.run_sync(_move, to)


async def pending(database: Database) -> bool:
    """Returns whether the database is older than this code.

    A database that newer code has migrated is not: processes of the older version go on.
    """
    async with database.connection() as connection:
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    return current is None or current in revisions()[:-1]


def _move(connection: Connection, to: str) -> str:
    current, known = MigrationContext.configure(connection).get_current_revision(), revisions()
    if current is not None and current not in known:
        newer = f"The database is at revision {current}, and this version knows none after {known[-1]}."
        raise Conflict(f"{newer} Have the newer version undo what it added: bcom-graphql migrate --to {known[-1]}")
    wanted = known[-1] if to == HEAD else to
    if wanted not in known:
        raise InvalidInput(f"There is no revision {to}; there are {', '.join(known)}.")
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    goes_back = current is not None and known.index(wanted) < known.index(current)
    (command.downgrade if goes_back else command.upgrade)(config, wanted)
    return wanted


@cache
def revisions() -> list[str]:
    """Returns all revisions, oldest first."""
    return [script.revision for script in ScriptDirectory(str(scripts())).walk_revisions()][::-1]
