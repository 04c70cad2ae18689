"""Validates the rows of a batch: which can be stored, and what is wrong with the others."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.catalogue.units import DAY_MS
from resolvers.base.times import MAX_CLOCK_AHEAD
from resolvers.context import Context
from resolvers.store.postgres import binary_copy
from resolvers.store.postgres.identifiers import LARGEST_INTEGER
from resolvers.store.tables.samples import real_columns, target_column
from resolvers.store.tables.targets import TARGET_TABLES
from resolvers.telemetry.duplicates import GRADE, Duplicates, grade_links, merge_repeats
from resolvers.telemetry.left_out import leave_out_impossible, name_first
from resolvers.telemetry.values.epochs import UNIT_NAMES, UNITS, is_in_unit

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

Check = tuple[pl.Expr, pl.Expr]  # whether something is wrong with a row, and the sentence that says so


@dataclass(frozen=True)
class ValidatedRows:
    """A batch, divided.

    good: can be stored: targets' ids, metric columns (all scored ones), and `row` numbers; each target, direction and
        time once. For links `is_graded`, whether the grade was given and not computed.
    repeated: how many rows became one with an earlier one of the batch. duplicates: what they did.
    rejected: `row` and `reason`.
    left_out: cells of good rows that are left out, as `left_out.CELLS`.
    """

    good: pl.DataFrame
    repeated: int
    duplicates: Duplicates
    rejected: pl.DataFrame
    left_out: pl.DataFrame


async def validate_rows(
    context: Context, kind: TargetKind, frame: pl.DataFrame, *, replace: bool = False
) -> ValidatedRows:
    """Divides a batch into rows that can be stored and rows that cannot, with what is wrong with them.

    replace: of repetitions, the last value counts instead of the first.
    """
    numbers = frame["number"].drop_nulls().unique().to_list()
    async with context.database.driver() as connection:
        ids = await _read_ids(connection, kind, [number for number in numbers if 0 <= number <= LARGEST_INTEGER])
    return await asyncio.to_thread(_divide_rows, kind, frame, ids, _list_checks(context, kind), replace=replace)


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


def _divide_rows(
    kind: TargetKind, frame: pl.DataFrame, ids: pl.DataFrame, checks: Sequence[Check], *, replace: bool
) -> ValidatedRows:
    columns = CATALOGUE[kind].list_given(frame.columns)
    wide = frame.with_row_index("row").with_columns(
        pl.lit(None, pl.Float64).alias(column) for column in columns if column not in frame.columns
    )
    if "unreadable" not in wide.columns:
        wide = wide.with_columns(unreadable=pl.lit(None, pl.String))
    joined = wide.join(ids, on="number", how="left", maintain_order="left")
    rows, left_out = leave_out_impossible(kind, joined.with_columns(pl.col(columns).fill_nan(None)))
    nothing_left = pl.all_horizontal(pl.col(column).is_null() for column in columns)
    is_wrong = pl.any_horizontal(nothing_left, *(wrong.fill_null(value=True) for wrong, _ in checks))
    wrong = rows.select(is_wrong).to_series()
    good = rows.filter(~wrong) if wrong.any() else rows
    in_four_bytes = [column for column in real_columns(kind) if column in columns]
    as_stored = good.with_columns(pl.col(in_four_bytes).cast(pl.Float32))  # so that scores can be repeated
    unique, duplicates = merge_repeats(kind, as_stored, replace=replace)
    if kind is TargetKind.LINK:
        unique = grade_links(unique.with_columns(is_graded=pl.col(GRADE).is_not_null()))
    rejected = _explain(rows.filter(wrong), left_out, checks)
    kept = left_out.join(rejected, on="row", how="anti")
    return ValidatedRows(unique, len(good) - len(unique), duplicates, rejected, kept)


def _explain(rejected: pl.DataFrame, left_out: pl.DataFrame, checks: Sequence[Check]) -> pl.DataFrame:
    """Returns `row` and `reason`: the first thing that is wrong with a row, in a sentence."""
    reason = pl.coalesce("first_left_out", pl.lit("No metric was measured."))
    for wrong, words in reversed(checks):
        reason = pl.when(wrong).then(words).otherwise(reason)
    return rejected.join(name_first(left_out), on="row", how="left", maintain_order="left").select("row", reason=reason)


def _check_unit(unit: str) -> Check:
    words = f"The time looks like {UNIT_NAMES[unit]} since 1970, but must be in milliseconds, and is {{}}."
    return is_in_unit(pl.col("at"), unit), pl.format(words, "at")


def _list_checks(context: Context, kind: TargetKind) -> list[Check]:
    """Returns what may be wrong with a row's key, in the order in which it is told."""
    now, days = int(context.now.timestamp() * 1000), context.services.retention_days
    latest, earliest = now + int(MAX_CLOCK_AHEAD.total_seconds() * 1000), now - days * DAY_MS
    name = kind.value.lower()
    checks = [
        (pl.col("unreadable").is_not_null(), pl.col("unreadable")),
        (pl.col("number").is_null(), pl.lit(f"The {name}'s number is missing.")),
        (pl.col(target_column(kind)).is_null(), pl.format(f"There is no {name} with the number {{}}.", "number")),
        (pl.col("at").is_null(), pl.lit("The time is missing.")),
        *(_check_unit(unit) for unit in UNITS if unit != "ms"),
        (pl.col("at") > latest, pl.lit("The time is more than 5 minutes ahead of the server's.")),
        (pl.col("at") < earliest, pl.lit(f"The time is longer ago than samples are kept ({days} days).")),
    ]
    if kind is TargetKind.LINK:
        missing = pl.col("direction").is_null() | ~pl.col("direction").is_in(["IB", "OB"])
        checks.insert(3, (missing, pl.lit("The direction must be IB or OB.")))
    return checks
