"""What is a number, and what is none."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.telemetry.values.numbers import parse_numbers, parse_whole_numbers, read_number, read_whole_number
from resolvers.telemetry.values.parsed import Parsed, Unusable


def outcome(parsed: Parsed) -> Any:
    """Of a column with one cell: its value, or why there is none."""
    return parsed.values[0] if parsed.reasons is None or parsed.reasons[0] is None else parsed.reasons[0]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12.5", 12.5),
        (" -45 ", -45.0),
        ("+7", 7.0),
        (".5", 0.5),
        ("1.79E+3", 1790.0),
        ("\N{MINUS SIGN}45.5", -45.5),  # as typeset tables and some spreadsheets write it
        ("12.5 dB", 12.5),
        ("12.5dB", 12.5),
        ("\u00a012.5\u00a0", 12.5),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: float) -> None:
    assert outcome(parse_numbers(pl.Series([text]), unit="dB")) == number


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "N/A",
        "n/a",
        "-",
        "--",
        "NULL",
        "null",
        "nan",
        "NaN",
        "-nan",
        "#N/A",
        "n/d",
        "none",
        "None",
        "*",
        "\\N",
        "<NA>",
        "NA",
        "?",
        "—",
        "U",
        "no data",
        "Not available",
        "(null)",
        "1.#QNAN",
        "-nan(ind)",
    ],
)
def test_words_for_not_available_are_missing_values_without_a_complaint(word: str) -> None:
    for parse in (parse_numbers, parse_whole_numbers):
        parsed = parse(pl.Series([word, "1"]))

        assert parsed.values.to_list() == [None, 1]
        assert parsed.reasons is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("much", "must be a number"),
        ("1_000", "must be a number"),
        ("0x10", "must be a number"),
        ("true", "must be a number"),
        ("٣", "must be a number"),
        ("12.5 dBm", "must be a number"),  # another unit than ours
        ("-inf", "must be finite"),
        ("1e999", "must be finite"),
        ("11,5", "must be a number without a comma, unless --decimal (decimal) says that it is the decimal sign"),
        ("1,234", "must be a number without a comma, unless --decimal (decimal) says that it is the decimal sign"),
        ("1,234.5", "must be a number without separators of thousands"),
        ("1 234 567.5", "must be a number without separators of thousands"),
        ("#DIV/0!", "must be a number"),
    ],
)
def test_what_is_no_number_is_told_of(text: str, why: str) -> None:
    parsed = parse_numbers(pl.Series(["1", text, None]), unit="dB")

    assert parsed.values.to_list() == [1.0, None, None]
    assert parsed.reasons is not None
    assert parsed.reasons.to_list() == [None, why, None]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("11,5", 11.5),
        ("11", 11.0),
        ("-0,25", -0.25),
        ("1.234,5", "must be a number without separators of thousands"),
        ("11.5", "must have no point, as the decimal sign is a comma"),
        ("1.500", "must be a number without separators of thousands"),
    ],
)
def test_a_decimal_comma_is_read_where_it_was_said_and_then_nothing_is_guessed(text: str, number: object) -> None:
    assert outcome(parse_numbers(pl.Series([text]), decimal=",")) == number


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (pl.Series([12, -3]), [12.0, -3.0]),
        (pl.Series([12.5, float("nan")]), [12.5, None]),
        (pl.Series([Decimal("12.50"), None]), [12.5, None]),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), [float(2**64)]),
        (pl.Series([None]), [None]),
        (pl.Series(["12.5", "NULL"], dtype=pl.Categorical), [12.5, None]),
    ],
)
def test_columns_of_numbers_keep_their_values(values: pl.Series, numbers: list[float | None]) -> None:
    assert parse_numbers(values).values.to_list() == numbers


WRONG_TYPES = [
    (pl.Series([True]), "truth values"),
    (pl.Series([date(2026, 1, 31)]), "dates"),
    (pl.Series([datetime(2026, 1, 31)]), "dates with times"),
    (pl.Series([time(12)]), "times of day"),
    (pl.Series([timedelta(milliseconds=600)]), "durations"),
    (pl.Series([[1.0]]), "lists or structs"),
    (pl.Series([{"a": 1}]), "lists or structs"),
]


@pytest.mark.parametrize(("values", "holds"), WRONG_TYPES)
def test_columns_of_other_types_are_refused_and_not_cast(values: pl.Series, holds: str) -> None:
    for parse in (parse_numbers, parse_whole_numbers):
        with pytest.raises(Unusable, match=f"^must hold numbers, and holds {holds}$"):
            parse(values)


# ---------------------------------------------------------------- whole numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("007", 7),
        ("9036.0", 9036),
        ("1.79E+12", 1_790_000_000_000),
        ("-3", -3),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775807.0", 2**63 - 1),
        ("7.5", "must be a whole number"),
        ("7,0", "must be a whole number"),
        ("seven", "must be a whole number"),
        ("1e999999999", "must be a whole number"),
        ("inf", "must be a whole number"),
        ("9223372036854775808", "must be a number of at most 64 bits"),
    ],
)
def test_a_whole_number_is_exact_or_none(text: str, number: object) -> None:
    assert outcome(parse_whole_numbers(pl.Series([text]))) == number


@pytest.mark.parametrize(
    ("values", "numbers", "reasons"),
    [
        (pl.Series([7.0, 7.5, None]), [7, None, None], [None, "must be a whole number", None]),
        (pl.Series([Decimal("7.00"), Decimal("7.50")]), [7, None], [None, "must be a whole number"]),
        (pl.Series([float("inf"), 1e17]), [None, 10**17], ["must be a whole number", None]),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), [None], ["must be a number of at most 64 bits"]),
    ],
)
def test_a_fraction_is_not_cut(values: pl.Series, numbers: list[int], reasons: list[str]) -> None:
    parsed = parse_whole_numbers(values)

    assert parsed.values.to_list() == numbers
    assert parsed.reasons is not None
    assert parsed.reasons.to_list() == reasons


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_whole_number_comes_back(number: int) -> None:
    for text in (str(number), f"{number}.0", f"{number}e0"):
        assert outcome(parse_whole_numbers(pl.Series([text]))) == read_whole_number(text) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_comes_back(number: float) -> None:
    assert outcome(parse_numbers(pl.Series([repr(number)]))) == read_number(repr(number)) == number


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_missing_or_told_of(text: str) -> None:
    parsed = parse_numbers(pl.Series([text]))

    assert parsed.values.dtype == pl.Float64
    if parsed.values[0] is None and parsed.reasons is None:
        assert not any(letter.isdigit() for letter in text) or text.strip().casefold() == "1.#nan"
