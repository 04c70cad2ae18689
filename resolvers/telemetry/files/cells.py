"""Parses the cells of a file into the types that samples are recorded with."""

from collections.abc import Sequence

import polars as pl
from polars import selectors

LONGEST_CELL = 1024  # bytes
SHOWN_CHARACTERS = 100  # of a cell that cannot be read
CUT_OFF = "…"  # ends what is shorter than it was, so that it cannot be read as anything
ISO_FORMATS = ("%+", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")


def parse_cells(raw: pl.DataFrame, metrics: Sequence[str]) -> pl.DataFrame:
    """Returns typed columns, and in `unreadable` a sentence on a cell that cannot be read.

    raw: `number`, `at` and the metrics in any type, and text columns.
    """
    raw = _cut_long_texts(raw).with_columns(selectors.string().str.strip_chars().replace("", None))
    typed = {
        "number": _parse_whole(pl.col("number"), raw.schema["number"]),
        "at": _parse_time(raw.schema["at"]),
        **{name: pl.col(name).cast(pl.Float64, strict=False) for name in metrics},
    }
    unreadable: pl.Expr = pl.lit(None, pl.String)
    for name, expression in typed.items():
        lost = expression.is_null() & pl.col(name).is_not_null()
        cell = pl.col(name).cast(pl.String).str.head(SHOWN_CHARACTERS)
        words = pl.format("{} cannot be read: {}.", pl.lit(name), cell)
        unreadable = pl.when(lost).then(words).otherwise(unreadable)
    kept = {n: pl.col(n).cast(pl.String).str.head(SHOWN_CHARACTERS) for n in raw.columns if n not in typed}
    return raw.select(**kept, **typed, unreadable=unreadable)


def _cut_long_texts(raw: pl.DataFrame) -> pl.DataFrame:
    """Cuts long texts, of which one in the file may stand for millions in memory."""
    raw = raw.with_columns(selectors.by_dtype(pl.Categorical, pl.Enum).cast(pl.String))
    text = selectors.string()
    if not any((column.str.len_bytes() > LONGEST_CELL).any() for column in raw.select(text)):
        return raw
    shown = text.str.head(SHOWN_CHARACTERS) + CUT_OFF
    return raw.with_columns(pl.when(text.str.len_bytes() > LONGEST_CELL).then(shown).otherwise(text))


def _parse_whole(number: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Parses whole numbers. Parquet may have them as fractions if some are missing; a cast would cut 7.5 down to 7."""
    whole = pl.when(number == number.floor()).then(number) if dtype.is_float() else number
    return whole.cast(pl.Int64, strict=False)


def _parse_time(dtype: pl.DataType) -> pl.Expr:
    at = pl.col("at")
    if dtype == pl.String:
        numeric = at.cast(pl.Int64, strict=False)
        parsed = [
            at.str.to_datetime(f, time_unit="ms", time_zone="UTC", strict=False).dt.epoch("ms") for f in ISO_FORMATS
        ]
        return pl.coalesce(numeric, *parsed)
    if dtype.is_temporal():
        return at.cast(pl.Datetime("ms")).dt.epoch("ms")
    return at.cast(pl.Int64, strict=False)
