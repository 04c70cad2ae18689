"""Recommends actions for a subject's faults: ranks them by what has helped, describes them for the case, stores them.

Asked again about the same state, it returns the same rows. When the state has changed, or when what was proposed did
not help, it ranks anew: actions that are still proposed keep their rows with a new text; those that are not are
superseded as long as nobody has recorded an outcome; those that did not help are not proposed again. What has an
outcome stays as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.recommendation.advice import Rankers, list_advice, rank_advice
from ml.recommendation.case import ActionForCause, Candidate, Outcome, Priority, RankedAction, TrackRecord
from ml.recommendation.ranking import LEAST, choose_recommendations
from resolvers.recommendations.case_builder import build_cases
from resolvers.recommendations.cases import DescribedCase, Row, Subject
from resolvers.store.events.log import Event, publish
from resolvers.store.postgres.advisory_locks import LockFamily
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.queries.labels import TargetKey
from resolvers.store.queries.outcomes import count_outcomes
from resolvers.store.tables.core import AuditEntry
from resolvers.store.tables.recommendations import Recommendation, SupersededReason

TOPIC: Final = "recommendation"
REASONS: Final = {
    SupersededReason.CHANGED: "The situation changed.",
    SupersededReason.JOINED: "The incident that the anomaly is part of has recommendations of its own.",
    SupersededReason.ENDED: "The incident ended.",
    SupersededReason.RESOLVED: "The incident was resolved.",
    SupersededReason.MERGED: "The incident was merged into another one.",
}
HOPEFUL: Final = (Outcome.PENDING, Outcome.ACCEPTED, Outcome.SOLVED)
Proposal = tuple[str, TargetKey | None]  # an action's key, and what to do it to


class RecommendationChange(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    SUPERSEDED = "SUPERSEDED"


@dataclass(frozen=True)
class Choice:
    """An action that was chosen for one of the subject's cases, and its track record."""

    case: DescribedCase
    action: RankedAction
    record: TrackRecord

    @property
    def key(self) -> Proposal:
        return _proposal(self.case, self.action)


async def recommend(
    session: AsyncSession, row: Row, rankers: Rankers, by: int | None, now: datetime, state: str | None = None
) -> list[Recommendation]:
    """Returns what to do about the subject, best first: up to 7 actions, none where nothing is wrong or known.

    state: of an incident, in one text.
    """
    subject = Subject.from_row(row, state)
    await session.execute(select(func.pg_advisory_xact_lock(int(LockFamily.RECOMMENDATION_SUBJECT), _hash(subject.id))))
    present = await _load_present(session, subject.id)
    if not _is_outdated(present, subject.basis):
        return _sort_best_first(row for row in present if row.outcome in HOPEFUL)
    failed = {_proposal_of_row(row) for row in present if row.outcome not in HOPEFUL}
    choices = await _choose(session, await build_cases(session, row, now), rankers, failed)
    rows = _store(session, subject, choices, present, rankers, by, now)
    await session.flush()
    return _sort_best_first(rows)


def _hash(id: UUID) -> int:
    return int.from_bytes(id.bytes[-4:], signed=True)


def _proposal_of_row(row: Recommendation) -> Proposal:
    has_target = row.target_kind is not None and row.target_id is not None
    return row.action, (row.target_kind, row.target_id) if has_target else None  # type: ignore[return-value]


def _proposal(case: DescribedCase, action: RankedAction) -> Proposal:
    return action.candidate.action.key, case.key


def _sort_best_first(rows: Any) -> list[Recommendation]:
    return sorted(rows, key=lambda row: (-row.rank_score, row.id))


async def _load_present(session: AsyncSession, subject_id: UUID) -> list[Recommendation]:
    is_present = (Recommendation.subject_id == subject_id, Recommendation.superseded_at.is_(None))
    return list(await session.scalars(select(Recommendation).where(*is_present).with_for_update()))


def _is_outdated(present: Sequence[Recommendation], basis: bytes) -> bool:
    """Whether there is none yet, the subject has changed since, or too little is left that may help."""
    hopeful = [row for row in present if row.outcome in HOPEFUL]
    solved = any(row.outcome is Outcome.SOLVED for row in hopeful)
    return any(row.basis != basis for row in hopeful) or (len(hopeful) < LEAST and not solved)


async def _choose(
    session: AsyncSession, cases: Sequence[DescribedCase], rankers: Rankers, failed: set[Proposal]
) -> list[Choice]:
    """Returns the best actions for all cases together, without what has failed for this subject."""
    listed = [list_advice(case.fault, case.diagnosis, rankers.playbook) for case in cases]
    keys = {candidate.action.key for candidates in listed for candidate in candidates}
    records = await count_outcomes(session, keys, {case.key for case in cases if case.key})
    ranked = [
        [action for action in _rank(case, candidates, records, rankers) if _proposal(case, action) not in failed]
        for case, candidates in zip(cases, listed, strict=True)
    ]
    chosen = choose_recommendations(ranked)
    return [Choice(cases[number], action, _record_of(records, action)) for number, action in chosen]


