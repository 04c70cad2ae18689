"""Merging incidents that are one fault, and splitting one that is several."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.base.errors import InvalidInput, NotFound
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.incidents.changes import IncidentChange, publish_changes, record_change
from resolvers.incidents.conflicts import check_status, lock_incidents
from resolvers.incidents.evidence import load_members
from resolvers.incidents.explanation import title_incident
from resolvers.incidents.recommendations import move_recommendations
from resolvers.incidents.summary import refresh_summaries
from resolvers.incidents.workflow import UNRESOLVED
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.database import driver
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly
from resolvers.store.tables.incidents import Incident, IncidentStatus

LONGEST_LIST: Final = 5  # titles in a sentence

# ---------------------------------------------------------------- merging


async def merge(context: Context, into: UUID, ids: Sequence[UUID], note: str | None) -> Incident:
    """Merges incidents into another one, and returns that. Raises InvalidInput, NotFound, Conflict."""
    caller = context.require(Role.OPERATOR, "merge incidents")
    if not ids:
        raise InvalidInput("Name at least one incident to merge.", ["ids"])
    if into in ids:
        raise InvalidInput("An incident cannot be merged into itself.", ["ids", str(ids.index(into))])
    async with context.database.write() as session:
        rows = await lock_incidents(session, [into, *ids])
        if into not in rows:
            raise NotFound("incident")
        for index, id in enumerate(ids):
            if id not in rows:
                raise InvalidInput("There is no such incident.", ["ids", str(index)])
        await check_status(session, list(rows.values()), UNRESOLVED, caller.author_id)
        survivor = rows.pop(into)
        await merge_into(session, survivor, list(rows.values()), context.now, caller.author_id, note)
    return survivor


async def merge_into(
    session: AsyncSession,
    survivor: Incident,
    others: Sequence[Incident],
    now: datetime,
    by: int | None = None,
    note: str | None = None,
) -> None:
    """Moves all that belongs to some locked incidents to another one, and tells of it.

    Those that were merged into one of them before point to the survivor, too: no chain gets longer than one step. When
    a person does it, none of them is analysed again for what it has now, which could undo it.
    """
    ids = [other.id for other in others]
    has_usual_title = survivor.title == await _make_usual_title(session, survivor)
    if survivor.announced_at is None and any(other.announced_at for other in others):
        survivor.announced_at = now
    for other in others:
        other.status, other.merged_into_id = IncidentStatus.RESOLVED, survivor.id
        other.ended_at, other.snoozed_until, other.due_at = other.ended_at or now, None, None
    await session.flush()
    former = update(Incident).where(is_among(Incident.merged_into_id, ids))
    await session.execute(former.values(merged_into_id=survivor.id), execution_options={"synchronize_session": False})
    await _move_anomalies(session, Anomaly.incident_id, ids, survivor.id)
    await move_recommendations(session, survivor, ids, now, by)
    survivor.due_at = survivor.due_at if by is None else None
    await refresh_summaries(session, [survivor, *others])
    survivor.title = (has_usual_title and await _make_usual_title(session, survivor)) or survivor.title
    record_change(session, survivor, IncidentChange.MERGED, now, by, note, f"Of {_quote(others)}.")
    for other in others:
        record_change(session, other, IncidentChange.MERGED, now, by, note, f"Into {_quote([survivor])}.")
    await session.flush()
    await publish_changes(session, [(IncidentChange.MERGED, row) for row in (survivor, *others)])


# ---------------------------------------------------------------- splitting


async def split(context: Context, incident_id: UUID, anomaly_ids: Sequence[UUID], note: str | None) -> Incident:
    """Makes another incident of some anomalies, and returns that. Raises InvalidInput, NotFound, Conflict."""
    caller = context.require(Role.OPERATOR, "split incidents")
    if not anomaly_ids:
        raise InvalidInput("Name at least one anomaly to split off.", ["anomalies"])
    async with context.database.write() as session:
        rows = await lock_incidents(session, [incident_id])
        if incident_id not in rows:
            raise NotFound("incident")
        await check_status(session, list(rows.values()), UNRESOLVED, caller.author_id)
        incident = rows[incident_id]
        await _check_anomalies(session, incident, anomaly_ids)
        return await split_off(session, incident, anomaly_ids, context.now, caller.author_id, note)


async def _check_anomalies(session: AsyncSession, incident: Incident, wanted: Sequence[UUID]) -> None:
    """Raises InvalidInput for anomalies of other incidents, and if none would stay."""
    own = set(await session.scalars(select(Anomaly.id).where(Anomaly.incident_id == incident.id)))
    for index, id in enumerate(wanted):
        if id not in own:
            raise InvalidInput("This is not an anomaly of the incident.", ["anomalies", str(index)])
    if own == set(wanted):
        raise InvalidInput("At least one anomaly must stay with the incident.", ["anomalies"])


async def split_off(
    session: AsyncSession,
    incident: Incident,
    anomaly_ids: Sequence[UUID],
    now: datetime,
    by: int | None = None,
    note: str | None = None,
) -> Incident:
    """Returns a new incident of some anomalies of a locked one, and tells of it.

    When a person does it, neither is analysed again for what it has now, which could undo it.
    """
    other = Incident(
        id=uuid7(),
        kind=incident.kind,
        status=IncidentStatus.OPEN,
        severity=incident.severity,
        title=await _make_title(session, incident, anomaly_ids),
        started_at=incident.started_at,
        detected_at=now,
        announced_at=incident.announced_at and now,
        last_changed_at=now,
        is_historical=incident.is_historical,
    )
    has_usual_title, title = incident.title == await _make_usual_title(session, incident), _quote([incident])
    session.add(other)
    await session.flush()
    await _move_anomalies(session, Anomaly.id, anomaly_ids, other.id)
    incident.due_at = incident.due_at if by is None else None
    await refresh_summaries(session, [incident, other])
    incident.title = (has_usual_title and await _make_usual_title(session, incident)) or incident.title
    record_change(session, incident, IncidentChange.SPLIT, now, by, note, f"Into this and {_quote([other])}.")
    record_change(session, other, IncidentChange.OPENED, now, by)
    record_change(session, other, IncidentChange.SPLIT, now, by, note, f"From {title}.")
    await session.flush()
    opened = [(IncidentChange.OPENED, other), (IncidentChange.SPLIT, other)]
    await publish_changes(session, [(IncidentChange.SPLIT, incident), *opened])
    return other


async def _make_title(session: AsyncSession, incident: Incident, anomaly_ids: Sequence[UUID]) -> str:
    targets = select(Anomaly.kind, Anomaly.target_id).where(is_among(Anomaly.id, anomaly_ids)).distinct()
    number = await session.scalar(select(func.count()).select_from(targets.subquery()))
    what = "1 target" if number == 1 else f"{number} targets"
    return f"{what} split from “{incident.title}”"


async def _move_anomalies(session: AsyncSession, column: object, keys: Sequence[UUID], incident: UUID) -> None:
    query = update(Anomaly).where(is_among(column, keys)).values(incident_id=incident)
    await session.execute(query, execution_options={"synchronize_session": False})


async def _make_usual_title(session: AsyncSession, incident: Incident) -> str | None:
    """Returns the title that says what the incident is now, with the number of its links; None without anomalies."""
    members = await load_members(await driver(session), [incident.id])
    return await title_incident(session, incident, members) if members else None


def _quote(incidents: Sequence[Incident]) -> str:
    titles = [f"“{incident.title}”" for incident in incidents[:LONGEST_LIST]]
    more = len(incidents) - len(titles)
    return ", ".join([*titles, *([f"and {more} more"] if more else [])])
