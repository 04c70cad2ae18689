"""Degradation patterns as an analysis keeps them: what each key of the stored JSON means."""

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
    """The row at fault; of a satellite, which transponder (None where its networks name none)."""

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
    """See `ml.root_cause.report.Pattern`; links are rows' keys, `ended_at` is None while it lasted at the window's end.

    As JSON: the same names; times as ISO 8601 in UTC, enumerations by their values. A new name needs a default for the
    patterns that were stored before it.
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
    """A tuple of patterns, kept as JSON."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: Sequence[Pattern] | None, dialect: Dialect) -> list[Json] | None:
        return None if value is None else [_written(pattern) for pattern in value]

    def process_result_value(self, value: list[Json] | None, dialect: Dialect) -> tuple[Pattern, ...] | None:
        return None if value is None else tuple(_read(kept) for kept in value)


def _written(pattern: Pattern) -> Json:
    return {
        **vars(pattern),
        "culprit": _written_culprit(pattern.culprit),
        "started_at": pattern.started_at.isoformat(),
        "ended_at": pattern.ended_at and pattern.ended_at.isoformat(),
        "evidence": [vars(one) for one in pattern.evidence],
        "hypotheses": [{**vars(one), "culprit": _written_culprit(one.culprit)} for one in pattern.hypotheses],
    }


def _written_culprit(culprit: Culprit | None) -> Json | None:
    return None if culprit is None else vars(culprit)


def _read(kept: Json) -> Pattern:
    return Pattern(
        cause=RootCause(kept["cause"]),
        culprit=_read_culprit(kept["culprit"]),
        description=kept["description"],
        severity=kept["severity"],
        confidence=kept["confidence"],
        started_at=datetime.fromisoformat(kept["started_at"]),
        ended_at=datetime.fromisoformat(kept["ended_at"]) if kept["ended_at"] else None,
        links=tuple(kept["links"]),
        directions=tuple(map(Direction, kept["directions"])),
        evidence=tuple(Evidence(**one) for one in kept["evidence"]),
        hypotheses=tuple(
            Hypothesis(RootCause(one["cause"]), _read_culprit(one["culprit"]), one["probability"])
            for one in kept["hypotheses"]
        ),
    )


def _read_culprit(kept: Json | None) -> Culprit | None:
    return None if kept is None else Culprit(CulpritKind(kept["kind"]), kept["key"], kept["transponder"])
