"""One session per unit of work: it commits on exit, with its events, and nobody else calls `commit()`."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import greenlet_spawn

from resolvers.errors import ClientError, InvalidInput, TimedOut, Unavailable
from resolvers.meters import POOL_EXHAUSTED
from resolvers.store import events
from resolvers.store.notifications import Notifications
from resolvers.store.wakeups import Channel, Wakeups

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

CONNECTION_LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, PoolExhausted)
AWAY = ("08", "57P01", "57P02", "57P03", "53300")  # disconnected, stopping, crashed, starting, too many connections
LAST_WORDS = ("FATAL", "PANIC")  # the severities after which the connection ends
TOO_SLOW = ("57014", "55P03")  # statement_timeout, lock_timeout
NO_DATABASE = "3D000"
UNSTORABLE = ("22021", "22P05")  # NUL in a text, in a jsonb
REFUSED = {
    "25006": "The database only reads at the moment; nothing was stored. Send it again later.",
    "53100": "The database's disk is full; nothing was stored. Tell whoever runs it, and send it again later.",
    "53200": "The database is out of memory; nothing was stored. Try again shortly, or ask for less at once.",
    "53400": "This takes more than the database's configuration allows; nothing was stored. Ask for less at once.",
}
UNCERTAIN = (
    "The database went away while it committed this, so it may or may not be stored."
    " Send it again: samples that were stored count as duplicates."
)


def is_outage(error: BaseException) -> bool:
    """Whether the database is away, rather than unhappy with a statement or its arguments."""
    original = _original(error)
    lost = isinstance(original, CONNECTION_LOST) and not isinstance(original, ValueError)
    invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or invalidated or state(error).startswith(AWAY)


def told(error: BaseException) -> ClientError | None:
    """What a client learns of a failure of the database; None where it is our bug."""
    sqlstate = state(error)
    if is_outage(error):
        return Unavailable()
    if sqlstate in TOO_SLOW:
        return TimedOut()
    if sqlstate in REFUSED:
        return Unavailable(REFUSED[sqlstate])
    if sqlstate in UNSTORABLE:
        return InvalidInput("Text must not contain NUL characters.")
    return None


def _original(error: BaseException) -> BaseException:
    """The driver's own error, out of SQLAlchemy's wrappers."""
    wrapped = getattr(error, "orig", None)
    return _original(wrapped) if wrapped else error


def state(error: BaseException) -> str:
    """PostgreSQL's SQLSTATE; empty when the error is not its."""
    return getattr(_original(error), "sqlstate", None) or ""


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections: so many are allowed, open, in use."""

    size: int
    open: int
    used: int


class LendingPool(AsyncAdaptedQueuePool):
    """Connections for sessions, and for the driver's users: these pass them from hand to hand.

    Checking a connection out and in again takes longer than many a statement. So what a user of the driver gives back
    goes to the next one who waits, or stays at hand, unless it is a session's turn. Nobody waits while there is one.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.at_hand: list[Any] = []
        self._queue: deque[tuple[asyncio.Future[Any], float]] = deque()  # the driver's users, and when they give up
        self._is_watched = False
        self._sessions = 0  # that wait
        self._is_sessions_turn = False

    async def borrow(self, engine: AsyncEngine) -> Any:
        """A connection for a user of the driver. Raises SQLAlchemy's TimeoutError."""
        while True:
            if self.at_hand:
                held = self.at_hand.pop()
            elif self.checkedout() < self.size():
                try:
                    return await engine.raw_connection()
                except BaseException:
                    self._tell_of_room()
                    raise
            else:
                held = await self._handed()
            if held is not None and not held.driver_connection.is_closed():
                return held
            if held is not None:
                held.invalidate()
                self.give_back(held)

    async def _handed(self) -> Any:
        """What somebody gives back; None when there is room in the pool."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._queue.append((turn, loop.time() + self.timeout()))
        self._watch(loop)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                if turn.result() is None:
                    self._tell_of_room()
                else:
                    self.give_back(turn.result())
            raise

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all who wait: whoever came first gives up first."""
        if self._queue and not self._is_watched:
            self._is_watched = True
            loop.call_at(self._queue[0][1], self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_watched = False
        while self._queue and (self._queue[0][0].done() or self._queue[0][1] <= loop.time()):
            turn, _ = self._queue.popleft()
            if not turn.done():
                turn.set_exception(PoolExhausted("no database connection became free in time"))
        self._watch(loop)

    def give_back(self, held: Any) -> None:
        """A connection, whatever has become of it."""
        if not held.is_valid:
            held.close()
            return
        driver = None if self._sessions and self._is_sessions_turn else self._next()
        self._is_sessions_turn = driver is not None
        if driver is not None:
            driver.set_result(held)
        elif self._sessions:
            held.close()
        else:
            self.at_hand.append(held)

    def _next(self) -> "asyncio.Future[Any] | None":
        while self._queue:
            turn, _ = self._queue.popleft()
            if not turn.done():
                return turn
        return None

    def collect(self) -> None:
        """Into the pool with all that are at hand."""
        while self.at_hand:
            self.at_hand.pop().close()

    def _do_get(self) -> Any:
        if self.at_hand and not self.checkedin():
            self.at_hand.pop().close()
        waits = self.checkedout() >= self.size()
        self._sessions += waits
        try:
            return super()._do_get()
        finally:
            self._sessions -= waits

    def _do_return_conn(self, record: Any) -> None:
        super()._do_return_conn(record)
        if not self._sessions:
            self._tell_of_room()

    def _tell_of_room(self) -> None:
        if (driver := self._next()) is not None:
            driver.set_result(None)


class Database:
    """The pool, and the only door to it."""

    def __init__(
        self, url: str, pool_size: int = 10, statement_seconds: float = 30.0, wakeups: Wakeups | None = None
    ) -> None:
        """Without other `wakeups`, they are PostgreSQL's own."""
        self.wakeups = wakeups or Notifications(self)
        milliseconds = str(ceil(1000 * statement_seconds))
        self.engine = create_async_engine(
            url,
            poolclass=LendingPool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            connect_args={
                "timeout": 10,
                # A plan for any parameters would be for all partitions, and for arrays of any length.
                "server_settings": {"statement_timeout": milliseconds, "plan_cache_mode": "force_custom_plan"},
            },
        )
        event.listen(self.engine.sync_engine, "checkout", _check)
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._lent: Any = self.engine.pool

    @property
    def pool(self) -> Pool:
        """As it is now."""
        pool, at_hand = self._lent, len(self._lent.at_hand)
        return Pool(pool.size(), pool.checkedin() + pool.checkedout(), pool.checkedout() - at_hand)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Each statement on its own, without the round trips of a transaction."""
        async with self.translated(), AsyncSession(self._reading, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """All or nothing. Events published in it are appended to the log last, see `events.append`."""
        async with self.translated(), AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session
            await session.flush()
            await events.append(session)
            grown = events.has_appended(session)
            async with self.wakeups.telling(session, Channel.EVENTS) if grown else nullcontext():
                await _commit(session)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A bare connection in autocommit mode, for what is no unit of work: listening, and locks that last."""
        async with self.translated(), self._reading.connect() as connection:
            yield connection

    def driver(self) -> "AbstractAsyncContextManager[Connection]":
        """The driver's own connection, each statement by itself: for arrays in binary, COPY, and what must be quick."""
        return _Driving(self.engine, self._lent)

    async def close(self) -> None:
        await self.wakeups.close()
        self._lent.collect()
        await self.engine.dispose()

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        """Turns the database's failures into what clients are told of them."""
        try:
            yield
        except Exception as error:
            if failure := _failure(error):
                raise failure from error
            raise


class _Driving:
    """A context manager by hand: nothing is entered as often."""

    __slots__ = ("_engine", "_held", "_pool")

    def __init__(self, engine: AsyncEngine, pool: LendingPool) -> None:
        self._engine, self._pool = engine, pool

    async def __aenter__(self) -> Any:
        try:
            self._held: Any = await self._pool.borrow(self._engine)
        except Exception as error:
            if failure := _failure(error):
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
            self._pool.give_back(held)
        if isinstance(error, Exception) and (failure := _failure(error)):
            raise failure from error


def _failure(error: Exception) -> ClientError | None:
    if isinstance(error, PoolExhausted):
        POOL_EXHAUSTED.inc()
    return told(error)


def _check(connection: Any, *_: object) -> None:
    """A connection that ended in the pool, or in `driver`'s hands, where SQLAlchemy sees no error."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError("the connection has ended")


async def _commit(session: AsyncSession) -> None:
    """Of a connection that ends meanwhile, nobody knows whether PostgreSQL had committed."""
    try:
        await session.commit()
    except Exception as error:
        if is_outage(error) or getattr(_original(error), "severity_en", None) in LAST_WORDS:
            raise Unavailable(UNCERTAIN) from error
        raise


async def driver(session: AsyncSession) -> "Connection":
    """The session's own asyncpg connection, inside its transaction: for COPY, which SQLAlchemy does not speak."""
    connection = await session.connection()
    raw: Any = (await connection.get_raw_connection()).driver_connection
    if not raw.is_in_transaction():
        await connection.exec_driver_sql("SELECT 1")  # SQLAlchemy begins with its own first statement, and no sooner
    return raw  # type: ignore[no-any-return]
