"""Making a database that is not there yet."""

import asyncpg

from resolvers.base.errors import ClientError, InvalidInput, Unavailable
from resolvers.store.postgres.connection import Connection, Connector, NotConnected
from resolvers.store.postgres.database_url import Address, parse

MAINTENANCE = ("postgres", "template1")  # databases that servers have, to connect to when there is no other
NO_DATABASE = "3D000"
SECONDS = 60.0
# Whatever the encoding of the others is, and of the server's template.
QUOTED = "SELECT format('CREATE DATABASE %I ENCODING ''UTF8'' TEMPLATE template0', $1::text)"


class NotCreated(ClientError):
    """The server is there, and refuses to make the database."""


async def create_database(url: str) -> bool:
    """Whether it was missing, and was made by us. Raises Unavailable, NotCreated, InvalidInput."""
    address = parse(url)
    name = address.database
    if not name:
        raise InvalidInput("DATABASE_URL names no database: it must end with /name.")
    if (existing := await _connected(address)) is not None:
        await existing.close()
        return False
    server = await _maintained(address)
    try:
        await server.execute(await server.fetchval(QUOTED, name))
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):  # somebody was quicker
        return False
    except asyncpg.PostgresError as error:
        why = f"The database {name} cannot be made: {error}."
        raise NotCreated(f"{why} Have somebody make it who may, or give this role CREATEDB.") from error
    finally:
        await server.close()
    return True


async def _maintained(address: Address) -> Connection:
    """A connection to some other database of the server."""
    for name in MAINTENANCE:
        if (connection := await _connected(address.with_database(name))) is not None:
            return connection
    tried = " and ".join(MAINTENANCE)
    raise NotCreated(
        f"The database {address.database} cannot be made: the server has no databases {tried} to make it from."
        f" Have somebody make it: CREATE DATABASE \"{address.database}\" ENCODING 'UTF8'."
    )


async def _connected(address: Address) -> Connection | None:
    """None where the server has no such database."""
    try:
        return await Connector(address, {}, SECONDS).connect()
    except NotConnected as error:
        if error.sqlstate == NO_DATABASE:
            return None
        raise Unavailable(reason=str(error)) from error
