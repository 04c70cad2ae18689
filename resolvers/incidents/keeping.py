"""Stores what the correlator decided, in one transaction, and tells of it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ml.detection.episodes import Severity
from resolvers.context import Context
from resolvers.incidents.changes import IncidentChange, publish_changes, record_change
from resolvers.incidents.conflicts import lock_incidents
from resolvers.incidents.evidence import LiveAnomaly, load_members
from resolvers.incidents.explanation import build_analysis, explain_incident, title_incident
from resolvers.incidents.holding import HELD, NEVER_TOLD, TOLD_NOW, is_doubtful, is_held
from resolvers.incidents.places import join_echoes
from resolvers.incidents.plan import Change, LiveIncident, Plan
from resolvers.incidents.regrouping import merge_into
from resolvers.incidents.summary import refresh_summaries
from resolvers.root_causes.analyzer import AnalysisResult
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.database import driver
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly
from resolvers.store.tables.incidents import LINGERS, Incident, IncidentKind, IncidentStatus

LOOK_AGAIN: Final = timedelta(seconds=15)  # after something new; then each time after a third of the time since
SETTLED: Final = timedelta(minutes=65)  # without anything new: more samples teach nothing, and it has its severity
CLOSELY: Final = timedelta(minutes=30)  # follow anomalies of history that are filed as one fault
WOKEN: Final = "no longer snoozed, as it became more severe"
WORSE: Final = "It became more severe."
WORSE_AND_WOKEN: Final = "It became more severe, and is no longer snoozed."


logger = structlog.get_logger(__name__)


@dataclass
class _Work:
    """What one transaction works on, and what it has to tell."""

    session: AsyncSession
    now: datetime
    incidents: dict[UUID, Incident]
    analysis_id: UUID | None = None
    changes: list[tuple[IncidentChange, Incident]] = field(default_factory=list)
    emptied: dict[UUID, UUID] = field(default_factory=dict)  # by incident, the one that its last anomaly went to

    def open(self, incident: Incident) -> None:
        """Tells that it opened, unless nobody is to be told yet."""
        self.tell(IncidentChange.OPENED, incident, None if incident.announced_at else HELD)

    def announce(self, incident: Incident) -> None:
        """Tells of an incident that was held back: that it opened is the first that anybody hears of it."""
        incident.announced_at = self.now
        self.tell(IncidentChange.UPDATED, incident, TOLD_NOW)
        self.changes = [entry for entry in self.changes if entry[1] is not incident]
        self.changes.append((IncidentChange.OPENED, incident))

    def tell(self, change: IncidentChange, incident: Incident, details: str | None = None) -> None:
        at = self.now + len(self.changes) * timedelta(microseconds=1)  # in one transaction, in their order
        record_change(self.session, incident, change, at, details=details)
        self.changes.append((change, incident))


async def apply_plan(
    context: Context,
    plan: Plan,
    live: Sequence[LiveIncident],
    anomalies: Sequence[LiveAnomaly],
    result: AnalysisResult | None,
    milliseconds: float,
) -> frozenset[UUID]:
    """Stores the plan; returns the incidents that it looked at, none if somebody else has changed one of them since.

    anomalies: those that were looked at, whether or not anything changes for them.
    """
    seen = {entry.id: entry.incident for entry in live}
    async with context.database.write() as session:
        work = _Work(session, context.now, await _lock(session, plan, {anomaly.incident_id for anomaly in anomalies}))
        are_same = not any(_has_moved(incident, seen[id]) for id, incident in work.incidents.items())
        if not are_same or not await _have_stayed(session, plan):
            logger.info("incidents were changed by somebody meanwhile, looking again", incidents=len(work.incidents))
            return frozenset()
        if result is not None and any(_says_new(change, seen) for change in plan.changes):
            analysis = build_analysis(result, anomalies, milliseconds)
            session.add(analysis)
            await session.flush()
            work.analysis_id = analysis.id
        await _apply(work, plan)
        for survivor in set(plan.merges.values()):
            losers = [work.incidents[loser] for loser, goes_on in plan.merges.items() if goes_on == survivor]
            _reopen_if_it_goes_on(work, work.incidents[survivor], losers)
            await merge_into(session, work.incidents[survivor], losers, work.now)
        await _look_again(work)
        await session.flush()
        await publish_changes(session, work.changes)
        for emptied, taker in work.emptied.items():
            await merge_into(session, work.incidents[taker], [work.incidents[emptied]], work.now)
    return frozenset(work.incidents)


async def _lock(session: AsyncSession, plan: Plan, looked_at: Collection[UUID | None]) -> dict[UUID, Incident]:
    ids = {change.incident for change in plan.changes} | set(plan.merges) | set(plan.merges.values()) | set(looked_at)
    ids |= {member.incident_id for change in plan.changes for member in change.members}
    return await lock_incidents(session, [id for id in ids if id])


def _has_moved(incident: Incident, seen: Incident) -> bool:
    return incident.merged_into_id != seen.merged_into_id or incident.status is not seen.status


async def _have_stayed(session: AsyncSession, plan: Plan) -> bool:
    """Locks the anomalies that would move; returns whether each is where it was when it was read.

    Else a person has split them off meanwhile, or another process has given them an incident: one that lost the
    connection which holds the advisory lock believes that the work is still its own.
    """
    read = {member.id: member.incident_id for change in plan.changes for member in change.members}
    query = select(Anomaly.id, Anomaly.incident_id).where(is_among(Anomaly.id, list(read))).order_by(Anomaly.id)
    rows = await session.execute(query.with_for_update(key_share=True))
    return all(read[id] == incident_id for id, incident_id in rows)


def _says_new(change: Change, seen: Mapping[UUID, Incident]) -> bool:
    """Returns whether the change has an explanation that its incident does not have yet."""
    if change.pattern is None or change.incident is None:
        return change.pattern is not None
    before = seen[change.incident].pattern
    return before is None or (before.cause, before.culprit) != (change.pattern.cause, change.pattern.culprit)


async def _apply(work: _Work, plan: Plan) -> None:
    """Moves the anomalies, takes the explanations over, and tells what is new."""
    targets = [_find_target(work, change) for change in plan.changes]
    before = {id: incident.severity for id, incident in work.incidents.items()}
    links = {id: incident.affected_link_count for id, incident in work.incidents.items()}
    await work.session.flush()
    has_learned = [await _take_over(work, change, target) for change, target in zip(plan.changes, targets, strict=True)]
    left = [_list_left(work, change, plan.merges) for change in plan.changes]
    concerned = {incident.id: incident for incident in [*targets, *(source for sources in left for source in sources)]}
    await refresh_summaries(work.session, list(concerned.values()))
    emptied = await _find_empty(work.session, {source.id for sources in left for source in sources})
    for change, target, learned, sources in zip(plan.changes, targets, has_learned, left, strict=True):
        if learned or change.members or target.affected_link_count != links[target.id]:
            target.title = await title_incident(work.session, target, change.members)
        _tell_change(work, change, target, before[target.id], has_learned=learned)
        for source in sources:
            if source.id in emptied:
                work.emptied[source.id] = target.id
                continue
            work.tell(IncidentChange.SPLIT, source, f"Some of its anomalies are of another fault: {target.title}.")


def _find_target(work: _Work, change: Change) -> Incident:
    """Returns the incident that the change is of, opened if it is to be a new one."""
    return _open_incident(work, change.members) if change.incident is None else work.incidents[change.incident]


async def _take_over(work: _Work, change: Change, incident: Incident) -> bool:
    """Gives the incident the change's anomalies and explanation; returns whether people learn anything from that."""
    await _move(work, change.members, incident)
    if change.pattern is None:
        return False
    incident.analysis_id = work.analysis_id or incident.analysis_id
    return explain_incident(incident, change.pattern)


