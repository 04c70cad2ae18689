"""Degradation patterns as stored in an analysis: what each key of the JSON means."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.root_cause.report import Evidence

Json = dict[str, Any]


@dataclass(frozen=True)
class Culprit:
    """The row at fault. transponder: of a satellite, None if its networks name none."""

    kind: CulpritKind
    key: int
    transponder: str | None = None


@dataclass(frozen=True)
class Hypothesis:
    cause: RootCause
    culprit: Culprit | None
    probability: float


@dataclass(frozen=True)
class Pattern:
    """See `ml.root_cause.report.Pattern`. links: keys of rows. ended_at: None if it lasted at the window's end.

    The JSON has the same names, times in ISO 8601 and UTC, and the enumerations' values. A new name needs a default
    for the patterns that were stored before.
    """

    cause: RootCause
    culprit: Culprit | None
    description: str
    severity: float
    confidence: float
    started_at: datetime
    ended_at: datetime | None
    links: tuple[int, ...]
    directions: tuple[Direction, ...]
    evidence: tuple[Evidence, ...]
    hypotheses: tuple[Hypothesis, ...]


class Patterns(TypeDecorator[tuple[Pattern, ...]]):
    """A column type: a tuple of patterns, stored as JSON."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: Sequence[Pattern] | None, dialect: Dialect) -> list[Json] | None:
        return None if value is None else [_to_json(pattern) for pattern in value]

    def process_result_value(self, value: list[Json] | None, dialect: Dialect) -> tuple[Pattern, ...] | None:
        return None if value is None else tuple(_from_json(stored) for stored in value)


class OnePattern(TypeDecorator[Pattern]):
    """A column type: one pattern, stored as JSON."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Pattern | None, dialect: Dialect) -> Json | None:
        return None if value is None else _to_json(value)

    def process_result_value(self, value: Json | None, dialect: Dialect) -> Pattern | None:
        return None if value is None else _from_json(value)


def _to_json(pattern: Pattern) -> Json:
    return {
        **vars(pattern),
        "culprit": _culprit_to_json(pattern.culprit),
        "started_at": pattern.started_at.isoformat(),
        "ended_at": pattern.ended_at and pattern.ended_at.isoformat(),
        "evidence": [vars(one) for one in pattern.evidence],
        "hypotheses": [{**vars(one), "culprit": _culprit_to_json(one.culprit)} for one in pattern.hypotheses],
    }


def _culprit_to_json(culprit: Culprit | None) -> Json | None:
    return None if culprit is None else vars(culprit)


def _from_json(stored: Json) -> Pattern:
    return Pattern(
        cause=RootCause(stored["cause"]),
        culprit=_culprit_from_json(stored["culprit"]),
        description=stored["description"],
        severity=stored["severity"],
        confidence=stored["confidence"],
        started_at=datetime.fromisoformat(stored["started_at"]),
        ended_at=datetime.fromisoformat(stored["ended_at"]) if stored["ended_at"] else None,
        links=tuple(stored["links"]),
        directions=tuple(map(Direction, stored["directions"])),
        evidence=tuple(Evidence(**one) for one in stored["evidence"]),
        hypotheses=tuple(
            Hypothesis(RootCause(one["cause"]), _culprit_from_json(one["culprit"]), one["probability"])
            for one in stored["hypotheses"]
        ),
    )


def _culprit_from_json(stored: Json | None) -> Culprit | None:
    return None if stored is None else Culprit(CulpritKind(stored["kind"]), stored["key"], stored["transponder"])
