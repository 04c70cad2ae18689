"""Reads the event log, once per process, and hands the events to the followers of their topics."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from itertools import chain
from typing import Final

import structlog

from resolvers.base.counters import EVENTS_READ
from resolvers.base.errors import Expired, InvalidInput
from resolvers.base.worker import Worker
from resolvers.store.events.database import EventDatabase
from resolvers.store.events.followers import Events, Follower
from resolvers.store.events.log import BATCH, Event, check_kept, parse_cursor, read, read_bounds
from resolvers.store.events.wakeups import Channel

POLL_SECONDS: Final = 5.0
QUEUE_LENGTH: Final = 1000
PATIENCE_SECONDS: Final = 1.0  # with followers that are behind, between two batches of events

logger = structlog.get_logger(__name__)


class EventFeed:
    """Reads the log from its last position on, and hands the events out.

    poll_seconds: between reads without a wake-up.
    queue_length: events that may wait for a follower; one that falls further behind is lost.
    """

    def __init__(
        self, database: EventDatabase, *, poll_seconds: float = POLL_SECONDS, queue_length: int = QUEUE_LENGTH
    ) -> None:
        self.poll_seconds, self.queue_length = poll_seconds, queue_length
        self._database = database
        self._followers: defaultdict[str, set[Follower]] = defaultdict(set)  # by topic
        self._wake = asyncio.Event()
        self.worker = Worker("event feed", self._listen, every_seconds=1.0, begins_at_once=True)
        self._hooks: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)  # by topic
        self._position = 0
        self._read_at = 0.0
        self._is_handing_out = False
        database.wakeups.listen(Channel.EVENTS, self._wake.set)

    def add_hook(self, topic: str, happened: Callable[[], None]) -> None:
        """Has it called at each event of a topic, and after an outage, as the database may be a restored one."""
        self._hooks[topic].append(happened)

    async def start(self) -> None:
        """Raises Unavailable if the database is away."""
        _, self._position = await self._bounds()
        self.worker.start()

    async def stop(self) -> None:
        await self.worker.stop()

    # ---------------------------------------------------------------- following

    @property
    def cursor(self) -> str:
        """The cursor of the newest event that this process has read."""
        return str(self._position)

    @property
    def is_following(self) -> bool:
        """Whether it had read the whole log a moment ago."""
        return time.monotonic() - self._read_at < 2 * self.poll_seconds

    @property
    def followers_by_topic(self) -> dict[str, int]:
        return {topic: len(followers) for topic, followers in self._followers.items()}

    @property
    def followers(self) -> int:
        return sum(map(len, self._followers.values()))

    @property
    def depth(self) -> int:
        """The number of events that the slowest follower has not finished, with the one it works on."""
        return max(
            (each.behind for each in chain.from_iterable(self._followers.values()) if not each.is_lost), default=0
        )

    async def wait_until_idle(self) -> None:
        """Waits until every follower is done. Set a time limit: one that does not read never is."""
        while self._is_handing_out or self.depth:  # noqa: ASYNC110  followers come and go meanwhile
            await asyncio.sleep(0.005)

    async def follow(self, topic: str, after: str | None = None) -> AsyncIterator[Event]:
        """Yields the events of `stream`."""
        async with aclosing(self.stream(topic, after)) as stream:
            async for event in stream:
                if isinstance(event, Event):
                    yield event

    async def stream(self, topic: str, after: str | None = None, *, pushes: bool = False) -> Events:
        """Yields the events of a topic after a cursor, then live ones, in order, without gaps or repeats.

        after: a cursor; without one, events that are committed from now on.
        pushes: also yields a `CaughtUp`, once, whose receiver may take the rest over from this stream.
        Raises InvalidInput for an impossible cursor, Expired for one from before the oldest event that is kept, Lagged
        when the reader falls `queue_length` events behind.
        """
        followers = self._followers[topic]
        follower = Follower(followers.discard)
        followers.add(follower)
        try:
            position = await self._check_start(after)
            async for event in self._history(position, self._position):
                position = event.id
                if event.topic == topic:
                    yield event
            async for told in follower.events(position, pushes=pushes):
                yield told
        finally:
            follower.close()

    async def _check_start(self, after: str | None) -> int:
        """Returns the position to start from. Raises InvalidInput, Expired, even while this process is behind."""
        wanted = None if after is None else parse_cursor(after)
        oldest, newest = await self._bounds()
        if wanted is None:
            return newest
        if wanted > newest:
            raise InvalidInput(
                "This cursor is ahead of the event log, so it is from another database. Subscribe without `after`.",
                ["after"],
            )
        check_kept(wanted, oldest)
        return wanted

    # ---------------------------------------------------------------- reading the log

    async def _bounds(self) -> tuple[int, int]:
        async with self._database.read() as session:
            return await read_bounds(session)

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
            return await read(session, after)

    async def _listen(self) -> None:
        """Reads the log until it cannot listen any more; what happens meanwhile is read from the log afterwards."""
        async with self._database.wakeups.listening(self._wake.set) as ended:
            await self._bounds()  # listening may be without the database
            self.worker.recovered()
            self._call_all_hooks()
            await self._follow_log(ended)

    async def _follow_log(self, ended: Callable[[], bool]) -> None:
        while not ended():
            self._wake.clear()
            try:
                while events := await self._read(self._position):
                    await self._hand_out_all(events)
                    if len(events) == BATCH:
                        await self._let_followers_catch_up()
                self._read_at = time.monotonic()
            except Expired as expired:
                self._lose_all(int(expired.oldest_cursor))
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll_seconds):
                    await self._wake.wait()

    async def _hand_out_all(self, events: list[Event]) -> None:
        self._is_handing_out = True
        try:
            for event in events:
                self._hand_out(event)
                await asyncio.sleep(0)  # a thousand followers take long: other tasks run in between
        finally:
            self._is_handing_out = False

    async def _let_followers_catch_up(self) -> None:
        """Waits a moment for followers that are behind: one transaction may bring more events than their queues hold.

        Who reads at once is never lagged by that. Who does not delays the others by PATIENCE_SECONDS a batch at most.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self.depth > self.queue_length - BATCH:  # noqa: ASYNC110  followers come and go meanwhile
                    await asyncio.sleep(0.005)

    def _hand_out(self, event: Event) -> None:
        before, self._position = self._position, event.id
        EVENTS_READ.labels(event.topic).inc()
        for happened in self._hooks.get(event.topic, ()):
            happened()
        for follower in self._followers.get(event.topic, ()):
            follower.hand(event, before, self.queue_length)

    def _lose_all(self, oldest: int) -> None:
        """Tells all followers that events were lost: the process was away for longer than events are kept."""
        logger.warning("event feed: missed events that are no longer kept", after=self._position, oldest=oldest)
        for topic, followers in self._followers.items():
            for follower in followers:
                follower.lose(self._position, topic)
        self._position = oldest
        self._call_all_hooks()

    def _call_all_hooks(self) -> None:
        for happened in chain.from_iterable(self._hooks.values()):
            happened()
