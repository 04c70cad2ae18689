"""The worker that makes incidents of anomalies: it gathers, explains, matches and tells.

All that it knows is rows: an anomaly without an incident is new, an incident that is due is analysed again. So it
catches up with whatever happened while no process ran, and a round that fails leaves nothing half done.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter

from resolvers.base.access import SYSTEM
from resolvers.base.worker import Worker
from resolvers.context import Context, Services
from resolvers.detection import anomalies as detected
from resolvers.incidents.evidence import LiveAnomaly, load_live_incidents, load_members, load_new
from resolvers.incidents.explanation import explain_links
from resolvers.incidents.gathering import is_gathered
from resolvers.incidents.joined import follow_joined
from resolvers.incidents.keeping import apply_plan, close_ended, file_historical
from resolvers.incidents.matching import make_plan
from resolvers.incidents.ownership import release_incidents
from resolvers.incidents.places import find_neighbourhoods, links_of
from resolvers.incidents.plan import LiveIncident
from resolvers.incidents.telemetry_gaps import drop_telemetry_gaps
from resolvers.root_causes.analyzer import AnalysisResult
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner

AT_ONCE: Final = 20_000  # new anomalies of a round
COMES_BACK: Final = timedelta(minutes=15)  # within which a fault that is over is the same one when it comes back
RECURRING_FACTOR: Final = 3  # times as long for causes that come and go by their nature
LOOK_SECONDS: Final = 2.0  # should nothing happen
SETTLE_SECONDS: Final = 0.2
DEADLINE_SECONDS: Final = 600.0

FAILED_ANALYSES = Counter(
    "bcom_incident_analyses_failed_total",
    "Analyses of incidents that failed: these were told without an explanation. The log says why.",
)

logger = structlog.get_logger(__name__)

Explain = Callable[[Context, Sequence[int], datetime], Awaitable[AnalysisResult | None]]


def build_worker(services: Services, *, analyses: bool, reopen_minutes: float) -> Worker:
    """Returns the worker that keeps incidents.

    analyses: whether it runs the analysis of root causes.
    reopen_minutes: within which an incident that is over is reopened when its fault comes back.
    """
    comes_back = timedelta(minutes=reopen_minutes)
    explain = explain_links if analyses else explain_nothing
    worker = Worker(
        "incidents",
        lambda: correlate(services, explain, comes_back),
        every_seconds=LOOK_SECONDS,
        settle_seconds=SETTLE_SECONDS,
        deadline_seconds=DEADLINE_SECONDS,
    )
    services.feed.add_hook(detected.TOPIC, worker.wake)
    return worker


async def explain_nothing(context: Context, links: Sequence[int], started_at: datetime) -> AnalysisResult | None:
    return None


async def correlate(services: Services, explain: Explain = explain_links, comes_back: timedelta = COMES_BACK) -> int:
    """Does all that is due; returns how many anomalies found their incident: 0 while another process does the work."""
    async with single_runner(services.database, AdvisoryLock.INCIDENTS) as is_ours:
        return await _correlate(Context(services, SYSTEM), explain, comes_back) if is_ours else 0


async def _correlate(context: Context, explain: Explain, comes_back: timedelta) -> int:
    async with context.database.driver() as connection:
        new = await load_new(connection, AT_ONCE)
    await follow_joined(context)
    filed = await file_historical(context, [anomaly for anomaly in new if anomaly.is_historical])
    new = [anomaly for anomaly in new if not anomaly.is_historical]
    live = await _load_live(context, comes_back)
    unsettled = [member for entry in live if _is_unsettled(entry) for member in entry.members]
    failures = list[Exception]()
    for neighbourhood in find_neighbourhoods([*new, *unsettled]):
        fresh = [anomaly for anomaly in neighbourhood if anomaly.incident_id is None]
        ids = {member.incident_id for member in neighbourhood}
        is_due = any(entry.id in ids and _is_due(entry, context.now) for entry in live)
        if (fresh and await is_gathered(context, fresh)) or (is_due and not fresh):
            try:
                touched = await _settle(context, explain, neighbourhood, live)
            except Exception as error:  # noqa: BLE001  raised below: the others must not wait for what fails each time
                failures.append(error)
                touched = frozenset()
            filed += len(fresh) if touched else 0
            live = await _reload(context, comes_back, live, touched)
    await close_ended(context)
    await release_incidents(context)
    for failure in failures:
        raise failure
    return filed


def _is_unsettled(entry: LiveIncident) -> bool:
    return entry.incident.due_at is not None


def _is_due(entry: LiveIncident, now: datetime) -> bool:
    return entry.incident.due_at is not None and entry.incident.due_at <= now


async def _load_live(
    context: Context, comes_back: timedelta, among: Collection[UUID] | None = None
) -> list[LiveIncident]:
    """Returns the incidents that an anomaly may belong to, with their anomalies. among: to look at these only."""
    async with context.database.read() as session:
        now = context.now
        incidents = await load_live_incidents(session, now - comes_back, now - RECURRING_FACTOR * comes_back, among)
    async with context.database.driver() as connection:
        members = await load_members(connection, [incident.id for incident in incidents])
    by_id: dict[UUID, list[LiveAnomaly]] = {incident.id: [] for incident in incidents}
    for member in members:
        if member.incident_id is not None:
            by_id[member.incident_id].append(member)
    return [LiveIncident(incident, tuple(by_id[incident.id])) for incident in incidents]


async def _reload(
    context: Context, comes_back: timedelta, live: Sequence[LiveIncident], touched: Collection[UUID]
) -> list[LiveIncident]:
    """Returns the live incidents with those anew that were touched; all of them if somebody else was at them, too."""
    if not touched:
        return await _load_live(context, comes_back)
    kept = [entry for entry in live if entry.id not in touched]
    kept += await _load_live(context, comes_back, touched)
    return sorted(kept, key=lambda entry: (entry.incident.started_at, entry.id))


async def _settle(
    context: Context, explain: Explain, anomalies: Sequence[LiveAnomaly], live: Sequence[LiveIncident]
) -> frozenset[UUID]:
    """Explains the anomalies, and gives each its incident; returns the incidents concerned, none if it has to wait."""
    new = [anomaly for anomaly in anomalies if anomaly.incident_id is None]
    own = {anomaly.incident_id for anomaly in anomalies}
    going_on = [entry.incident.started_at for entry in live if entry.id in own]
    since = min([*(anomaly.started_at for anomaly in new), *going_on])  # a window must not begin within a fault
    links, began = links_of(anomalies), time.perf_counter()
    result = await _try_to_explain(context, explain, links, since) if links else None
    if result is not None:
        result = replace(result, patterns=await drop_telemetry_gaps(context, result.patterns))
    looked_at = [entry for entry in live if entry.id in own or not _is_unsettled(entry)]
    plan = make_plan(new, looked_at, result.patterns if result else ())
    return await apply_plan(context, plan, live, anomalies, result, 1000.0 * (time.perf_counter() - began))


async def _try_to_explain(
    context: Context, explain: Explain, links: Sequence[int], since: datetime
) -> AnalysisResult | None:
    """Returns the analysis, None where it failed: then the place decides, and people are told in any case."""
    try:
        return await explain(context, links, since)
    except Exception:
        FAILED_ANALYSES.inc()
        logger.exception("the analysis of an incident failed, so its anomalies go by their place", links=len(links))
        return None
