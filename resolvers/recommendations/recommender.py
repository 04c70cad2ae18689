"""What to do about a subject's faults: ranked by what has helped, told for the case, and kept.

Asked again about the same state, the answer is the same rows. When the state has changed, or what was proposed did not
help, the ranking is asked again: actions that it still proposes keep their rows, told anew; those that it does not are
superseded while nobody has said anything of them; those that did not help are not proposed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.recommendation.case import Outcome, Past, Ranked
from ml.recommendation.playbook.catalogue import candidates
from ml.recommendation.ranking import LEAST, PriorityModel, RankingModel, chosen, ranked
from resolvers.recommendations.case_builder import cases_of
from resolvers.recommendations.cases import Case, Row, Subject
from resolvers.store.events.log import Event, publish
from resolvers.store.postgres.advisory_locks import LockFamily
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.queries.labels import Key
from resolvers.store.queries.outcomes import Tried, pasts
from resolvers.store.tables.core import AuditEntry
from resolvers.store.tables.recommendations import Recommendation

TOPIC: Final = "recommendation"
HOPEFUL: Final = (Outcome.PENDING, Outcome.ACCEPTED, Outcome.SOLVED)
Proposal = tuple[str, Key | None]  # an action, and what it is to be done to


class RecommendationChange(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    SUPERSEDED = "SUPERSEDED"


@dataclass(frozen=True)
class Models:
    ranking: RankingModel
    priority: PriorityModel


@dataclass(frozen=True)
class Advice:
    """An action that was chosen, for one of the subject's cases, and what was known of it."""

    case: Case
    chosen: Ranked
    past: Past

    @property
    def key(self) -> Proposal:
        return self.chosen.candidate.action.key, self.case.target(self.chosen.candidate.cause)


async def recommended(
    session: AsyncSession, row: Row, models: Models, by: int | None, now: datetime
) -> list[Recommendation]:
    """What to do about it, best first: 3 to 7 actions, none where nothing is wrong."""
    subject = Subject.of(row)
    await session.execute(select(func.pg_advisory_xact_lock(int(LockFamily.RECOMMENDATION_SUBJECT), _hash(subject.id))))
    known = await _known(session, subject.id)
    if not _outdated(known, subject.basis):
        return _best_first(row for row in known if row.outcome in HOPEFUL)
    failed = {_key(one) for one in known if one.outcome not in HOPEFUL}
    advice = await _advice(session, await cases_of(session, row, now), models, failed)
    rows = _written(session, subject, advice, known, models, by, now)
    await session.flush()
    return _best_first(rows)


def _hash(id: UUID) -> int:
    return int.from_bytes(id.bytes[-4:], signed=True)


def _key(row: Recommendation) -> Proposal:
    has_target = row.target_kind is not None and row.target_id is not None
    return row.action, (row.target_kind, row.target_id) if has_target else None  # type: ignore[return-value]


def _best_first(rows: Any) -> list[Recommendation]:
    return sorted(rows, key=lambda row: (-row.rank_score, row.id))


async def _known(session: AsyncSession, subject_id: UUID) -> list[Recommendation]:
    current = (Recommendation.subject_id == subject_id, Recommendation.superseded_at.is_(None))
    return list(await session.scalars(select(Recommendation).where(*current).with_for_update()))


def _outdated(known: Sequence[Recommendation], basis: bytes) -> bool:
    """There is none yet, the subject has changed since, or too little is left that may help."""
    hopeful = [row for row in known if row.outcome in HOPEFUL]
    solved = any(row.outcome is Outcome.SOLVED for row in hopeful)
    return any(row.basis != basis for row in hopeful) or (len(hopeful) < LEAST and not solved)


async def _advice(session: AsyncSession, cases: Sequence[Case], models: Models, failed: set[Proposal]) -> list[Advice]:
    """The best for all cases together, without what has failed for this subject."""
    actions = {one.action.key for case in cases for one in candidates(case.situation)}
    before = await pasts(session, actions, {target for case in cases for target in case.targets})
    best = [[one for one in _ranked(case, before, models) if _proposal(case, one) not in failed] for case in cases]
    return [Advice(cases[index], one, _past(before, one)) for index, one in chosen(best)]


def _ranked(case: Case, before: Mapping[Tried, Past], models: Models) -> list[Ranked]:
    return ranked(case.situation, before, models.ranking, models.priority)


def _proposal(case: Case, one: Ranked) -> Proposal:
    return one.candidate.action.key, case.target(one.candidate.cause)


def _past(before: Mapping[Tried, Past], one: Ranked) -> Past:
    return before.get((one.candidate.action.key, one.candidate.cause), Past())


# ---------------------------------------------------------------- keeping


def _written(
    session: AsyncSession,
    subject: Subject,
    advice: Sequence[Advice],
    known: Sequence[Recommendation],
    models: Models,
    by: int | None,
    now: datetime,
) -> list[Recommendation]:
    """The rows of what is proposed now; others that somebody has taken up already stay among them."""
    by_key = {_key(row): row for row in known if row.outcome in HOPEFUL}
    proposed = dict[Proposal, Recommendation]()
    ids = [uuid7() for _ in advice]  # the best gets the last: newest first, they are in their order
    for one in advice:
        if one.key in proposed:  # for two cases with the same culprit
            continue
        row = by_key.pop(one.key, None)
        change = RecommendationChange.UPDATED if row else RecommendationChange.CREATED
        row = row or Recommendation(id=ids.pop(), created_at=now, requested_by_id=by, outcome=Outcome.PENDING)
        if _tells(row, _told(subject, one, models)):
            session.add(row)
            _note(session, row, change, by)
        proposed[one.key] = row
    for row in by_key.values():
        if row.outcome is Outcome.PENDING:
            row.superseded_at = now
            _note(session, row, RecommendationChange.SUPERSEDED, by)
        else:
            row.basis = subject.basis
    return [*proposed.values(), *(row for row in by_key.values() if row.superseded_at is None)]


def _told(subject: Subject, advice: Advice, models: Models) -> dict[str, Any]:
    """All that a recommendation says, as of now."""
    candidate, target = advice.chosen.candidate, advice.key[1]
    told = advice.case.told(candidate.action, candidate.cause)
    return {
        "subject_id": subject.id,
        "anomaly_id": subject.anomaly_id,
        "analysis_id": subject.analysis_id,
        "action": candidate.action.key,
        "root_cause": candidate.cause,
        "target_kind": target and target[0],
        "target_id": target and target[1],
        "title": told.title,
        "description": told.description,
        "tags": [tag.value for tag in candidate.action.tags],
        "priority": advice.chosen.priority,
        "rank_score": advice.chosen.score,
        "model_version": models.ranking.version,
        "situation": advice.case.situation,
        "past": advice.past,
        "basis": subject.basis,
    }


def _tells(row: Recommendation, values: Mapping[str, Any]) -> bool:
    """Whether this is anything new to a person."""
    new = any(getattr(row, name) != values[name] for name in ("title", "description", "priority"))
    for name, value in values.items():
        setattr(row, name, value)
    return new


def _note(session: AsyncSession, row: Recommendation, change: RecommendationChange, by: int | None) -> None:
    """In its history, and for whoever follows."""
    session.add(AuditEntry(subject_id=row.id, by_id=by, action=change))
    publish(session, told_of(row, change))


def told_of(row: Recommendation, change: str) -> Event:
    facts = {"anomaly": row.anomaly_id and str(row.anomaly_id), "priority": row.priority, "tags": row.tags}
    return Event(TOPIC, change, str(row.id), facts)
