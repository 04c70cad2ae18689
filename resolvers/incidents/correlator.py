"""The worker that makes incidents of anomalies: it gathers, explains, partitions, reconciles and tells.

All that it knows is rows: an anomaly without an incident is new, an incident that is due is analysed again. So it
catches up with whatever happened while no process ran, and a round that fails leaves nothing half done.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from resolvers.base.access import SYSTEM
from resolvers.base.worker import Worker
from resolvers.context import Context, Services
from resolvers.detection import anomalies as detected
from resolvers.incidents.evidence import LiveAnomaly, load_live_incidents, load_members, load_new
from resolvers.incidents.explanation import explain_links
from resolvers.incidents.gathering import is_gathered
from resolvers.incidents.keeping import apply_plan, close_ended, file_historical
from resolvers.incidents.partition import find_neighbourhoods, links_of, partition
from resolvers.incidents.reconciliation import LiveIncident, reconcile
from resolvers.root_causes.analyzer import AnalysisResult
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.tables.incidents import Incident

AT_ONCE: Final = 20_000  # new anomalies of a round
COMES_BACK: Final = timedelta(minutes=30)  # within which a fault that is over is the same one when it comes back
LOOK_SECONDS: Final = 2.0  # should nothing happen
SETTLE_SECONDS: Final = 0.2
DEADLINE_SECONDS: Final = 600.0

logger = structlog.get_logger(__name__)

Explain = Callable[[Context, Sequence[int], datetime], Awaitable[AnalysisResult | None]]


def build_worker(services: Services, *, analyses: bool = True) -> Worker:
    """Returns the worker that keeps incidents. analyses: whether it runs the analysis of root causes."""
    explain = explain_links if analyses else explain_nothing
    worker = Worker(
        "incidents",
        lambda: correlate(services, explain),
        every_seconds=LOOK_SECONDS,
        settle_seconds=SETTLE_SECONDS,
        deadline_seconds=DEADLINE_SECONDS,
    )
    services.feed.add_hook(detected.TOPIC, worker.wake)
    return worker


async def explain_nothing(context: Context, links: Sequence[int], started_at: datetime) -> AnalysisResult | None:
    return None


async def correlate(services: Services, explain: Explain = explain_links) -> int:
    """Does all that is due; returns how many anomalies found their incident: 0 while another process does the work."""
    async with single_runner(services.database, AdvisoryLock.INCIDENTS) as is_ours:
        return await _correlate(Context(services, SYSTEM), explain) if is_ours else 0


async def _correlate(context: Context, explain: Explain) -> int:
    async with context.database.driver() as connection:
        new = await load_new(connection, AT_ONCE)
    filed = await file_historical(context, [anomaly for anomaly in new if anomaly.is_historical])
    new = [anomaly for anomaly in new if not anomaly.is_historical]
    live = await _load_live(context)
    due = [entry for entry in live if entry.incident.due_at and entry.incident.due_at <= context.now]
    unsettled = [member for entry in live if entry.incident.due_at for member in entry.members]
    changed = False
    for neighbourhood in find_neighbourhoods([*new, *unsettled]):
        fresh = [anomaly for anomaly in neighbourhood if anomaly.incident_id is None]
        is_due = not {member.incident_id for member in neighbourhood}.isdisjoint(entry.incident.id for entry in due)
        if (fresh and await is_gathered(context, fresh)) or (is_due and not fresh):
            changed = await _settle(context, explain, neighbourhood, live) or changed
            filed += len(fresh)
            live = await _load_live(context) if changed else live
    await close_ended(context)
    return filed


async def _load_live(context: Context) -> list[LiveIncident]:
    """Returns the incidents that an anomaly may belong to, with their anomalies."""
    async with context.database.read() as session:
        incidents = await load_live_incidents(session, context.now - COMES_BACK)
    async with context.database.driver() as connection:
        members = await load_members(connection, [incident.id for incident in incidents])
    by_id: dict[UUID, list[LiveAnomaly]] = {incident.id: [] for incident in incidents}
    for member in members:
        if member.incident_id is not None:
            by_id[member.incident_id].append(member)
    return [LiveIncident(incident, tuple(by_id[incident.id])) for incident in incidents]


async def _settle(context: Context, explain: Explain, anomalies: list[LiveAnomaly], live: list[LiveIncident]) -> bool:
    """Explains the anomalies, and gives each its incident; returns whether that could be stored."""
    since = _find_start(anomalies, {entry.incident.id: entry.incident for entry in live})
    links, began = links_of(anomalies), time.perf_counter()
    result = await explain(context, links, since) if links else None
    patterns = result.patterns if result else ()
    plan = reconcile(partition(anomalies, patterns), live)
    milliseconds = 1000.0 * (time.perf_counter() - began)
    return await apply_plan(context, plan, live, result, milliseconds)


def _find_start(anomalies: Sequence[LiveAnomaly], incidents: dict[UUID, Incident]) -> datetime:
    """Returns when what is to be explained began: the new anomalies, or the incidents that are looked at again."""
    fresh = [anomaly.started_at for anomaly in anomalies if anomaly.incident_id is None]
    return min(fresh or [incidents[anomaly.incident_id].started_at for anomaly in anomalies if anomaly.incident_id])
