"""One session per unit of work: it commits on exit, with its events, and nobody else calls `commit()`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from resolvers.errors import InvalidInput, Unavailable
from resolvers.store import events

CONNECTION_LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, PoolExhausted)
STOPPED_BY_SERVER = ("57P01", "57P02", "57P03", "53300")  # shutting down, crashed, starting up, too many connections


def is_outage(error: BaseException) -> bool:
    """Whether the database is away, rather than unhappy with a statement."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        lost = error.connection_invalidated or isinstance(error, InterfaceError)
        return lost or state in STOPPED_BY_SERVER or (isinstance(error, OperationalError) and state is None)
    return isinstance(error, CONNECTION_LOST) or getattr(error, "sqlstate", None) in STOPPED_BY_SERVER


def is_unstorable(error: BaseException) -> bool:
    """Whether a text holds what PostgreSQL's `text` and `jsonb` cannot: NUL."""
    original = getattr(error, "orig", None) or error
    return getattr(original, "sqlstate", None) in ("22021", "22P05")


class Database:
    """The pool, and the only door to it."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.engine = create_async_engine(
            url, pool_size=pool_size, max_overflow=0, pool_timeout=10, connect_args={"timeout": 10}
        )
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Each statement on its own, without the round trips of a transaction."""
        async with self.translated(), AsyncSession(self._reading, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """All or nothing. Events published in it are appended to the log last, see `events.append`."""
        async with self.translated(), AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session
            await session.flush()
            await events.append(session)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A bare connection in autocommit mode, for what is no unit of work: listening, locks, partitions."""
        async with self.translated(), self._reading.connect() as connection:
            yield connection

    async def close(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        """Turns an outage into Unavailable, and text that PostgreSQL cannot keep into InvalidInput."""
        try:
            yield
        except Exception as error:
            if is_outage(error):
                raise Unavailable from error
            if is_unstorable(error):
                raise InvalidInput("Text must not contain NUL characters.") from error
            raise


async def driver(session: AsyncSession) -> "asyncpg.Connection[asyncpg.Record]":
    """The session's own asyncpg connection, inside its transaction: for COPY, which SQLAlchemy does not speak."""
    raw = await (await session.connection()).get_raw_connection()
    connection: Any = raw.driver_connection
    return connection  # type: ignore[no-any-return]
