"""Samples in and out: COPY and insert, streams locked in key order, buckets and statistics by the database."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import ARRAY, Integer, String, bindparam, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from ml.metrics import CATALOGUE, Floats, Metric, TargetKind
from resolvers.store.columns import UtcDateTime
from resolvers.store.database import driver
from resolvers.store.samples import SAMPLES, key_columns, target_column
from resolvers.store.tables import Stream

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
StreamKey = tuple[int, str]  # target id, direction ('' for networks and sites)


async def lock_streams(session: AsyncSession, kind: TargetKind, keys: Sequence[StreamKey]) -> list[Stream]:
    """The streams of these sorted keys, made where new, locked until the transaction ends; in the keys' order."""
    targets, directions = [key[0] for key in keys], [key[1] for key in keys]
    make = text(
        "INSERT INTO streams (target_id, kind, direction)"
        " SELECT target, :kind, direction FROM unnest(:targets, :directions) AS key (target, direction)"
        " ORDER BY target, direction ON CONFLICT DO NOTHING"
    ).bindparams(bindparam("targets", type_=ARRAY(Integer)), bindparam("directions", type_=ARRAY(String)))
    await session.execute(make, {"kind": kind, "targets": targets, "directions": directions})
    wanted = select(func.unnest(literal(targets, ARRAY(Integer))), func.unnest(literal(directions, ARRAY(String))))
    query = (
        select(Stream)
        .where(Stream.kind == kind, tuple_(Stream.target_id, Stream.direction).in_(wanted))
        .order_by(Stream.target_id, Stream.direction)
        .with_for_update()
    )
    found = {(stream.target_id, stream.direction): stream for stream in await session.scalars(query)}
    return [found[key] for key in keys]


async def store(session: AsyncSession, kind: TargetKind, frame: pl.DataFrame) -> NDArray[np.int64]:
    """Insert rows in key order; the indices of those that were stored before (the stored ones stay).

    `frame` has the table's key columns, its metric columns and nothing twice.
    """
    connection = await driver(session)
    name, keys = SAMPLES[kind].name, ", ".join(key_columns(kind))
    staged, columns = f"staged_{name}", [*key_columns(kind), *CATALOGUE[kind].columns]
    await connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {staged} (LIKE {name}, row integer) ON COMMIT DELETE ROWS"
    )
    source = io.BytesIO()
    frame.select(*columns, pl.int_range(pl.len()).alias("row")).write_csv(source, include_header=False)
    source.seek(0)
    await connection.copy_to_table(
        staged, source=source, columns=[*columns, "row"], format="csv", schema_name="pg_temp"
    )
    listed = ", ".join(columns)
    known = await connection.fetch(
        f"WITH stored AS (INSERT INTO {name} ({listed}) SELECT {listed} FROM pg_temp.{staged} ORDER BY {keys}"  # noqa: S608
        f" ON CONFLICT DO NOTHING RETURNING {keys})"
        f" SELECT row FROM pg_temp.{staged} AS staged LEFT JOIN stored USING ({keys}) WHERE stored IS NULL ORDER BY row"
    )
    return np.array([record["row"] for record in known], dtype=np.int64)


async def advance(session: AsyncSession, kind: TargetKind, news: pl.DataFrame) -> None:
    """Note on each stream how many `samples` it got and when the `last` was; columns target, direction too."""
    query = text(
        "UPDATE streams SET samples = streams.samples + news.samples, last_at = greatest(last_at, news.last)"
        " FROM unnest(:targets, :directions, :samples, :last) AS news (target, direction, samples, last)"
        " WHERE kind = :kind AND target_id = news.target AND streams.direction = news.direction"
    ).bindparams(
        bindparam("targets", type_=ARRAY(Integer)),
        bindparam("directions", type_=ARRAY(String)),
        bindparam("samples", type_=ARRAY(Integer)),
        bindparam("last", type_=ARRAY(UtcDateTime)),
    )
    values = {name: news[column].to_list() for name, column in _NEWS.items()}
    await session.execute(query, {"kind": kind, **values})


_NEWS = {"targets": "target", "directions": "direction", "samples": "samples", "last": "last"}


async def recent(
    session: AsyncSession, kind: TargetKind, keys: Sequence[StreamKey], most: int, strides: Sequence[int]
) -> tuple[NDArray[np.int64], Floats]:
    """The newest `most` samples of each stream, every stride-th: (rows,) index into keys, (rows, metrics)."""
    name, columns = SAMPLES[kind].name, ", ".join(CATALOGUE[kind].columns)
    direction = "AND direction = key.direction" if kind is TargetKind.LINK else ""
    connection = await driver(session)
    records = await connection.fetch(
        f"SELECT key.index, {columns} FROM unnest($1::int[], $2::text[], $4::int[])"  # noqa: S608
        " WITH ORDINALITY AS key (target, direction, stride, index)"
        f" CROSS JOIN LATERAL (SELECT *, row_number() OVER (ORDER BY at DESC) AS age FROM {name}"
        f" WHERE {target_column(kind)} = key.target {direction} ORDER BY at DESC LIMIT $3) AS sample"
        " WHERE age % key.stride = 0",
        [key[0] for key in keys],
        [key[1] for key in keys],
        most,
        list(strides),
    )
    table = np.array([tuple(record) for record in records], dtype=np.float64).reshape(len(records), -1)
    return table[:, 0].astype(np.int64) - 1, table[:, 1:]


async def since(
    session: AsyncSession, kind: TargetKind, keys: Sequence[StreamKey], starts: Sequence[int]
) -> pl.DataFrame:
    """Each stream's samples from its start (epoch ms) on: `stream` (index into keys), `at` and the metric columns."""
    name, columns = SAMPLES[kind].name, CATALOGUE[kind].columns
    direction = "AND sample.direction = key.direction" if kind is TargetKind.LINK else ""
    connection = await driver(session)
    records = await connection.fetch(
        f"SELECT key.index - 1, at, {', '.join(columns)} FROM unnest($1::int[], $2::text[], $3::timestamptz[])"  # noqa: S608
        " WITH ORDINALITY AS key (target, direction, start, index)"
        f" JOIN {name} AS sample ON {target_column(kind)} = key.target {direction} AND at >= key.start",
        [key[0] for key in keys],
        [key[1] for key in keys],
        [EPOCH + timedelta(milliseconds=start) for start in starts],
    )
    schema: dict[str, Any] = {"stream": pl.Int64, "at": pl.Datetime("us", "UTC"), **dict.fromkeys(columns, pl.Float32)}
    return pl.DataFrame([tuple(record) for record in records], schema=schema, orient="row")


# ---------------------------------------------------------------- out


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