def _list_left(work: _Work, change: Change, merges: Collection[UUID]) -> list[Incident]:
    """Returns the incidents that lose anomalies to this one, and go on without them."""
    return [work.incidents[id] for id in {member.incident_id for member in change.members} if id and id not in merges]


async def _find_empty(session: AsyncSession, incidents: Collection[UUID]) -> set[UUID]:
    """Returns those of the incidents that have no anomaly left."""
    query = select(Anomaly.incident_id).where(is_among(Anomaly.incident_id, incidents)).distinct()
    return set(incidents) - set(await session.scalars(query)) if incidents else set()


def _tell_change(work: _Work, change: Change, incident: Incident, before: Severity, *, has_learned: bool) -> None:
    if change.incident is None:
        work.open(incident)
    elif incident.status is IncidentStatus.RESOLVED and any(member.ended_at is None for member in change.members):
        _reopen(incident)
        work.tell(IncidentChange.REOPENED, incident, WORSE_AND_WOKEN if _wake_if_worse(incident, before) else None)
    elif change.members or has_learned or incident.severity.rank > before.rank:
        has_woken = _wake_if_worse(incident, before)
        work.tell(IncidentChange.UPDATED, incident, _describe(change.members, has_learned, has_woken=has_woken))


def _open_incident(work: _Work, members: Sequence[LiveAnomaly]) -> Incident:
    incident = Incident(
        id=uuid7(),
        kind=IncidentKind.NO_TELEMETRY if all(member.collector for member in members) else IncidentKind.FAULT,
        severity=max((member.severity for member in members), key=lambda level: level.rank),
        title="",
        status=IncidentStatus.OPEN,
        started_at=min(member.started_at for member in members),
        detected_at=min(member.detected_at for member in members),
        announced_at=None if is_doubtful(members, work.now) else work.now,
        last_changed_at=work.now,
        reopened_count=0,
        affected_link_count=0,
        is_historical=False,
    )
    work.session.add(incident)
    work.incidents[incident.id] = incident
    return incident


