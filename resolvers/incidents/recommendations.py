"""The recommendations of incidents that are merged."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ml.recommendation.case import Outcome
from resolvers.recommendations.recommender import supersede
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.incidents import Incident
from resolvers.store.tables.recommendations import Recommendation, SupersededReason


async def move_recommendations(
    session: AsyncSession, survivor: Incident, merged: Sequence[UUID], now: datetime, by: int | None
) -> None:
    """Moves the recommendations of merged incidents to the survivor, which gets one list again by the worker.

    Of present ones that recommend the same for the same culprit one stays: what somebody has taken up, else the
    survivor's own, else the best.
    """
    seen = set[tuple[object, ...]]()
    repeated = []
    for row in await _load_present(session, survivor, merged):
        proposal = (row.action, row.target_kind, row.target_id)
        if proposal in seen:
            repeated.append(row)
        seen.add(proposal)
    supersede(session, repeated, SupersededReason.MERGED, by, now)
    await session.flush()
    subject = case((is_among(Recommendation.subject_id, merged), survivor.id), else_=Recommendation.subject_id)
    query = update(Recommendation).where(is_among(Recommendation.incident_id, merged))
    values = {"incident_id": survivor.id, "subject_id": subject}
    await session.execute(query.values(values), execution_options={"synchronize_session": False})
    survivor.advised_for = None


async def _load_present(session: AsyncSession, survivor: Incident, merged: Sequence[UUID]) -> Sequence[Recommendation]:
    preferred = (
        (Recommendation.outcome != Outcome.PENDING).desc(),
        (Recommendation.incident_id == survivor.id).desc(),
        Recommendation.rank_score.desc(),
        Recommendation.id,
    )
    theirs = is_among(Recommendation.incident_id, [survivor.id, *merged])
    query = select(Recommendation).where(theirs, Recommendation.superseded_at.is_(None)).order_by(*preferred)
    return (await session.scalars(query.with_for_update())).all()
