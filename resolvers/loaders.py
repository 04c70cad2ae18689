"""A list's children in one query: loaders that live for one operation, or for one event of a subscription."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from strawberry.dataloader import DataLoader

from ml.causes import CulpritKind
from ml.metrics import TargetKind
from ml.situations import Past
from resolvers import anomalies, models, recommendations, topology
from resolvers.filters import AnomalyFilter, TargetKey
from resolvers.paging import Listing, Page, Window, among, counts, pages
from resolvers.store import outcomes, patterns, readings, sensitivities, versions
from resolvers.store.analysis_tables import CorrelationAnalysis
from resolvers.store.database import Database
from resolvers.store.model_tables import ModelMetric, ModelStage, ModelVersion, Promotion, Sensitivity, TrainingRun
from resolvers.store.outcomes import Tried
from resolvers.store.readings import Series, Span
from resolvers.store.recommendation_tables import Recommendation
from resolvers.store.statistics import Statistics, statistics
from resolvers.store.streams import StreamKey
from resolvers.store.tables import Anomaly, ApiKey, AuditEntry, Detection, Link, Network, Satellite, Site, Table, User

Row = TypeVar("Row", bound=Table)
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Group = TypeVar("Group", bound=Hashable)

DAY = 86_400
BUCKETS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY)  # seconds
LISTINGS: dict[str, Callable[[], Listing[Any]]] = {
    "satellite.networks": topology.satellite_networks,
    "network.links": topology.network_links,
    "site.networks": topology.site_networks,
    "site.links": topology.site_links,
    "model.versions": models.versions,
    "anomaly.recommendations": recommendations.of_anomalies,
}


@dataclass(frozen=True, slots=True)
class Children:
    """Which of a parent's lists: a name in `LISTINGS`, or the anomalies of a kind of target."""

    of: str | TargetKind
    filter: AnomalyFilter = field(default_factory=AnomalyFilter)

    def listing(self) -> Listing[Any]:
        if isinstance(self.of, TargetKind):
            return anomalies.listing_of(self.of, self.filter)
        return LISTINGS[self.of]()


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    span: Span
    max_points: int


