"""Validates the rows of a batch: which can be stored, and what is wrong with the others."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind, grade
from ml.catalogue.units import DAY_MS
from resolvers.base.times import MAX_CLOCK_AHEAD
from resolvers.context import Context
from resolvers.store.postgres import binary_copy
from resolvers.store.postgres.identifiers import LARGEST_INTEGER
from resolvers.store.tables.samples import target_column
from resolvers.store.tables.targets import TARGET_TABLES
from resolvers.store.telemetry.readings import to_readings

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection


async def validate_rows(context: Context, kind: TargetKind, frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the frame with targets' ids, all metric columns, `row` numbers, and a `reason` where a row is refused."""
    numbers = frame["number"].drop_nulls().unique().to_list()
    async with context.database.driver() as connection:
        ids = await _read_ids(connection, kind, [number for number in numbers if 0 <= number <= LARGEST_INTEGER])
    return await asyncio.to_thread(_complete_rows, kind, frame, ids, _build_reason(context, kind))


async def _read_ids(connection: "Connection", kind: TargetKind, numbers: Sequence[int]) -> pl.DataFrame:
    """Returns pairs of number and id, read as arrays: a batch may have thousands of targets."""
    table = TARGET_TABLES[kind].__tablename__
    query = (
        f"SELECT array_send(array_agg(number)), array_send(array_agg(id)) FROM {table} WHERE number = ANY($1::int[])"  # noqa: S608
    )
    record = await connection.fetchrow(query, numbers)
    assert record is not None  # noqa: S101  an aggregate over nothing is a row too
    found_numbers, ids = (binary_copy.array(sent, "integer") for sent in record)
    return pl.DataFrame({"number": found_numbers.astype(np.int64), target_column(kind): ids})


def _complete_rows(kind: TargetKind, frame: pl.DataFrame, ids: pl.DataFrame, reason: pl.Expr) -> pl.DataFrame:
    wide = frame.with_row_index("row").with_columns(
        pl.lit(None, pl.Float64).alias(column) for column in CATALOGUE[kind].columns if column not in frame.columns
    )
    if "unreadable" not in wide.columns:
        wide = wide.with_columns(unreadable=pl.lit(None, pl.String))
    joined = wide.join(ids, on="number", how="left", maintain_order="left")
    nan_free = joined.with_columns(pl.col(column).fill_nan(None) for column in CATALOGUE[kind].columns)
    checked = nan_free.with_columns(reason=reason)
    complete = _grade_links(checked) if kind is TargetKind.LINK else checked
    return complete.with_columns(
        pl.col(CATALOGUE[kind].columns).cast(pl.Float32)
    )  # as they are stored, so that scores can be repeated


def _build_reason(context: Context, kind: TargetKind) -> pl.Expr:
    """Returns the first thing that is wrong with a row, in a sentence; null where nothing is."""
    now, days = int(context.now.timestamp() * 1000), context.services.retention_days
    latest, earliest = now + int(MAX_CLOCK_AHEAD.total_seconds() * 1000), now - days * DAY_MS
    name = kind.value.lower()
    checks = [
        (pl.col("unreadable").is_not_null(), pl.col("unreadable")),
        (pl.col("number").is_null(), pl.lit(f"The {name}'s number is missing.")),
        (pl.col(target_column(kind)).is_null(), pl.format(f"There is no {name} with the number {{}}.", "number")),
        (pl.col("at").is_null(), pl.lit("The time is missing.")),
        (pl.col("at") > latest, pl.lit("The time is more than 5 minutes ahead of the server's.")),
        (pl.col("at") < earliest, pl.lit(f"The time is longer ago than samples are kept ({days} days).")),
        (
            pl.all_horizontal(pl.col(column).is_null() for column in CATALOGUE[kind].columns),
            pl.lit("No metric was measured."),
        ),
    ]
    if kind is TargetKind.LINK:
        missing = pl.col("direction").is_null() | ~pl.col("direction").is_in(["IB", "OB"])
        checks.insert(3, (missing, pl.lit("The direction must be IB or OB.")))
    for spec in CATALOGUE[kind].specs:
        words = (
            f"{spec.metric} must be between {spec.low:,.0f} and {spec.high:,.0f} {spec.unit}".rstrip() + ", and is {}."
        )
        checks.append((~pl.col(spec.column).is_between(spec.low, spec.high), pl.format(words, spec.column)))
    reason: pl.Expr = pl.lit(None, pl.String)
    for wrong, words_of in reversed(checks):
        reason = pl.when(wrong).then(words_of).otherwise(reason)
    return reason


def _grade_links(frame: pl.DataFrame) -> pl.DataFrame:
    computed = grade(to_readings(frame, CATALOGUE[TargetKind.LINK]))
    column = Metric.GRADE.column
    return frame.with_columns(pl.coalesce(pl.col(column), pl.Series(computed).fill_nan(None)).alias(column))
