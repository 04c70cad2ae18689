"""The time since 1970, in a unit that the size of a number tells."""

from typing import Final

import polars as pl

from resolvers.telemetry.values.parsed import Parsed, blank, explain

UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
UNIT_NAMES: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
EARLIEST, LATEST = 100_000_000, 5_000_000_000  # seconds: 1973 and 2128; a number between them fits one unit only
EXCEL_DAYS: Final = (20_000, 80_000)  # of 1954 and 2119
NO_EPOCH: Final = "must be an RFC 3339 time, or the time since 1970 in s, ms, µs or ns"
EXCEL: Final = "must be a time such as 2026-01-31T12:00:00Z, not an Excel serial date"


def parse_epoch(numbers: pl.Series, time_unit: str | None = None) -> Parsed:
    """Parses the time since 1970 into ms (Int64); what is finer is cut off.

    time_unit: of all numbers; without it, the size of each tells.
    """
    numbers = numbers.fill_nan(None) if numbers.dtype.is_float() else numbers
    if numbers.null_count() == len(numbers):
        return Parsed(numbers.cast(pl.Int64))
    values = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(numbers))
    forms = set[str]()
    for unit in (time_unit,) if time_unit else UNITS:
        fits = numbers.is_not_null() if time_unit else numbers.is_between(*_bounds(unit), closed="left")
        if fits.any():
            forms.add(f"epoch {UNIT_NAMES[unit]}")
            values = pl.select(pl.coalesce(values, _to_ms(blank(numbers, ~fits), unit))).to_series()
    lost = values.is_null() & numbers.is_not_null()
    if not lost.any():
        return Parsed(values, forms=frozenset(forms))
    reasons = explain(None, lost & numbers.is_between(*EXCEL_DAYS), EXCEL)
    return Parsed(values, explain(reasons, lost, NO_EPOCH), frozenset(forms))


def find_unit(number: float) -> str | None:
    """Returns the unit that such a number counts the time since 1970 in: 's', 'ms', 'us', 'ns', or None."""
    return next((unit for unit in UNITS if _bounds(unit)[0] <= number < _bounds(unit)[1]), None)


def is_in_unit(number: pl.Expr, unit: str) -> pl.Expr:
    """Returns whether a number counts the time since 1970 in this unit, by its size."""
    return number.is_between(*_bounds(unit), closed="left")


def _bounds(unit: str) -> tuple[int, int]:
    return EARLIEST * UNITS[unit], LATEST * UNITS[unit]


def _to_ms(numbers: pl.Series, unit: str) -> pl.Series:
    """Returns whole ms, null for what is beyond them. Of a Float64, the last digits are rounded, as they are wrong."""
    per_second = UNITS[unit]
    if numbers.dtype.is_float():
        numbers = (numbers * (10**6 / per_second)).round()
        per_second = 10**6
    whole = numbers.cast(pl.Int64, strict=False)
    return whole * (1000 // per_second) if per_second <= 1000 else whole // (per_second // 1000)
