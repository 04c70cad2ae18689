"""The playbook: what to do about each cause and each metric, in the order in which a good runbook tries it.

A new action is one entry in the `remedies_…` module of the place where hands are laid on, and a line with its chance
for each cause (`playbook_causes`) and metric (`playbook_metrics`) that it helps with. Tests prove that none is half
added.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from ml.catalogue.metrics import Metric, TargetKind
from ml.catalogue.root_causes import RootCause
from ml.recommendation.case import Candidate, Situation
from ml.recommendation.playbook.actions import Action, Remedy
from ml.recommendation.playbook.blockage import VIEW
from ml.recommendation.playbook.by_cause import CAUSE_CHANCES
from ml.recommendation.playbook.by_metric import METRIC_CHANCES
from ml.recommendation.playbook.hub import HUB
from ml.recommendation.playbook.packets import PACKETS
from ml.recommendation.playbook.pointing import POINTING
from ml.recommendation.playbook.power import POWER
from ml.recommendation.playbook.remote import REMOTE
from ml.recommendation.playbook.satellite import SPACE
from ml.recommendation.playbook.servers import SERVERS
from ml.recommendation.playbook.traffic import TRAFFIC
from ml.recommendation.playbook.weather import SKY

LEAST_PROBABILITY: Final = 0.15  # of a cause: nobody works on a less likely one, unless it is the likeliest
MOST_CAUSES: Final = 3
LEAST_READINGS_PROBABILITY: Final = 0.1  # that the readings show something else, however sure the causes seem

PLACES: Final = (HUB, POINTING, SPACE, SKY, VIEW, REMOTE, POWER, TRAFFIC, PACKETS, SERVERS)
ACTIONS: Final[dict[str, Action]] = {action.key: action for place in PLACES for action in place}


def _remedies(chances: Mapping[str, float]) -> tuple[Remedy, ...]:
    return tuple(Remedy(ACTIONS[key], chance) for key, chance in chances.items())


FOR_CAUSE: Final[dict[RootCause, tuple[Remedy, ...]]] = {
    cause: _remedies(chances) for cause, chances in CAUSE_CHANCES.items()
}
FOR_METRIC: Final[dict[tuple[TargetKind, Metric], tuple[Remedy, ...]]] = {
    led: _remedies(chances) for led, chances in METRIC_CHANCES.items()
}


def candidates(situation: Situation) -> list[Candidate]:
    """What may help, each action once, in plain rule order: likeliest cause first, then what the readings suggest."""
    listed = [*_of_causes(situation), *_of_readings(situation)] or [*_of_cause(RootCause.UNKNOWN, 1.0)]
    listed = [one for one in listed if not (one.action.mobile and situation.mobile is False)]
    best: dict[str, Candidate] = {}
    for candidate in listed:
        rival = best.get(candidate.action.key)
        if rival is None or _promise(candidate) > _promise(rival):
            best[candidate.action.key] = candidate
    kept = (candidate for candidate in listed if candidate is best[candidate.action.key])
    return [replace(candidate, order=order) for order, candidate in enumerate(kept)]


def _promise(candidate: Candidate) -> float:
    return candidate.chance * candidate.probability


def _considered(situation: Situation) -> list[tuple[RootCause, float]]:
    first, rest = situation.causes[:1], situation.causes[1:MOST_CAUSES]
    return [*first, *((cause, probability) for cause, probability in rest if probability >= LEAST_PROBABILITY)]


def _of_causes(situation: Situation) -> Iterator[Candidate]:
    for cause, probability in _considered(situation):
        yield from _of_cause(cause, probability)


def _of_cause(cause: RootCause, probability: float) -> Iterator[Candidate]:
    for remedy in FOR_CAUSE[cause]:
        yield Candidate(remedy.action, cause, remedy.chance, probability, order=0)


def _of_readings(situation: Situation) -> Iterator[Candidate]:
    """As probable as no named cause is."""
    if situation.kind is None or situation.leading is None:
        return
    named = sum(probability for cause, probability in _considered(situation) if cause is not RootCause.UNKNOWN)
    probability = max(LEAST_READINGS_PROBABILITY, 1.0 - named)
    for remedy in FOR_METRIC.get((situation.kind, situation.leading), ()):
        yield Candidate(remedy.action, None, remedy.chance, probability, order=0)
