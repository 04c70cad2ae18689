"""Checks that this code can work with a database, before anything is done to it."""

from collections.abc import Callable
from typing import Final

import asyncpg

from resolvers.base.errors import ClientError, Unavailable
from resolvers.store.postgres.database import Database

OLDEST: Final = 150_000  # `server_version_num` of the oldest version with all that our statements use
ENCODING: Final = "UTF8"


class UnusableDatabase(ClientError):
    """The database cannot be used as it is; the message says what to do."""


_FACTS: Final = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS named,
  current_user AS role, current_database() AS database, current_schema() AS schema,
  (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()) AS encoding,
  pg_is_in_recovery() AS is_standby,
  current_setting('transaction_read_only')::bool AS only_reads,
  has_database_privilege(current_database(), 'TEMPORARY') AS may_stage,
  coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
  (SELECT min(tableowner) FROM pg_tables
    WHERE schemaname = current_schema() AND tablename IN ('alembic_version', 'streams', 'link_samples')
      AND NOT pg_has_role(tableowner, 'USAGE')) AS owner"""

# In this order; the first unmet requirement is reported.
_NEEDS: Final[tuple[tuple[Callable[[asyncpg.Record], bool], str], ...]] = (
    (lambda its: its["version"] >= OLDEST, "it is PostgreSQL {named}, and 15 is the oldest that is supported."),
    (
        lambda its: its["encoding"] == ENCODING,
        "its encoding is {encoding}, and must be UTF8. Make another one:"
        " CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
    ),
    (lambda its: not its["is_standby"], "it is a standby, which only reads. Name the primary in DATABASE_URL."),
    (
        lambda its: not its["only_reads"],
        "it only reads for the role {role}: default_transaction_read_only is on. ALTER ROLE {role} RESET"
        " default_transaction_read_only, or the same for the database.",
    ),
    (lambda its: its["schema"] is not None, "there is no schema for tables in the search_path of the role {role}."),
    (
        lambda its: its["owner"] is None,
        "its tables belong to {owner}, and the role {role} may not change them. Connect as {owner}, or"
        " GRANT {owner} TO {role}.",
    ),
    (
        lambda its: its["may_create"],
        "the role {role} may not make tables in it. GRANT CREATE ON SCHEMA {schema} TO {role}.",
    ),
    (
        lambda its: its["may_stage"],
        "the role {role} may not make temporary tables in it. GRANT TEMPORARY ON DATABASE {database} TO {role}.",
    ),
)
STATEMENT_MODE: Final = "statement pooling mode"  # what PgBouncer says in it to a transaction
SHARED: Final = (
    "there is a pooler before it that shares connections between transactions (PgBouncer's pool_mode=transaction, or"
    " statement)."
    " Events (LISTEN) and locks need a connection of their own: name the database's direct address in DATABASE_URL,"
    " or a pooler in session mode."
)


async def check(database: Database) -> None:
    """Raises UnusableDatabase, whose message names the first unmet requirement, or Unavailable."""
    try:
        await _check(database)
    except Unavailable as error:
        if STATEMENT_MODE in str(error.__cause__):
            raise _explain(database, SHARED) from error
        raise


async def _check(database: Database) -> None:
    async with database.driver() as connection:
        facts = await connection.fetchrow(_FACTS)
    assert facts is not None  # noqa: S101  one row always
    for holds, why in _NEEDS:
        if not holds(facts):
            raise _explain(database, why.format(**facts))
    if await _is_shared(database):
        raise _explain(database, SHARED)


def _explain(database: Database, why: str) -> UnusableDatabase:
    return UnusableDatabase(f"The database at {database.address} cannot be used: {why}")


async def _is_shared(database: Database) -> bool:
    """Whether another connection of ours is lent the session that the first one has just used."""
    async with database.connection() as one, database.connection() as other:
        first = await one.exec_driver_sql("SELECT pg_backend_pid()")
        second = await other.exec_driver_sql("SELECT pg_backend_pid()")
        return first.scalar() == second.scalar()
