"""The state of this process and its database, for operators: sets the gauges of /metrics."""

from dataclasses import dataclass
from functools import partial
from itertools import product

from sqlalchemy import func, select

from ml.detection.episodes import Severity
from resolvers.base import counters
from resolvers.base.shared_query import TtlCache
from resolvers.context import Services
from resolvers.store.events import log as events
from resolvers.store.postgres.database import Database
from resolvers.store.tables.core import Anomaly, AnomalyStatus

OpenAnomalies = dict[tuple[Severity, AnomalyStatus], int]


@dataclass(frozen=True)
class Observer:
    """Observes one process."""

    services: Services
    open_anomalies: TtlCache[OpenAnomalies]
    lag: TtlCache[events.Lag]

    @classmethod
    def from_services(cls, services: Services) -> "Observer":
        database, feed = services.database, services.feed
        lag = TtlCache(lambda: _measure_lag(database, int(feed.cursor)))
        return cls(services, TtlCache(partial(_count_open_anomalies, database)), lag)

    async def observe(self) -> None:
        """Sets the gauges. The lag of the feed keeps its value while the database is away."""
        self._set_pool_gauges()
        self._set_follower_gauges()
        counters.MODELS_LOADED.set(self.services.registry.loaded)
        if lag := await self.lag.get():
            counters.FEED_LAG.set(lag.events)
            counters.FEED_LAG_SECONDS.set(lag.seconds)

    def _set_pool_gauges(self) -> None:
        pool = self.services.database.pool
        counters.POOL_SIZE.set(pool.size)
        counters.POOL_OPEN.set(pool.open)
        counters.POOL_USED.set(pool.used)

    def _set_follower_gauges(self) -> None:
        feed, live = self.services.feed, self.services.live
        for topic, number in {**feed.followers_by_topic, counters.SAMPLES_TOPIC: live.followers}.items():
            counters.FOLLOWERS.labels(topic).set(number)
        counters.FOLLOWER_LAG.set(feed.depth)


async def _count_open_anomalies(database: Database) -> OpenAnomalies:
    """Returns the number of open anomalies by severity and status, with zeros."""
    query = select(Anomaly.severity, Anomaly.status, func.count()).where(Anomaly.ended_at.is_(None))
    async with database.read() as session:
        rows = await session.execute(query.group_by(Anomaly.severity, Anomaly.status))
        counts = {(severity, status): number for severity, status, number in rows}
    lasting = (AnomalyStatus.OPEN, AnomalyStatus.ACKNOWLEDGED)
    return {key: counts.get(key, 0) for key in product(Severity, lasting)}


async def _measure_lag(database: Database, position: int) -> events.Lag:
    async with database.read() as session:
        return await events.measure_lag(session, position)
