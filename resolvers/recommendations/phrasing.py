"""Phrasing: a target's readings and healthy values in words."""

from collections.abc import Iterable, Mapping
from math import isnan
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from resolvers.store.tables.core import Stream

MOST_READINGS: Final = 3  # in a sentence
LEAST_SHARE: Final = 0.05  # of the score, for a reading to be named
DIRECTION_WORDS: Final = {Direction.IB: "inbound", Direction.OB: "outbound"}


async def load_usual(
    session: AsyncSession, kind: TargetKind, target: int, first: Direction | None
) -> dict[str, dict[Metric, str]]:
    """Returns a target's healthy values in words, by direction ("" where it has none), one direction first."""
    rows = await session.execute(select(Stream.direction, Stream.centre).filter_by(target_id=target, kind=kind))
    usual = {direction: _phrase_centre(kind, centre) for direction, centre in rows if centre}
    return dict(sorted(usual.items(), key=lambda pair: pair[0] != first))


def _phrase_centre(kind: TargetKind, centre: Iterable[float]) -> dict[Metric, str]:
    pairs = zip(CATALOGUE[kind].specs, centre, strict=True)
    return {spec.metric: f"its usual {spec.format_value(value)}" for spec, value in pairs if not isnan(value)}


def phrase_usual(kind: TargetKind, metric: str, value: float) -> str:
    """Returns a healthy value in words: 'its usual 11.8 dB'."""
    return f"its usual {CATALOGUE[kind].spec(Metric(metric)).format_value(value)}"


def phrase_readings(kind: TargetKind, contributions: list[dict[str, Any]]) -> str:
    """Returns 'Es/N0 at this direction's receiver 4.1 dB (usually 11.8 dB); packets lost 3.2 % (usually 0.2 %)'."""
    named = [part for part in contributions if part["share"] >= LEAST_SHARE][:MOST_READINGS]
    return "; ".join(_phrase_reading(kind, part) for part in named) or "several readings are odd"


def _phrase_reading(kind: TargetKind, part: Mapping[str, Any]) -> str:
    spec = CATALOGUE[kind].spec(Metric(part["metric"]))
    observed = "not reported" if part["observed"] is None else spec.format_value(part["observed"])
    usually = "" if part["expected"] is None else f" (usually {spec.format_value(part['expected'])})"
    name = spec.meaning.partition(";")[0]
    name = name if name.startswith("Es/N0") else name[0].lower() + name[1:]
    return f"{name} {observed}{usually}"


def capitalize_first(text: str) -> str:
    """Returns the text with a capital letter at its start, and otherwise as it is."""
    return text[:1].upper() + text[1:]
