"""One session per unit of work: it commits on exit, and nobody else calls `commit()`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

from resolvers.base.counters import POOL_EXHAUSTED
from resolvers.base.errors import ClientError, InvalidInput, TimedOut, Unavailable
from resolvers.store.postgres.connection import Connection as OwnConnection
from resolvers.store.postgres.connection import Connector, NotConnected
from resolvers.store.postgres.database_url import parse
from resolvers.store.postgres.pool import LendingPool

logger = structlog.get_logger(__name__)

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

DIALECT = "postgresql+asyncpg://"
GRACE_SECONDS = 5.0  # after its time is up, for the database to say so itself
IDLE_SECONDS = 60.0  # that a transaction may do nothing and hold its locks: its process may be cut off
CONNECTION_LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, PoolExhausted, NotConnected)
# Disconnected, stopping, crashed, starting, too many connections, idle in a transaction or altogether for too long.
AWAY = ("08", "57P01", "57P02", "57P03", "53300", "25P03", "57P05")
LAST_WORDS = ("FATAL", "PANIC")  # the severities after which the connection ends
TOO_SLOW = ("57014", "55P03")  # statement_timeout, lock_timeout
UNSTORABLE = ("22021", "22P05")  # NUL in a text, in a jsonb
ONLY_READS = "25006"
REFUSED = {
    "42501": "The server may not do this in its database; nothing was stored. Tell whoever runs it.",
    ONLY_READS: "The database only reads at the moment; nothing was stored. Send it again later.",
    "53100": "The database's disk is full; nothing was stored. Tell whoever runs it, and send it again later.",
    "53200": "The database is out of memory; nothing was stored. Try again shortly, or ask for less at once.",
    "53400": "This takes more than the database's configuration allows; nothing was stored. Ask for less at once.",
}
UNCERTAIN = (
    "The database went away while it committed this, so it may or may not be stored."
    " Send it again: samples that were stored count as duplicates."
)


def is_outage(error: BaseException) -> bool:
    """Returns whether the database is away, rather than refusing a statement or its arguments."""
    original = _original(error)
    lost = isinstance(original, CONNECTION_LOST) and not isinstance(original, ValueError)
    invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or invalidated or sqlstate_of(error).startswith(AWAY)


def to_client_error(error: BaseException) -> ClientError | None:
    """Returns what a client is told of a failure of the database; None if it is our bug."""
    sqlstate = sqlstate_of(error)
    if is_outage(error):
        original = _original(error)
        return Unavailable(reason=str(original) if isinstance(original, NotConnected) else "")
    if sqlstate in TOO_SLOW:
        return TimedOut()
    if sqlstate in REFUSED:
        return Unavailable(REFUSED[sqlstate])
    if sqlstate in UNSTORABLE:
        return InvalidInput("Text must not contain NUL characters.")
    return None


def _original(error: BaseException) -> BaseException:
    """Returns the driver's own error, without SQLAlchemy's wrappers."""
    wrapped = getattr(error, "orig", None)
    return _original(wrapped) if wrapped else error


def sqlstate_of(error: BaseException) -> str:
    """Returns PostgreSQL's SQLSTATE, or an empty text."""
    return getattr(_original(error), "sqlstate", None) or ""


@dataclass(frozen=True, slots=True)
class Pool:
    """Numbers of connections: allowed, open, in use."""

    size: int
    open: int
    used: int


