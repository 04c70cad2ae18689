"""Candidates: which actions of the playbook may help in a fault case, before any is ranked."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ml.catalogue.root_causes import RootCause
from ml.recommendation.case import Candidate, FaultCase
from ml.recommendation.playbook.catalogue import Playbook

LEAST_PROBABILITY: Final = 0.15  # of a cause: nobody works on a less likely one, unless it is the likeliest
MOST_CAUSES: Final = 3
LEAST_READINGS_PROBABILITY: Final = 0.1  # that the readings show something else, however sure the causes seem


def list_candidates(case: FaultCase, playbook: Playbook) -> list[Candidate]:
    """Returns what may help, each action once: for the likeliest cause first, then for the leading metric."""
    listed = [*_for_causes(case, playbook), *_for_readings(case, playbook)]
    listed = listed or [*_for_cause(RootCause.UNKNOWN, 1.0, playbook)]
    listed = [candidate for candidate in listed if not (candidate.action.mobile and case.mobile is False)]
    best: dict[str, Candidate] = {}
    for candidate in listed:
        rival = best.get(candidate.action.key)
        if rival is None or _promise(candidate) > _promise(rival):
            best[candidate.action.key] = candidate
    kept = (candidate for candidate in listed if candidate is best[candidate.action.key])
    return [replace(candidate, order=order) for order, candidate in enumerate(kept)]


def _promise(candidate: Candidate) -> float:
    return candidate.chance * candidate.probability


def _probable_causes(case: FaultCase) -> list[tuple[RootCause, float]]:
    first, rest = case.causes[:1], case.causes[1:MOST_CAUSES]
    return [*first, *((cause, probability) for cause, probability in rest if probability >= LEAST_PROBABILITY)]


def _for_causes(case: FaultCase, playbook: Playbook) -> Iterator[Candidate]:
    for cause, probability in _probable_causes(case):
        yield from _for_cause(cause, probability, playbook)


def _for_cause(cause: RootCause, probability: float, playbook: Playbook) -> Iterator[Candidate]:
    for remedy in playbook.by_cause[cause]:
        yield Candidate(remedy.action, cause, remedy.chance, probability, order=0)


def _for_readings(case: FaultCase, playbook: Playbook) -> Iterator[Candidate]:
    """Yields the leading metric's actions, as probable as it is that no named cause is right."""
    if case.kind is None or case.leading is None:
        return
    named = sum(probability for cause, probability in _probable_causes(case) if cause is not RootCause.UNKNOWN)
    probability = max(LEAST_READINGS_PROBABILITY, 1.0 - named)
    for remedy in playbook.by_metric.get((case.kind, case.leading), ()):
        yield Candidate(remedy.action, None, remedy.chance, probability, order=0)
