"""Builds an incident's case: for its culprit, as it is explained now."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.advice import Diagnosis
from ml.recommendation.case import FaultCase
from ml.recommendation.playbook.actions import CasePhrases
from resolvers.recommendations.cases import DescribedCase
from resolvers.recommendations.pattern_cases import Extent, build_pattern_case, phrase_time
from resolvers.recommendations.reading_cases import build_from_anomaly, to_severity_number
from resolvers.store.queries.labels import TargetLabels, load_labels
from resolvers.store.tables.core import Anomaly, AnomalyCategory
from resolvers.store.tables.incidents import Incident, IncidentKind

NOTHING_KNOWN: Final = Diagnosis(RootCause.UNKNOWN, 0.0)
SILENT: Final = Diagnosis(RootCause.UNKNOWN, 0.0, RootCause.POWER_OUTAGE)


async def build_incident_cases(session: AsyncSession, incident: Incident, now: datetime) -> list[DescribedCase]:
    """Returns the incident's case; nothing where nothing is known yet that advice could be based on."""
    if pattern := incident.pattern:
        case = await build_pattern_case(session, pattern, _measure_extent(incident, len(pattern.links), now))
        severity = max(case.fault.severity, to_severity_number(incident.severity))
        return [replace(case, fault=replace(case.fault, severity=severity))]
    return await _build_unexplained(session, incident, now)


def _measure_extent(incident: Incident, links: int, now: datetime) -> Extent:
    return Extent(now, incident.affected_link_count or links, incident.ended_at)


# ---------------------------------------------------------------- not explained


async def _build_unexplained(session: AsyncSession, incident: Incident, now: datetime) -> list[DescribedCase]:
    """Returns a case by readings for what no analysis explains, such as a server's; for links, one of questions."""
    anomaly = await _find_worst(session, incident)
    if anomaly is None:
        return []
    is_silent = incident.kind is IncidentKind.NO_TELEMETRY or anomaly.category is AnomalyCategory.SILENCE
    if anomaly.kind is not TargetKind.LINK and not is_silent:
        return [await build_from_anomaly(session, anomaly, now)]
    return [await _build_open(session, incident, anomaly, SILENT if is_silent else NOTHING_KNOWN, now)]


async def _find_worst(session: AsyncSession, incident: Incident) -> Anomaly | None:
    """Returns the incident's worst anomaly; one of a link, if it has any."""
    order = ((Anomaly.kind == TargetKind.LINK).desc(), Anomaly.severity.desc(), Anomaly.score.desc(), Anomaly.id)
    query = select(Anomaly).where(Anomaly.incident_id == incident.id).order_by(*order).limit(1)
    found: Anomaly | None = await session.scalar(query)
    return found


async def _build_open(
    session: AsyncSession, incident: Incident, anomaly: Anomaly, diagnosis: Diagnosis, now: datetime
) -> DescribedCase:
    """Builds the case of an incident of which nothing is known but what it affects."""
    labels = await load_labels(session, anomaly.kind, anomaly.target_id)
    key = (CulpritKind(anomaly.kind), anomaly.target_id)
    extent = _measure_extent(incident, labels.links, now)
    fault = FaultCase(
        scope=key[0],
        severity=to_severity_number(incident.severity),
        confidence=0.0,
        links=max(1, extent.links),
        minutes=((incident.ended_at or now) - incident.started_at).total_seconds() / 60,
        lasts=incident.ended_at is None,
        mobile=labels.mobile,
    )
    is_alone = extent.links <= 1
    phrases = _phrase_open(incident, labels, labels.phrases.get("site") or labels.by_key.get(key), extent)
    return DescribedCase(fault, phrases, key if is_alone else None, diagnosis, extent.is_over)


def _phrase_open(incident: Incident, labels: TargetLabels, name: str | None, extent: Extent) -> CasePhrases:
    many = f"the {extent.links} affected links"
    words: dict[str, Any] = {**labels.phrases, "target": name or "the affected link"}
    if extent.links > 1:
        words |= {"target": many, "links": many}
    finding = f"{incident.title.rstrip('.')}. {phrase_time(incident.started_at, extent.ended_at)}"
    return CasePhrases(**{**words, "finding": f"{finding} What caused it is not known."})
