"""What a number is, and what a whole number is."""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Final

import polars as pl

from resolvers.telemetry.values.missing import drop_missing
from resolvers.telemetry.values.parsed import Parsed, Unusable, blank, explain, parse_each

EXACT: Final = 2**53  # up to here a Float64 has all whole numbers
INT64: Final = range(-(2**63), 2**63)
NO_NUMBER: Final = "must be a number"
NO_WHOLE_NUMBER: Final = "must be a whole number"
TOO_LARGE: Final = "must be a number of at most 64 bits"
NOT_FINITE: Final = "must be finite"
DECIMAL_COMMA: Final = "must be a number without a comma, unless --decimal (decimal) says that it is the decimal sign"
DECIMAL_POINT: Final = "must have no point, as the decimal sign is a comma"
SEPARATED: Final = "must be a number without separators of thousands"
WITH_UNIT: Final = re.compile(r"(?P<number>[+-]?[\d.,]+(?:e[+-]?\d+)?)\s*(?P<unit>[^\d\s.,+-].*)", re.IGNORECASE)
COMMA: Final = re.compile(r"[+-]?\d+,\d*(e[+-]?\d+)?", re.IGNORECASE)
THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}([,.' \u00a0\u202f]\d{3})+([,.]\d*)?")


def explain_type(dtype: pl.DataType) -> str | None:
    """Returns what a column holds that can be no numbers, such as 'dates'; None if it may hold numbers."""
    for kind, name in (
        (pl.Boolean, "truth values"),
        (pl.Date, "dates"),
        (pl.Datetime, "dates with times"),
        (pl.Time, "times of day"),
        (pl.Duration, "durations"),
    ):
        if dtype == kind:
            return name
    return "lists or structs" if dtype.is_nested() or dtype == pl.Object else None


def parse_numbers(
    raw: pl.Series, decimal: str = ".", unit: str = "", read: Callable[[str], float] | None = None
) -> Parsed:
    """Parses numbers into Float64. Raises Unusable for a column of another type.

    decimal: the decimal sign of texts, '.' or ','.
    unit: what may stand behind a number in a text.
    read: reads other texts than plain numbers, or raises Unusable.
    """
    _check_type(raw.dtype)
    if raw.dtype.is_numeric():
        return _refuse_infinite(raw.cast(pl.Float64).fill_nan(None), None)
    texts = drop_missing(raw.cast(pl.String))
    if decimal == ",":
        quick = blank(texts.str.replace(",", ".", literal=True), texts.str.contains(".", literal=True))
    else:
        quick = texts
    values = quick.cast(pl.Float64, strict=False).fill_nan(None)
    parsed = parse_each(texts, values, read or partial(read_number, decimal=decimal, unit=unit))
    return _refuse_infinite(parsed.values, parsed.reasons)


def parse_whole_numbers(raw: pl.Series) -> Parsed:
    """Parses whole numbers into Int64: 9036, `9036.0`, `1.79E+12`; but not 7.5. Raises Unusable as `parse_numbers`."""
    _check_type(raw.dtype)
    if raw.dtype.is_integer():
        texts, values = raw.cast(pl.String), raw.cast(pl.Int64, strict=False)
    elif raw.dtype.is_float():
        numbers = raw.fill_nan(None)
        values = blank(numbers, (numbers != numbers.floor()) | (numbers.abs() > EXACT)).cast(pl.Int64)
        texts = blank(numbers, values.is_not_null()).cast(pl.String)
    else:
        texts = drop_missing(raw.cast(pl.String))
        values = texts.cast(pl.Int64, strict=False)
    return parse_each(texts, values, read_whole_number)


def read_number(text: str, decimal: str = ".", unit: str = "") -> float:
    """Reads a number from a text. Raises Unusable."""
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    match = WITH_UNIT.fullmatch(plain)
    if match and unit and simplify_unit(match["unit"]) == simplify_unit(unit):
        plain = match["number"]
    if decimal == ",":
        if "." in plain:
            raise Unusable(SEPARATED if THOUSANDS.fullmatch(plain) else DECIMAL_POINT)
        plain = plain.replace(",", ".")
    try:
        return float(plain) if plain.isascii() and "_" not in plain else float("")
    except ValueError:
        raise Unusable(_explain(plain)) from None


def read_whole_number(text: str) -> int:
    """Reads a whole number from a text, however it is written. Raises Unusable."""
    try:
        number = Decimal(text.strip()) if text.isascii() and "_" not in text else Decimal("")
    except InvalidOperation:
        raise Unusable(NO_WHOLE_NUMBER) from None
    if not number.is_finite() or number.adjusted() > len(str(INT64.stop)) or number != int(number):
        raise Unusable(NO_WHOLE_NUMBER)
    if int(number) not in INT64:
        raise Unusable(TOO_LARGE)
    return int(number)


def simplify_unit(unit: str) -> str:
    """Returns a unit in one spelling: 'dB', '[DB]' and '(db)' are the same, and '%' and 'pct'."""
    letters = "".join(letter for letter in unit.casefold().replace("°", "deg") if letter.isalnum() or letter == "%")
    return SAME_UNITS.get(letters, letters)


SAME_UNITS: Final = {
    "pct": "%", "percent": "%", "prozent": "%", "mbps": "mbits", "mbs": "mbits", "mbitps": "mbits", "mbitsec": "mbits",
    "megabitspersecond": "mbits", "ksymbs": "ksps", "ksyms": "ksps", "ksymps": "ksps", "ksymbolss": "ksps",
    "kbaud": "ksps", "kbd": "ksps", "ksymsec": "ksps", "ksymbolspersecond": "ksps", "degrees": "deg", "degree": "deg",
    "degs": "deg", "degn": "deg", "dege": "deg", "degreesnorth": "deg", "degreeseast": "deg", "decimaldegrees": "deg",
    "degtrue": "deg", "degt": "deg", "millisec": "ms", "milliseconds": "ms", "millis": "ms", "msec": "ms",
}  # fmt: skip


def _check_type(dtype: pl.DataType) -> None:
    if holds := explain_type(dtype):
        raise Unusable(f"must hold numbers, and holds {holds}")


def _explain(text: str) -> str:
    if THOUSANDS.fullmatch(text):
        return SEPARATED if not COMMA.fullmatch(text) else DECIMAL_COMMA
    return DECIMAL_COMMA if COMMA.fullmatch(text) else NO_NUMBER


def _refuse_infinite(values: pl.Series, reasons: pl.Series | None) -> Parsed:
    infinite = values.is_infinite()
    if not infinite.any():
        return Parsed(values, reasons)
    return Parsed(blank(values, infinite), explain(reasons, infinite, NOT_FINITE))
