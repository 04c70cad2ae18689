"""Evaluation: how good rankings and priorities are beside plain rules, on synthetic incidents and recorded outcomes."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from ml.catalogue.models import Measure
from ml.numerics.arrays import Floats
from ml.numerics.scores import calibration_error
from ml.recommendation.case import Candidate
from ml.recommendation.features import extract_features
from ml.recommendation.feedback import (
    SUCCESS,
    Feedback,
    extract_feedback_features,
    find_candidate,
    group_feedback,
    label_priority,
)
from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.priority_labels import label_by_severity, label_priorities
from ml.recommendation.ranking import PRIORITIES, PriorityModel, RankingModel
from ml.recommendation.success_model import GRADES
from ml.recommendation.synthetic_incidents import Incident

SIMULATED: Final = "simulated incidents"
RECORDED: Final = "recorded outcomes"
FIRST: Final = 3
SHOWN: Final = 7  # of the playbook's list: nobody sees the priority of the others
DISCOUNT: Final = 1.0 / np.log2(np.arange(2, FIRST + 2))


def ndcg_at_3(grades: Floats, scores: Floats) -> float:
    """Returns the NDCG of one list's first three; NaN where nothing in the list helps. Ties keep their order.

    Gains are the grades themselves (Järvelin and Kekäläinen, 2002), so that sorting by the expected grade is best.
    """
    best = np.sort(grades)[::-1][:FIRST]
    if not best.any():
        return float("nan")
    first = grades[np.argsort(-scores, kind="stable")][:FIRST]
    return float(first @ DISCOUNT[: len(first)] / (best @ DISCOUNT[: len(best)]))


def extract_incident_features(incidents: Sequence[Incident], playbook: Playbook) -> Floats:
    """Returns the features of all candidates of all incidents, shape (candidates, features)."""
    return np.concatenate([extract_features(each.case, each.candidates, each.records, playbook) for each in incidents])


def grade_candidates(candidates: Sequence[Candidate], success: Sequence[float] | Floats) -> Floats:
    """Returns what each candidate was worth, shape (candidates,), from how far it was a success, 0 to 1."""
    grades = np.array([GRADES[candidate.action.effort] for candidate in candidates])
    result: Floats = grades * np.asarray(success, dtype=float)
    return result


# ---------------------------------------------------------------- ranking


def measure_ranking(
    model: RankingModel, incidents: list[Incident], recorded: list[Feedback], playbook: Playbook
) -> list[Measure]:
    """Returns the NDCG@3 of the model and of the playbook's order, and how well the model is calibrated."""
    rows = extract_incident_features(incidents, playbook)
    scores, chances = _split_by_incident(model.scores(rows), incidents), model.chances(rows)
    solved = np.concatenate([incident.solved for incident in incidents])
    error = calibration_error(chances, solved)
    return [
        *_measure_ndcg(incidents, lambda at: scores[at]),
        Measure("calibration_error", error, len(rows), SIMULATED),
        *_measure_recorded_ndcg(model, recorded, playbook),
    ]


def _measure_ndcg(incidents: list[Incident], scores: Callable[[int], Floats]) -> list[Measure]:
    learnt, rule = [], []
    for at, incident in enumerate(incidents):
        grades = grade_candidates(incident.candidates, incident.solved.astype(float))
        learnt.append(ndcg_at_3(grades, scores(at)))
        rule.append(ndcg_at_3(grades, np.zeros(len(grades))))  # candidates are in the playbook's order
    return _average("ndcg_at_3", learnt, rule, SIMULATED)


def _measure_recorded_ndcg(model: RankingModel, recorded: list[Feedback], playbook: Playbook) -> list[Measure]:
    """Measures groups that were recommended together, where at least two outcomes say anything."""
    learnt, rule = [], []
    for group in group_feedback(recorded):
        if len(group) > 1:
            candidates = [find_candidate(entry, playbook) for entry in group]
            grades = grade_candidates(candidates, [SUCCESS[entry.outcome] for entry in group])
            learnt.append(ndcg_at_3(grades, model.scores(extract_feedback_features(group, playbook))))
            rule.append(ndcg_at_3(grades, -np.array([candidate.order for candidate in candidates], dtype=float)))
    return _average("ndcg_at_3", learnt, rule, RECORDED)


# ---------------------------------------------------------------- priority


def measure_priority(
    model: PriorityModel, incidents: list[Incident], seed: int, recorded: list[Feedback], playbook: Playbook
) -> list[Measure]:
    """Returns how often the model, and the plain rule, say what a rater says of the first of each playbook's list."""
    probabilities = model.probabilities(extract_incident_features(incidents, playbook))
    predicted = _split_by_incident(probabilities.argmax(axis=1), incidents)
    learnt: list[float] = []
    rule: list[float] = []
    for incident, labels, said in zip(incidents, label_priorities(incidents, seed), predicted, strict=True):
        learnt += np.equal(said[:SHOWN], labels[:SHOWN]).tolist()
        rule += np.equal(labels[:SHOWN], label_by_severity(incident.case)).tolist()
    return _average("accuracy", learnt, rule, SIMULATED) + _measure_recorded_accuracy(model, recorded, playbook)


def _measure_recorded_accuracy(model: PriorityModel, recorded: list[Feedback], playbook: Playbook) -> list[Measure]:
    labels = np.array([PRIORITIES.index(label_priority(entry)) for entry in recorded])
    predicted = model.probabilities(extract_feedback_features(recorded, playbook)).argmax(axis=1)
    rule = np.array([label_by_severity(entry.case) for entry in recorded])
    return _average("accuracy", np.equal(predicted, labels).tolist(), np.equal(rule, labels).tolist(), RECORDED)


# ---------------------------------------------------------------- both


def _average(name: str, learnt: list[float], rule: list[float], dataset: str) -> list[Measure]:
    """Returns the averages of the model and of the plain rule; none where there is nothing to measure on."""
    values = np.array([learnt, rule], dtype=float)
    values = values[:, np.isfinite(values[0])]
    if not values.size:
        return []
    names = (name, f"rule_{name}")
    averages = values.mean(axis=1).tolist()
    return [Measure(called, average, values.shape[1], dataset) for called, average in zip(names, averages, strict=True)]


def _split_by_incident(values: Floats, incidents: Sequence[Incident]) -> list[Floats]:
    edges = np.cumsum([0, *(len(incident.candidates) for incident in incidents)])
    return [values[start:stop] for start, stop in pairwise(edges)]
