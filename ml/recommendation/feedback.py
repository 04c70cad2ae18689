"""Experience: what operators recorded of recommendations, as rows to learn from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from ml.catalogue.root_causes import RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.case import Candidate, Outcome, Past, Priority, Situation
from ml.recommendation.features import RankingFeature, features
from ml.recommendation.playbook.catalogue import ACTIONS, candidates
from ml.recommendation.success_model import FLOOR, chances_for

# So many recorded outcomes weigh as much as everything simulated, more of them more. Measured with 300 of one operator
# on its other incidents, NDCG@3 from 0.51 (an operator as simulated) and 0.39 (one where other efforts pay) before:
# at 200: 0.49 and 0.48, at 500: 0.51 and 0.47, at 1,000: 0.52 and 0.44.
EQUAL_AT: Final = 500
LEAST_TO_MEASURE: Final = 50  # before any are kept from training
MEASURED_SHARE: Final = 0.2  # the newest
SEVERE: Final = 0.6
MANY_LINKS: Final = 10

# How far each says that the action works. Who accepts one expects that it does, but nobody has seen it yet.
SUCCESS: Final = {Outcome.SOLVED: 1.0, Outcome.ACCEPTED: 0.5, Outcome.DID_NOT_HELP: 0.0, Outcome.REJECTED: 0.0}


@dataclass(frozen=True)
class Experience:
    """What became of one recommendation; past: outcomes before it. group: the same of what was recommended together."""

    situation: Situation
    action: str
    cause: RootCause | None
    past: Past
    outcome: Outcome
    at_ms: int
    group: str


def usable(experiences: Iterable[Experience]) -> list[Experience]:
    """Oldest first, without those of actions that left the playbook, and those of which nothing came yet."""
    known = [one for one in experiences if one.action in ACTIONS and one.outcome in SUCCESS]
    return sorted(known, key=lambda one: (one.at_ms, one.group, one.action))


def parted(experiences: Iterable[Experience]) -> tuple[list[Experience], list[Experience]]:
    """To learn from, and to measure on: the newest groups with at least a fifth of them, where there are enough."""
    known = usable(experiences)
    if len(known) < LEAST_TO_MEASURE:
        return known, []
    newest = {one.group: one.at_ms for one in known}
    order = sorted(newest, key=lambda group: (-newest[group], group))
    kept: set[str] = set()
    for group in order:
        if sum(one.group in kept for one in known) >= MEASURED_SHARE * len(known):
            break
        kept.add(group)
    return [one for one in known if one.group not in kept], [one for one in known if one.group in kept]


def grouped(experiences: Sequence[Experience]) -> list[list[Experience]]:
    """What was recommended together."""
    by_group = sorted(experiences, key=lambda one: one.group)
    return [list(group) for _, group in groupby(by_group, key=lambda one: one.group)]


def table(experiences: Sequence[Experience]) -> Floats:
    """Their features (experiences, features)."""
    rows = [features(one.situation, [candidate_of(one)], [one.past]) for one in experiences]
    return np.concatenate([np.empty((0, len(RankingFeature))), *rows])


def candidate_of(experience: Experience) -> Candidate:
    """As the playbook lists it for that situation today, or at its end if it does not any more."""
    situation, key, cause = experience.situation, experience.action, experience.cause
    listed = candidates(situation)
    for one in listed:
        if one.action.key == key and one.cause is cause:
            return one
    chance = chances_for(cause).get(key, FLOOR) if cause else FLOOR
    return Candidate(ACTIONS[key], cause, chance, dict(situation.causes).get(cause, 0.0) if cause else 0.0, len(listed))


def weight(simulated: int, recorded: int) -> float:
    """Of each recorded outcome, beside so many simulated rows that weigh 1.

    It grows until `EQUAL_AT`, so that a handful, which trees would learn by heart, hardly counts: all together weigh
    (recorded / EQUAL_AT)² of the simulated ones up to there, and recorded / EQUAL_AT beyond.
    """
    return simulated / EQUAL_AT * min(1.0, recorded / EQUAL_AT)


def priority_of(experience: Experience) -> Priority:
    """As it should have been: what solved a grave fault was urgent, what did not help was not worth a look so soon."""
    situation = experience.situation
    if experience.outcome is Outcome.SOLVED:
        grave = situation.severity >= SEVERE or situation.links >= MANY_LINKS
        return Priority.HIGH if grave else Priority.MEDIUM
    return Priority.MEDIUM if experience.outcome is Outcome.ACCEPTED else Priority.LOW
