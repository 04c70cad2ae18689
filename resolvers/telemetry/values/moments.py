"""What a moment is: RFC 3339 in full, a time of a named zone, or the time since 1970 in a unit that its size tells."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from resolvers.telemetry.values.epochs import parse_epoch
from resolvers.telemetry.values.missing import drop_missing
from resolvers.telemetry.values.numbers import explain_type
from resolvers.telemetry.values.parsed import Parsed, Unusable, blank, combine, explain, parse_each

EPOCH: Final = datetime(1970, 1, 1)
LEAP_SECOND: Final = 60
NO_MOMENT: Final = "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z"
NO_OFFSET: Final = "must have an offset (append Z for UTC), or its zone must be named with --time-zone (timeZone)"
A_DATE: Final = "must be a date with a time, such as 2026-01-31T12:00:00Z"
SKIPPED: Final = "must exist in {}, where clocks went ahead; give its offset"
TWICE: Final = "must have an offset, as clocks in {} showed it twice"
WITH_OFFSET: Final = "%+"
LOCAL: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f")
TEXTS: Final = "RFC 3339"
DATE: Final = re.compile(r"\d{4}-?\d{2}-?\d{2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", re.ASCII)
OFFSET: Final = r"(?:[zZ]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"
MOMENT: Final = re.compile(
    r"(?P<date>\d{4}-\d{1,2}-\d{1,2}|\d{8})(?:[tT]|\s+)"
    r"(?P<hour>\d{1,2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    rf"\s*(?P<offset>{OFFSET})?",
    re.ASCII,
)


@dataclass(frozen=True)
class MomentRules:
    """What texts and numbers leave open.

    time_zone: of times without an offset, as the Time Zone Database names it; without it, they are refused.
    time_unit: of numbers: 's', 'ms', 'us' or 'ns'; without it, their size tells.
    """

    time_zone: str | None = None
    time_unit: str | None = None


STRICT: Final = MomentRules()


def is_time_zone(name: str) -> bool:
    """Whether the Time Zone Database has it."""
    try:
        pl.Series([0]).cast(pl.Datetime("ms")).dt.replace_time_zone(name)
    except pl.exceptions.PolarsError:
        return False
    return bool(name)


def explain_moment_type(dtype: pl.DataType, rules: MomentRules) -> str | None:
    """Returns what is wrong with this type for moments, as a clause; None if nothing is."""
    if isinstance(dtype, pl.Datetime):
        zone = dtype.time_zone or rules.time_zone
        return None if zone else "must hold times of a zone; name it with --time-zone (timeZone), for example UTC"
    holds = "dates without times" if dtype == pl.Date else explain_type(dtype)
    return f"must hold times, and holds {holds}" if holds else None


def parse_moments(raw: pl.Series, rules: MomentRules = STRICT) -> Parsed:
    """Parses moments into Int64: ms since 1970, in UTC; what is finer is cut off. Raises Unusable for another type."""
    if wrong := explain_moment_type(raw.dtype, rules):
        raise Unusable(wrong)
    if isinstance(raw.dtype, pl.Datetime):
        ms = raw.dt.epoch("ms")
        return Parsed(ms) if raw.dtype.time_zone else _place_in_zone(ms, rules.time_zone)
    if raw.dtype.is_integer() or raw.dtype.is_float():
        return parse_epoch(raw, rules.time_unit)
    texts = drop_missing(raw.cast(pl.String))
    numbers = texts.cast(pl.Int64, strict=False)
    if numbers.null_count() > texts.null_count():
        numbers = texts.cast(pl.Float64, strict=False)
    words = blank(texts, numbers.is_not_null())
    return combine(parse_epoch(numbers, rules.time_unit), _parse_texts(words, rules.time_zone))


def _parse_texts(texts: pl.Series, time_zone: str | None) -> Parsed:
    """Parses texts that are no numbers: those with an offset, then the others."""
    quick = texts.str.to_datetime(WITH_OFFSET, time_unit="ms", time_zone="UTC", strict=False).dt.epoch("ms")
    forms = frozenset({TEXTS}) if texts.null_count() < len(texts) else frozenset[str]()
    rest = blank(texts, quick.is_not_null())
    if rest.null_count() == len(rest):
        return Parsed(quick, forms=forms)
    has_offset = rest.str.contains(OFFSET + "$")
    offset = parse_each(blank(rest, ~has_offset), quick, read_moment)
    local = _parse_local(blank(rest, has_offset), time_zone)
    return combine(offset, local)._replace(forms=forms)


def _parse_local(texts: pl.Series, time_zone: str | None) -> Parsed:
    quick = pl.select(pl.coalesce(texts.str.to_datetime(f, time_unit="ms", strict=False) for f in LOCAL)).to_series()
    read = parse_each(texts, quick.dt.epoch("ms"), _read_local)
    placed = _place_in_zone(read.values, time_zone)
    return combine(placed, Parsed(placed.values, read.reasons))


def _place_in_zone(local_ms: pl.Series, time_zone: str | None) -> Parsed:
    """Takes times for those of a zone; refused is what its clocks never showed, or showed twice."""
    if time_zone is None:
        return Parsed(blank(local_ms, local_ms.is_not_null()), explain(None, local_ms.is_not_null(), NO_OFFSET))
    local = local_ms.cast(pl.Datetime("ms")).dt
    once = local.replace_time_zone(time_zone, ambiguous="null", non_existent="null").dt.epoch("ms")
    lost = once.is_null() & local_ms.is_not_null()
    if not lost.any():
        return Parsed(once)
    twice = lost & local.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null").is_not_null()
    reasons = explain(None, twice, TWICE.format(time_zone))
    return Parsed(once, explain(reasons, lost & ~twice, SKIPPED.format(time_zone)))


def read_moment(text: str) -> int:
    """Reads RFC 3339, or ISO 8601 where it says the same, into ms since 1970 in UTC. Raises Unusable."""
    match = _match_moment(text)
    if not match["offset"]:
        raise Unusable(NO_OFFSET)
    return _to_ms(match)


def _read_local(text: str) -> int:
    """Reads what clocks showed, as `read_moment`, but without regard to an offset."""
    return _to_ms(_match_moment(text))


def _match_moment(text: str) -> re.Match[str]:
    match = MOMENT.fullmatch(text.strip())
    if match is None:
        raise Unusable(A_DATE if DATE.fullmatch(text.strip()) else NO_MOMENT)
    return match


def _to_ms(match: re.Match[str]) -> int:
    try:
        at = _read_date(match["date"]) + timedelta(hours=_read(match["hour"], 23), minutes=_read(match["minute"], 59))
        at += timedelta(seconds=_read(match["second"] or "0", LEAP_SECOND)) - _read_offset(match["offset"] or "Z")
    except (ValueError, OverflowError):
        raise Unusable(NO_MOMENT) from None
    ms = (match["fraction"] or "")[:3].ljust(3, "0")
    return (at - EPOCH) // timedelta(milliseconds=1) + int(ms)


def _read_date(date: str) -> datetime:
    year, month, day = date.split("-") if "-" in date else (date[:4], date[4:6], date[6:])
    return datetime(int(year), int(month), int(day))


def _read_offset(offset: str) -> timedelta:
    if not offset.startswith(("+", "-")):
        return timedelta()
    hours, minutes = _read(offset[1:3], 23), _read(offset[3:].lstrip(":") or "0", 59)
    return timedelta(hours=hours, minutes=minutes) * (-1 if offset.startswith("-") else 1)


def _read(digits: str, most: int) -> int:
    if int(digits) > most:
        raise ValueError(digits)
    return int(digits)
