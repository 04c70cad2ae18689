"""Analyses that nobody asked for: when anomalies open together, one for each fault, beside the ingest."""

from collections.abc import Sequence
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
from resolvers.root_causes.analyses import perform
from resolvers.root_causes.outbreaks import Opened, looked_at, outbreak
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

TOGETHER: Final = timedelta(minutes=10)  # between anomalies of one fault that open first
SAME_FAULT: Final = timedelta(minutes=30)  # in which later ones belong to the same analysis
STALE: Final = timedelta(hours=2)  # since it began: history that somebody imports wants no explanation now
LOOKBACK: Final = timedelta(hours=24)
SETTLE_SECONDS: Final = 20.0  # from an anomaly to the look: others of its fault open with it
LOOK_SECONDS: Final = 60.0  # should nothing happen
DEADLINE_SECONDS: Final = 1800.0

logger = structlog.get_logger(__name__)


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


async def analyze_due(services: Services) -> int:
    """All that is due; how many analyses that took. None where another process is at it."""
    async with single_runner(services.database, AdvisoryLock.AUTOMATIC_ANALYSES) as mine:
        return await _analyze(Context(services, SYSTEM)) if mine else 0


async def _analyze(context: Context) -> int:
    """First what earlier analyses explain; then what opened together since, and was not looked at."""
    known = await _made_since(context, context.now - SAME_FAULT)
    opened = await _opened(context)
    for analysis in known:
        opened = await _attach(context, analysis, opened)
    recent = [one for one in opened if one.detected_at >= context.now - TOGETHER]
    fresh = [one for one in recent if not looked_at(one, known, context.now)]
    done = 0
    while scope := outbreak(fresh):
        made = await _made(context, scope)
        if made:
            opened, done = await _attach(context, made, opened), done + 1
        fresh = [one for one in fresh if one in opened and not one.within(scope)]
    return done


async def _made_since(context: Context, since: datetime) -> Sequence[CorrelationAnalysis]:
    """Those that ran by themselves, newest first."""
    own = (CorrelationAnalysis.requested_by_id.is_(None), CorrelationAnalysis.created_at >= since)
    async with context.database.read() as session:
        query = select(CorrelationAnalysis).where(*own).order_by(CorrelationAnalysis.id.desc())
        return list(await session.scalars(query))


async def _made(context: Context, scope: Scope) -> CorrelationAnalysis | None:
    """Up to the newest sample. None where there is too little to look at, or too much."""
    async with context.database.driver() as connection:
        links = await analysis_scope.within(connection, scope)
        newest = await streams.find_newest(connection, TargetKind.LINK, links)
    end = min(context.now, newest + timedelta(milliseconds=1)) if newest else context.now
    try:
        analysis = await perform(context, SYSTEM, scope, end - LOOKBACK, end)
    except InvalidInput as error:
        logger.warning("an automatic analysis was not possible", scope=scope.of, key=scope.key, reason=error.message)
        return None
    found = [pattern.description for pattern in analysis.patterns]
    logger.info("an analysis ran by itself", scope=scope.of, key=scope.key, patterns=found)
    return analysis


async def _attach(context: Context, analysis: CorrelationAnalysis, opened: Sequence[Opened]) -> list[Opened]:
    """Those that it explains are told so; the others."""
    explained = {one.id for one in opened if any(one.explained_by(pattern) for pattern in analysis.patterns)}
    if explained:
        query = select(Anomaly).where(is_among(Anomaly.id, explained), Anomaly.analysis_id.is_(None))
        async with context.database.write() as session:
            rows = list(await session.scalars(query.order_by(Anomaly.id).with_for_update()))
            for row in rows:
                row.analysis_id = analysis.id
                session.add(AuditEntry(subject_id=row.id, action=f"{AnomalyChange.UPDATED}: EXPLAINED"))
            await session.flush()
            await publish_changes(session, [(AnomalyChange.UPDATED, row) for row in rows])
    return [one for one in opened if one.id not in explained]


# ---------------------------------------------------------------- what opened


async def _opened(context: Context) -> list[Opened]:
    """TtlCache, on whatever kind of target, and explained by nothing yet."""
    async with context.database.driver() as connection:
        records = await connection.fetch(_OPENED, context.now - STALE, context.now - SAME_FAULT)
    return [_one(record) for record in records]


def _one(record: "asyncpg.Record") -> Opened:
    satellite = record["satellite_id"]
    return Opened(
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
