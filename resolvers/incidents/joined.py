"""Follows what late samples did to anomalies: joins their incidents, and reopens those that were not over."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.context import Context
from resolvers.incidents.changes import IncidentChange, publish_changes, record_change
from resolvers.incidents.conflicts import lock_incidents
from resolvers.incidents.keeping import LOOK_AGAIN
from resolvers.incidents.regrouping import merge_into
from resolvers.incidents.summary import refresh_summaries
from resolvers.store.postgres.database import driver
from resolvers.store.tables.core import Anomaly
from resolvers.store.tables.incidents import IncidentStatus

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

WENT_ON: Final = "Late samples show that it went on."


@dataclass(frozen=True)
class _Joined:
    """An anomaly that was joined to another one, and their incidents. is_alone: no other keeps an incident going."""

    first: UUID
    other: UUID
    incident: UUID
    other_incident: UUID | None
    is_first_alone: bool
    is_other_alone: bool


async def follow_joined(context: Context) -> None:
    """Does what is due: rows say what that is, so that nothing is forgotten whatever happens between two rounds."""
    async with context.database.driver() as connection:
        is_due = await connection.fetchval(f"SELECT EXISTS ({_JOINED}) OR EXISTS ({_REVIVED})")
    if not is_due:
        return
    async with context.database.write() as session:
        for joined in await _load_joined(await driver(session)):
            await _follow(session, context, joined)
        await _reopen_revived(session, context)


async def _load_joined(connection: "Connection") -> list[_Joined]:
    return [_Joined(**record) for record in await connection.fetch(f"{_JOINED} ORDER BY other.id")]


async def _follow(session: AsyncSession, context: Context, joined: _Joined) -> None:
    """Moves the anomaly to the incident of the one that it is part of; merges what would be left without any.

    An incident that is over goes to one that people work on, not the other way round.
    """
    if joined.other_incident is None:
        await _move(session, joined.other, joined.incident)
        return
    rows = await lock_incidents(session, [joined.incident, joined.other_incident])
    incident, other = rows[joined.incident], rows[joined.other_incident]
    is_live = incident.status is not IncidentStatus.RESOLVED or other.status is IncidentStatus.RESOLVED
    survivor, source, is_alone, moved = (
        (incident, other, joined.is_other_alone, joined.other)
        if is_live
        else (other, incident, joined.is_first_alone, joined.first)
    )
    if is_alone and source.merged_into_id is None and survivor.merged_into_id is None:
        await merge_into(session, survivor, [source], context.now)
    else:
        await _move(session, moved, survivor.id)
        await refresh_summaries(session, [survivor, source])


async def _move(session: AsyncSession, anomaly: UUID, incident: UUID) -> None:
    query = update(Anomaly).where(or_(Anomaly.id == anomaly, Anomaly.merged_into_id == anomaly))
    await session.execute(query.values(incident_id=incident), execution_options={"synchronize_session": False})


async def _reopen_revived(session: AsyncSession, context: Context) -> None:
    """Reopens incidents that were over, and of which an anomaly lasts after all."""
    connection = await driver(session)
    ids = sorted({record["incident_id"] for record in await connection.fetch(_REVIVED)})
    rows = await lock_incidents(session, ids) if ids else {}
    for incident in rows.values():
        incident.status = IncidentStatus.OPEN if incident.owner_id is None else IncidentStatus.ACKNOWLEDGED
        incident.reopened_count += 1
        incident.due_at = context.now + LOOK_AGAIN
        record_change(session, incident, IncidentChange.REOPENED, context.now, details=WENT_ON)
    await refresh_summaries(session, list(rows.values()))
    await publish_changes(session, [(IncidentChange.REOPENED, incident) for incident in rows.values()])


_OTHERS: Final = """NOT EXISTS (SELECT FROM anomalies AS own WHERE own.incident_id = {}.incident_id
    AND own.id <> {}.id AND own.merged_into_id IS NULL AND own.withdrawn_at IS NULL)"""
_JOINED: Final = f"""
SELECT first.id AS first, other.id AS other, first.incident_id AS incident, other.incident_id AS other_incident,
  {_OTHERS.format("first", "first")} AS is_first_alone, {_OTHERS.format("other", "other")} AS is_other_alone
FROM anomalies AS other JOIN anomalies AS first ON first.id = other.merged_into_id
WHERE other.merged_into_id IS NOT NULL AND first.incident_id IS NOT NULL
  AND other.incident_id IS DISTINCT FROM first.incident_id"""  # noqa: S608
_REVIVED: Final = """
SELECT anomalies.incident_id FROM anomalies JOIN incidents ON incidents.id = incident_id
WHERE anomalies.ended_at IS NULL AND incidents.status = 'RESOLVED' AND incidents.merged_into_id IS NULL
  AND NOT incidents.is_historical AND NOT anomalies.is_historical"""
