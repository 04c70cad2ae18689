"""Parsed values, and how what was left out is told."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import polars as pl

SHOWN_CHARACTERS: Final = 100  # of a value that cannot be used

# A frame's column `left_out` says which cells of a row could not be used, and so count as not measured. Null: none.
LEFT_OUT: Final = pl.List(pl.Struct({"column": pl.String, "value": pl.String, "reason": pl.String}))


class Unusable(Exception):
    """The value cannot be used. The message is a clause without the column's name and the value: 'must be a number'."""


class Parsed(NamedTuple):
    """Values of a column, null where there is none.

    reasons: why a value that is there cannot be used, null elsewhere (String). None if all can be used.
    forms: in which forms values came, where several are read: 'epoch seconds'.
    """

    values: pl.Series
    reasons: pl.Series | None = None
    forms: frozenset[str] = frozenset()


def blank(values: pl.Series, where: pl.Series) -> pl.Series:
    """Returns the values, with null in these places; a place that is null itself stays as it is."""
    return pl.select(pl.when(~where.fill_null(value=False)).then(values)).to_series()


def explain(reasons: pl.Series | None, where: pl.Series, reason: str) -> pl.Series:
    """Returns the reasons, and this one in these places that have none."""
    kept = pl.lit(None, pl.String) if reasons is None else reasons
    return pl.select(pl.coalesce(kept, pl.when(where).then(pl.lit(reason)))).to_series()


def parse_each(texts: pl.Series, values: pl.Series, read: Callable[[str], Any]) -> Parsed:
    """Returns the values, with those that are null though there is a text read one by one.

    It is for the few that a column's quick way cannot read. Each different text is read once.

    texts: String, null where nothing is to be read.
    values: what is known already.
    read: returns a value, or raises Unusable.
    """
    unread = blank(texts, values.is_not_null())
    different = unread.drop_nulls().unique()
    if different.is_empty():
        return Parsed(values)
    values_read, reasons = zip(*(_read(text, read) for text in different), strict=True)
    table = pl.DataFrame(
        {
            "text": different,
            "value": pl.Series(values_read, dtype=values.dtype),
            "reason": pl.Series(reasons, dtype=pl.String),
        }
    )
    joined = unread.to_frame("text").join(table, on="text", how="left", maintain_order="left")
    filled = pl.select(pl.coalesce(values, joined["value"])).to_series()
    return Parsed(filled, joined["reason"] if any(reasons) else None)


def _read(text: str, read: Callable[[str], Any]) -> tuple[Any, str | None]:
    try:
        return read(text), None
    except Unusable as error:
        return None, str(error)


def combine(*parts: Parsed) -> Parsed:
    """Returns what parts of a column were parsed into as one; each place has a value or a reason in one part only."""
    values = pl.select(pl.coalesce(part.values for part in parts)).to_series()
    given = [part.reasons for part in parts if part.reasons is not None]
    reasons = pl.select(pl.coalesce(given)).to_series() if given else None
    return Parsed(values, reasons, frozenset().union(*(part.forms for part in parts)))
