"""Recommendations of incidents: made for what is known now, and closed with the incident, each in one transaction."""

from collections.abc import Container, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.recommendation.advice import Rankers
from resolvers.base.errors import NotFound
from resolvers.recommendations.incident_states import STATE, is_open, select_to_close
from resolvers.recommendations.recommender import recommend, supersede
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import Anomaly, AuditEntry
from resolvers.store.tables.incidents import Incident, IncidentStatus
from resolvers.store.tables.recommendations import Recommendation, SupersededReason

# Written out, not bound: only so does PostgreSQL see that a partial index holds them.
IS_PENDING: Final = (Recommendation.superseded_at.is_(None), Recommendation.outcome.in_(("PENDING",)))


async def recommend_for_incident(
    session: AsyncSession, incident_id: UUID, rankers: Rankers, by: int | None, now: datetime
) -> list[Recommendation]:
    """Returns the incident's recommendations, best first, as of its present state; none where too little is known.

    Those of the one that it was merged into, if it was.

    What somebody asks for of an incident that is over is made, too, and stays. Raises NotFound.
    """
    query = select(Incident, STATE).where(Incident.id == incident_id).with_for_update(key_share=True, of=Incident)
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise NotFound("incident")
    incident, state = found
    if incident.merged_into_id is not None:
        return await recommend_for_incident(session, incident.merged_into_id, rankers, by, now)
    rows = await recommend(session, incident, rankers, by, now, state)
    if is_open(incident, now):
        incident.advised_for = state
    return rows


async def close_recommendations(session: AsyncSession, most: int, now: datetime) -> int:
    """Supersedes what nobody took up for incidents that are over; returns the number of incidents, at most `most`."""
    query = select_to_close(now).limit(most).with_for_update(key_share=True, skip_locked=True)
    incidents = {row.id: row for row in await session.scalars(query)}
    if not incidents:
        return 0
    by_people = await _list_resolved_by_people(session, list(incidents))
    pending = select(Recommendation).where(is_among(Recommendation.incident_id, incidents), *IS_PENDING)
    by_reason = dict[SupersededReason, list[Recommendation]]()
    for row in await session.scalars(pending.order_by(Recommendation.id).with_for_update()):
        by_reason.setdefault(_find_reason(incidents[row.incident_id], by_people), []).append(row)
    for reason, rows in by_reason.items():
        supersede(session, rows, reason, None, now)
    for incident in incidents.values():
        incident.advised_for = None
    return len(incidents)


async def _list_resolved_by_people(session: AsyncSession, incidents: Sequence[UUID]) -> set[UUID]:
    """Returns those of the incidents that somebody resolved; the others ended by themselves."""
    query = (
        select(AuditEntry.subject_id, AuditEntry.by_id)
        .where(is_among(AuditEntry.subject_id, incidents), AuditEntry.action == IncidentStatus.RESOLVED)
        .order_by(AuditEntry.id)
    )
    latest = {row.subject_id: row.by_id for row in await session.execute(query)}
    return {incident for incident, by in latest.items() if by is not None}


def _find_reason(incident: Incident, by_people: Container[UUID]) -> SupersededReason:
    if incident.merged_into_id is not None:
        return SupersededReason.MERGED
    return SupersededReason.RESOLVED if incident.id in by_people else SupersededReason.ENDED


async def supersede_joined(session: AsyncSession, most: int, now: datetime) -> int:
    """Supersedes what was recommended for single anomalies whose incident has recommendations by now."""
    query = (
        select(Recommendation)
        .join(Anomaly, Anomaly.id == Recommendation.anomaly_id)
        .join(Incident, Incident.id == Anomaly.incident_id)
        .where(Recommendation.anomaly_id.is_not(None), *IS_PENDING, Incident.advised_for.is_not(None))
        .order_by(Recommendation.id)
        .limit(most)
        .with_for_update(of=Recommendation)
    )
    rows = (await session.scalars(query)).all()
    supersede(session, rows, SupersededReason.JOINED, None, now)
    return len(rows)
