"""What became of recommendations: how often an action has solved a cause, and all that a training learns from."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.root_causes import RootCause
from ml.recommendation.case import Outcome, Past
from ml.recommendation.feedback import Experience
from resolvers.store.postgres.conditions import is_among
from resolvers.store.queries.labels import Key
from resolvers.store.tables.recommendations import Recommendation

Tried = tuple[str, RootCause | None]  # an action, for a cause
MOST: Final = 20_000  # outcomes that a training learns from: the newest

# Written out, not bound: only so does PostgreSQL see that the partial index holds them.
_KNOWN: Final = Recommendation.outcome.in_(("SOLVED", "DID_NOT_HELP"))


async def pasts(session: AsyncSession, actions: Iterable[str], targets: Iterable[Key] = ()) -> dict[Tried, Past]:
    """Earlier outcomes of these actions by cause: of all, and of these targets. What was never tried is missing."""
    solved, here = Recommendation.outcome == Outcome.SOLVED, _of_any(sorted(set(targets)))
    conditions = (solved, ~solved, solved & here, ~solved & here)  # as the fields of `Past`
    counts = (func.count().filter(condition) for condition in conditions)
    query = (
        select(Recommendation.action, Recommendation.root_cause, *counts)
        .where(_KNOWN, is_among(Recommendation.action, sorted(set(actions))))
        .group_by(Recommendation.action, Recommendation.root_cause)
    )
    return {(action, cause): Past(*found) for action, cause, *found in await session.execute(query)}


def _of_any(targets: Sequence[Key]) -> ColumnElement[bool]:
    pair = tuple_(Recommendation.target_kind, Recommendation.target_id)
    return pair.in_([(kind, key) for kind, key in targets]) if targets else false()


async def tried(session: AsyncSession, wanted: Sequence[Tried]) -> dict[Tried, Past]:
    """The same for each of these, the never tried too."""
    found = await pasts(session, [action for action, _ in wanted])
    return {one: found.get(one, Past()) for one in wanted}


async def of_subjects(session: AsyncSession, subjects: Sequence[UUID]) -> dict[UUID, list[Recommendation]]:
    """The present recommendations for each of these, best first."""
    found: dict[UUID, list[Recommendation]] = {subject: [] for subject in subjects}
    current = is_among(Recommendation.subject_id, subjects), Recommendation.superseded_at.is_(None)
    query = select(Recommendation).where(*current).order_by(Recommendation.rank_score.desc(), Recommendation.id)
    for row in await session.scalars(query):
        found[row.subject_id].append(row)
    return found


async def experiences(session: AsyncSession, start: datetime | None, end: datetime | None) -> list[Experience]:
    """The newest outcomes that were recorded from `start` up to `end`, oldest first; omitted: all."""
    query = select(Recommendation).where(Recommendation.outcome != Outcome.PENDING)
    if start and end:
        query = query.where(Recommendation.outcome_at >= start, Recommendation.outcome_at < end)
    rows = await session.scalars(query.order_by(Recommendation.outcome_at.desc(), Recommendation.id).limit(MOST))
    return [_experience(row) for row in reversed(rows.all())]


def _experience(row: Recommendation) -> Experience:
    assert row.outcome_at  # noqa: S101
    return Experience(
        row.situation,
        row.action,
        row.root_cause,
        row.past,
        row.outcome,
        round(row.outcome_at.timestamp() * 1000),
        str(row.subject_id),
    )
