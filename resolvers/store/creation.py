"""Making a database that is not there yet."""

import asyncpg
from sqlalchemy import make_url

from resolvers.errors import ClientError, InvalidInput
from resolvers.store.database import NO_DATABASE, Database, state

MAINTENANCE = "postgres"  # the database that every server has, to connect to when there is no other
QUOTED = "SELECT format('CREATE DATABASE %I', $1::text)"


class NotCreated(ClientError):
    """The server is there, and refuses to make the database."""


async def create_database(url: str) -> bool:
    """Whether it was missing, and was made by us. Raises Unavailable, NotCreated, InvalidInput."""
    name = make_url(url).database
    if not name:
        raise InvalidInput("DATABASE_URL names no database: it must end with /name.")
    if await _exists(url):
        return False
    server = Database(make_url(url).set(database=MAINTENANCE).render_as_string(hide_password=False), pool_size=1)
    try:
        async with server.driver() as connection:
            await connection.execute(await connection.fetchval(QUOTED, name))
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):  # somebody was quicker
        return False
    except asyncpg.InsufficientPrivilegeError as error:
        why = f"The database {name} cannot be made: {error}."
        raise NotCreated(f"{why} Have somebody make it who may, or give this role CREATEDB.") from error
    finally:
        await server.close()
    return True


async def _exists(url: str) -> bool:
    database = Database(url, pool_size=1)
    try:
        async with database.driver():
            return True
    except Exception as error:
        if state(error) == NO_DATABASE:
            return False
        raise
    finally:
        await database.close()