async def _move(work: _Work, members: Iterable[LiveAnomaly], incident: Incident) -> None:
    ids = [member.id for member in members]
    if ids:
        values = {"incident_id": incident.id} | ({"analysis_id": work.analysis_id} if work.analysis_id else {})
        await work.session.execute(update(Anomaly).where(is_among(Anomaly.id, ids)).values(values))


def _reopen(incident: Incident) -> None:
    incident.status = IncidentStatus.OPEN if incident.owner_id is None else IncidentStatus.ACKNOWLEDGED
    incident.reopened_count += 1


def _reopen_if_it_goes_on(work: _Work, survivor: Incident, losers: Sequence[Incident]) -> None:
    """Reopens an incident that was over where it takes in one that lasts: its fault came back."""
    lasts = any(loser.status is not IncidentStatus.RESOLVED and loser.ended_at is None for loser in losers)
    if survivor.status is IncidentStatus.RESOLVED and lasts:
        _reopen(survivor)
        work.tell(IncidentChange.REOPENED, survivor)


def _describe(joining: Sequence[LiveAnomaly], has_learned: bool, *, has_woken: bool) -> str | None:
    said = [f"{len(joining)} more anomalies" if len(joining) > 1 else "1 more anomaly"] if joining else []
    said += ["another explanation"] if has_learned else []
    return ", ".join([*said, *([WOKEN] if has_woken else [])]) or None


def _wake_if_worse(incident: Incident, before: Severity) -> bool:
    """Ends the snooze of an incident that became more severe; returns whether it did.

    Whoever snoozed it decided so about what it was then. That a severe anomaly has ended makes it no worse.
    """
    is_worse = incident.ended_at is None and incident.severity.rank > before.rank
    if not is_worse or incident.snoozed_until is None:
        return False
    incident.snoozed_until = None
    return True


async def _look_again(work: _Work) -> None:
    """Tells of incidents that became worse, and notes when to look at each next."""
    told = {incident.id for _, incident in work.changes}
    untold = [
        incident
        for id, incident in work.incidents.items()
        if id not in told and incident.status is not IncidentStatus.RESOLVED
    ]
    for incident, before in await _refresh(work.session, untold):
        work.tell(IncidentChange.UPDATED, incident, WORSE_AND_WOKEN if _wake_if_worse(incident, before) else WORSE)
    await _announce_held(work)
    for incident in work.incidents.values():
        incident.due_at = _next_due(incident, work.now)


async def _announce_held(work: _Work) -> None:
    """Tells of incidents that were held back, once they are more than that."""
    held = {id: incident for id, incident in work.incidents.items() if _is_untold(incident)}
    members = defaultdict[UUID | None, list[LiveAnomaly]](list)
    for member in await load_members(await driver(work.session), list(held)) if held else ():
        members[member.incident_id].append(member)
    for id, incident in held.items():
        if not is_held(incident, members[id], work.now):
            work.announce(incident)


def _is_untold(incident: Incident) -> bool:
    is_live = incident.status is not IncidentStatus.RESOLVED and incident.merged_into_id is None
    return is_live and incident.announced_at is None and not incident.is_historical


async def _refresh(session: AsyncSession, incidents: Sequence[Incident]) -> list[tuple[Incident, Severity]]:
    """Refreshes summaries; returns the incidents that became more severe, and what they were."""
    severities = [incident.severity for incident in incidents]
    await refresh_summaries(session, incidents)
    pairs = zip(incidents, severities, strict=True)
    return [(incident, before) for incident, before in pairs if incident.severity.rank > before.rank]


def _next_due(incident: Incident, now: datetime) -> datetime | None:
    """Returns when more samples may teach something: soon after something new, then ever later."""
    quiet = now - incident.last_changed_at
    is_fault = incident.kind is IncidentKind.FAULT  # a quiet collector's streams have nothing to be analysed
    is_settled = not is_fault or incident.status is IncidentStatus.RESOLVED or quiet >= SETTLED
    pause = LOOK_AGAIN if incident.announced_at is None else max(LOOK_AGAIN, quiet / 3)
    return None if is_settled else now + pause


# ---------------------------------------------------------------- ending


