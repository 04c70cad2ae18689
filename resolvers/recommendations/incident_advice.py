"""Recommendations of incidents: made for what is known now, and closed with the incident, each in one transaction."""

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
from resolvers.store.tables.core import Anomaly
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
    if is_open(incident):
        incident.advised_for = state
    return rows


async def close_recommendations(session: AsyncSession, most: int, now: datetime) -> int:
    """Supersedes what nobody took up for incidents that are over; returns the number of incidents, at most `most`."""
    query = select_to_close().limit(most).with_for_update(key_share=True, skip_locked=True)
    incidents = {row.id: row for row in await session.scalars(query)}
    if not incidents:
        return 0
    pending = select(Recommendation).where(is_among(Recommendation.incident_id, incidents), *IS_PENDING)
    by_reason = dict[SupersededReason, list[Recommendation]]()
    for row in await session.scalars(pending.order_by(Recommendation.id).with_for_update()):
        by_reason.setdefault(_find_reason(incidents[row.incident_id]), []).append(row)
    for reason, rows in by_reason.items():
        supersede(session, rows, reason, None, now)
    for incident in incidents.values():
        incident.advised_for = None
    return len(incidents)


def _find_reason(incident: Incident) -> SupersededReason:
    if incident.merged_into_id is not None:
        return SupersededReason.MERGED
    if incident.status is IncidentStatus.RESOLVED:
        return SupersededReason.RESOLVED
    return SupersededReason.ENDED


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
