"""Automatic analyses: one for each fault, when anomalies open together."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import select

from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM
from resolvers.base.errors import InvalidInput
from resolvers.base.worker import Worker
from resolvers.context import Context, Services
from resolvers.detection import anomalies
from resolvers.detection.anomalies import AnomalyChange, publish_changes
from resolvers.root_causes.alarm_clusters import OpenAnomaly, find_alarm_cluster, is_analyzed
from resolvers.root_causes.analyses import run_analysis
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.queries import analysis_scope
from resolvers.store.queries.analysis_scope import Scope
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.core import Anomaly, AuditEntry
from resolvers.store.telemetry import streams

if TYPE_CHECKING:
    import asyncpg

TOGETHER: Final = timedelta(minutes=10)  # within which the first anomalies of a fault open
SAME_FAULT: Final = timedelta(minutes=30)  # within which later anomalies belong to the same analysis
STALE: Final = timedelta(hours=2)  # since an anomaly began: imported history needs no analysis
LOOKBACK: Final = timedelta(hours=24)
SETTLE_SECONDS: Final = 20.0  # from an anomaly to the look: others of its fault open with it
LOOK_SECONDS: Final = 60.0  # should nothing happen
DEADLINE_SECONDS: Final = 1800.0

logger = structlog.get_logger(__name__)

Run = Callable[[Context, Scope], Awaitable[CorrelationAnalysis | None]]


def build_worker(services: Services) -> Worker:
    """Returns the worker that analyses root causes, a moment after anomalies have changed."""
    worker = Worker(
        "automatic analyses",
        lambda: analyze_due(services),
        every_seconds=LOOK_SECONDS,
        settle_seconds=SETTLE_SECONDS,
        deadline_seconds=DEADLINE_SECONDS,
    )
    services.feed.add_hook(anomalies.TOPIC, worker.wake)
    return worker


async def run_automatically(context: Context, scope: Scope) -> CorrelationAnalysis | None:
    """Runs the analysis up to the newest sample; None if it was refused."""
    async with context.database.driver() as connection:
        links = await analysis_scope.list_links(connection, scope)
        newest = await streams.find_newest(connection, TargetKind.LINK, links)
    end = min(context.now, newest + timedelta(milliseconds=1)) if newest else context.now
    try:
        analysis = await run_analysis(context, SYSTEM, scope, end - LOOKBACK, end)
    except InvalidInput as error:
        logger.warning("automatic analysis refused", scope=scope.kind, key=scope.key, reason=error.message)
        return None
    patterns = [pattern.description for pattern in analysis.patterns]
    logger.info("automatic analysis", scope=scope.kind, key=scope.key, patterns=patterns)
    return analysis


async def analyze_due(services: Services, run: Run = run_automatically) -> int:
    """Runs all analyses that are due, and returns their number; 0 if another process is at it."""
    async with single_runner(services.database, AdvisoryLock.AUTOMATIC_ANALYSES) as mine:
        return await _analyze_due(Context(services, SYSTEM), run) if mine else 0


async def _analyze_due(context: Context, run: Run) -> int:
    """Attaches anomalies to recent analyses that explain them, then analyses those that opened together since."""
    recent_analyses = await _list_automatic(context, context.now - SAME_FAULT)
    opened = await _list_open_anomalies(context)
    for analysis in recent_analyses:
        opened = await _attach(context, analysis, opened)
    recent = [one for one in opened if one.detected_at >= context.now - TOGETHER]
    fresh = [one for one in recent if not is_analyzed(one, recent_analyses, context.now)]
    count = 0
    while scope := find_alarm_cluster(fresh):
        if (made := await run(context, scope)) is not None:
            opened, count = await _attach(context, made, opened), count + 1
        fresh = [one for one in fresh if one in opened and not one.is_within(scope)]
    return count


async def _list_automatic(context: Context, since: datetime) -> Sequence[CorrelationAnalysis]:
    """Returns the analyses that ran automatically, newest first."""
    own = (CorrelationAnalysis.requested_by_id.is_(None), CorrelationAnalysis.created_at >= since)
    async with context.database.read() as session:
        query = select(CorrelationAnalysis).where(*own).order_by(CorrelationAnalysis.id.desc())
        return list(await session.scalars(query))


async def _attach(context: Context, analysis: CorrelationAnalysis, opened: Sequence[OpenAnomaly]) -> list[OpenAnomaly]:
    """Attaches the anomalies that the analysis explains to it, and returns the others."""
    explained = {one.id for one in opened if any(one.explained_by(pattern) for pattern in analysis.patterns)}
    if explained:
        query = select(Anomaly).where(is_among(Anomaly.id, explained), Anomaly.analysis_id.is_(None))
        async with context.database.write() as session:
            rows = list(await session.scalars(query.order_by(Anomaly.id).with_for_update()))
            for row in rows:
                row.analysis_id = analysis.id
                session.add(AuditEntry(subject_id=row.id, action=f"{AnomalyChange.UPDATED}: EXPLAINED", at=context.now))
            await session.flush()
            await publish_changes(session, [(AnomalyChange.UPDATED, row) for row in rows])
    return [one for one in opened if one.id not in explained]


# ---------------------------------------------------------------- open anomalies


async def _list_open_anomalies(context: Context) -> list[OpenAnomaly]:
    """Returns recent anomalies of any target that no analysis explains yet, oldest first."""
    async with context.database.driver() as connection:
        records = await connection.fetch(_OPENED, context.now - STALE, context.now - SAME_FAULT)
    return [_from_record(record) for record in records]


def _from_record(record: "asyncpg.Record") -> OpenAnomaly:
    satellite = record["satellite_id"]
    return OpenAnomaly(
        record["id"],
        record["started_at"],
        record["detected_at"],
        record["kind"] == TargetKind.LINK,
        frozenset(record["links"]),
        record["site_id"],
        record["network_id"],
        record["hub_id"],
        None if satellite is None else (satellite, record["transponder"]),
    )


_OPENED: Final = """
SELECT anomalies.id, kind, started_at, detected_at, networks.id AS network_id, satellite_id, transponder,
  coalesce(links.site_id, sites.id) AS site_id, coalesce(hub_id, sites.id) AS hub_id,
  CASE WHEN links.id IS NULL THEN ARRAY(SELECT id FROM links WHERE site_id = sites.id) ELSE ARRAY[links.id] END AS links
FROM anomalies LEFT JOIN links ON kind = 'LINK' AND links.id = target_id
LEFT JOIN networks ON networks.id = CASE kind WHEN 'NETWORK' THEN target_id ELSE links.network_id END
LEFT JOIN sites ON kind = 'SITE' AND sites.id = target_id
WHERE analysis_id IS NULL AND started_at >= $1 AND detected_at >= $2
ORDER BY started_at, anomalies.id"""