async def close_ended(context: Context) -> int:
    """Resolves incidents of which no anomaly has lasted for a while, and raises the severity of others."""
    async with context.database.write() as session:
        work = _Work(session, context.now, {})
        stale = await _load_stale(session, work.now)
        were_over = {incident.id for incident in stale if incident.ended_at is not None}
        worse = {incident.id: before for incident, before in await _refresh(session, stale)}
        for incident in stale:
            if _is_quiet(incident, work.now):
                incident.status, incident.due_at = IncidentStatus.RESOLVED, None
                NEVER_TOLD.inc(incident.announced_at is None)
                work.tell(IncidentChange.RESOLVED, incident, "Everything behaves as usual again.")
            elif incident.id in worse or (incident.ended_at is None and incident.id in were_over):
                has_woken = incident.id in worse and _wake_if_worse(incident, worse[incident.id])
                work.tell(IncidentChange.UPDATED, incident, WORSE_AND_WOKEN if has_woken else None)
        await session.flush()
        await publish_changes(session, work.changes)
    return len(work.changes)


def _is_quiet(incident: Incident, now: datetime) -> bool:
    """Returns whether nothing has lasted for a while; nor, where it was reopened once, has anything happened to it."""
    if incident.ended_at is None:
        return False
    since = max(incident.ended_at, incident.last_changed_at) if incident.reopened_count else incident.ended_at
    return now - since >= LINGERS


async def _load_stale(session: AsyncSession, now: datetime) -> list[Incident]:
    """Returns the unresolved incidents that have ended, or that say less than their anomalies."""
    lasts = func.bool_or(Anomaly.ended_at.is_(None))
    worst = func.max(Anomaly.severity).filter(Anomaly.ended_at.is_(None))
    has_ended = ~lasts & or_(Incident.ended_at.is_(None), Incident.ended_at <= now - LINGERS)
    changed = (
        select(Anomaly.incident_id)
        .join(Incident, Incident.id == Anomaly.incident_id)
        .where(Incident.status != IncidentStatus.RESOLVED)
        .group_by(Anomaly.incident_id, Incident.severity, Incident.ended_at)
        .having(or_(has_ended, worst > Incident.severity, lasts & Incident.ended_at.is_not(None)))
    )
    # Not those that somebody resolves while we wait for their lock.
    is_stale = (Incident.id.in_(changed), Incident.status != IncidentStatus.RESOLVED)
    query = select(Incident).where(*is_stale).order_by(Incident.id)
    return list(await session.scalars(query.with_for_update(key_share=True)))


# ---------------------------------------------------------------- history


async def file_historical(context: Context, anomalies: Sequence[LiveAnomaly]) -> int:
    """Makes closed incidents of imported history, of which nobody is told; returns the number of anomalies."""
    if not anomalies:
        return 0
    async with context.database.write() as session:
        anomalies = await _lock_new(session, anomalies)
        work = _Work(session, context.now, {})
        groups = [(_open_incident(work, members), members) for members in _group_history(anomalies)]
        for incident, _ in groups:
            incident.is_historical, incident.status, incident.announced_at = True, IncidentStatus.RESOLVED, None
        await session.flush()
        for incident, members in groups:
            await _move(work, members, incident)
        await refresh_summaries(session, [incident for incident, _ in groups])
        for incident, members in groups:
            incident.title = await title_incident(session, incident, members)
            work.tell(IncidentChange.OPENED, incident, "Found in imported history.")
    return len(anomalies)


async def _lock_new(session: AsyncSession, anomalies: Sequence[LiveAnomaly]) -> list[LiveAnomaly]:
    """Locks the anomalies; returns those that have no incident still."""
    is_new = (is_among(Anomaly.id, [anomaly.id for anomaly in anomalies]), Anomaly.incident_id.is_(None))
    query = select(Anomaly.id).where(*is_new).order_by(Anomaly.id).with_for_update(key_share=True)
    new = set(await session.scalars(query))
    return [anomaly for anomaly in anomalies if anomaly.id in new]


def _group_history(anomalies: Sequence[LiveAnomaly]) -> list[list[LiveAnomaly]]:
    """Returns the anomalies of one network, or of one target outside of any, that follow each other closely.

    A hub's own go with those of a network behind it that began with them.
    """
    groups: list[list[LiveAnomaly]] = []
    latest: dict[object, tuple[datetime, list[LiveAnomaly]]] = {}
    for anomaly in sorted(anomalies, key=lambda each: each.started_at):
        place = anomaly.network if anomaly.network is not None else anomaly.target
        until, members = latest.get(place, (anomaly.started_at - 2 * CLOSELY, []))
        if anomaly.started_at - until > CLOSELY:
            members = []
            groups.append(members)
        members.append(anomaly)
        latest[place] = (max(until, anomaly.ended_at or anomaly.last_seen_at), members)
    return join_echoes(groups)
