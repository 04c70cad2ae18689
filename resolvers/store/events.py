"""The event log: written in the transaction that it tells of, read on by every process from its last position.

Why no event is lost: ids come from a sequence *while holding* an advisory lock that lasts until the commit, so ids are
committed in their own order, and a reader that has seen id n has seen all before it. The lock is taken last, after all
other work of the transaction; only transactions with events queue for it. NOTIFY's own global commit lock costs nothing
on top, because its holders are already in line.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.errors import InvalidInput, Lagged, Unavailable
from resolvers.store.tables import Event as Row

if TYPE_CHECKING:
    from resolvers.store.database import Database

CHANNEL = "bcom_events"
COMMIT_ORDER_LOCK = 0x6263_6F6D_0001
BATCH = 500
POLL_SECONDS = 5.0
QUEUE_LENGTH = 1000

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `subject`; `facts` are what filters match on, as they were then."""

    topic: str
    change: str
    subject: str
    facts: dict[str, Any]
    id: int = 0  # given when it is committed

    @property
    def cursor(self) -> str:
        return str(self.id)


def publish(session: AsyncSession, event: Event) -> None:
    """Tell of it if, and only if, this session commits."""
    session.info.setdefault("events", []).append(event)


async def append(session: AsyncSession) -> None:
    """Write what was published; the last thing before the commit."""
    pending: list[Event] = session.info.pop("events", [])
    if not pending:
        return
    await session.execute(select(func.pg_advisory_xact_lock(COMMIT_ORDER_LOCK)))
    rows = [{"topic": e.topic, "change": e.change, "subject": e.subject, "facts": e.facts} for e in pending]
    await session.execute(insert(Row), rows)
    await session.execute(text(f"NOTIFY {CHANNEL}"))


class EventFeed:
    """One reader of the log per process, and everybody here who wants to hear of it."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        self._queues: set[asyncio.Queue[Event | None]] = set()
        self._wake = asyncio.Event()
        self._listeners: dict[str, Callable[[], None]] = {CHANNEL: self._wake.set}
        self._hooks: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)  # by topic
        self._position = 0
        self._task: asyncio.Task[None] | None = None

    def listen(self, channel: str, heard: Callable[[], None]) -> None:
        """Have it called on each NOTIFY, and when listening begins again after an outage: before `start`."""
        self._listeners[channel] = heard

    def on(self, topic: str, happened: Callable[[], None]) -> None:
        """Have it called at each event of a topic, and after an outage, as the log may be another one then."""
        self._hooks[topic].append(happened)

    async def start(self) -> None:
        """Raises Unavailable when the database is."""
        self._position = await self._newest()
        self._task = asyncio.create_task(self._run(), name="event feed")

    @property
    def cursor(self) -> str:
        """Of the newest event that this process has read."""
        return str(self._position)

    async def stop(self) -> None:
        while self._task and not self._task.done():  # an outage while cleaning up can swallow a cancellation
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def follow(self, topic: str, after: str | None = None) -> AsyncIterator[Event]:
        """Events of a topic: those behind the cursor `after` first, then live ones; no gap, no repeat, in order.

        Without a cursor: what is committed from now on. Raises InvalidInput for a cursor that is none, Lagged when the
        reader falls `QUEUE_LENGTH` events behind.
        """
        with self._queue() as queue:
            newest = await self._newest()
            position = newest if after is None else parse_cursor(after)
            if position > newest:
                raise InvalidInput("This cursor lies ahead of the event log; it is of another database.", ["after"])
            async for event in self._history(position, self._position):
                position = event.id
                if event.topic == topic:
                    yield event
            while event_or_lost := await queue.get():
                if event_or_lost.id > position:
                    position = event_or_lost.id
                    if event_or_lost.topic == topic:
                        yield event_or_lost
            raise Lagged(str(position))

    @contextmanager
    def _queue(self) -> Iterator[asyncio.Queue[Event | None]]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUE_LENGTH + 1)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def _newest(self) -> int:
        async with self._database.read() as session:
            return await session.scalar(select(func.max(Row.id))) or 0

    async def _history(self, after: int, until: int) -> AsyncIterator[Event]:
        while after < until:
            events = await self._read(after)
            for event in events:
                if event.id > until:
                    return
                yield event
            if not events:
                return
            after = events[-1].id

    async def _read(self, after: int) -> list[Event]:
        async with self._database.read() as session:
            rows = await session.scalars(select(Row).where(Row.id > after).order_by(Row.id).limit(BATCH))
            return [Event(row.topic, row.change, row.subject, row.facts, row.id) for row in rows]

    async def _run(self) -> None:
        """Listen for ever: a lost database is waited for, and what happened meanwhile is read from the log."""
        away = False
        while True:
            try:
                async with self._database.connection() as connection:
                    if away:
                        logger.info("event feed: the database is back")
                    away = False
                    raw: Any = (await connection.get_raw_connection()).driver_connection
                    raw.add_termination_listener(lambda *_: self._wake.set())
                    for channel, heard in self._listeners.items():
                        await raw.add_listener(channel, lambda *_, heard=heard: heard())
                        heard()
                    for happened in chain.from_iterable(self._hooks.values()):
                        happened()
                    await self._follow_log(raw.is_closed)
            except Unavailable:
                if not away:
                    logger.warning("event feed: the database is away, trying again every second")
                away = True
            except Exception:  # the outermost loop of a worker: log and try again
                logger.exception("event feed failed, trying again")
            await asyncio.sleep(1.0)

    async def _follow_log(self, closed: Callable[[], bool]) -> None:
        while not closed():
            self._wake.clear()
            while events := await self._read(self._position):
                for event in events:
                    self._tell(event)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    def _tell(self, event: Event) -> None:
        self._position = event.id
        for happened in self._hooks.get(event.topic, ()):
            happened()
        for queue in list(self._queues):
            if queue.qsize() < QUEUE_LENGTH:
                queue.put_nowait(event)
            else:  # a slow reader must neither hold up the others nor fill the memory
                queue.put_nowait(None)
                self._queues.discard(queue)


def parse_cursor(cursor: str) -> int:
    """Raises InvalidInput for a cursor that no event carried."""
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidInput("This is no cursor of an event; pass one that an earlier event carried.", ["after"])
    return int(cursor)
