"""The worker that recommends by itself: for severe anomalies as ingest opens them, and for automatic analyses.

It reads from the tables what is due, not from events, and so catches up with what happened while no process ran.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import exists, func, or_, select

from ml.detection.episodes import Severity
from resolvers.base.access import SYSTEM
from resolvers.base.worker import Worker
from resolvers.context import Context, Services
from resolvers.detection import anomalies
from resolvers.recommendations.recommendations import propose
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.core import Anomaly
from resolvers.store.tables.recommendations import Recommendation

LEAST_SEVERITY: Final = Severity.HIGH
STALE: Final = timedelta(hours=2)  # since it ended, or the analysis was made: history that somebody imports wants none
AT_ONCE: Final = 100
LOOK_SECONDS: Final = 60.0  # should nothing happen
DEADLINE_SECONDS: Final = 1800.0

Due = tuple[type[Anomaly] | type[CorrelationAnalysis], UUID]


def build_worker(services: Services) -> Worker:
    """Returns the worker that recommends when anomalies change."""
    worker = Worker(
        "automatic recommendations",
        lambda: recommend_due(services),
        every_seconds=LOOK_SECONDS,
        deadline_seconds=DEADLINE_SECONDS,
    )
    services.feed.add_hook(anomalies.TOPIC, worker.wake)
    return worker


async def recommend_due(services: Services) -> int:
    """Recommends for all that is due; returns for how many subjects: 0 while another process does the work."""
    done = set[Due]()
    async with single_runner(services.database, AdvisoryLock.AUTOMATIC_RECOMMENDATIONS) as mine:
        while mine and (due := [each for each in await _load_due(Context(services, SYSTEM)) if each not in done]):
            for subject in due:
                await propose(Context(services, SYSTEM), *subject, None)
            done.update(due)
    return len(done)


async def _load_due(context: Context) -> list[Due]:
    """Returns anomalies, the worst first, and then analyses."""
    recent = context.now - STALE
    severe = (
        select(Anomaly.id)
        .where(Anomaly.severity >= LEAST_SEVERITY, or_(Anomaly.ended_at.is_(None), Anomaly.ended_at >= recent))
        .where(~exists().where(Recommendation.anomaly_id == Anomaly.id))
        .order_by(Anomaly.severity.desc(), Anomaly.detected_at)
    )
    automatic = (
        select(CorrelationAnalysis.id)
        .where(CorrelationAnalysis.requested_by_id.is_(None), CorrelationAnalysis.created_at >= recent)
        .where(func.jsonb_array_length(CorrelationAnalysis.patterns) > 0)
        .where(~exists().where(Recommendation.subject_id == CorrelationAnalysis.id))
    )
    async with context.database.read() as session:
        due: list[Due] = [(Anomaly, key) for key in await session.scalars(severe.limit(AT_ONCE))]
        return due + [(CorrelationAnalysis, key) for key in await session.scalars(automatic.limit(AT_ONCE))]
