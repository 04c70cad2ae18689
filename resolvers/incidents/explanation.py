"""Why a set of anomalies is so: runs the analysis in a window that fits, and puts its result into words."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.root_causes import CAUSES, CulpritKind, RootCause
from ml.detection.silence import CollectorKind
from resolvers.base.errors import InvalidInput, Unavailable
from resolvers.context import Context
from resolvers.incidents.evidence import LiveAnomaly
from resolvers.incidents.summary import find_named
from resolvers.recommendations.phrasing import capitalize_first
from resolvers.root_causes.analyses import KINDS
from resolvers.root_causes.analyzer import AnalysisResult, analyze_incident
from resolvers.store.postgres.database import driver
from resolvers.store.queries.labels import add_transponder, load_culprit_labels
from resolvers.store.tables.analyses import AnalysisScope, CorrelationAnalysis
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.core import Anomaly, AnomalyCategory, Link
from resolvers.store.tables.incidents import Incident, IncidentKind, IncidentLink
from resolvers.store.telemetry import streams

KNOWN_FROM: Final = 0.4  # the confidence from which a cause and a culprit are named

logger = structlog.get_logger(__name__)


async def explain_links(context: Context, links: Sequence[int], started_at: datetime) -> AnalysisResult | None:
    """Analyses these links from a margin before `started_at` up to now; None where that is impossible.

    Now is the newest sample of the links around, too: otherwise those that fell silent would never be seen silent.
    """
    async with context.database.driver() as connection:
        newest = await streams.find_newest_around(connection, links)
    if newest is None:
        return None
    until = min(context.now, newest + timedelta(milliseconds=1))
    try:
        return await analyze_incident(context.services, links, min(started_at, until), until)
    except (InvalidInput, Unavailable) as error:
        logger.warning("an incident cannot be analysed", links=len(links), reason=error.message)
        return None


def is_known(pattern: Pattern | None) -> bool:
    """Returns whether the pattern is sure enough to name its cause and culprit."""
    return pattern is not None and pattern.cause is not RootCause.UNKNOWN and pattern.confidence >= KNOWN_FROM


def explain_incident(incident: Incident, pattern: Pattern) -> bool:
    """Takes over what the pattern says; returns whether people learn anything new from it."""
    before = (incident.root_cause, incident.culprit_kind, incident.culprit_id, incident.culprit_transponder)
    culprit = pattern.culprit if is_known(pattern) else None
    incident.pattern, incident.confidence = pattern, pattern.confidence
    incident.root_cause = pattern.cause if is_known(pattern) else None
    incident.culprit_kind, incident.culprit_id = (culprit.kind, culprit.key) if culprit else (None, None)
    incident.culprit_transponder = culprit.transponder if culprit else None
    after = (incident.root_cause, incident.culprit_kind, incident.culprit_id, incident.culprit_transponder)
    return before != after


async def title_incident(session: AsyncSession, incident: Incident, members: Sequence[LiveAnomaly]) -> str:
    """Returns the incident in a few words: its cause and culprit, or what misbehaves."""
    links = incident.affected_link_count
    extent = f" ({links} links)" if links > 1 else ""
    if incident.root_cause is not None and incident.pattern and incident.pattern.culprit:
        label = await _label(session, incident.pattern.culprit)
        return f"{CAUSES[incident.root_cause].title}: {label}{extent}"
    if incident.root_cause is not None:
        return f"{CAUSES[incident.root_cause].title}{extent or ' of one link'}"
    if incident.kind is IncidentKind.NO_TELEMETRY and members and members[0].collector:
        return await _title_silence(session, members[0].collector, links)
    is_silent = await _is_silent(session, incident)
    if links > 1 and await find_named(await driver(session), [incident]):
        yet, how = "" if incident.is_historical else " yet", "silent" if is_silent else "degraded"
        return f"{links} links{await _name_network(session, incident)} {how}, cause not known{yet}"
    if not members:
        return incident.title
    first = next((member for member in members if not member.is_aggregate), members[0])
    label = await _label(session, Culprit(CulpritKind(first.kind), first.target_id))
    return f"{capitalize_first(label)} {'is silent' if is_silent else 'does not behave as usual'}"


async def _is_silent(session: AsyncSession, incident: Incident) -> bool:
    """Returns whether all that is known is that samples do not come."""
    is_silence = func.bool_and(Anomaly.category == AnomalyCategory.SILENCE)
    return bool(await session.scalar(select(is_silence).where(Anomaly.incident_id == incident.id)))


async def _name_network(session: AsyncSession, incident: Incident) -> str:
    """Returns ' of network North Sea Energy', or nothing where the incident affects several."""
    own = select(Link.network_id).join(IncidentLink, IncidentLink.link_id == Link.id)
    networks = list(await session.scalars(own.where(IncidentLink.incident_id == incident.id).distinct().limit(2)))
    return f" of {await _label(session, Culprit(CulpritKind.NETWORK, networks[0]))}" if len(networks) == 1 else ""


async def _title_silence(session: AsyncSession, collector: tuple[CollectorKind, int | None], links: int) -> str:
    kind, key = collector
    if kind is CollectorKind.ALL or key is None:
        return f"No telemetry from anywhere ({links} links)"
    culprit = CulpritKind.NETWORK if kind is CollectorKind.NETWORK else CulpritKind.SITE
    return f"No telemetry from {await _label(session, Culprit(culprit, key))} ({links} links)"


async def _label(session: AsyncSession, culprit: Culprit) -> str:
    labels = await load_culprit_labels(session, [culprit], {})
    return add_transponder(labels.get((culprit.kind, culprit.key), f"a {culprit.kind.lower()}"), culprit)


def build_analysis(result: AnalysisResult, members: Sequence[LiveAnomaly], milliseconds: float) -> CorrelationAnalysis:
    """Returns the row of an analysis that ran by itself, about the narrowest scope that holds most of the members."""
    scope, key = _find_scope(members)
    is_satellite = scope is AnalysisScope.SATELLITE
    return CorrelationAnalysis(
        scope=scope,
        satellite_id=key if is_satellite else None,
        target_kind=None if is_satellite else KINDS[scope],
        target_id=None if is_satellite else key,
        window_start=result.start,
        window_end=result.end,
        patterns=result.patterns,
        correlation_score=result.correlation,
        links_analyzed=result.links,
        links_compared=result.compared,
        duration_ms=milliseconds,
        model_version=result.model_version,
    )


def _find_scope(members: Sequence[LiveAnomaly]) -> tuple[AnalysisScope, int]:
    links = {link for member in members for link in member.links}
    if len(links) == 1:
        return AnalysisScope.LINK, next(iter(links))
    for scope, keys in (
        (AnalysisScope.NETWORK, [member.network for member in members]),
        (AnalysisScope.HUB_ANTENNA, [member.hub for member in members]),
    ):
        if len(set(keys)) == 1 and keys[0] is not None:
            return scope, keys[0]
    satellites = Counter(member.transponder[0] for member in members if member.transponder)
    if satellites:
        return AnalysisScope.SATELLITE, satellites.most_common(1)[0][0]
    return AnalysisScope.LINK, min(links)
