"""Builds cases: from an anomaly, a detection or an analysis, and from what the topology says of its targets."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.detection.severity import grade_service, rate_severity
from ml.recommendation.case import FaultCase
from ml.recommendation.playbook.actions import CasePhrases
from resolvers.detection.scoring import NOTABLE_SHARE
from resolvers.recommendations.cases import DescribedCase, Row
from resolvers.recommendations.phrasing import (
    DIRECTION_WORDS,
    capitalize_first,
    load_usual,
    phrase_readings,
    phrase_usual,
)
from resolvers.store.queries.labels import TargetKey, TargetLabels, load_culprit_labels, load_labels
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.core import Anomaly, Detection

MOST_PATTERNS: Final = 5  # of an analysis: the most confident ones
Causes = tuple[tuple[RootCause, float], ...]  # with their probabilities, likeliest first


async def build_cases(session: AsyncSession, row: Row, now: datetime) -> list[DescribedCase]:
    """Returns a case for each fault: none of an ordinary detection, several of an analysis with several patterns."""
    match row:
        case Anomaly():
            return [await _build_from_anomaly(session, row, now)]
        case Detection():
            return [await _build_from_detection(session, row)] if row.is_anomaly else []
        case CorrelationAnalysis():
            return [await _build_from_pattern(session, pattern, row) for pattern in row.patterns[:MOST_PATTERNS]]


# ---------------------------------------------------------------- from an anomaly, or from a detection


async def _build_from_anomaly(session: AsyncSession, anomaly: Anomaly, now: datetime) -> DescribedCase:
    """Builds the case from the anomaly's readings, and from the analysis that explains it."""
    analysis = await session.get(CorrelationAnalysis, anomaly.analysis_id) if anomaly.analysis_id else None
    labels = await load_labels(session, anomaly.kind, anomaly.target_id)
    fault = FaultCase(
        scope=CulpritKind(anomaly.kind),
        severity=_severity_number(anomaly.severity),
        confidence=anomaly.confidence,
        kind=anomaly.kind,
        shares=_shares(anomaly.contributions),
        links=labels.links,
        directions=(anomaly.direction,) if anomaly.direction else (),
        minutes=((anomaly.ended_at or now) - anomaly.started_at).total_seconds() / 60,
        lasts=anomaly.ended_at is None,
        mobile=labels.mobile,
    )
    case = await _describe_readings(session, fault, labels, anomaly.target_id, anomaly.contributions)
    if analysis and (pattern := _explaining_pattern(analysis, anomaly)):
        return await _add_explanation(session, case, labels, pattern, analysis)
    return case


async def _build_from_detection(session: AsyncSession, detection: Detection) -> DescribedCase:
    """Builds the case from the detection's readings alone."""
    metrics = sum(part["share"] >= NOTABLE_SHARE for part in detection.contributions)
    target = detection.target_id
    labels = TargetLabels() if target is None else await load_labels(session, detection.kind, target)
    fault = FaultCase(
        scope=CulpritKind(detection.kind),
        severity=_severity_number(rate_severity(_grade_service(detection), detection.anomaly_score, metrics, 0.0)),
        confidence=detection.confidence,
        kind=detection.kind,
        shares=_shares(detection.contributions),
        links=labels.links,
        directions=(detection.direction,) if detection.direction else (),
        mobile=labels.mobile,
    )
    return await _describe_readings(session, fault, labels, target, detection.contributions)


async def _describe_readings(
    session: AsyncSession,
    fault: FaultCase,
    labels: TargetLabels,
    target: int | None,
    contributions: list[dict[str, Any]],
) -> DescribedCase:
    """Describes a target that misbehaves by its readings."""
    assert fault.kind  # noqa: S101
    key = None if target is None else (CulpritKind(fault.kind), target)
    direction = next(iter(fault.directions), None)
    usual = {} if target is None else await load_usual(session, fault.kind, target, direction)
    own = {**usual.pop(direction or "", {}), **_expected_phrases(fault.kind, contributions)}
    unnamed = f"the {fault.kind.lower()}"
    name = labels.by_key.get(key, unnamed) if key else unnamed
    suffix = "" if fault.kind is TargetKind.SITE else labels.suffix
    affected = f" {DIRECTION_WORDS[direction]}" if direction else ""
    finding = f"{capitalize_first(name)}{suffix}{affected}: {phrase_readings(fault.kind, contributions)}."
    phrases = CasePhrases(**{"target": name, "finding": finding, **labels.phrases})  # type: ignore[arg-type]
    return DescribedCase(fault, phrases, key, labels=labels.by_key, usual={direction or "": own, **usual})


def _expected_phrases(kind: TargetKind, contributions: list[dict[str, Any]]) -> dict[Metric, str]:
    """Returns the healthy values that the detector expected at that time, in words."""
    expected = (part for part in contributions if part["expected"] is not None)
    return {Metric(part["metric"]): phrase_usual(kind, part["metric"], part["expected"]) for part in expected}


def _explaining_pattern(analysis: CorrelationAnalysis, anomaly: Anomaly) -> Pattern | None:
    """Returns the most confident pattern that affects the link; for other targets the most confident one."""
    of_link = [pattern for pattern in analysis.patterns if anomaly.target_id in pattern.links]
    patterns = of_link if anomaly.kind is TargetKind.LINK and of_link else analysis.patterns
    return next(iter(patterns), None)


