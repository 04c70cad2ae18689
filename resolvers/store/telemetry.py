"""Samples in: streams locked in key order, COPY and insert; and the stored samples that scoring reads again."""

import asyncio
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import ARRAY, Integer, String, bindparam, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from ml.metrics import CATALOGUE, Floats, TargetKind
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
    source = await asyncio.to_thread(_csv, frame.select(*columns, pl.int_range(pl.len()).alias("row")))
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


def _csv(frame: pl.DataFrame) -> io.BytesIO:
    source = io.BytesIO()
    frame.write_csv(source, include_header=False)
    source.seek(0)
    return source


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
