"""Briefs: what is known of an anomaly, a detection or an analysis, as cases to recommend something for."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity, rate_severity
from ml.recommendation.case import Situation
from ml.recommendation.playbook.actions import Facts
from resolvers.detection.scoring import NOTABLE_SHARE
from resolvers.recommendations.cases import Case, Row
from resolvers.recommendations.phrasing import WAYS, capital, readings, usual_of, usually
from resolvers.store.queries.labels import Key, Place, names, place
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.core import Anomaly, Detection

MOST_PATTERNS: Final = 5  # of an analysis: the most confident ones
Causes = tuple[tuple[RootCause, float], ...]  # with their probabilities, likeliest first


async def cases_of(session: AsyncSession, row: Row, now: datetime) -> list[Case]:
    """Each of its faults: none of what is ordinary, several of an analysis with several patterns."""
    match row:
        case Anomaly():
            return [await _of_anomaly(session, row, now)]
        case Detection():
            return [await _of_detection(session, row)] if row.is_anomaly else []
        case CorrelationAnalysis():
            return [await _of_pattern(session, pattern, row) for pattern in row.patterns[:MOST_PATTERNS]]


# ---------------------------------------------------------------- of an anomaly, or of a detection


async def _of_anomaly(session: AsyncSession, anomaly: Anomaly, now: datetime) -> Case:
    """By its readings, and by the analysis that explains it."""
    analysis = await session.get(CorrelationAnalysis, anomaly.analysis_id) if anomaly.analysis_id else None
    where = await place(session, anomaly.kind, anomaly.target_id)
    seen = Situation(
        scope=CulpritKind(anomaly.kind),
        severity=_severity(anomaly.severity),
        confidence=anomaly.confidence,
        kind=anomaly.kind,
        shares=_shares(anomaly.contributions),
        links=where.links,
        directions=(anomaly.direction,) if anomaly.direction else (),
        minutes=((anomaly.ended_at or now) - anomaly.started_at).total_seconds() / 60,
        lasts=anomaly.ended_at is None,
        mobile=where.mobile,
    )
    case = await _seen(session, seen, where, anomaly.target_id, anomaly.contributions)
    if analysis and (pattern := _explaining(analysis, anomaly)):
        return await _explained(session, case, where, pattern, analysis)
    return case


async def _of_detection(session: AsyncSession, detection: Detection) -> Case:
    """By its readings alone."""
    metrics = sum(part["share"] >= NOTABLE_SHARE for part in detection.contributions)
    known = detection.target_id is not None
    where = await place(session, detection.kind, detection.target_id) if known else Place()  # type: ignore[arg-type]
    seen = Situation(
        scope=CulpritKind(detection.kind),
        severity=_severity(rate_severity(detection.anomaly_score, metrics, 0.0)),
        confidence=detection.confidence,
        kind=detection.kind,
        shares=_shares(detection.contributions),
        links=where.links,
        directions=(detection.direction,) if detection.direction else (),
        mobile=where.mobile,
    )
    return await _seen(session, seen, where, detection.target_id, detection.contributions)


async def _seen(
    session: AsyncSession, seen: Situation, where: Place, target: int | None, contributions: list[dict[str, Any]]
) -> Case:
    """A target that misbehaves, as its readings show it."""
    assert seen.kind  # noqa: S101
    key = None if target is None else (CulpritKind(seen.kind), target)
    way = next(iter(seen.directions), None)
    usual = {} if target is None else await usual_of(session, seen.kind, target, way)
    own = {**usual.pop(way or "", {}), **_expected(seen.kind, contributions)}
    nameless = f"the {seen.kind.lower()}"
    name = where.named.get(key, nameless) if key else nameless
    around = "" if seen.kind is TargetKind.SITE else where.around
    finding = f"{capital(name)}{around}{f' {WAYS[way]}' if way else ''}: {readings(seen.kind, contributions)}."
    facts = Facts(**{"target": name, "finding": finding, **where.phrases})  # type: ignore[arg-type]
    return Case(seen, facts, key, named=where.named, usual={way or "": own, **usual})


def _expected(kind: TargetKind, contributions: list[dict[str, Any]]) -> dict[Metric, str]:
    """What is usual for it now, as the detector has it."""
    known = (part for part in contributions if part["expected"] is not None)
    return {Metric(part["metric"]): usually(kind, part["metric"], part["expected"]) for part in known}


def _explaining(analysis: CorrelationAnalysis, anomaly: Anomaly) -> Pattern | None:
    """The most confident pattern that the link is of; of other targets the most confident one."""
    of_link = [one for one in analysis.patterns if anomaly.target_id in one.links]
    found = of_link if anomaly.kind is TargetKind.LINK and of_link else analysis.patterns
    return next(iter(found), None)


async def _explained(
    session: AsyncSession, case: Case, where: Place, pattern: Pattern, analysis: CorrelationAnalysis
) -> Case:
    """The same with what is at fault for it, beside its own readings."""
    known = await _at_fault(session, pattern, analysis, where, vars(case.facts))
    both = replace(
        known.situation,
        severity=max(case.situation.severity, known.situation.severity),
        kind=case.situation.kind,
        shares=case.situation.shares,
        lasts=case.situation.lasts,
    )
    facts = replace(known.facts, finding=f"{case.facts.finding} {known.facts.finding}")
    return replace(known, situation=both, facts=facts, usual=case.usual)


# ---------------------------------------------------------------- of an analysis


async def _of_pattern(session: AsyncSession, pattern: Pattern, analysis: CorrelationAnalysis) -> Case:
    """Told of the link that is hit worst."""
    if not pattern.links:
        return await _at_fault(session, pattern, analysis, Place(), {})
    worst, way = pattern.links[0], next(iter(pattern.directions), None)
    where = await place(session, TargetKind.LINK, worst)
    case = await _at_fault(session, pattern, analysis, where, where.phrases)
    case = replace(case, usual=await usual_of(session, TargetKind.LINK, worst, way))
    if len(pattern.links) == 1 or "link" not in where.phrases:
        return case
    finding = f"{pattern.description} Worst hit: {where.phrases['link']}{where.around}."
    return replace(case, facts=replace(case.facts, finding=finding))


async def _at_fault(
    session: AsyncSession,
    pattern: Pattern,
    analysis: CorrelationAnalysis,
    where: Place,
    phrases: Mapping[str, Any],
) -> Case:
    """A pattern, told by whoever is at fault for it, and else in these phrases."""
    causes, culprits = _considered(pattern)
    named = await names(session, culprits.values(), where.named)
    key, many = _key(pattern), f"the {len(pattern.links)} links"
    several = {"links": many} if len(pattern.links) > 1 else {}
    target = named.get(key, "the affected links") if key else many
    facts = Facts(**{**phrases, **several, "target": target, "finding": pattern.description})
    return Case(_situation(pattern, analysis, causes, where.mobile), facts, key, culprits, named)


def _key(pattern: Pattern) -> Key | None:
    """The culprit, or the only link."""
    if pattern.culprit:
        return pattern.culprit.kind, pattern.culprit.key
    return (CulpritKind.LINK, pattern.links[0]) if len(pattern.links) == 1 else None


def _situation(pattern: Pattern, analysis: CorrelationAnalysis, causes: Causes, mobile: bool | None) -> Situation:
    links = len(pattern.links)
    alone = CulpritKind.LINK if links <= 1 else CulpritKind.NETWORK
    return Situation(
        scope=pattern.culprit.kind if pattern.culprit else alone,
        severity=pattern.severity,
        confidence=pattern.confidence,
        causes=causes,
        links=max(1, links),
        directions=pattern.directions,
        minutes=((pattern.ended_at or analysis.window_end) - pattern.started_at).total_seconds() / 60,
        lasts=pattern.ended_at is None,
        mobile=mobile,
    )


def _considered(pattern: Pattern) -> tuple[Causes, dict[RootCause, Culprit]]:
    """Each cause with its probability whoever is at fault, likeliest first; and who is at fault for it most likely."""
    chances, culprits = dict[RootCause, float](), dict[RootCause, Culprit]()
    for one in pattern.hypotheses:
        chances[one.cause] = chances.get(one.cause, 0.0) + one.probability
        if one.culprit:
            culprits.setdefault(one.cause, one.culprit)
    if pattern.culprit:
        culprits[pattern.cause] = pattern.culprit
    chances.setdefault(pattern.cause, pattern.confidence)
    ordered = sorted(chances.items(), key=lambda pair: (pair[0] is not pattern.cause, -pair[1]))
    return tuple(ordered), culprits


# ---------------------------------------------------------------- numbers


def _shares(contributions: list[dict[str, Any]]) -> dict[Metric, float]:
    return {Metric(part["metric"]): part["share"] for part in contributions}


def _severity(level: Severity) -> float:
    return (level.rank + 1) / len(Severity)
