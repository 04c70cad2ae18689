"""Samples out: series, raw or in buckets, and latest grades, made by the database for many targets at once.

Values leave it as arrays in binary, and no Python object is made per value. Where buckets are long enough they are made
of roll-ups, but for the hours that these do not tell the truth of (see `rollups`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import Metric, TargetKind
from resolvers.store.postgres import binary_copy as binary
from resolvers.store.tables.samples import ROLLUPS, SAMPLES, Level, target_column
from resolvers.store.telemetry.rollups import count_sql, max_sql, min_sql, whole_buckets_sql
from resolvers.store.telemetry.samples import EPOCH
from resolvers.store.telemetry.streams import StreamKey

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

WORTH_IT: Final = 24  # as many buckets of a level a window must have, for its ends are read from the samples anyway


@dataclass(frozen=True, slots=True)
class Span:
    """Which samples: `start` inclusive, `end` exclusive."""

    kind: TargetKind
    direction: str
    metrics: tuple[Metric, ...]
    start: datetime
    end: datetime

    @property
    def columns(self) -> list[str]:
        return [metric.column for metric in self.metrics]

    def whole(self, level: Level) -> tuple[datetime, datetime]:
        """The part of it that consists of whole buckets."""
        bucket = timedelta(seconds=level)
        first = EPOCH - (EPOCH - self.start) // bucket * bucket
        return first, max(first, EPOCH + (self.end - EPOCH) // bucket * bucket)


@dataclass(frozen=True, slots=True)
class Series:
    """Columns of equal length; raw where `bucket_seconds` is None, and then mean = low = high."""

    bucket_seconds: int | None
    times: NDArray[np.int64]  # epoch ms
    mean: dict[Metric, NDArray[np.float32]]
    low: dict[Metric, NDArray[np.float32]]
    high: dict[Metric, NDArray[np.float32]]


def make_empty_series(span: Span) -> Series:
    nothing = {metric: np.empty(0, dtype=np.float32) for metric in span.metrics}
    return Series(None, np.empty(0, dtype=np.int64), nothing, nothing, nothing)


async def load_raw(connection: "Connection", span: Span, targets: Sequence[int], most: int) -> dict[int, Series | None]:
    """Each target's samples as they were recorded; None where they are more than `most`."""
    columns, name = span.columns, SAMPLES[span.kind].name
    rows = await connection.fetch(
        f"SELECT target, count(*) AS samples, {times_sql('at')}, {', '.join(array_sql(c, 'at') for c in columns)}"  # noqa: S608
        " FROM unnest($1::int[]) AS target CROSS JOIN LATERAL"
        f" (SELECT at, {', '.join(columns)} FROM {name} WHERE {build_condition(span, 'target')}"
        f" ORDER BY at LIMIT {most + 1:d}) AS sample"
        " GROUP BY target",
        *build_arguments(span, targets),
    )
    return {row["target"]: read_raw(span.metrics, row) if row["samples"] <= most else None for row in rows}


def read_raw(metrics: Sequence[Metric], row: asyncpg.Record) -> Series:
    """Of `times`, and of an array for each metric, by `array_sql`."""
    values = {metric: binary.array(row[metric.column], "real") for metric in metrics}
    return Series(None, binary.array(row["times"], "timestamptz"), values, values, values)


async def load_buckets(connection: "Connection", span: Span, targets: Sequence[int], seconds: int) -> dict[int, Series]:
    """Each target's series in buckets at multiples of their length: mean, least and greatest value.

    One bucket for the whole span begins with it: aligned, it would be two.
    """
    level = _choose_level(span, seconds)
    combined = ", ".join(
        f"(sum({c}_sum) / nullif(sum({c}_n), 0))::real AS {c}_mean, min({c}_min) AS {c}_min, max({c}_max) AS {c}_max"
        for c in span.columns
    )
    arrays = ", ".join(array_sql(f"{c}_{part}", "moment") for c in span.columns for part in ("mean", "min", "max"))
    rows = await connection.fetch(
        f"WITH {_build_parts(span, level)},"  # noqa: S608
        f" buckets AS (SELECT target, date_bin($5, at, $6) AS moment, {combined} FROM parts GROUP BY target, moment)"
        f" SELECT target, {times_sql('moment')}, {arrays} FROM buckets GROUP BY target",
        *build_arguments(span, targets),
        timedelta(seconds=seconds),
        span.start if timedelta(seconds=seconds) >= span.end - span.start else EPOCH,
        *(span.whole(level) if level else ()),
    )
    return {row["target"]: _read_buckets(span, row, seconds) for row in rows}


def _read_buckets(span: Span, row: asyncpg.Record, seconds: int) -> Series:
    mean, low, high = (
        {metric: binary.array(row[f"{metric.column}_{part}"], "real") for metric in span.metrics}
        for part in ("mean", "min", "max")
    )
    return Series(seconds, binary.array(row["times"], "timestamptz"), mean, low, high)


