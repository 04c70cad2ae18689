"""Cells that are left out of a sample, because nobody can measure such a value: they never cost the sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from ml.catalogue.metrics import CATALOGUE, MetricSpec, TargetKind
from resolvers.base.errors import to_camel_case

LISTED_KINDS: Final = 50  # of cells that are left out
LONGEST_EXAMPLE: Final = 60  # characters
CELL: Final = pl.Struct({"column": pl.String, "value": pl.String, "reason": pl.String})  # of a frame's `left_out`
CELLS: Final = {"row": pl.UInt32, "column": pl.String, "reason": pl.String, "value": pl.String}


@dataclass(frozen=True)
class LeftOutCells:
    """Cells of one column that were left out for the same reason.

    column: as the API names it.
    reason: a clause between the column and the value: 'must be between -20 and 40 dB'.
    example: the first value.
    """

    column: str
    reason: str
    count: int
    example: str


def leave_out_impossible(kind: TargetKind, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns the frame with null for impossible values, and the cells that were left out (`CELLS`).

    frame: `row`, metric columns, and maybe `left_out` (a list of `CELL`) with what was left out before.
    """
    cells = [_explode_earlier(frame)]
    specs = [spec for spec in CATALOGUE[kind].recorded_specs if spec.column in frame.columns]
    rules = [rule for spec in specs for rule in _list_rules(spec)]
    possible = frame.select(is_possible.all().alias(str(place)) for place, (_, is_possible, _) in enumerate(rules))
    for (column, is_possible, reason), are_possible in zip(rules, possible.row(0), strict=True):
        if not are_possible:
            cells.append(_describe(frame.filter(~is_possible), column, reason))
            frame = frame.with_columns(pl.when(is_possible).then(pl.col(column)).alias(column))
    return frame, pl.concat(cells)


def _list_rules(spec: MetricSpec) -> list[tuple[str, pl.Expr, str]]:
    """Returns what holds for possible values: the column, the condition, and what is wrong where it does not hold."""
    value, words = pl.col(spec.column), f"must be between {spec.low:,.0f} and {spec.high:,.0f} {spec.unit}".rstrip()
    rules = [(spec.column, value.is_between(spec.low, spec.high), words)]
    return [*rules, (spec.column, value == value.floor(), "must be a whole number")] if spec.whole else rules


def _describe(frame: pl.DataFrame, column: str, reason: str) -> pl.DataFrame:
    texts = frame.select("row", column=pl.lit(column), reason=pl.lit(reason), value=pl.format("{}", column))
    return texts.cast(CELLS)  # type: ignore[arg-type]


def _explode_earlier(frame: pl.DataFrame) -> pl.DataFrame:
    if "left_out" not in frame.columns:
        return pl.DataFrame(schema=CELLS)
    given = frame.select("row", "left_out").filter(pl.col("left_out").list.len() > 0)
    return given.explode("left_out").unnest("left_out").select(*CELLS).cast(CELLS)  # type: ignore[arg-type]


def name_first(cells: pl.DataFrame) -> pl.DataFrame:
    """Returns a sentence for each row on the first of its cells: `row`, `first_left_out`."""
    metric = pl.col("column").str.to_uppercase()
    words = pl.format("{} {}, and is {}.", metric, "reason", pl.col("value").str.head(LONGEST_EXAMPLE))
    return cells.group_by("row", maintain_order=True).agg(first_left_out=words.first())


def count_cells(cells: pl.DataFrame) -> list[LeftOutCells]:
    """Returns the cells by column and reason, the most frequent first; a bounded number of kinds."""
    counted = cells.group_by("column", "reason", maintain_order=True).agg(
        count=pl.len(), example=pl.col("value").first()
    )
    listed = counted.sort("count", descending=True, maintain_order=True).head(LISTED_KINDS)
    return [
        LeftOutCells(to_camel_case(column), reason, count, (example or "")[:LONGEST_EXAMPLE])
        for column, reason, count, example in listed.iter_rows()
    ]


def add_counts(first: Sequence[LeftOutCells], other: Sequence[LeftOutCells]) -> list[LeftOutCells]:
    """Returns the cells of two batches as if they had been one."""
    merged = dict[tuple[str, str], list[LeftOutCells]]()
    for cells in (*first, *other):
        merged.setdefault((cells.column, cells.reason), []).append(cells)
    counts = [
        LeftOutCells(column, reason, sum(cells.count for cells in same), same[0].example)
        for (column, reason), same in merged.items()
    ]
    return sorted(counts, key=lambda cells: -cells.count)[:LISTED_KINDS]
