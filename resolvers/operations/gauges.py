"""The state of this process and its database, for operators: sets the gauges of /metrics."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import func, select

from ml.detection.episodes import Severity
from resolvers.base import counters
from resolvers.base.errors import ClientError
from resolvers.context import Services
from resolvers.store.events import log as events
from resolvers.store.postgres.database import Database
from resolvers.store.tables.core import Anomaly, AnomalyStatus

GOOD_FOR_SECONDS: Final = 3.0
PATIENCE_SECONDS: Final = 1.0

Value = TypeVar("Value")
OpenAnomalies = dict[tuple[Severity, AnomalyStatus], int]


class SharedQuery(Generic[Value]):
    """A query that concurrent callers share; it gives None if there is no answer within PATIENCE_SECONDS.

    Nobody waits for a cancelled statement to end, which takes long if the database is frozen; and until then it is not
    sent again, which would use up one connection after the other.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Value]]) -> None:
        self._ask = ask
        self._asked: asyncio.Task[Value] | None = None

    async def get(self) -> Value | None:
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ask())
            self._asked.add_done_callback(lambda task: task.cancelled() or task.exception())  # retrieved
        asked = self._asked
        await asyncio.wait([asked], timeout=PATIENCE_SECONDS)
        if not asked.done():
            asked.cancel()
        if not asked.done() or asked.cancelled():
            return None
        try:
            return asked.result()
        except ClientError:
            return None


class TtlCache(Generic[Value]):
    """Caches the answer of a query for GOOD_FOR_SECONDS, also None, so that nobody waits in vain twice."""

    def __init__(
        self, ask: Callable[[], Coroutine[Any, Any, Value]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._query, self._clock = SharedQuery(ask), clock
        self._value: Value | None = None
        self._until = -1.0
        self._one_at_a_time = asyncio.Lock()

    async def get(self) -> Value | None:
        async with self._one_at_a_time:
            if self._clock() >= self._until:
                self._value = await self._query.get()
                self._until = self._clock() + GOOD_FOR_SECONDS
        return self._value


@dataclass(frozen=True)
class Observer:
    """Observes one process."""

    services: Services
    open_anomalies: TtlCache[OpenAnomalies]
    lag: TtlCache[events.Lag]

    @classmethod
    def of(cls, services: Services) -> "Observer":
        database, feed = services.database, services.feed
        lag = TtlCache(lambda: _measure_lag(database, int(feed.cursor)))
        return cls(services, TtlCache(partial(_count_open_anomalies, database)), lag)

    async def observe(self) -> None:
        """Sets the gauges. The lag of the feed keeps its value while the database is away."""
        self._pool()
        self._followers()
        counters.MODELS_LOADED.set(self.services.registry.loaded)
        if lag := await self.lag.get():
            counters.FEED_LAG.set(lag.events)
            counters.FEED_LAG_SECONDS.set(lag.seconds)

    def _pool(self) -> None:
        pool = self.services.database.pool
        counters.POOL_SIZE.set(pool.size)
        counters.POOL_OPEN.set(pool.open)
        counters.POOL_USED.set(pool.used)

    def _followers(self) -> None:
        feed, live = self.services.feed, self.services.live
        for topic, number in {**feed.followers_by_topic, counters.SAMPLES_TOPIC: live.followers}.items():
            counters.FOLLOWERS.labels(topic).set(number)
        counters.FOLLOWER_LAG.set(feed.depth)


async def _count_open_anomalies(database: Database) -> OpenAnomalies:
    """Returns the number of open anomalies by severity and status, with zeros."""
    query = select(Anomaly.severity, Anomaly.status, func.count()).where(Anomaly.ended_at.is_(None))
    async with database.read() as session:
        rows = await session.execute(query.group_by(Anomaly.severity, Anomaly.status))
        found = {(severity, status): number for severity, status, number in rows}
    lasting = (AnomalyStatus.OPEN, AnomalyStatus.ACKNOWLEDGED)
    return {key: found.get(key, 0) for key in product(Severity, lasting)}


async def _measure_lag(database: Database, position: int) -> events.Lag:
    async with database.read() as session:
        return await events.measure_lag(session, position)
