"""Writes samples by binary COPY, and reads those that scoring and training need again."""

import asyncio
import io
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.numerics.arrays import Floats
from resolvers.store.postgres import binary_copy
from resolvers.store.postgres.database import driver
from resolvers.store.tables.samples import SAMPLES, key_columns, recorded_types, target_column, value_types
from resolvers.store.telemetry.streams import StreamKey

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)  # no sample is of later


class PartitionMissing(Exception):
    """There is no partition for a sample's week: it was dropped, or never made."""


class AlreadyStored(Exception):
    """A sample is stored although it is newer than its stream's newest."""


async def copy_samples(session: AsyncSession, kind: TargetKind, frame: pl.DataFrame) -> None:
    """Copies rows straight into the table, none of which may be stored: each is newer than its locked stream's newest.

    frame: the table's key columns (`at` in epoch ms), its metric columns, and nothing twice. Raises PartitionMissing,
    AlreadyStored.
    """
    connection = await driver(session)
    columns = _pack_columns(kind, frame)
    try:
        await connection.copy_to_table(
            SAMPLES[kind].name, source=io.BytesIO(binary_copy.copy_in(columns)), columns=list(columns), format="binary"
        )
    except asyncpg.CheckViolationError as error:
        raise PartitionMissing from error
    except asyncpg.UniqueViolationError as error:
        raise AlreadyStored from error


async def load_stored(session: AsyncSession, kind: TargetKind, frame: pl.DataFrame) -> pl.DataFrame:
    """Returns which of these rows are stored, and how: `place` (index into the rows, ascending) and the metrics.

    frame: the table's key columns, `at` in epoch ms, and the metric columns to return (the scored ones always are).
        LATERAL forces an index look-up per row.
    """
    name, types = SAMPLES[kind].name, _list_types(kind, frame)
    direction = "AND direction = key.direction" if kind is TargetKind.LINK else ""
    arrays = ", ".join(f"array_send(array_agg(coalesce({column}, 'NaN'))) AS {column}" for column in types)
    connection = await driver(session)
    record = await connection.fetchrow(
        f"SELECT array_send(array_agg(key.place)) AS place, {arrays}"  # noqa: S608
        " FROM unnest($1::int[], $2::text[], $3::bigint[]) WITH ORDINALITY AS key (target, direction, ms, place)"
        f" CROSS JOIN LATERAL (SELECT * FROM {name} WHERE {target_column(kind)} = key.target {direction}"
        " AND at = to_timestamp(0) + key.ms * interval '1 ms' OFFSET 0) AS sample",
        frame[target_column(kind)].to_list(),
        frame["direction"].to_list() if kind is TargetKind.LINK else [""] * len(frame),
        frame["at"].to_list(),
    )
    assert record is not None  # noqa: S101  an aggregate over nothing is a row too
    values = {column: binary_copy.array(record[column], type) for column, type in types.items()}
    places = {"place": binary_copy.array(record["place"], "bigint") - 1}
    return pl.DataFrame(places | values, nan_to_null=True).sort("place")


async def update_samples(session: AsyncSession, kind: TargetKind, frame: pl.DataFrame) -> None:
    """Gives stored samples of locked streams these values.

    frame: as for `copy_samples`.
    """
    connection = await driver(session)
    name, staged = SAMPLES[kind].name, f"staged_{SAMPLES[kind].name}"
    await connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {staged} (LIKE {name}) ON COMMIT DELETE ROWS")
    columns = _pack_columns(kind, frame)
    packed = io.BytesIO(binary_copy.copy_in(columns))
    await connection.copy_to_table(staged, source=packed, columns=list(columns), format="binary", schema_name="pg_temp")
    values = ", ".join(f"{column} = staged.{column}" for column in _list_types(kind, frame))
    same = " AND ".join(f"sample.{column} = staged.{column}" for column in key_columns(kind))
    # A look-up per row, whatever the planner believes of tables that have grown since.
    await connection.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
    await connection.execute(f"UPDATE {name} AS sample SET {values} FROM pg_temp.{staged} AS staged WHERE {same}")  # noqa: S608
    await connection.execute("SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on")


def _pack_columns(kind: TargetKind, frame: pl.DataFrame) -> dict[str, tuple[str, NDArray[Any]]]:
    """Returns columns as `binary_copy.copy_in` takes them."""
    columns = {target_column(kind): ("integer", frame[target_column(kind)].to_numpy())}
    if kind is TargetKind.LINK:
        columns["direction"] = ("char(2)", np.where((frame["direction"] == "OB").to_numpy(), b"OB", b"IB"))
    columns["at"] = ("timestamptz", frame["at"].to_numpy())
    types = _list_types(kind, frame)
    readings = frame.select(pl.col(*types).fill_null(np.nan))
    return columns | {column: (type, readings[column].to_numpy()) for column, type in types.items()}


def _list_types(kind: TargetKind, frame: pl.DataFrame) -> dict[str, str]:
    """Returns the SQL types of a frame's metric columns: what nobody measured is not even sent."""
    types = recorded_types(kind)
    return {column: types[column] for column in CATALOGUE[kind].list_given(frame.columns)}


