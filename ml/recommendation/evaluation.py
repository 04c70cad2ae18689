"""How good rankings and priorities are, beside the plain rules: on imagined incidents and on recorded outcomes."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from ml.catalogue.models import Measure
from ml.numerics.arrays import Floats
from ml.numerics.scores import calibration_error
from ml.recommendation import feedback as experience
from ml.recommendation.case import Candidate
from ml.recommendation.features import features
from ml.recommendation.feedback import SUCCESS, Experience, candidate_of, grouped, priority_of
from ml.recommendation.priority_labels import by_rule, rated
from ml.recommendation.ranking import PRIORITIES, PriorityModel, RankingModel
from ml.recommendation.success_model import GRADES
from ml.recommendation.synthetic_incidents import Incident

SIMULATED: Final = "simulated incidents"
RECORDED: Final = "recorded outcomes"
LOOKED_AT: Final = 3
SHOWN: Final = 7  # of the playbook's list: whose priority matters
DISCOUNT: Final = 1.0 / np.log2(np.arange(2, LOOKED_AT + 2))


def ndcg_at_3(grades: Floats, scores: Floats) -> float:
    """Of one list; the earlier of equal scores comes first. NaN where nothing in it helps.

    Gains are the grades themselves (Järvelin and Kekäläinen, 2002), so that sorting by the expected grade is best.
    """
    best = np.sort(grades)[::-1][:LOOKED_AT]
    if not best.any():
        return float("nan")
    first = grades[np.argsort(-scores, kind="stable")][:LOOKED_AT]
    return float(first @ DISCOUNT[: len(first)] / (best @ DISCOUNT[: len(best)]))


def rows_of(incidents: Sequence[Incident]) -> Floats:
    """The features of all their candidates."""
    return np.concatenate([features(one.situation, one.candidates, one.pasts) for one in incidents])


def grades_of(candidates: Sequence[Candidate], success: Sequence[float] | Floats) -> Floats:
    result: Floats = np.array([GRADES[one.action.effort] for one in candidates]) * np.asarray(success, dtype=float)
    return result


# ---------------------------------------------------------------- ranking


def ranking_measures(model: RankingModel, incidents: list[Incident], recorded: list[Experience]) -> list[Measure]:
    rows = rows_of(incidents)
    scores, chances = _by_incident(model.scores(rows), incidents), model.chances(rows)
    solved = np.concatenate([one.solved for one in incidents])
    error = calibration_error(chances, solved)
    return [
        *_ndcg(incidents, lambda at: scores[at]),
        Measure("calibration_error", error, len(rows), SIMULATED),
        *_recorded_ndcg(model, recorded),
    ]


def _ndcg(incidents: list[Incident], scores: Callable[[int], Floats]) -> list[Measure]:
    learnt, rule = [], []
    for at, one in enumerate(incidents):
        grades = grades_of(one.candidates, one.solved.astype(float))
        learnt.append(ndcg_at_3(grades, scores(at)))
        rule.append(ndcg_at_3(grades, np.zeros(len(grades))))  # they are in its order
    return _both("ndcg_at_3", learnt, rule, SIMULATED)


def _recorded_ndcg(model: RankingModel, recorded: list[Experience]) -> list[Measure]:
    """Of what was recommended together, where at least two outcomes say anything."""
    learnt, rule = [], []
    for group in grouped(recorded):
        if len(group) > 1:
            options = [candidate_of(one) for one in group]
            grades = grades_of(options, [SUCCESS[one.outcome] for one in group])
            learnt.append(ndcg_at_3(grades, model.scores(experience.table(group))))
            rule.append(ndcg_at_3(grades, -np.array([one.order for one in options], dtype=float)))
    return _both("ndcg_at_3", learnt, rule, RECORDED)


# ---------------------------------------------------------------- priority


def priority_measures(
    model: PriorityModel, incidents: list[Incident], seed: int, recorded: list[Experience]
) -> list[Measure]:
    """On the first of each playbook's list: the others are seldom seen."""
    said = _by_incident(model.probabilities(rows_of(incidents)).argmax(axis=1), incidents)
    learnt: list[float] = []
    rule: list[float] = []
    for one, labels, told in zip(incidents, rated(incidents, seed), said, strict=True):
        learnt += np.equal(told[:SHOWN], labels[:SHOWN]).tolist()
        rule += np.equal(labels[:SHOWN], by_rule(one.situation)).tolist()
    return _both("accuracy", learnt, rule, SIMULATED) + _recorded_accuracy(model, recorded)


def _recorded_accuracy(model: PriorityModel, recorded: list[Experience]) -> list[Measure]:
    labels = np.array([PRIORITIES.index(priority_of(one)) for one in recorded])
    said = model.probabilities(experience.table(recorded)).argmax(axis=1)
    rule = np.array([by_rule(one.situation) for one in recorded])
    return _both("accuracy", np.equal(said, labels).tolist(), np.equal(rule, labels).tolist(), RECORDED)


# ---------------------------------------------------------------- both


def _both(name: str, learnt: list[float], rule: list[float], dataset: str) -> list[Measure]:
    """What is learnt and the plain rule, on average; none where there is nothing to measure on."""
    known = np.array([learnt, rule], dtype=float)
    known = known[:, np.isfinite(known[0])]
    if not known.size:
        return []
    values = known.mean(axis=1).tolist()
    return [
        Measure(called, value, known.shape[1], dataset)
        for called, value in zip((name, f"rule_{name}"), values, strict=True)
    ]


def _by_incident(values: Floats, incidents: Sequence[Incident]) -> list[Floats]:
    edges = np.cumsum([0, *(len(one.candidates) for one in incidents)])
    return [values[start:stop] for start, stop in pairwise(edges)]
