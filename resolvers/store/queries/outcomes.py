"""Outcomes of recommendations: how often an action has solved a cause, and the feedback that a training learns from."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from ml.recommendation.case import ActionForCause, Outcome, TrackRecord
from ml.recommendation.feedback import Feedback
from resolvers.store.postgres.conditions import is_among
from resolvers.store.queries.labels import TargetKey
from resolvers.store.tables.recommendations import Recommendation

MOST: Final = 20_000  # outcomes that a training learns from: the newest

# Written out, not bound: only so does PostgreSQL see that the partial index holds them.
_IS_CONCLUSIVE: Final = Recommendation.outcome.in_(("SOLVED", "DID_NOT_HELP"))


async def count_outcomes(
    session: AsyncSession, actions: Iterable[str], targets: Iterable[TargetKey] = ()
) -> dict[ActionForCause, TrackRecord]:
    """Returns the track records of these actions by cause; `_here` means at these targets.

    What was never tried is missing.
    """
    solved, here = Recommendation.outcome == Outcome.SOLVED, _is_any_of(sorted(set(targets)))
    conditions = (solved, ~solved, solved & here, ~solved & here)  # as the fields of `TrackRecord`
    counts = (func.count().filter(condition) for condition in conditions)
    query = (
        select(Recommendation.action, Recommendation.root_cause, *counts)
        .where(_IS_CONCLUSIVE, is_among(Recommendation.action, sorted(set(actions))))
        .group_by(Recommendation.action, Recommendation.root_cause)
    )
    rows = await session.execute(query)
    return {(action, cause): TrackRecord(*counted) for action, cause, *counted in rows}


def _is_any_of(targets: Sequence[TargetKey]) -> ColumnElement[bool]:
    pair = tuple_(Recommendation.target_kind, Recommendation.target_id)
    return pair.in_([(kind, key) for kind, key in targets]) if targets else false()


async def load_track_records(
    session: AsyncSession, wanted: Sequence[ActionForCause]
) -> dict[ActionForCause, TrackRecord]:
    """Returns the track record of each of these, an empty one of what was never tried."""
    records = await count_outcomes(session, [action for action, _ in wanted])
    return {each: records.get(each, TrackRecord()) for each in wanted}


async def load_present(session: AsyncSession, subjects: Sequence[UUID]) -> dict[UUID, list[Recommendation]]:
    """Returns the recommendations for each subject that are not superseded, best first."""
    present: dict[UUID, list[Recommendation]] = {subject: [] for subject in subjects}
    conditions = is_among(Recommendation.subject_id, subjects), Recommendation.superseded_at.is_(None)
    query = select(Recommendation).where(*conditions).order_by(Recommendation.rank_score.desc(), Recommendation.id)
    for row in await session.scalars(query):
        present[row.subject_id].append(row)
    return present


async def load_feedback(session: AsyncSession, start: datetime | None, end: datetime | None) -> list[Feedback]:
    """Returns the newest outcomes that were recorded from `start` up to `end`, oldest first; without these, of all."""
    query = select(Recommendation).where(Recommendation.outcome != Outcome.PENDING)
    if start and end:
        query = query.where(Recommendation.outcome_at >= start, Recommendation.outcome_at < end)
    rows = await session.scalars(query.order_by(Recommendation.outcome_at.desc(), Recommendation.id).limit(MOST))
    return [_to_feedback(row) for row in reversed(rows.all())]


def _to_feedback(row: Recommendation) -> Feedback:
    assert row.outcome_at  # noqa: S101
    return Feedback(
        row.situation,
        row.action,
        row.root_cause,
        row.past,
        row.outcome,
        round(row.outcome_at.timestamp() * 1000),
        str(row.subject_id),
    )