async def _add_explanation(
    session: AsyncSession, case: DescribedCase, labels: TargetLabels, pattern: Pattern, analysis: CorrelationAnalysis
) -> DescribedCase:
    """Returns the pattern's case with the readings of the anomaly's case."""
    explained = await _build_from_culprit(session, pattern, analysis, labels, vars(case.phrases))
    fault = replace(
        explained.fault,
        severity=max(case.fault.severity, explained.fault.severity),
        kind=case.fault.kind,
        shares=case.fault.shares,
        lasts=case.fault.lasts,
    )
    phrases = replace(explained.phrases, finding=f"{case.phrases.finding} {explained.phrases.finding}")
    return replace(explained, fault=fault, phrases=phrases, usual=case.usual)


# ---------------------------------------------------------------- from an analysis


async def _build_from_pattern(session: AsyncSession, pattern: Pattern, analysis: CorrelationAnalysis) -> DescribedCase:
    """Builds the case of a pattern, with the readings of the link that is affected worst."""
    if not pattern.links:
        return await _build_from_culprit(session, pattern, analysis, TargetLabels(), {})
    worst, direction = pattern.links[0], next(iter(pattern.directions), None)
    labels = await load_labels(session, TargetKind.LINK, worst)
    case = await _build_from_culprit(session, pattern, analysis, labels, labels.phrases)
    case = replace(case, usual=await load_usual(session, TargetKind.LINK, worst, direction))
    if len(pattern.links) == 1 or "link" not in labels.phrases:
        return case
    finding = f"{pattern.description} Worst hit: {labels.phrases['link']}{labels.suffix}."
    return replace(case, phrases=replace(case.phrases, finding=finding))


async def _build_from_culprit(
    session: AsyncSession,
    pattern: Pattern,
    analysis: CorrelationAnalysis,
    labels: TargetLabels,
    phrases: Mapping[str, Any],
) -> DescribedCase:
    """Builds the case of a pattern: the culprit's name if it is known, and these phrases for the rest."""
    causes, culprits = _weigh_causes(pattern)
    by_key = await load_culprit_labels(session, culprits.values(), labels.by_key)
    key, many = _culprit_key(pattern), f"the {len(pattern.links)} links"
    several = {"links": many} if len(pattern.links) > 1 else {}
    target = by_key.get(key, "the affected links") if key else many
    own = CasePhrases(**{**phrases, **several, "target": target, "finding": pattern.description})
    return DescribedCase(_pattern_fault(pattern, analysis, causes, labels.mobile), own, key, culprits, by_key)


def _culprit_key(pattern: Pattern) -> TargetKey | None:
    """Returns the culprit, or the only link."""
    if pattern.culprit:
        return pattern.culprit.kind, pattern.culprit.key
    return (CulpritKind.LINK, pattern.links[0]) if len(pattern.links) == 1 else None


def _pattern_fault(pattern: Pattern, analysis: CorrelationAnalysis, causes: Causes, mobile: bool | None) -> FaultCase:
    links = len(pattern.links)
    without_culprit = CulpritKind.LINK if links <= 1 else CulpritKind.NETWORK
    return FaultCase(
        scope=pattern.culprit.kind if pattern.culprit else without_culprit,
        severity=pattern.severity,
        confidence=pattern.confidence,
        causes=causes,
        links=max(1, links),
        directions=pattern.directions,
        minutes=((pattern.ended_at or analysis.window_end) - pattern.started_at).total_seconds() / 60,
        lasts=pattern.ended_at is None,
        mobile=mobile,
    )


def _weigh_causes(pattern: Pattern) -> tuple[Causes, dict[RootCause, Culprit]]:
    """Returns each cause's probability over all culprits, likeliest first, and the likeliest culprit for each cause."""
    chances, culprits = dict[RootCause, float](), dict[RootCause, Culprit]()
    for hypothesis in pattern.hypotheses:
        chances[hypothesis.cause] = chances.get(hypothesis.cause, 0.0) + hypothesis.probability
        if hypothesis.culprit:
            culprits.setdefault(hypothesis.cause, hypothesis.culprit)
    if pattern.culprit:
        culprits[pattern.cause] = pattern.culprit
    chances.setdefault(pattern.cause, pattern.confidence)
    ordered = sorted(chances.items(), key=lambda pair: (pair[0] is not pattern.cause, -pair[1]))
    return tuple(ordered), culprits


# ---------------------------------------------------------------- numbers


def _shares(contributions: list[dict[str, Any]]) -> dict[Metric, float]:
    return {Metric(part["metric"]): part["share"] for part in contributions}


def _grade_service(detection: Detection) -> float:
    kind = CATALOGUE[detection.kind]
    observed, expected = np.full((2, 1, len(kind.specs)), np.nan)
    for part in detection.contributions:
        place = kind.metrics.index(Metric(part["metric"]))
        observed[0, place] = np.nan if part["observed"] is None else part["observed"]
        expected[0, place] = np.nan if part["expected"] is None else part["expected"]
    return float(grade_service(kind, observed, expected)[0])


def _severity_number(level: Severity) -> float:
    return (level.rank + 1) / len(Severity)