class Database:
    """The pool, and the only door to it."""

    def __init__(self, url: str, pool_size: int = 10, statement_seconds: float = 30.0) -> None:
        self.address = parse(url)
        self._settings = _session_settings(statement_seconds)
        self._connector = Connector(self.address, self._settings, statement_seconds + GRACE_SECONDS)
        self.engine = create_async_engine(
            DIALECT,
            poolclass=LendingPool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            async_creator=self._connect,
        )
        event.listen(self.engine.sync_engine, "checkout", _check)
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._lent: Any = self.engine.pool

    async def _connect(self) -> OwnConnection:
        connection = await self._connector.connect()
        connection.when_silent = self.distrust
        return connection

    def distrust(self) -> None:
        """Replaces all present connections before they are used again: they may be cut off, too."""
        self._lent.distrust()

    @property
    def pool(self) -> Pool:
        """The pool's present state."""
        pool, idle = self._lent, len(self._lent.idle)
        return Pool(pool.size(), pool.checkedin() + pool.checkedout(), pool.checkedout() - idle)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Yields a session in autocommit mode, without the round trips of a transaction."""
        async with self.translate_errors(), AsyncSession(self._reading, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Yields a session in a transaction. It commits on exit, unless something was raised."""
        async with self.translate_errors(), AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session
            await session.flush()
            async with self._announce_commit(session):
                await _commit(session)

    def _announce_commit(self, session: AsyncSession) -> AbstractAsyncContextManager[None]:
        """Entered when all else is flushed; the commit is done inside."""
        return nullcontext()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Yields a connection in autocommit mode, for listening and for locks that last."""
        async with self.translate_errors(), self._reading.connect() as connection:
            yield connection

    @asynccontextmanager
    async def long_transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yields a connection of its own in a transaction without time limits, for migrations."""
        settings = self._settings | {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
        connector = Connector(self.address, settings, None)
        engine = create_async_engine(DIALECT, poolclass=NullPool, async_creator=connector.connect)
        async with self.translate_errors(), engine.begin() as connection:
            yield connection

    def driver(self) -> "AbstractAsyncContextManager[Connection]":
        """Yields asyncpg's own connection in autocommit mode: for arrays in binary, COPY, and hot paths."""
        return _DriverConnection(self.engine, self._lent)

    async def close(self) -> None:
        self._lent.collect()
        await self.engine.dispose()

    @asynccontextmanager
    async def translate_errors(self) -> AsyncIterator[None]:
        """Turns the database's failures into what clients are told of them."""
        try:
            yield
        except Exception as error:
            if failure := _failure(error, self._lent):
                raise failure from error
            raise


class _DriverConnection:
    """A context manager written by hand, because it is the one entered most often."""

    __slots__ = ("_engine", "_held", "_pool")

    def __init__(self, engine: AsyncEngine, pool: LendingPool) -> None:
        self._engine, self._pool = engine, pool

    async def __aenter__(self) -> Any:
        try:
            self._held: Any = await self._pool.acquire(self._engine)
        except Exception as error:
            if failure := _failure(error, self._pool):
                raise failure from error
            raise
        return self._held.driver_connection

    async def __aexit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        held = self._held
        try:
            # It may not know yet that it is lost, or be amid a COPY that was given up: nobody else should get it.
            if isinstance(error, asyncio.CancelledError):
                await greenlet_spawn(held.invalidate)  # in its own time, so that PostgreSQL is told to stop, too
            elif error is not None and is_outage(error):
                held.invalidate()
        finally:
            self._pool.release(held)
        if isinstance(error, Exception) and (failure := _failure(error, self._pool)):
            raise failure from error


def _session_settings(statement_seconds: float) -> dict[str, str]:
    """Returns the settings of each session. With them PostgreSQL ends the sessions of processes that are cut off."""
    idle_seconds = max(IDLE_SECONDS, 2 * statement_seconds)
    return {
        "statement_timeout": _milliseconds(statement_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(idle_seconds),
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        # A plan for any parameters would be for all partitions, and for arrays of any length.
        "plan_cache_mode": "force_custom_plan",
        "TimeZone": "UTC",
    }


def _milliseconds(seconds: float) -> str:
    return str(ceil(1000 * seconds))


def _failure(error: Exception, pool: LendingPool) -> ClientError | None:
    if isinstance(error, PoolExhausted):
        POOL_EXHAUSTED.inc()
    sqlstate = sqlstate_of(error)
    if sqlstate in REFUSED and not is_outage(error):
        logger.warning("the database refuses", sqlstate=sqlstate, reason=str(_original(error)))
    if sqlstate == ONLY_READS:  # it was the primary once: another may be by now
        pool.distrust()
    return to_client_error(error)


def _check(connection: Any, *_: object) -> None:
    """Refuses a connection that ended in the pool, or with a user of `driver`, unseen by SQLAlchemy."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError("the connection has ended")


async def _commit(session: AsyncSession) -> None:
    """Commits. If the connection ends meanwhile, nobody knows whether PostgreSQL had committed."""
    try:
        await session.commit()
    except Exception as error:
        if is_outage(error) or getattr(_original(error), "severity_en", None) in LAST_WORDS:
            raise Unavailable(UNCERTAIN) from error
        raise


async def driver(session: AsyncSession) -> "Connection":
    """Returns the session's own asyncpg connection, inside its transaction: for COPY, which SQLAlchemy lacks."""
    connection = await session.connection()
    raw: Any = (await connection.get_raw_connection()).driver_connection
    if not raw.is_in_transaction():
        await connection.exec_driver_sql("SELECT 1")  # SQLAlchemy begins with its own first statement, and no sooner
    return raw  # type: ignore[no-any-return]
