"""Feedback: the outcomes that operators recorded of recommendations, as rows to learn from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from ml.catalogue.root_causes import RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.candidates import list_candidates
from ml.recommendation.case import Candidate, FaultCase, Outcome, Priority, TrackRecord
from ml.recommendation.features import RankingFeature, extract_features
from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.success_model import FLOOR

# So many recorded outcomes weigh as much as all simulated ones together; more of them weigh more. Measured with 300
# outcomes of one operator on its other incidents; NDCG@3 before was 0.51 (an operator as simulated) and 0.39 (one where
# other efforts pay). At 200: 0.49 and 0.48, at 500: 0.51 and 0.47, at 1,000: 0.52 and 0.44.
EQUAL_AT: Final = 500
LEAST_TO_MEASURE: Final = 50  # before any are held out of training
MEASURED_SHARE: Final = 0.2  # the newest are held out
SEVERE: Final = 0.6
MANY_LINKS: Final = 10

# How far each outcome says that the action works. Who accepts a recommendation expects that it helps, but nobody has
# seen it yet.
SUCCESS: Final = {Outcome.SOLVED: 1.0, Outcome.ACCEPTED: 0.5, Outcome.DID_NOT_HELP: 0.0, Outcome.REJECTED: 0.0}


@dataclass(frozen=True)
class Feedback:
    """What became of one recommendation."""

    case: FaultCase
    action: str  # its key
    cause: RootCause | None
    record: TrackRecord  # before this outcome
    outcome: Outcome
    at_ms: int  # when the outcome was recorded, epoch milliseconds
    group: str  # the same for what was recommended together


def select_usable(feedback: Iterable[Feedback], playbook: Playbook) -> list[Feedback]:
    """Returns the feedback that says anything on the playbook's repairs, oldest first."""
    usable = [entry for entry in feedback if entry.action in playbook.repairs and entry.outcome in SUCCESS]
    return sorted(usable, key=lambda entry: (entry.at_ms, entry.group, entry.action))


def split_feedback(feedback: Iterable[Feedback], playbook: Playbook) -> tuple[list[Feedback], list[Feedback]]:
    """Returns what to learn from, and what to measure on: whole groups, the newest, at least a fifth of all.

    Of fewer than `LEAST_TO_MEASURE`, none are held out.
    """
    usable = select_usable(feedback, playbook)
    if len(usable) < LEAST_TO_MEASURE:
        return usable, []
    newest = {entry.group: entry.at_ms for entry in usable}
    order = sorted(newest, key=lambda group: (-newest[group], group))
    held_out: set[str] = set()
    for group in order:
        if sum(entry.group in held_out for entry in usable) >= MEASURED_SHARE * len(usable):
            break
        held_out.add(group)
    train = [entry for entry in usable if entry.group not in held_out]
    return train, [entry for entry in usable if entry.group in held_out]


def group_feedback(feedback: Sequence[Feedback]) -> list[list[Feedback]]:
    """Returns lists of what was recommended together."""
    by_group = sorted(feedback, key=lambda entry: entry.group)
    return [list(group) for _, group in groupby(by_group, key=lambda entry: entry.group)]


def extract_feedback_features(feedback: Sequence[Feedback], playbook: Playbook) -> Floats:
    """Returns the features of what was recommended, shape (feedback, features)."""
    rows = [
        extract_features(entry.case, [find_candidate(entry, playbook)], [entry.record], playbook) for entry in feedback
    ]
    return np.concatenate([np.empty((0, len(RankingFeature))), *rows])


def find_candidate(feedback: Feedback, playbook: Playbook) -> Candidate:
    """Returns the candidate as the playbook lists it for the case today; behind the list if it no longer does."""
    case, key, cause = feedback.case, feedback.action, feedback.cause
    listed = list_candidates(case, playbook)
    for candidate in listed:
        if candidate.action.key == key and candidate.cause is cause:
            return candidate
    chance = playbook.cause_chances(cause).get(key, FLOOR) if cause else FLOOR
    probability = dict(case.causes).get(cause, 0.0) if cause else 0.0
    return Candidate(playbook.actions[key], cause, chance, probability, len(listed))


def weigh_feedback(simulated: int, recorded: int) -> float:
    """Returns the weight of each recorded outcome beside so many simulated rows, each of weight 1.

    The weight grows until `EQUAL_AT` outcomes, so that a handful, which trees would learn by heart, hardly counts:
    together they weigh (recorded / EQUAL_AT)² of the simulated rows up to there, and recorded / EQUAL_AT beyond.
    """
    return simulated / EQUAL_AT * min(1.0, recorded / EQUAL_AT)


def label_priority(feedback: Feedback) -> Priority:
    """Returns the priority that the outcome justifies: what solved a severe fault was urgent, what failed was not."""
    case = feedback.case
    if feedback.outcome is Outcome.SOLVED:
        severe = case.severity >= SEVERE or case.links >= MANY_LINKS
        return Priority.HIGH if severe else Priority.MEDIUM
    return Priority.MEDIUM if feedback.outcome is Outcome.ACCEPTED else Priority.LOW
