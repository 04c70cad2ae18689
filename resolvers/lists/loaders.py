"""The loaders of one operation, or of one event of a subscription: many keys become one query."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.recommendation.case import ActionForCause, TrackRecord
from resolvers.base.dataloader import Loader, group_loader
from resolvers.lists.listings import Listing
from resolvers.lists.pagination import Page, Window, count_children, fetch_pages
from resolvers.lists.row_loaders import RowLoaders
from resolvers.store.models import sensitivities, versions
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.database import Database
from resolvers.store.postgres.rows import Columns
from resolvers.store.queries import outcomes
from resolvers.store.tables.core import AuditEntry, Table
from resolvers.store.tables.models import ModelMetric, ModelStage, ModelVersion, Promotion, Sensitivity
from resolvers.store.tables.recommendations import Recommendation
from resolvers.store.telemetry import series as readings
from resolvers.store.telemetry.grades import Grade, load_latest_grades
from resolvers.store.telemetry.series import Series, Span
from resolvers.store.telemetry.statistics import Statistics, load_statistics
from resolvers.store.telemetry.streams import StreamKey, WatchedKey, find_last_samples

Row = TypeVar("Row", bound=Table)
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

DAY = 86_400
BUCKETS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY)  # seconds


@dataclass(frozen=True, slots=True)
class Children:
    """Which of a parent's lists: the one that `make` returns for these arguments."""

    make: Callable[..., Listing[Any]]
    arguments: tuple[Hashable, ...] = ()

    def listing(self) -> Listing[Any]:
        return self.make(*self.arguments)


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    span: Span
    max_points: int


class Loaders:
    """All loaders of one operation. Rows that do not exist load as None."""

    def __init__(
        self,
        database: Database,
        row_loaders: RowLoaders,
        columns: Mapping[type[Table], frozenset[str]] | None = None,
        read_turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        """columns: those that the operation reads of an entity; all of one that is not named.

        read_turn: waits for a place among the queries that keep the database busy.
        """
        self._database, self._shared, self._read_turn = database, row_loaders, read_turn
        self._columns = columns or {}
        self._entities: dict[tuple[type[Table], Columns], Loader[Any, Any]] = {}

    def rows(self, entity: type[Row]) -> Loader[Any, Row | None]:
        """Returns the loader of rows by id, with the columns that the operation reads."""
        return self._entity(entity, self._columns.get(entity))

    def whole_rows(self, entity: type[Row]) -> Loader[Any, Row | None]:
        """Returns the loader of rows by id, with all columns."""
        return self._entity(entity, None)

    def _entity(self, entity: type[Row], columns: Columns) -> Loader[Any, Row | None]:
        loader = self._entities.get((entity, columns))
        if loader is None:
            loader = self._entities[entity, columns] = Loader(self._shared.rows(entity, columns).find, batch=False)
        return loader

    # ---------------------------------------------------------------- lists

    @cached_property
    def page(self) -> Loader[tuple[tuple[Children, Window], Any], Page[Any]]:
        return group_loader(self._pages)

    @cached_property
    def count(self) -> Loader[tuple[Children, Any], int]:
        return group_loader(self._counts)

    async def _pages(self, group: tuple[Children, Window], parents: list[Any]) -> list[Page[Any]]:
        children, window = group
        listing = children.listing()
        return await fetch_pages(self._database, listing, window, parents, self._columns.get(listing.entity))

    async def _counts(self, group: Children, parents: list[Any]) -> list[int]:
        return await count_children(self._database, group.listing(), parents)

    # ---------------------------------------------------------------- readings

    @cached_property
    def series(self) -> Loader[tuple[SeriesRequest, int], Series]:
        return group_loader(self._series)

    @cached_property
    def statistics(self) -> Loader[tuple[Span, int], list[Statistics]]:
        return group_loader(self._statistics)

    @cached_property
    def grade(self) -> Loader[StreamKey, Grade | None]:
        return Loader(self._grades)

    @cached_property
    def last_sample_at(self) -> Loader[WatchedKey, datetime | None]:
        return Loader(self._last_samples)

    async def _series(self, group: SeriesRequest, targets: list[int]) -> list[Series]:
        """Reads raw samples, or at most `max_points` buckets where there are more."""
        span, most = group.span, group.max_points
        async with self._read_turn(), self._database.driver() as connection:
            found = await readings.load_raw(connection, span, targets, most)
            if many := [target for target, series in found.items() if series is None]:
                found |= await readings.load_buckets(connection, span, many, bucket_seconds(span, most))
        return [found.get(target) or readings.make_empty_series(span) for target in targets]

    async def _statistics(self, group: Span, targets: list[int]) -> list[list[Statistics]]:
        async with self._read_turn(), self._database.driver() as connection:
            found = await load_statistics(connection, group, targets)
        return [found.get(target) or [Statistics(metric) for metric in group.metrics] for target in targets]

    async def _grades(self, keys: Sequence[StreamKey]) -> dict[StreamKey, Grade | None]:
        async with self._database.driver() as connection:
            found = await load_latest_grades(connection, [*keys])
        return {key: found.get(key) for key in keys}

    async def _last_samples(self, keys: Sequence[WatchedKey]) -> dict[WatchedKey, datetime | None]:
        async with self._database.driver() as connection:
            return await find_last_samples(connection, keys)

    # ---------------------------------------------------------------- what belongs to something

    @cached_property
    def history(self) -> Loader[UUID, list[AuditEntry]]:
        return Loader(self._history)

    @cached_property
    def advice(self) -> Loader[UUID, list[Recommendation]]:
        return self._many(outcomes.load_present)

    @cached_property
    def track_record(self) -> Loader[ActionForCause, TrackRecord]:
        return self._many(outcomes.load_track_records)

    @cached_property
    def champion(self) -> Loader[str, ModelVersion | None]:
        return self._many(versions.find_champions)

    @cached_property
    def stage(self) -> Loader[int, ModelStage]:
        return self._many(versions.find_stages)

    @cached_property
    def model_metrics(self) -> Loader[int, list[ModelMetric]]:
        return self._many(versions.find_newest_metrics)

    @cached_property
    def promotions(self) -> Loader[int, list[Promotion]]:
        return self._many(versions.find_promotions)

    @cached_property
    def sensitivity(self) -> Loader[TargetKind, Sensitivity]:
        return self._many(sensitivities.find_sensitivities)

    def _many(self, find: Callable[[AsyncSession, Sequence[Key]], Awaitable[dict[Key, Value]]]) -> Loader[Key, Value]:
        """Returns a loader whose values one query finds."""

        async def fetch(keys: Sequence[Key]) -> dict[Key, Value]:
            async with self._database.read() as session:
                return await find(session, keys)

        return Loader(fetch)

    async def _history(self, subjects: Sequence[UUID]) -> dict[UUID, list[AuditEntry]]:
        found: dict[UUID, list[AuditEntry]] = {subject: [] for subject in subjects}
        query = (
            select(AuditEntry).where(is_among(AuditEntry.subject_id, subjects)).order_by(AuditEntry.at, AuditEntry.id)
        )
        async with self._database.read() as session:
            for entry in await session.scalars(query):
                found[entry.subject_id].append(entry)
        return found


def bucket_seconds(span: Span, max_points: int) -> int:
    """Returns the shortest round length, in seconds, that gives at most `max_points` buckets.

    Buckets start at multiples of their length, so a window can touch one more than the division says.
    """
    least = -int(-(span.end - span.start).total_seconds() // max(1, max_points - 1))
    return next((length for length in BUCKETS if length >= least), -(-least // DAY) * DAY)
