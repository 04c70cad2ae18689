"""Statistics of the samples of a window: exact, or for weeks and more from the roll-ups of its days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.numerics.arrays import Floats
from resolvers.store.postgres import binary_copy
from resolvers.store.tables.samples import ROLLUPS, SAMPLES, Level, target_column, value_type
from resolvers.store.telemetry.rollups import SHARES, count_sql, max_sql, min_sql
from resolvers.store.telemetry.series import (
    Span,
    build_arguments,
    build_condition,
    build_spans,
    mean_around_sql,
    select_during,
    shorten_of,
)

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

EXACT_FOR: Final = timedelta(days=7)
P95: Final = 0.95


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one metric, in its unit; `last` is the newest measured value, and `last_at` its time."""

    metric: Metric
    count: int = 0
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    p95: float | None = None
    last: float | None = None
    last_at: datetime | None = None


async def load_statistics(connection: "Connection", span: Span, targets: Sequence[int]) -> dict[int, list[Statistics]]:
    """Returns statistics per target and metric. In windows over a week p95 is estimated (`_estimate_p95`).

    They are exact there too if there are no roll-ups of one of the metrics.
    """
    exact = span.end - span.start <= EXACT_FOR or not span.is_rolled_up
    query, of, whole = (
        (_build_exact_query(span), _read_exact, ())
        if exact
        else (_build_daily_query(span), _read_daily, span.find_whole(Level.DAY))
    )
    rows = await connection.fetch(query, *build_arguments(span, targets), *whole)
    return {row["target"]: [of(span.kind, metric, row) for metric in span.metrics] for row in rows}


def _build_exact_query(span: Span) -> str:
    parts = ", ".join(
        f"count({c}) AS {c}_n, min({c}) AS {c}_min, max({c}) AS {c}_max,"
        f" {_mean_sql(span.kind, metric)} AS {c}_mean, percentile_cont({P95}) WITHIN GROUP (ORDER BY {c}) AS {c}_p95"
        for c, metric in zip(span.columns, span.metrics, strict=True)
    )
    return (
        f"WITH known AS (SELECT {target_column(span.kind)} AS target, {parts} FROM {SAMPLES[span.kind].name}"  # noqa: S608
        f" WHERE {build_condition(span, 'ANY($1::int[])')} GROUP BY target)"
        f" SELECT *, {_select_last(span, 'known.{}_n > 0')} FROM known"
    )


def _mean_sql(kind: TargetKind, metric: Metric) -> str:
    mean = f"avg({metric.column})"
    return mean_around_sql(metric.column, mean) if CATALOGUE[kind].spec(metric).circular else mean


def _read_exact(kind: TargetKind, metric: Metric, row: asyncpg.Record) -> Statistics:
    values = {part: row[f"{metric.column}_{part}"] for part in ("min", "max", "mean", "p95")}
    shown = {part: None if value is None else shorten_of(kind, metric, value) for part, value in values.items()}
    last, last_at = _read_last(kind, metric, row[f"{metric.column}_last"])
    return Statistics(metric, row[f"{metric.column}_n"], **shown, last=last, last_at=last_at)


def _read_last(kind: TargetKind, metric: Metric, pair: list[float] | None) -> tuple[float | None, datetime | None]:
    """Returns the newest value and its time, from epoch seconds and value."""
    return (None, None) if pair is None else (shorten_of(kind, metric, pair[1]), datetime.fromtimestamp(pair[0], UTC))


def _build_daily_query(span: Span) -> str:
    """Returns a query for days from their roll-ups, and for single values at the window's ends and on doubtful days."""
    days = ", ".join(
        f"sum({count_sql(c)}) AS {c}_n, sum({c}_mean::float8 * {count_sql(c)}) AS {c}_sum,"
        f" min({min_sql(c)}) AS {c}_min, max({max_sql(c)}) AS {c}_max,"
        f" array_send(array_agg({count_sql(c)}) FILTER (WHERE {c}_mean IS NOT NULL)) AS {c}_counts,"
        f" array_send(array_agg({c}_quantiles) FILTER (WHERE {c}_mean IS NOT NULL)) AS {c}_quantiles"
        for c in span.columns
    )
    values = ", ".join(f"array_send(array_agg({c}) FILTER (WHERE {c} IS NOT NULL)) AS {c}_values" for c in span.columns)
    return (
        f"WITH {build_spans(span, Level.DAY, 5)}, days AS"  # noqa: S608
        f" (SELECT target, {days} FROM {select_during(span, 'rolled', ROLLUPS[span.kind].name, Level.DAY)}"
        f" GROUP BY target), single AS"
        f" (SELECT target, {values} FROM {select_during(span, 'doubtful', SAMPLES[span.kind].name)} GROUP BY target)"
        f" SELECT *, {_select_last(span, 'coalesce({0}_n, 0) > 0 OR {0}_values IS NOT NULL')}"
        " FROM days FULL JOIN single USING (target)"
    )


def _select_last(span: Span, measured: str) -> str:
    """Returns SQL for the newest values with their times (epoch seconds), only where there are any.

    Else it would read the whole window for nothing.
    """
    return ", ".join(
        f"CASE WHEN {measured.format(c)} THEN"  # noqa: S608
        f" (SELECT ARRAY[extract(epoch FROM at), sample.{c}]::float8[] FROM {SAMPLES[span.kind].name} AS sample"
        f" WHERE {build_condition(span, 'target')} AND sample.{c} IS NOT NULL ORDER BY at DESC LIMIT 1) END AS {c}_last"
        for c in span.columns
    )


def _read_daily(kind: TargetKind, metric: Metric, row: asyncpg.Record) -> Statistics:
    c, type = metric.column, value_type(kind, metric)
    single = binary_copy.array(row[f"{c}_values"], type).astype(np.float64)
    count = (row[f"{c}_n"] or 0) + len(single)
    if count == 0:
        return Statistics(metric)
    least, greatest = row[f"{c}_min"], row[f"{c}_max"]  # of whole days, where there are any
    quantiles = binary_copy.array(row[f"{c}_quantiles"], type)
    shown = (
        single.min(initial=np.inf if least is None else least),
        single.max(initial=-np.inf if greatest is None else greatest),
        ((row[f"{c}_sum"] or 0.0) + single.sum()) / count,
        _estimate_p95(single, quantiles, binary_copy.array(row[f"{c}_counts"], "integer")),
    )
    least, greatest, mean, p95 = (shorten_of(kind, metric, value) for value in shown)
    return Statistics(metric, count, least, greatest, mean, p95, *_read_last(kind, metric, row[f"{c}_last"]))


def _estimate_p95(single: Floats, quantiles: NDArray[Any], counts: NDArray[np.int32]) -> float:
    """Estimates p95 of single values and of whole days, each given by values that stand for `SHARES` of its count.

    The rank is right to a per cent where a day has hundreds of values, as the shares around it are that small.
    """
    values = np.concatenate([single, quantiles])
    weights = np.concatenate([np.ones(len(single)), np.outer(counts, SHARES).ravel()])
    order = np.argsort(values, kind="stable")
    middles = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(P95 * weights.sum(), middles, values[order]))
