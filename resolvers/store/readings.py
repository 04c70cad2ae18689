"""Samples out: series in buckets, statistics and latest grades, made by the database for many targets at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ARRAY, Integer, String, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from ml.metrics import Metric, TargetKind
from resolvers.store.samples import SAMPLES, target_column
from resolvers.store.telemetry import EPOCH, StreamKey


@dataclass(frozen=True, slots=True)
class Span:
    """Which samples: `start` inclusive, `end` exclusive."""

    kind: TargetKind
    direction: str
    metrics: tuple[Metric, ...]
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Series:
    """Columns of equal length; raw where `bucket_seconds` is None, and then mean = low = high."""

    bucket_seconds: int | None
    times: NDArray[np.int64]  # epoch ms
    mean: dict[Metric, NDArray[np.float32]]
    low: dict[Metric, NDArray[np.float32]]
    high: dict[Metric, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Statistics:
    metric: Metric
    count: int
    min: float | None
    max: float | None
    mean: float | None
    p95: float | None
    last: float | None


async def raw_counts(session: AsyncSession, span: Span, targets: Sequence[int]) -> dict[int, int]:
    """How many samples each target has in the span."""
    query = text(
        f"SELECT {target_column(span.kind)} AS target, count(*) AS samples FROM {_where(span)} GROUP BY 1"  # noqa: S608
    )
    rows = await session.execute(query, _values(span, targets))
    return {row.target: row.samples for row in rows}


async def series(
    session: AsyncSession, span: Span, targets: Sequence[int], bucket_seconds: int | None
) -> dict[int, Series]:
    """Each target's series as arrays made by the database: raw, or in buckets at multiples of their length.

    One bucket for the whole span begins with it: aligned, it would be two.
    """
    columns = [metric.column for metric in span.metrics]
    if bucket_seconds is None:
        moment, group = "at", ""
        inner = [f"{c} AS {c}_mean, {c} AS {c}_min, {c} AS {c}_max" for c in columns]
    else:
        moment, group = "date_bin(make_interval(secs => :bucket), at, :origin)", "GROUP BY 1, 2"
        inner = [f"avg({c})::real AS {c}_mean, min({c}) AS {c}_min, max({c}) AS {c}_max" for c in columns]
    outer = [f"array_agg({c}_{what} ORDER BY moment) AS {c}_{what}" for c in columns for what in ("mean", "min", "max")]
    query = text(
        "SELECT target, array_agg((extract(epoch FROM moment) * 1000)::bigint ORDER BY moment) AS times,"  # noqa: S608
        f" {', '.join(outer)}"
        f" FROM (SELECT {target_column(span.kind)} AS target, {moment} AS moment, {', '.join(inner)}"
        f" FROM {_where(span)} {group}) AS bucket GROUP BY target"
    )
    values = _values(span, targets)
    if bucket_seconds is not None:
        whole = timedelta(seconds=bucket_seconds) >= span.end - span.start
        values |= {"bucket": bucket_seconds, "origin": span.start if whole else EPOCH}
    rows = await session.execute(query, values)
    return {row.target: _series(span, row._mapping, bucket_seconds) for row in rows}  # noqa: SLF001


def _series(span: Span, row: Any, bucket_seconds: int | None) -> Series:
    arrays = {
        what: {metric: np.array(row[f"{metric.column}_{what}"], dtype=np.float32) for metric in span.metrics}
        for what in ("mean", "min", "max")
    }
    return Series(bucket_seconds, np.array(row["times"], dtype=np.int64), arrays["mean"], arrays["min"], arrays["max"])


def empty_series(span: Span, bucket_seconds: int | None) -> Series:
    nothing = {metric: np.empty(0, dtype=np.float32) for metric in span.metrics}
    return Series(bucket_seconds, np.empty(0, dtype=np.int64), nothing, nothing, nothing)


async def statistics(session: AsyncSession, span: Span, targets: Sequence[int]) -> dict[int, list[Statistics]]:
    """Per target and metric; `last` is the newest value that was measured."""
    parts = [
        f"count({c}) AS {c}_count, min({c}) AS {c}_min, max({c}) AS {c}_max, avg({c}) AS {c}_mean,"
        f" percentile_cont(0.95) WITHIN GROUP (ORDER BY {c}) AS {c}_p95,"
        f" (array_agg({c} ORDER BY at DESC) FILTER (WHERE {c} IS NOT NULL))[1] AS {c}_last"
        for c in (metric.column for metric in span.metrics)
    ]
    query = text(
        f"SELECT {target_column(span.kind)} AS target, {', '.join(parts)} FROM {_where(span)} GROUP BY 1"  # noqa: S608
    )
    rows = await session.execute(query, _values(span, targets))
    return {row.target: [_statistics(metric, row._mapping) for metric in span.metrics] for row in rows}  # noqa: SLF001


def _statistics(metric: Metric, row: Any) -> Statistics:
    values = {what: row[f"{metric.column}_{what}"] for what in ("min", "max", "mean", "p95", "last")}
    return Statistics(
        metric, row[f"{metric.column}_count"], **{k: None if v is None else short(v) for k, v in values.items()}
    )


def short(value: float) -> float:
    """Readings are kept as 4-byte floats: show 12.3, not 12.300000190734863."""
    return float(str(np.float32(value)))


def _where(span: Span) -> str:
    direction = "AND direction = :direction" if span.kind is TargetKind.LINK else ""
    return (
        f"{SAMPLES[span.kind].name} WHERE {target_column(span.kind)} = ANY(:targets) {direction}"
        " AND at >= :start AND at < :end"
    )


def _values(span: Span, targets: Sequence[int]) -> dict[str, Any]:
    return {"targets": list(targets), "direction": span.direction, "start": span.start, "end": span.end}


async def latest_grades(session: AsyncSession, keys: Sequence[StreamKey]) -> dict[StreamKey, float]:
    """The newest grade that is known of each link and direction."""
    query = text(
        "SELECT key.target, key.direction, sample.grade FROM unnest(:targets, :directions) AS key (target, direction)"
        " CROSS JOIN LATERAL (SELECT grade FROM link_samples WHERE link_id = key.target"
        " AND direction = key.direction AND grade IS NOT NULL ORDER BY at DESC LIMIT 1) AS sample"
    ).bindparams(bindparam("targets", type_=ARRAY(Integer)), bindparam("directions", type_=ARRAY(String)))
    values = {"targets": [key[0] for key in keys], "directions": [key[1] for key in keys]}
    rows = await session.execute(query, values)
    return {(row.target, row.direction): short(row.grade) for row in rows}
