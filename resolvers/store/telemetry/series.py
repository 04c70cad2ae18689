"""Reads series, raw or in buckets, and latest grades, for many targets in one statement.

The database sends arrays in binary, without a Python object per value. Long buckets are made of roll-ups, but for the
hours whose roll-ups are out of date (see `rollups`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from resolvers.store.postgres import binary_copy
from resolvers.store.tables.samples import ROLLUPS, SAMPLES, Level, target_column, value_type
from resolvers.store.telemetry.rollups import count_sql, max_sql, min_sql, whole_buckets_sql
from resolvers.store.telemetry.samples import EPOCH

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

MIN_BUCKETS: Final = 24  # of a level in a window, for its ends are read from the samples anyway


@dataclass(frozen=True, slots=True)
class Span:
    """Which samples to read: `start` inclusive, `end` exclusive."""

    kind: TargetKind
    direction: str
    metrics: tuple[Metric, ...]
    start: datetime
    end: datetime

    @property
    def columns(self) -> list[str]:
        return [metric.column for metric in self.metrics]

    @property
    def is_rolled_up(self) -> bool:
        """Whether roll-ups have all of its metrics."""
        return set(self.metrics) <= {*CATALOGUE[self.kind].metrics}

    def find_whole(self, level: Level) -> tuple[datetime, datetime]:
        """Returns the part of it that consists of whole buckets."""
        bucket = timedelta(seconds=level)
        first = EPOCH - (EPOCH - self.start) // bucket * bucket
        return first, max(first, EPOCH + (self.end - EPOCH) // bucket * bucket)


@dataclass(frozen=True, slots=True)
class Series:
    """Columns of equal length; times: epoch ms. Raw where `bucket_seconds` is None, and then mean = low = high.

    Values have four bytes, those of counts eight.
    """

    bucket_seconds: int | None
    times: NDArray[np.int64]
    mean: dict[Metric, NDArray[Any]]
    low: dict[Metric, NDArray[Any]]
    high: dict[Metric, NDArray[Any]]


def make_empty_series(span: Span) -> Series:
    """Returns a raw series without samples."""
    nothing = {metric: np.empty(0, dtype=np.float32) for metric in span.metrics}
    return Series(None, np.empty(0, dtype=np.int64), nothing, nothing, nothing)


async def load_raw(connection: "Connection", span: Span, targets: Sequence[int], most: int) -> dict[int, Series | None]:
    """Returns each target's samples as they were recorded; None where they are more than `most`."""
    columns, name = span.columns, SAMPLES[span.kind].name
    rows = await connection.fetch(
        f"SELECT target, count(*) AS samples, {times_sql('at')}, {', '.join(array_sql(c, 'at') for c in columns)}"  # noqa: S608
        " FROM unnest($1::int[]) AS target CROSS JOIN LATERAL"
        f" (SELECT at, {', '.join(columns)} FROM {name} WHERE {build_condition(span, 'target')}"
        f" ORDER BY at LIMIT {most + 1:d}) AS sample"
        " GROUP BY target",
        *build_arguments(span, targets),
    )
    return {row["target"]: read_raw(span.kind, span.metrics, row) if row["samples"] <= most else None for row in rows}


def read_raw(kind: TargetKind, metrics: Sequence[Metric], row: asyncpg.Record) -> Series:
    """Reads a row of `times_sql`, and of `array_sql` for each metric."""
    values = {metric: binary_copy.array(row[metric.column], value_type(kind, metric)) for metric in metrics}
    return Series(None, binary_copy.array(row["times"], "timestamptz"), values, values, values)


async def load_buckets(connection: "Connection", span: Span, targets: Sequence[int], seconds: int) -> dict[int, Series]:
    """Returns each target's series in buckets at multiples of their length: mean, least and greatest value.

    One bucket for the whole span begins with the span; aligned, it would be two.
    """
    level = _choose_level(span, seconds)
    combined = ", ".join(
        f"({_mean_sql(span.kind, metric)})::{value_type(span.kind, metric)} AS {c}_mean,"
        f" min({c}_min) AS {c}_min, max({c}_max) AS {c}_max"
        for c, metric in zip(span.columns, span.metrics, strict=True)
    )
    arrays = ", ".join(array_sql(f"{c}_{part}", "moment") for c in span.columns for part in ("mean", "min", "max"))
    rows = await connection.fetch(
        f"WITH {_build_parts(span, level)},"  # noqa: S608
        f" buckets AS (SELECT target, date_bin($5, at, $6) AS moment, {combined} FROM parts GROUP BY target, moment)"
        f" SELECT target, {times_sql('moment')}, {arrays} FROM buckets GROUP BY target",
        *build_arguments(span, targets),
        timedelta(seconds=seconds),
        span.start if timedelta(seconds=seconds) >= span.end - span.start else EPOCH,
        *(span.find_whole(level) if level else ()),
    )
    return {row["target"]: _read_buckets(span, row, seconds) for row in rows}


