"""What is a moment, and what is none."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.telemetry.values.moments import MomentRules, is_time_zone, parse_moments, read_moment
from resolvers.telemetry.values.parsed import Parsed, Unusable

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
MS = 1_796_040_000_000
BERLIN = MomentRules(time_zone="Europe/Berlin")
NO_OFFSET = "must have an offset (append Z for UTC), or its zone must be named with --time-zone (timeZone)"
A_DATE = "must be a date with a time, such as 2026-01-31T12:00:00Z"
NO_MOMENT = "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z"
NO_EPOCH = "must be an RFC 3339 time, or the time since 1970 in s, ms, µs or ns"
EXCEL = "must be a time such as 2026-01-31T12:00:00Z, not an Excel serial date"


def outcome(parsed: Parsed) -> Any:
    """Of a column with one cell: ms from noon, or why there is none."""
    if parsed.values[0] is not None:
        return parsed.values[0] - MS
    return None if parsed.reasons is None else parsed.reasons[0]


@pytest.mark.parametrize(
    ("text", "after_noon"),
    [
        ("2026-11-30T12:00:00Z", 0),
        ("2026-11-30t12:00:00z", 0),
        ("2026-11-30 12:00:00Z", 0),
        ("2026-11-30T12:00:00+00:00", 0),
        ("2026-11-30T12:00:00-00:00", 0),
        ("2026-11-30T14:00:00+02:00", 0),
        ("2026-11-30T14:00:00+02", 0),
        ("2026-11-30T14:00:00+0200", 0),
        ("2026-11-30 17:45:00 +0545", 0),
        ("2026-11-30T12:00:00.5Z", 500),
        ("2026-11-30T12:00:00,5Z", 500),
        ("2026-11-30T12:00:00.123999Z", 123),
        ("2026-11-30T12:00:00.123456789012345678Z", 123),
        ("2026-11-30T11:59:60Z", 0),  # a leap second
        ("2026-11-30T12:00Z", 0),
        ("20261130T120000Z", 0),
        ("2026-11-30 12:00:00 UTC", 0),
        ("2026-11-30T12:00:00", NO_OFFSET),
        ("2026-11-30 12:00", NO_OFFSET),
        ("2026-11-30T24:00:00Z", NO_MOMENT),
        ("2026-11-31T12:00:00Z", NO_MOMENT),
        ("2026-11-30T12:00:61Z", NO_MOMENT),
        ("2026-11-30T12:00:00+24:00", NO_MOMENT),
        ("2026-11-30T12:00:00+02:60", NO_MOMENT),
        ("12:00:00Z", NO_MOMENT),
        ("yesterday", NO_MOMENT),
        ("2026-11-30", A_DATE),
        ("30.11.2026", A_DATE),
        ("11/30/2026 12:00:00", NO_MOMENT),
        ("1796040000", 0),
        ("1796040000.25", 250),
        ("1796040000000", 0),
        ("1.79604E+12", 0),
        ("1796040000000000", 0),
        ("1796040000000000000", 0),
        ("46356.5", EXCEL),
        ("46356", EXCEL),
        ("-5", NO_EPOCH),
        ("20261130", NO_EPOCH),
        ("20261130120000", NO_EPOCH),
        ("1e300", NO_EPOCH),
        ("inf", NO_EPOCH),
    ],
)
def test_a_moment_is_rfc_3339_or_an_epoch_that_its_size_tells(text: str, after_noon: object) -> None:
    assert outcome(parse_moments(pl.Series([text]))) == after_noon


@pytest.mark.parametrize("missing", [None, "", " ", "N/A", "NULL", "-"])
def test_a_missing_moment_is_no_complaint(missing: str | None) -> None:
    parsed = parse_moments(pl.Series([missing], dtype=pl.String))

    assert (parsed.values.to_list(), parsed.reasons) == ([None], None)


def test_each_moment_of_a_mixed_column_is_read_for_itself() -> None:
    texts = ["1796040000", "2026-11-30T12:00:00Z", None, "2026-11-30T14:00:00+02", "46356.5", "1796040000000", "soon"]

    parsed = parse_moments(pl.Series(texts))

    assert parsed.values.to_list() == [MS, MS, None, MS, None, MS, None]
    assert parsed.reasons is not None
    assert parsed.reasons.to_list() == [None, None, None, None, EXCEL, None, NO_MOMENT]
    assert parsed.forms == {"RFC 3339", "epoch seconds", "epoch milliseconds"}


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-30 13:00:00", 12),  # CET
        ("2026-07-30T14:00:00.000", 12),  # CEST
        ("2026-07-30 14:00", 12),
        ("2026-07-30T12:00:00Z", 12),  # what says its offset needs no zone
        ("2026-03-29 01:59:59", 0),
        ("2026-03-29 02:30:00", "must exist in Europe/Berlin, where clocks went ahead; give its offset"),
        ("2026-03-29 03:00:00", 1),
        ("2026-10-25 02:30:00", "must have an offset, as clocks in Europe/Berlin showed it twice"),
        ("2026-10-25T02:30:00+02:00", 0),
        ("2026-10-25T02:30:00+01:00", 1),
        ("2026-10-25 03:00:00", 2),
    ],
)
def test_a_time_zone_places_times_without_an_offset_but_guesses_nothing_at_its_changes(text: str, hour: object) -> None:
    parsed = parse_moments(pl.Series([text]), BERLIN)

    if isinstance(hour, str):
        assert parsed.values[0] is None
        assert parsed.reasons is not None
        assert parsed.reasons[0] == hour
    else:
        assert datetime.fromtimestamp(parsed.values[0] / 1000, UTC).hour == hour


@pytest.mark.parametrize(
    ("unit", "number", "after_noon"),
    [
        ("s", MS // 1000, 0),
        ("s", MS / 1000 + 0.125, 125),
        ("ms", MS, 0),
        ("us", MS * 1000 + 1999, 1),
        ("ns", MS * 10**6, 0),
        ("s", 0, -MS),  # whoever names the unit means it
    ],
)
def test_a_named_unit_is_taken_at_its_word(unit: str, number: float, after_noon: int) -> None:
    for values in (pl.Series([number]), pl.Series([str(number)])):
        assert outcome(parse_moments(values, MomentRules(time_unit=unit))) == after_noon


def test_a_fraction_of_a_second_survives_being_a_float() -> None:
    thousandths = [MS // 1000 + n / 1000 for n in range(1000)]

    assert parse_moments(pl.Series(thousandths)).values.to_list() == [MS + n for n in range(1000)]


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        (pl.Series([NOON]), MomentRules()),
        (pl.Series([NOON]).dt.convert_time_zone("Asia/Tokyo"), MomentRules()),
        (pl.Series([NOON]).cast(pl.Datetime("ns", "UTC")), MomentRules()),
        (pl.Series([NOON.replace(tzinfo=None)]), MomentRules("UTC")),
        (pl.Series([NOON.replace(hour=13, tzinfo=None)]), BERLIN),
        (pl.Series([float(MS)]), MomentRules()),
        (pl.Series(["2026-11-30T12:00:00Z"], dtype=pl.Categorical), MomentRules()),
    ],
)
def test_columns_of_times_keep_their_moments(values: pl.Series, rules: MomentRules) -> None:
    assert outcome(parse_moments(values, rules)) == 0


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (pl.Series([date(2026, 1, 31)]), "must hold times, and holds dates without times"),
        (pl.Series([time(12)]), "must hold times, and holds times of day"),
        (pl.Series([timedelta(1)]), "must hold times, and holds durations"),
        (pl.Series([True]), "must hold times, and holds truth values"),
        (pl.Series([[1]]), "must hold times, and holds lists or structs"),
        (
            pl.Series([datetime(2026, 1, 31)]),
            "must hold times of a zone; name it with --time-zone (timeZone), for example UTC",
        ),
    ],
)
def test_columns_of_other_types_are_refused(values: pl.Series, why: str) -> None:
    with pytest.raises(Unusable) as refused:
        parse_moments(values)

    assert str(refused.value) == why


def test_a_time_zone_is_one_of_the_database() -> None:
    assert is_time_zone("Europe/Berlin")
    assert is_time_zone("UTC")
    assert not is_time_zone("Europe/Berln")
    assert not is_time_zone("")


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1973, 6, 1), datetime(2120, 1, 1), timezones=OFFSETS)
SEPARATORS = st.sampled_from(["T", "t", " "])


@given(TIMES, SEPARATORS)
def test_rows_and_columns_read_the_same_whatever_the_offset(at: datetime, separator: str) -> None:
    ms = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    text = at.isoformat(separator)

    assert read_moment(text) == ms
    assert parse_moments(pl.Series([text, "x"])).values.to_list() == [ms, None]


@given(TIMES)
def test_the_four_units_are_never_confused(at: datetime) -> None:
    us = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    parsed = parse_moments(pl.Series([us // 10**6, us // 1000, us, us * 1000]))

    assert parsed.values.to_list() == [us // 10**6 * 1000, us // 1000, us // 1000, us // 1000]


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_missing_or_told_of(text: str) -> None:
    parsed = parse_moments(pl.Series([text]), BERLIN)

    assert parsed.values.dtype == pl.Int64
    assert (parsed.values[0] is None) or parsed.reasons is None or parsed.reasons[0] is None
