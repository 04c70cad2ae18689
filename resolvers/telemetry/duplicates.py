"""Samples of a target, direction and time that came before: what is missing is filled in, what differs is told.

Without `replace` the first value of a metric stays, with it the last one counts: in one batch as in several.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind, grade
from resolvers.store.tables.samples import key_columns
from resolvers.store.telemetry.readings import to_readings

GRADE: Final = Metric.GRADE.column
SAME_GRADE: Final = 1e-3  # a grade so close to the computed one was computed, from values of another precision maybe


@dataclass(frozen=True)
class Duplicates:
    """How many duplicates filled in a metric, have another value than what stays, or replaced a value."""

    merged: int = 0
    conflicting: int = 0
    replaced: int = 0

    def __add__(self, other: "Duplicates") -> "Duplicates":
        return Duplicates(
            self.merged + other.merged, self.conflicting + other.conflicting, self.replaced + other.replaced
        )

    @classmethod
    def count(cls, fills: pl.Series, differs: pl.Series, *, replace: bool) -> Self:
        """fills, differs: whether a row does, of each duplicate."""
        different = int(differs.sum())
        return cls(int(fills.sum()), *((0, different) if replace else (different, 0)))


def merge_repeats(kind: TargetKind, rows: pl.DataFrame, *, replace: bool) -> tuple[pl.DataFrame, Duplicates]:
    """Returns the rows of a batch with each target, direction and time once, and what became of the others."""
    keys, columns = key_columns(kind), CATALOGUE[kind].list_given(rows.columns)
    if rows.select(keys).n_unique() == len(rows):
        return rows, Duplicates()
    repeated = rows.select(pl.struct(keys).is_duplicated()).to_series()
    again = rows.filter(repeated)
    before = {column: pl.col(column).forward_fill().shift(1).over(keys) for column in columns}
    standing = before if replace else {column: pl.col(column).drop_nulls().first().over(keys) for column in columns}
    marked = again.select(
        fills=pl.any_horizontal(pl.col(c).is_not_null() & before[c].is_null() for c in columns)
        & (pl.col("row") != pl.col("row").first().over(keys)),
        differs=pl.any_horizontal((pl.col(c) != standing[c]) & before[c].is_not_null() for c in columns),
    )
    measured = {column: pl.col(column).drop_nulls() for column in columns}
    merged = again.group_by(keys, maintain_order=True).agg(
        (measured[name].last() if replace else measured[name].first()).alias(name)
        if name in measured
        else pl.col(name).first()
        for name in rows.columns
        if name not in keys
    )
    unique = pl.concat([rows.filter(~repeated), merged.select(rows.columns)])
    return unique, Duplicates.count(marked["fills"], marked["differs"].fill_null(value=False), replace=replace)


def merge_with_stored(
    kind: TargetKind, given: pl.DataFrame, stored: pl.DataFrame, *, replace: bool
) -> tuple[pl.DataFrame, Duplicates]:
    """Returns the given rows that change what is stored, with all values that are to be stored, and the counts.

    A stored grade that was computed is as good as missing: a given one takes its place, else it is computed again.

    given: metric columns, all scored ones; for links `is_graded`, whether the grade was given.
    stored: the same columns of the same samples, row by row.
    """
    columns = CATALOGUE[kind].list_given(given.columns)
    both = given.with_columns(stored[column].alias(f"stored_{column}") for column in columns)
    if kind is TargetKind.LINK:
        both = _forget_computed_grades(both, stored)
    fills, differs = ([compare(column) for column in columns] for compare in (_fills, _differs))
    marked = both.select(fills=pl.any_horizontal(fills), differs=pl.any_horizontal(differs).fill_null(value=False))
    counts = Duplicates.count(marked["fills"], marked["differs"], replace=replace)
    changes = marked["fills"] | marked["differs"] if replace else marked["fills"]
    prefixes = ("", "stored_") if replace else ("stored_", "")
    merged = both.filter(changes).with_columns(
        pl.coalesce(prefix + column for prefix in prefixes).alias(column) for column in columns
    )
    complete = grade_links(merged) if kind is TargetKind.LINK else merged
    return complete.select(given.columns), counts


def _fills(column: str) -> pl.Expr:
    return pl.col(column).is_not_null() & pl.col(f"stored_{column}").is_null()


def _differs(column: str) -> pl.Expr:
    return pl.col(column) != pl.col(f"stored_{column}")


def _forget_computed_grades(both: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows with null for grades that nobody gave."""
    computed = grade(to_readings(stored, CATALOGUE[TargetKind.LINK]))
    was_computed = pl.Series(np.abs(stored[GRADE].to_numpy() - computed) < SAME_GRADE)
    unchanged = pl.col(GRADE) == pl.col(f"stored_{GRADE}")
    return both.with_columns(
        pl.when("is_graded").then(GRADE),
        pl.when(~was_computed | (pl.col("is_graded") & unchanged)).then(f"stored_{GRADE}").alias(f"stored_{GRADE}"),
    )


def grade_links(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows of links with the grades that are missing, computed from the values as they are stored."""
    computed = pl.Series(grade(to_readings(rows, CATALOGUE[TargetKind.LINK])), dtype=pl.Float32).fill_nan(None)
    return rows.with_columns(pl.coalesce(pl.col(GRADE), computed).alias(GRADE))