def _read_buckets(span: Span, row: asyncpg.Record, seconds: int) -> Series:
    mean, low, high = (
        {m: binary_copy.array(row[f"{m.column}_{part}"], value_type(span.kind, m)) for m in span.metrics}
        for part in ("mean", "min", "max")
    )
    return Series(seconds, binary_copy.array(row["times"], "timestamptz"), mean, low, high)


def _mean_sql(kind: TargetKind, metric: Metric) -> str:
    """Returns SQL for the mean of a bucket's parts."""
    c, mean = metric.column, f"sum({metric.column}_sum) / nullif(sum({metric.column}_n), 0)"
    return mean_around_sql(f"{c}_sum", mean) if CATALOGUE[kind].spec(metric).circular else mean


def mean_around_sql(column: str, mean: str) -> str:
    """Returns SQL for the mean of degrees around a circle, between -180 and 360: of 359 and 1 it is 0, not 180.

    It is the plain `mean` unless values lie on both sides of where counting begins again.
    """
    direction = f"degrees(atan2(sum(sind({column})), sum(cosd({column}))))"
    turned = f"CASE WHEN min({column}) < 0 OR {direction} >= 0 THEN {direction} ELSE {direction} + 360 END"
    return f"CASE WHEN max({column}) - min({column}) <= 180 THEN {mean} ELSE {turned} END"


def _choose_level(span: Span, seconds: int) -> Level | None:
    """Returns the coarsest level that the buckets consist of, if the window is long enough for it.

    None, for the samples themselves, if there are no roll-ups of one of the metrics.
    """
    if not span.is_rolled_up:
        return None
    longest = (span.end - span.start).total_seconds() / MIN_BUCKETS
    return max((level for level in Level if seconds % level == 0 and level <= longest), default=None)


def _build_parts(span: Span, level: Level | None) -> str:
    """Returns CTEs up to `parts`: number, sum, least and greatest value by target and time. $7, $8: span.find_whole."""
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
    """Returns a CTE `spans`: of each target the parts of $3 to $4 that are `rolled` up, and those that are `doubtful`.

    first: the number of the parameter with the begin of the whole buckets; the next one has their end.
    """
    return (
        "spans AS (SELECT target, rolled, tstzmultirange(tstzrange($3, $4)) - rolled AS doubtful FROM"  # noqa: S608
        f" (SELECT target_id AS target, tstzmultirange(tstzrange(${first}, ${first + 1}))"
        f" - coalesce({whole_buckets_sql('unrolled', level)}, '{{}}') AS rolled FROM streams"
        f" WHERE target_id = ANY($1::int[]) AND kind = '{span.kind}' AND direction = $2) AS stream)"
    )


def select_during(span: Span, ranges: str, table: str, level: Level | None = None) -> str:
    """Returns a FROM clause: the rows of a table within each target's ranges, a column of `spans`.

    LATERAL forces an index look-up per range, whatever the planner believes of a table that has grown since.
    """
    of_level = "" if level is None else f" AND seconds = {level:d}"
    return (
        f"spans CROSS JOIN LATERAL unnest({ranges}) AS during CROSS JOIN LATERAL"  # noqa: S608
        f" (SELECT * FROM {table} WHERE {build_condition(span, 'target')}{of_level}"
        " AND at >= lower(during) AND at < upper(during) ORDER BY at OFFSET 0) AS row"
    )


def build_condition(span: Span, target: str) -> str:
    """Returns a condition on samples or roll-ups. Parameters bound their times, so that partitions are left out."""
    direction = "direction = $2" if span.kind is TargetKind.LINK else "$2 = ''"
    return f"{target_column(span.kind)} = {target} AND {direction} AND at >= $3 AND at < $4"


def build_arguments(span: Span, targets: Sequence[int]) -> tuple[Any, ...]:
    """Returns the parameters $1 to $4."""
    return list(targets), span.direction, span.start, span.end


def array_sql(column: str, order: str) -> str:
    """Returns SQL for what `binary_copy.array` reads, NaN for null."""
    return f"array_send(array_agg(coalesce({column}, 'NaN') ORDER BY {order})) AS {column}"


def times_sql(moment: str) -> str:
    """Returns the same for timestamps, as `times`."""
    return f"array_send(array_agg({moment} ORDER BY {moment})) AS times"


def shorten(value: float) -> float:
    """Returns the shortest number for a 4-byte float: 12.3, not 12.300000190734863."""
    return float(str(np.float32(value)))


def shorten_of(kind: TargetKind, metric: Metric, value: float) -> float:
    """Returns the same; but a value of a metric that is stored in eight bytes as it is."""
    return shorten(value) if value_type(kind, metric) == "real" else float(value)