class Loaders:
    """All loaders of one operation. Entities that do not exist load as None."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.satellite = self._entity(Satellite)
        self.site = self._entity(Site)
        self.network = self._entity(Network)
        self.link = self._entity(Link)
        self.user = self._entity(User)
        self.api_key = self._entity(ApiKey)
        self.anomaly = self._entity(Anomaly)
        self.detection = self._entity(Detection)
        self.analysis = self._entity(CorrelationAnalysis)
        self.recommendation = self._entity(Recommendation)
        self.model_version = self._entity(ModelVersion)
        self.training_run = self._entity(TrainingRun)
        self.page: DataLoader[tuple[tuple[Children, Window], Any], Page[Any]] = grouped(self._pages)
        self.count: DataLoader[tuple[Children, Any], int] = grouped(self._counts)
        self.series: DataLoader[tuple[SeriesRequest, int], Series] = grouped(self._series)
        self.statistics: DataLoader[tuple[Span, int], list[Statistics]] = grouped(self._statistics)
        self.grade: DataLoader[StreamKey, float | None] = DataLoader(self._grades)
        self.history: DataLoader[UUID, list[AuditEntry]] = DataLoader(self._history)
        self.advice: DataLoader[UUID, list[Recommendation]] = self._many(outcomes.of_subjects)
        self.past: DataLoader[Tried, Past] = self._many(outcomes.tried)
        self.champion: DataLoader[str, ModelVersion | None] = self._many(versions.champions)
        self.stage: DataLoader[int, ModelStage] = self._many(versions.stages)
        self.model_metrics: DataLoader[int, list[ModelMetric]] = self._many(versions.newest_metrics)
        self.promotions: DataLoader[int, list[Promotion]] = self._many(versions.histories)
        self.sensitivity: DataLoader[TargetKind, Sensitivity] = self._many(sensitivities.kept)

    def target(self, key: TargetKey) -> Awaitable[Network | Site | Link | None]:
        """The network, site or link."""
        by_kind: dict[TargetKind, DataLoader[Any, Any]] = {
            TargetKind.NETWORK: self.network,
            TargetKind.SITE: self.site,
            TargetKind.LINK: self.link,
        }
        return by_kind[key.kind].load(key.id)

    def culprit(self, culprit: patterns.Culprit) -> Awaitable[Satellite | Network | Site | Link | None]:
        """The row at fault."""
        if culprit.kind is CulpritKind.SATELLITE:
            return self.satellite.load(culprit.key)
        return self.target(TargetKey(TargetKind(culprit.kind), culprit.key))

    def _entity(self, entity: type[Row]) -> DataLoader[Any, Row | None]:
        async def load(keys: list[Any]) -> list[Row | None]:
            column = entity.__table__.c.id
            async with self._database.read() as session:
                rows = await session.scalars(select(entity).where(among(column, keys)))
                found = {getattr(row, "id"): row for row in rows}  # noqa: B009
            return [found.get(key) for key in keys]

        return DataLoader(load)

    def _many(
        self, find: Callable[[AsyncSession, Sequence[Key]], Awaitable[dict[Key, Value]]]
    ) -> DataLoader[Key, Value]:
        """What one query finds for many keys."""

        async def load(keys: list[Key]) -> list[Value]:
            async with self._database.read() as session:
                found = await find(session, keys)
            return [found[key] for key in keys]

        return DataLoader(load)

    async def _pages(self, group: tuple[Children, Window], parents: list[Any]) -> list[Page[Any]]:
        children, window = group
        async with self._database.read() as session:
            return await pages(session, children.listing(), window, parents)

    async def _counts(self, group: Children, parents: list[Any]) -> list[int]:
        async with self._database.read() as session:
            return await counts(session, group.listing(), parents)

    async def _series(self, group: SeriesRequest, targets: list[int]) -> list[Series]:
        """Raw where it fits, else in at most `max_points` buckets."""
        span, most = group.span, group.max_points
        async with self._database.driver() as connection:
            found = await readings.raw(connection, span, targets, most)
            if many := [target for target, series in found.items() if series is None]:
                found |= await readings.bucketed(connection, span, many, bucket_seconds(span, most))
        return [found.get(target) or readings.empty_series(span) for target in targets]

    async def _statistics(self, group: Span, targets: list[int]) -> list[list[Statistics]]:
        async with self._database.driver() as connection:
            found = await statistics(connection, group, targets)
        return [found.get(target) or [Statistics(metric) for metric in group.metrics] for target in targets]

    async def _grades(self, keys: list[StreamKey]) -> list[float | None]:
        async with self._database.driver() as connection:
            found = await readings.latest_grades(connection, keys)
        return [found.get(key) for key in keys]

    async def _history(self, subjects: list[UUID]) -> list[list[AuditEntry]]:
        found: dict[UUID, list[AuditEntry]] = {subject: [] for subject in subjects}
        query = select(AuditEntry).where(among(AuditEntry.subject_id, subjects)).order_by(AuditEntry.at, AuditEntry.id)
        async with self._database.read() as session:
            for entry in await session.scalars(query):
                found[entry.subject_id].append(entry)
        return [found[subject] for subject in subjects]


def bucket_seconds(span: Span, max_points: int) -> int:
    """The shortest length that people read off a clock and that gives at most `max_points` buckets.

    Buckets start at multiples of their length, so one more than the division says may be touched.
    """
    least = -int(-(span.end - span.start).total_seconds() // max(1, max_points - 1))
    return next((length for length in BUCKETS if length >= least), -(-least // DAY) * DAY)


def grouped(load: Callable[[Group, list[Key]], Awaitable[list[Value]]]) -> DataLoader[tuple[Group, Key], Value]:
    """A loader of (group, key): one call of `load` for each group, the groups side by side; each fails alone."""

    async def load_all(pairs: list[tuple[Group, Key]]) -> Sequence[Value | BaseException]:
        groups = defaultdict[Group, list[Key]](list)
        for group, key in pairs:
            groups[group].append(key)
        loads = (load(group, keys) for group, keys in groups.items())
        results = await asyncio.gather(*loads, return_exceptions=True)
        found: dict[tuple[Group, Key], Value | BaseException] = {}
        for (group, keys), values in zip(groups.items(), results, strict=True):
            each: list[Any] = [values] * len(keys) if isinstance(values, BaseException) else values
            found |= {(group, key): value for key, value in zip(keys, each, strict=True)}
        return [found[pair] for pair in pairs]

    return DataLoader(load_all)
