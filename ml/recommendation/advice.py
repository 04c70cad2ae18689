"""Advice: repairs where the likeliest cause is certain enough, and else what tells it from the next one.

Nobody should climb a mast for a guess: below `CERTAIN`, asking first takes less time and less effort.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ml.catalogue.root_causes import RootCause
from ml.recommendation.candidates import list_candidates
from ml.recommendation.case import ActionForCause, Candidate, FaultCase, RankedAction, TrackRecord
from ml.recommendation.features import PRIOR, extract_features
from ml.recommendation.playbook.actions import Remedy
from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.ranking import PRIORITIES, PriorityModel, RankingModel, rank_actions
from ml.recommendation.success_model import EFFORT_WORTH

CERTAIN: Final = 0.7  # of cause and culprit, for a repair: where the efforts meet, as `benchmarks.advice` measures
MOST_QUESTIONS: Final = 3  # of those that tell causes apart
NOTHING_KNOWN: Final = frozenset({RootCause.UNKNOWN})
Records = Mapping[ActionForCause, TrackRecord]


@dataclass(frozen=True)
class Diagnosis:
    """What is believed to be wrong: the likeliest cause at its culprit, and the next hypothesis.

    cause: UNKNOWN where nothing is known. certainty: of cause and culprit together, 0 to 1. rival: None where there is
    no other hypothesis; the same cause if another culprit is the next one.
    """

    cause: RootCause
    certainty: float
    rival: RootCause | None = None

    @property
    def justifies_repairs(self) -> bool:
        return self.cause is not RootCause.UNKNOWN and self.certainty >= CERTAIN


@dataclass(frozen=True)
class Rankers:
    """What ranks actions: the playbook, and the models that serve."""

    playbook: Playbook
    ranking: RankingModel
    priority: PriorityModel


def list_advice(case: FaultCase, diagnosis: Diagnosis | None, playbook: Playbook) -> list[Candidate]:
    """Returns the candidates of one purpose: against the diagnosed cause only, or to narrow it down.

    Without a diagnosis, those for the case's readings.
    """
    if diagnosis is None:
        return list_candidates(replace(case, causes=()), playbook)
    if not diagnosis.justifies_repairs:
        return _list_questions(case, diagnosis, playbook)
    likeliest = replace(case, causes=((diagnosis.cause, _probability(case, diagnosis.cause)),), kind=None)
    return list_candidates(likeliest, playbook)


def rank_advice(
    case: FaultCase,
    diagnosis: Diagnosis | None,
    candidates: Sequence[Candidate],
    records: Records,
    rankers: Rankers,
) -> list[RankedAction]:
    """Returns what to do about a case, best first.

    candidates: of `list_advice` for the same case and diagnosis.
    records: of actions that were tried before; the others may be missing.
    """
    if diagnosis is not None and not diagnosis.justifies_repairs:
        return _rank_questions(case, candidates, records, rankers)
    return rank_actions(case, records, rankers.ranking, rankers.priority, rankers.playbook, candidates)


# ---------------------------------------------------------------- narrowing down


def _list_questions(case: FaultCase, diagnosis: Diagnosis, playbook: Playbook) -> list[Candidate]:
    """Returns what tells the cause from its rival; where no such pair is listed, what tells it from any other cause."""
    pair = frozenset({diagnosis.cause, diagnosis.rival or RootCause.UNKNOWN})
    lines = _lines_of(playbook, pair) or _lines_around(playbook, diagnosis) or _lines_of(playbook, NOTHING_KNOWN)
    probability = _probability(case, diagnosis.cause)
    fitting = [line for line in lines if not (line.action.mobile and case.mobile is False)]
    return [
        Candidate(line.action, diagnosis.cause, line.chance, probability, order) for order, line in enumerate(fitting)
    ]


def _lines_of(playbook: Playbook, pair: frozenset[RootCause]) -> list[Remedy]:
    return list(playbook.by_pair.get(pair, ()))


def _lines_around(playbook: Playbook, diagnosis: Diagnosis) -> list[Remedy]:
    """Returns what tells a named cause of the two from any other, with the average chance over these, best first."""
    named = next((one for one in (diagnosis.cause, diagnosis.rival) if one not in (None, RootCause.UNKNOWN)), None)
    around = [lines for pair, lines in playbook.by_pair.items() if named in pair and len(pair) > 1]
    chances = dict[str, float]()
    for line in (line for lines in around for line in lines):
        chances[line.action.key] = chances.get(line.action.key, 0.0) + line.chance / len(around)
    averaged = {line.action.key: replace(line, chance=chances[line.action.key]) for lines in around for line in lines}
    nameless = [line for line in averaged.values() if "{rival}" not in line.action.title]  # there is none to name
    return sorted(nameless, key=lambda line: -line.chance)


def _rank_questions(
    case: FaultCase, candidates: Sequence[Candidate], records: Records, rankers: Rankers
) -> list[RankedAction]:
    """Returns at most three, by the chance that they tell, less what the effort takes; outcomes move that chance."""
    history = [records.get((one.action.key, one.cause), TrackRecord()) for one in candidates]
    rows = extract_features(case, candidates, history, rankers.playbook)
    places = rankers.priority.probabilities(rows).argmax(axis=1).tolist() if candidates else []
    ranked = [
        RankedAction(candidate, _worth(candidate, record), PRIORITIES[place])
        for candidate, record, place in zip(candidates, history, places, strict=True)
    ]
    return sorted(ranked, key=lambda action: (-action.score, action.candidate.order))[:MOST_QUESTIONS]


def _worth(candidate: Candidate, record: TrackRecord) -> float:
    tried = record.solved + record.failed
    rate = (record.solved + PRIOR * candidate.chance) / (tried + PRIOR)
    return float(rate * EFFORT_WORTH[candidate.action.effort])


def _probability(case: FaultCase, cause: RootCause) -> float:
    return dict(case.causes).get(cause, case.confidence)
