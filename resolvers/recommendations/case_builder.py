"""Builds the cases of what recommendations are asked for: an anomaly, a detection, an analysis or an incident."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from resolvers.recommendations.cases import DescribedCase, Row
from resolvers.recommendations.incident_cases import build_incident_cases
from resolvers.recommendations.pattern_cases import Extent, build_pattern_case, select_present
from resolvers.recommendations.reading_cases import build_from_anomaly, build_from_detection
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.analysis_documents import Pattern
from resolvers.store.tables.core import Anomaly, Detection
from resolvers.store.tables.incidents import Incident

MOST_PATTERNS: Final = 5  # of an analysis, in its order


async def build_cases(session: AsyncSession, row: Row, now: datetime) -> list[DescribedCase]:
    """Returns a case for each fault: none of an ordinary detection, several of an analysis with several patterns."""
    match row:
        case Anomaly():
            return [await _build_from_anomaly(session, row, now)]
        case Detection():
            return [await build_from_detection(session, row)] if row.is_anomaly else []
        case CorrelationAnalysis():
            return await _build_from_analysis(session, row)
        case Incident():
            return await build_incident_cases(session, row, now)


async def _build_from_analysis(session: AsyncSession, analysis: CorrelationAnalysis) -> list[DescribedCase]:
    """Returns the cases of the patterns that go on at the window's end; of those before only where none does."""
    until = analysis.window_end
    patterns = select_present(analysis.patterns, until)[:MOST_PATTERNS]
    return [await build_pattern_case(session, one, Extent.of_pattern(one, until)) for one in patterns]


async def _build_from_anomaly(session: AsyncSession, anomaly: Anomaly, now: datetime) -> DescribedCase:
    """Builds the case from the anomaly's readings, and from the analysis that explains it."""
    case = await build_from_anomaly(session, anomaly, now)
    analysis = await session.get(CorrelationAnalysis, anomaly.analysis_id) if anomaly.analysis_id else None
    pattern = _find_explanation(analysis, anomaly) if analysis else None
    if analysis is None or pattern is None:
        return case
    extent = Extent(now, len(pattern.links), anomaly.ended_at)
    return _add_explanation(case, await build_pattern_case(session, pattern, extent))


def _find_explanation(analysis: CorrelationAnalysis, anomaly: Anomaly) -> Pattern | None:
    """Returns the first pattern that went on while the anomaly did and affects its link, if it is a link's."""
    for pattern in analysis.patterns:
        ended_at = pattern.ended_at or max(analysis.window_end, anomaly.started_at)
        overlaps = anomaly.started_at <= ended_at and pattern.started_at <= (anomaly.ended_at or ended_at)
        if overlaps and (anomaly.kind is not TargetKind.LINK or anomaly.target_id in pattern.links):
            return pattern
    return None


def _add_explanation(case: DescribedCase, explained: DescribedCase) -> DescribedCase:
    """Returns the pattern's case with the readings of the anomaly's case."""
    fault = replace(
        explained.fault,
        severity=max(case.fault.severity, explained.fault.severity),
        kind=case.fault.kind,
        shares=case.fault.shares,
    )
    link = case.phrases.link if case.fault.kind is TargetKind.LINK else explained.phrases.link
    finding = f"{case.phrases.finding} {explained.phrases.finding}"
    phrases = replace(explained.phrases, finding=finding, link=link)
    return replace(explained, fault=fault, phrases=phrases, usual=case.usual)
