"""Builds cases of anomalies and detections from their readings."""

from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind
from ml.detection.episodes import Severity
from ml.detection.severity import grade_service, rate_severity
from ml.recommendation.case import FaultCase
from ml.recommendation.playbook.actions import CasePhrases
from resolvers.detection.scoring import NOTABLE_SHARE
from resolvers.recommendations.cases import DescribedCase
from resolvers.recommendations.phrasing import (
    DIRECTION_WORDS,
    capitalize_first,
    load_usual,
    phrase_readings,
    phrase_usual,
)
from resolvers.store.queries.labels import TargetLabels, load_labels
from resolvers.store.tables.core import Anomaly, Detection

Contributions = list[dict[str, Any]]


async def build_from_anomaly(session: AsyncSession, anomaly: Anomaly, now: datetime) -> DescribedCase:
    """Builds the case from the anomaly's readings alone."""
    labels = await load_labels(session, anomaly.kind, anomaly.target_id)
    fault = FaultCase(
        scope=CulpritKind(anomaly.kind),
        severity=to_severity_number(anomaly.severity),
        confidence=anomaly.confidence,
        kind=anomaly.kind,
        shares=_to_shares(anomaly.contributions),
        links=labels.links,
        directions=(anomaly.direction,) if anomaly.direction else (),
        minutes=((anomaly.ended_at or now) - anomaly.started_at).total_seconds() / 60,
        lasts=anomaly.ended_at is None,
        mobile=labels.mobile,
    )
    return await _describe_readings(session, fault, labels, anomaly.target_id, anomaly.contributions)


async def build_from_detection(session: AsyncSession, detection: Detection) -> DescribedCase:
    """Builds the case from the detection's readings."""
    metrics = sum(part["share"] >= NOTABLE_SHARE for part in detection.contributions)
    target = detection.target_id
    labels = TargetLabels() if target is None else await load_labels(session, detection.kind, target)
    fault = FaultCase(
        scope=CulpritKind(detection.kind),
        severity=to_severity_number(rate_severity(_grade_service(detection), detection.anomaly_score, metrics, 0.0)),
        confidence=detection.confidence,
        kind=detection.kind,
        shares=_to_shares(detection.contributions),
        links=labels.links,
        directions=(detection.direction,) if detection.direction else (),
        mobile=labels.mobile,
    )
    return await _describe_readings(session, fault, labels, target, detection.contributions)


async def _describe_readings(
    session: AsyncSession, fault: FaultCase, labels: TargetLabels, target: int | None, contributions: Contributions
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
    return DescribedCase(fault, phrases, key, usual={direction or "": own, **usual})


def _expected_phrases(kind: TargetKind, contributions: Contributions) -> dict[Metric, str]:
    """Returns the healthy values that the detector expected at that time, in words."""
    expected = (part for part in contributions if part["expected"] is not None)
    return {Metric(part["metric"]): phrase_usual(kind, part["metric"], part["expected"]) for part in expected}


def _to_shares(contributions: Contributions) -> dict[Metric, float]:
    return {Metric(part["metric"]): part["share"] for part in contributions}


def _grade_service(detection: Detection) -> float:
    kind = CATALOGUE[detection.kind]
    observed, expected = np.full((2, 1, len(kind.specs)), np.nan)
    for part in detection.contributions:
        place = kind.metrics.index(Metric(part["metric"]))
        observed[0, place] = np.nan if part["observed"] is None else part["observed"]
        expected[0, place] = np.nan if part["expected"] is None else part["expected"]
    return float(grade_service(kind, observed, expected)[0])


def to_severity_number(level: Severity) -> float:
    """Returns the severity as a number from 0 to 1."""
    return (level.rank + 1) / len(Severity)
