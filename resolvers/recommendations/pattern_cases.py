"""Builds cases of patterns: who is at fault, by the culprit's own names, since when, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CAUSES, CulpritKind, RootCause
from ml.recommendation.advice import Diagnosis
from ml.recommendation.case import FaultCase
from ml.recommendation.playbook.actions import CasePhrases
from resolvers.recommendations.cases import DescribedCase
from resolvers.recommendations.phrasing import load_usual
from resolvers.store.queries.culprit_labels import CulpritLabels, load_labels_of_culprit
from resolvers.store.tables.analysis_documents import Culprit, Hypothesis, Pattern

HUB_CAUSES: Final = (RootCause.EQUIPMENT_FAILURE, RootCause.ANTENNA_ALIGNMENT)
RECENT: Final = timedelta(minutes=30)  # since it ended: it may come back, as interference and blockage do


@dataclass(frozen=True)
class Extent:
    """How large a fault is, where more is known than its pattern tells."""

    until: datetime  # when this is asked
    links: int
    ended_at: datetime | None

    @classmethod
    def of_pattern(cls, pattern: Pattern, until: datetime) -> Self:
        return cls(until, len(pattern.links), pattern.ended_at)

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None and self.ended_at < self.until - RECENT


async def build_pattern_case(session: AsyncSession, pattern: Pattern, extent: Extent) -> DescribedCase:
    """Builds the case of a pattern: its names are the culprit's, its readings the culprit's worst link's."""
    culprit = _find_culprit(pattern)
    labels = await load_labels_of_culprit(session, culprit, pattern.links) if culprit else CulpritLabels(None)
    rival = _find_rival(pattern)
    diagnosis = Diagnosis(pattern.cause, weigh_certainty(pattern), rival.cause if rival else None)
    rival_label = await _label_rival(session, rival, pattern) if rival and not diagnosis.justifies_repairs else None
    direction = next(iter(pattern.directions), None)
    usual = await load_usual(session, TargetKind.LINK, labels.worst_link, direction) if labels.worst_link else {}
    phrases = _phrase(pattern, extent, labels, culprit)
    if not diagnosis.justifies_repairs:
        phrases = _add_doubt(phrases, diagnosis, rival, rival_label)
    key = (culprit.kind, culprit.key) if culprit else None
    return DescribedCase(_build_fault(pattern, extent, labels.mobile), phrases, key, diagnosis, extent.is_over, usual)


def weigh_certainty(pattern: Pattern) -> float:
    """Returns the probability that both cause and culprit are right: the cause's, by the culprit's share of it."""
    same = [one for one in pattern.hypotheses if one.cause is pattern.cause]
    own = sum(one.probability for one in same if one.culprit == pattern.culprit)
    total = sum(one.probability for one in same)
    return pattern.confidence * (own / total if total > 0 else 1.0)


def _find_culprit(pattern: Pattern) -> Culprit | None:
    """Returns the culprit, or the only link."""
    only = Culprit(CulpritKind.LINK, pattern.links[0]) if len(pattern.links) == 1 else None
    return pattern.culprit or only


def _find_rival(pattern: Pattern) -> Hypothesis | None:
    """Returns the likeliest hypothesis but the pattern's own."""
    others = (one for one in pattern.hypotheses if (one.cause, one.culprit) != (pattern.cause, pattern.culprit))
    return max(others, key=lambda one: one.probability, default=None)


async def _label_rival(session: AsyncSession, rival: Hypothesis, pattern: Pattern) -> str | None:
    if rival.culprit is None:
        return None
    return (await load_labels_of_culprit(session, rival.culprit, pattern.links)).label


# ---------------------------------------------------------------- words


def _phrase(pattern: Pattern, extent: Extent, labels: CulpritLabels, culprit: Culprit | None) -> CasePhrases:
    many = f"the {extent.links} affected links"
    finding = f"{pattern.description} {phrase_time(pattern.started_at, extent.ended_at)}"
    if culprit and culprit.kind is CulpritKind.SATELLITE and "network" in labels.phrases:
        finding += f" On it: {labels.phrases['network']}."
    words: dict[str, Any] = {
        **labels.phrases,
        "target": labels.label or ("the affected link" if culprit else many),
        "finding": finding,
    }
    if extent.links > 1:
        words["links"] = many
    if culprit and culprit.kind is CulpritKind.SITE and pattern.cause not in HUB_CAUSES and labels.label:
        words["site"] = labels.label  # rain or a power cut, also at a hub
    return CasePhrases(**words)


def phrase_time(started_at: datetime, ended_at: datetime | None) -> str:
    """Returns 'It began at 2026-11-30 14:05 UTC and goes on.'"""
    began = f"It began at {_format(started_at)}"
    return f"{began} and goes on." if ended_at is None else f"{began} and ended at {_format(ended_at)}."


def _format(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _add_doubt(
    phrases: CasePhrases, diagnosis: Diagnosis, rival: Hypothesis | None, rival_label: str | None
) -> CasePhrases:
    """Adds what it may be, and what else, with how likely each is."""
    likeliest = f"{_name_cause(diagnosis.cause, phrases.target)} ({diagnosis.certainty:.0%})"
    doubt = f"What it is, is not sure yet: perhaps {likeliest}"
    if rival:
        doubt += f", perhaps {_name_cause(rival.cause, rival_label)} ({rival.probability:.0%})"
    return replace(phrases, finding=f"{phrases.finding} {doubt}.", rival=rival_label or phrases.rival)


def _name_cause(cause: RootCause, label: str | None) -> str:
    return f"{CAUSES[cause].meaning} at {label}" if label else CAUSES[cause].meaning


# ---------------------------------------------------------------- numbers


def _build_fault(pattern: Pattern, extent: Extent, mobile: bool | None) -> FaultCase:
    without_culprit = CulpritKind.LINK if extent.links <= 1 else CulpritKind.NETWORK
    return FaultCase(
        scope=pattern.culprit.kind if pattern.culprit else without_culprit,
        severity=pattern.severity,
        confidence=pattern.confidence,
        causes=_weigh_causes(pattern),
        links=max(1, extent.links),
        directions=pattern.directions,
        minutes=((extent.ended_at or extent.until) - pattern.started_at).total_seconds() / 60,
        lasts=extent.ended_at is None,
        mobile=mobile,
    )


def _weigh_causes(pattern: Pattern) -> tuple[tuple[RootCause, float], ...]:
    """Returns each cause's probability over all culprits, the pattern's own first, then the likeliest."""
    chances = dict[RootCause, float]()
    for hypothesis in pattern.hypotheses:
        chances[hypothesis.cause] = chances.get(hypothesis.cause, 0.0) + hypothesis.probability
    chances.setdefault(pattern.cause, pattern.confidence)
    return tuple(sorted(chances.items(), key=lambda pair: (pair[0] is not pattern.cause, -pair[1])))


def select_present(patterns: Sequence[Pattern], until: datetime) -> list[Pattern]:
    """Returns the patterns that go on at `until`; where none does, those that ended before."""
    present = [one for one in patterns if not Extent.of_pattern(one, until).is_over]
    return present or [*patterns]
