"""Readings in words: what is odd about a target, and what is usual for it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from resolvers.store.tables.core import Stream

MOST_READINGS: Final = 3  # in a sentence
LEAST_SHARE: Final = 0.05  # of the score, for a reading to be told
WAYS: Final = {Direction.IB: "inbound", Direction.OB: "outbound"}


async def usual_of(
    session: AsyncSession, kind: TargetKind, target: int, first: Direction | None
) -> dict[str, dict[Metric, str]]:
    """What is usual for a target, by direction ("" where it has none), in words."""
    rows = await session.execute(select(Stream.direction, Stream.centre).filter_by(target_id=target, kind=kind))
    found = {direction: _centre(kind, centre) for direction, centre in rows if centre}
    return dict(sorted(found.items(), key=lambda pair: pair[0] != first))


def _centre(kind: TargetKind, centre: Iterable[float]) -> dict[Metric, str]:
    pairs = zip(CATALOGUE[kind].specs, centre, strict=True)
    return {spec.metric: f"its usual {spec.said(value)}" for spec, value in pairs if value == value}  # noqa: PLR0124


def usually(kind: TargetKind, metric: str, value: float) -> str:
    return f"its usual {CATALOGUE[kind].spec(Metric(metric)).said(value)}"


def readings(kind: TargetKind, contributions: list[dict[str, Any]]) -> str:
    """'Es/N0 at this direction's receiver 4.1 dB (usually 11.8 dB); packets lost 3.2 % (usually 0.2 %)'."""
    told = [part for part in contributions if part["share"] >= LEAST_SHARE][:MOST_READINGS]
    return "; ".join(_reading(kind, part) for part in told) or "several readings are odd"


def _reading(kind: TargetKind, part: Mapping[str, Any]) -> str:
    spec = CATALOGUE[kind].spec(Metric(part["metric"]))
    observed = "not reported" if part["observed"] is None else spec.said(part["observed"])
    usually = "" if part["expected"] is None else f" (usually {spec.said(part['expected'])})"
    name = spec.meaning.partition(";")[0]
    name = name if name.startswith("Es/N0") else name[0].lower() + name[1:]
    return f"{name} {observed}{usually}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