def _rank(
    case: DescribedCase,
    candidates: Sequence[Candidate],
    records: Mapping[ActionForCause, TrackRecord],
    rankers: Rankers,
) -> list[RankedAction]:
    """Returns the case's actions, best first; none of them is urgent once the fault is long over."""
    ranked = rank_advice(case.fault, case.diagnosis, candidates, records, rankers)
    return [replace(action, priority=Priority.LOW) for action in ranked] if case.is_over else ranked


def _record_of(records: Mapping[ActionForCause, TrackRecord], action: RankedAction) -> TrackRecord:
    return records.get((action.candidate.action.key, action.candidate.cause), TrackRecord())


# ---------------------------------------------------------------- storing


def _store(
    session: AsyncSession,
    subject: Subject,
    choices: Sequence[Choice],
    present: Sequence[Recommendation],
    rankers: Rankers,
    by: int | None,
    now: datetime,
) -> list[Recommendation]:
    """Returns the rows of what is proposed now, and of what somebody has taken up; supersedes the others."""
    by_key = {_proposal_of_row(row): row for row in present if row.outcome in HOPEFUL}
    proposed = dict[Proposal, Recommendation]()
    ids = [uuid7() for _ in choices]  # the best gets the last: newest first, they are in their order
    for choice in choices:
        if choice.key in proposed:  # for two cases with the same culprit
            continue
        row = by_key.pop(choice.key, None)
        change = RecommendationChange.UPDATED if row else RecommendationChange.CREATED
        row = row or Recommendation(id=ids.pop(), created_at=now, requested_by_id=by, outcome=Outcome.PENDING)
        if row.outcome is not Outcome.PENDING:
            row.basis = subject.basis
        elif _update(row, _column_values(subject, choice, rankers)):
            session.add(row)
            _record_change(session, row, change, by, now)
        proposed[choice.key] = row
    untouched = [row for row in by_key.values() if row.outcome is Outcome.PENDING]
    supersede(session, untouched, SupersededReason.CHANGED, by, now)
    taken_up = [row for row in by_key.values() if row.outcome is not Outcome.PENDING]
    for row in taken_up:
        row.basis = subject.basis
    return [*proposed.values(), *taken_up]


def supersede(
    session: AsyncSession, rows: Iterable[Recommendation], reason: SupersededReason, by: int | None, now: datetime
) -> None:
    """Supersedes recommendations, and tells why in their history."""
    for row in rows:
        row.superseded_at, row.superseded_because = now, reason
        _record_change(session, row, RecommendationChange.SUPERSEDED, by, now, REASONS[reason])


def _column_values(subject: Subject, choice: Choice, rankers: Rankers) -> dict[str, Any]:
    """Returns everything that a recommendation says as of now."""
    candidate, target = choice.action.candidate, choice.key[1]
    text = choice.case.describe(candidate.action)
    return {
        "subject_id": subject.id,
        "anomaly_id": subject.anomaly_id,
        "analysis_id": subject.analysis_id,
        "incident_id": subject.incident_id,
        "action": candidate.action.key,
        "purpose": candidate.action.purpose,
        "root_cause": candidate.cause,
        "target_kind": target and target[0],
        "target_id": target and target[1],
        "title": text.title,
        "description": text.description,
        "tags": [tag.value for tag in candidate.action.tags],
        "priority": choice.action.priority,
        "rank_score": choice.action.score,
        "model_version": rankers.ranking.version,
        "situation": choice.case.fault,
        "past": choice.record,
        "basis": subject.basis,
    }


def _update(row: Recommendation, values: Mapping[str, Any]) -> bool:
    """Sets the values; returns whether a person sees anything new."""
    new = any(getattr(row, name) != values[name] for name in ("title", "description", "priority"))
    for name, value in values.items():
        setattr(row, name, value)
    return new


def _record_change(
    session: AsyncSession,
    row: Recommendation,
    change: RecommendationChange,
    by: int | None,
    now: datetime,
    details: str | None = None,
) -> None:
    """Adds to the recommendation's history, and tells subscribers."""
    session.add(AuditEntry(subject_id=row.id, by_id=by, action=change, details=details, at=now))
    publish(session, make_event(row, change))


def make_event(row: Recommendation, change: str) -> Event:
    """Returns the event that tells subscribers of a change."""
    subjects = {"anomaly": row.anomaly_id, "incident": row.incident_id}
    facts = {name: id and str(id) for name, id in subjects.items()} | {"priority": row.priority, "tags": row.tags}
    return Event(TOPIC, change, str(row.id), facts)