def _value_dtypes(kind: TargetKind) -> dict[str, type[pl.DataType]]:
    return {column: pl.Float32 if type == "real" else pl.Float64 for column, type in value_types(kind).items()}


async def load_recent(
    session: AsyncSession, kind: TargetKind, keys: Sequence[StreamKey], most: int, strides: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Returns every stride-th of the newest `most` samples of each stream.

    Index into keys (rows,), epoch ms (rows,), readings (rows, metrics).
    """
    aged = f"*, row_number() OVER (ORDER BY at DESC) AS age FROM {SAMPLES[kind].name}"
    numbers, readings = await _load_arrays(session, kind, keys, strides, aged, f"{most:d}", "WHERE age % number = 0")
    return numbers["place"], numbers["at"], np.stack([*readings.values()], axis=1).astype(np.float64)


async def load_newest(
    session: AsyncSession, kind: TargetKind, keys: Sequence[StreamKey], most: Sequence[int]
) -> pl.DataFrame:
    """Returns the newest samples of each stream by stream and time: `place` (index into keys), `at`, metrics.

    most: how many of each stream.
    """
    numbers, readings = await _load_arrays(session, kind, keys, most, f"* FROM {SAMPLES[kind].name}", "number")
    return pl.DataFrame(numbers | readings).sort("place", "at")


async def _load_arrays(
    session: AsyncSession,
    kind: TargetKind,
    keys: Sequence[StreamKey],
    numbers: Sequence[int],
    rows: str,
    limit: str,
    condition: str = "",
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.floating]]]:
    """Returns `place` (index into keys) and `at` (epoch ms), and each metric, of each stream's newest samples.

    numbers: one for each key, `number` in SQL. rows, limit, condition: SQL, what to select of how many newest rows.
    """
    columns = CATALOGUE[kind].columns
    direction = "AND direction = key.direction" if kind is TargetKind.LINK else ""
    arrays = ", ".join(f"array_send(array_agg(coalesce({column}, 'NaN'))) AS {column}" for column in columns)
    connection = await driver(session)
    record = await connection.fetchrow(
        "SELECT array_send(array_agg(key.place)) AS place,"  # noqa: S608
        f" array_send(array_agg((extract(epoch FROM at) * 1000)::bigint)) AS at, {arrays}"
        " FROM unnest($1::int[], $2::text[], $3::int[]) WITH ORDINALITY AS key (target, direction, number, place)"
        f" CROSS JOIN LATERAL (SELECT {rows} WHERE {target_column(kind)} = key.target {direction}"
        f" ORDER BY at DESC LIMIT {limit}) AS sample {condition}",
        [key[0] for key in keys],
        [key[1] for key in keys],
        list(numbers),
    )
    assert record is not None  # noqa: S101  an aggregate over nothing is a row too
    places = {
        "place": binary_copy.array(record["place"], "bigint") - 1,
        "at": binary_copy.array(record["at"], "bigint"),
    }
    return places, {column: binary_copy.array(record[column], type) for column, type in value_types(kind).items()}


async def load_since(
    session: AsyncSession, kind: TargetKind, keys: Sequence[StreamKey], starts: Sequence[int]
) -> pl.DataFrame:
    """Returns samples from each stream's start (epoch ms) on: `place` (index into keys), `at` (epoch ms), metrics."""
    name, columns = SAMPLES[kind].name, CATALOGUE[kind].columns
    direction = "AND sample.direction = key.direction" if kind is TargetKind.LINK else ""
    connection = await driver(session)
    records = await connection.fetch(
        f"SELECT key.place - 1, (extract(epoch FROM at) * 1000)::bigint, {', '.join(columns)}"  # noqa: S608
        " FROM unnest($1::int[], $2::text[], $3::timestamptz[])"
        " WITH ORDINALITY AS key (target, direction, start, place)"
        f" JOIN {name} AS sample ON {target_column(kind)} = key.target {direction} AND at >= key.start",
        [key[0] for key in keys],
        [key[1] for key in keys],
        [EPOCH + timedelta(milliseconds=start) for start in starts],
    )
    schema: dict[str, Any] = {"place": pl.Int64, "at": pl.Int64, **_value_dtypes(kind)}
    return pl.DataFrame([tuple(record) for record in records], schema=schema, orient="row")


@dataclass(frozen=True)
class Stretch:
    """A stretch of one stream's samples; times are epoch ms, and the last three numbers are rows at most.

    first, last: it reaches from this sample to that one.
    until: samples behind it end before this; None where nothing ends them.
    before, within, behind: how many to read before the first, from the first to the last, and behind the last.
    """

    key: StreamKey
    first: int
    last: int
    until: int | None
    before: int
    within: int
    behind: int

    def end_before(self, until: int) -> "Stretch":
        return replace(self, until=until)


async def load_stretches(session: AsyncSession, kind: TargetKind, stretches: Sequence[Stretch]) -> pl.DataFrame:
    """Returns the stretches' samples by stretch and time: `place` (index into stretches), `at` (epoch ms), metrics."""
    name, columns = SAMPLES[kind].name, CATALOGUE[kind].columns
    direction = "AND direction = key.direction" if kind is TargetKind.LINK else ""
    arrays = ", ".join(f"array_send(array_agg(coalesce({column}, 'NaN'))) AS {column}" for column in columns)
    own = f"SELECT * FROM {name} WHERE {target_column(kind)} = key.target {direction} AND"  # noqa: S608
    connection = await driver(session)
    record = await connection.fetchrow(
        "SELECT array_send(array_agg(key.place)) AS place,"  # noqa: S608
        f" array_send(array_agg((extract(epoch FROM at) * 1000)::bigint)) AS at, {arrays}"
        " FROM unnest($1::int[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::int[],"
        " $7::int[], $8::int[]) WITH ORDINALITY"
        " AS key (target, direction, first, last, until, before, within, behind, place) CROSS JOIN LATERAL ("
        f"({own} at < key.first ORDER BY at DESC LIMIT key.before)"
        f" UNION ALL ({own} at >= key.first AND at <= key.last ORDER BY at LIMIT key.within)"
        f" UNION ALL ({own} at > key.last AND at < key.until ORDER BY at LIMIT key.behind)) AS sample",
        [stretch.key[0] for stretch in stretches],
        [stretch.key[1] for stretch in stretches],
        [_from_ms(stretch.first) for stretch in stretches],
        [_from_ms(stretch.last) for stretch in stretches],
        [LATEST if stretch.until is None else _from_ms(stretch.until) for stretch in stretches],
        [stretch.before for stretch in stretches],
        [stretch.within for stretch in stretches],
        [stretch.behind for stretch in stretches],
    )
    assert record is not None  # noqa: S101  an aggregate over nothing is a row too
    place, at = (binary_copy.array(record[column], "bigint") for column in ("place", "at"))
    readings = {column: binary_copy.array(record[column], type) for column, type in value_types(kind).items()}
    return pl.DataFrame({"place": place - 1, "at": at} | readings).sort("place", "at")


def _from_ms(at: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at)


@dataclass(frozen=True)
class Downsampling:
    """Keeps, of the samples before `until`, those in the first `seconds` of every `of` seconds."""

    until: datetime
    seconds: int
    of: int

    @property
    def condition(self) -> str:
        """SQL made of numbers and a time of ours: nothing that a client has written."""
        return f"(at >= '{self.until.isoformat()}' OR extract(epoch FROM at)::bigint % {self.of:d} < {self.seconds:d})"


async def load(
    connection: "Connection",
    kind: TargetKind,
    targets: Sequence[int],
    start: datetime,
    end: datetime,
    metrics: Sequence[Metric] | None = None,
    downsampling: Sequence[Downsampling] = (),
) -> pl.DataFrame:
    """Returns samples of these targets from `start` up to `end` as one frame, in no particular order.

    It has the key columns (`at` in epoch ms) and the metrics, all scored ones if none are named: Float32, counts
    Float64, null = not measured. A whole fleet's day is read in binary, without a Python object per value.
    """
    names = CATALOGUE[kind].columns if metrics is None else [metric.column for metric in metrics]
    types = recorded_types(kind)
    wanted = {column: types[column] for column in names}
    direction = {"direction": "char(2)"} if kind is TargetKind.LINK else {}
    columns = {target_column(kind): "integer", **direction, "at": "timestamptz"}
    listed = [*columns, *(f"coalesce({column}, 'NaN')" for column in wanted)]
    columns |= wanted
    conditions = [
        f"{target_column(kind)} = ANY($1::int[])",
        "at >= $2",
        "at < $3",
        *(one.condition for one in downsampling),
    ]
    reader, frames = binary_copy.CopyOut(columns), list[Awaitable[pl.DataFrame]]()

    async def take(chunk: bytes) -> None:
        if block := reader.take(chunk):
            frames.append(asyncio.ensure_future(asyncio.to_thread(_frame, reader, block)))

    await connection.copy_from_query(
        f"SELECT {', '.join(listed)} FROM {SAMPLES[kind].name} WHERE {' AND '.join(conditions)}",  # noqa: S608
        list(targets),
        start,
        end,
        output=take,
        format="binary",
    )
    frames.append(asyncio.to_thread(_frame, reader, reader.rest()))
    return pl.concat(await asyncio.gather(*frames))


def _frame(reader: binary_copy.CopyOut, block: bytes) -> pl.DataFrame:
    read = reader.columns(block)
    outbound = pl.Series(read.pop("direction") == b"OB") if "direction" in read else None
    frame = pl.DataFrame(read, nan_to_null=True)
    if outbound is None:
        return frame
    return frame.insert_column(
        1, pl.select(direction=pl.when(outbound).then(pl.lit("OB")).otherwise(pl.lit("IB"))).to_series()
    )