def _choose_level(span: Span, seconds: int) -> Level | None:
    """The coarsest that buckets of so many seconds consist of, where the window is long enough for it."""
    longest = (span.end - span.start).total_seconds() / WORTH_IT
    return max((level for level in Level if seconds % level == 0 and level <= longest), default=None)


def _build_parts(span: Span, level: Level | None) -> str:
    """CTEs up to `parts`: by target and time the number, sum, least and greatest of values. $7 and $8: span.whole."""
    samples, target = SAMPLES[span.kind].name, target_column(span.kind)
    single = ", ".join(
        f"({c} IS NOT NULL)::int AS {c}_n, {c}::float8 AS {c}_sum, {c} AS {c}_min, {c} AS {c}_max" for c in span.columns
    )
    if level is None:
        where = build_condition(span, "ANY($1::int[])")
        return f"parts AS (SELECT {target} AS target, at, {single} FROM {samples} WHERE {where})"  # noqa: S608
    rolled = ", ".join(
        f"{count_sql(c)}, {c}_mean::float8 * {count_sql(c)}, {min_sql(c)}, {max_sql(c)}" for c in span.columns
    )
    return (
        f"{build_spans(span, level, 7)}, parts AS ("  # noqa: S608
        f"SELECT target, at, {single} FROM {select_during(span, 'doubtful', samples)}"
        f" UNION ALL SELECT target, at, {rolled} FROM {select_during(span, 'rolled', ROLLUPS[span.kind].name, level)})"
    )


def build_spans(span: Span, level: Level, first: int) -> str:
    """A CTE `spans`: of each target the parts of $3 to $4 where roll-ups are `rolled`, and where they are `doubtful`.

    The whole buckets in between are the parameters from `first` on.
    """
    return (
        "spans AS (SELECT target, rolled, tstzmultirange(tstzrange($3, $4)) - rolled AS doubtful FROM"  # noqa: S608
        f" (SELECT target_id AS target, tstzmultirange(tstzrange(${first}, ${first + 1}))"
        f" - coalesce({whole_buckets_sql('unrolled', level)}, '{{}}') AS rolled FROM streams"
        f" WHERE target_id = ANY($1::int[]) AND kind = '{span.kind}' AND direction = $2) AS stream)"
    )


def select_during(span: Span, ranges: str, table: str, level: Level | None = None) -> str:
    """A FROM clause: rows of a table within each target's ranges, one of the columns of `spans`.

    Laterally: a look into the index for each range, whatever the planner believes of a table that grew meanwhile.
    """
    of_level = "" if level is None else f" AND seconds = {level:d}"
    return (
        f"spans CROSS JOIN LATERAL unnest({ranges}) AS during CROSS JOIN LATERAL"  # noqa: S608
        f" (SELECT * FROM {table} WHERE {build_condition(span, 'target')}{of_level}"
        " AND at >= lower(during) AND at < upper(during) ORDER BY at OFFSET 0) AS row"
    )


def build_condition(span: Span, target: str) -> str:
    """A condition on samples or roll-ups. Their times are bounded by parameters, so that partitions are left out."""
    direction = "direction = $2" if span.kind is TargetKind.LINK else "$2 = ''"
    return f"{target_column(span.kind)} = {target} AND {direction} AND at >= $3 AND at < $4"


def build_arguments(span: Span, targets: Sequence[int]) -> tuple[Any, ...]:
    """$1 to $4."""
    return list(targets), span.direction, span.start, span.end


def array_sql(column: str, order: str) -> str:
    """What `binary.array` reads, NaN for null."""
    return f"array_send(array_agg(coalesce({column}, 'NaN'::real) ORDER BY {order})) AS {column}"


def times_sql(moment: str) -> str:
    """The same for timestamps, as `times`."""
    return f"array_send(array_agg({moment} ORDER BY {moment})) AS times"


def shorten(value: float) -> float:
    """Readings are kept as 4-byte floats: show 12.3, not 12.300000190734863."""
    return float(str(np.float32(value)))


async def load_latest_grades(connection: "Connection", keys: Sequence[StreamKey]) -> dict[StreamKey, float]:
    """The newest grade that is known of each link and direction."""
    rows = await connection.fetch(
        "SELECT target, way, grade FROM unnest($1::int[], $2::text[]) AS key (target, way) CROSS JOIN LATERAL"
        " (SELECT grade FROM link_samples WHERE link_id = target AND direction = way AND grade IS NOT NULL"
        " ORDER BY at DESC LIMIT 1) AS sample",
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {(row["target"], row["way"]): shorten(row["grade"]) for row in rows}
