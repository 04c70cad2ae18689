"""Trains the ranking and the priority of recommendations: on synthetic incidents, and on what operators recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.models import Measure, Progress, Trained
from ml.numerics.arrays import Floats
from ml.recommendation.evaluation import SIMULATED, extract_incident_features, measure_priority, measure_ranking
from ml.recommendation.features import RankingFeature
from ml.recommendation.feedback import (
    EQUAL_AT,
    SUCCESS,
    Feedback,
    extract_feedback_features,
    label_priority,
    split_feedback,
    weigh_feedback,
)
from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.playbook.loading import default_playbook
from ml.recommendation.priority_labels import label_priorities
from ml.recommendation.ranking import PRIORITIES, PRIORITY_TREES, TREES, PriorityModel, RankingModel
from ml.recommendation.synthetic_incidents import Incident, generate_incidents

RANKING_ALGORITHM: Final = "gradient boosting of the chance that an action helps, times what its effort leaves of it"
PRIORITY_ALGORITHM: Final = "gradient boosting over three priorities"
HELD_OUT_SEED: Final = 900_001  # the same incidents for every version; no training uses them


@dataclass(frozen=True)
class TrainingSize:
    """How many synthetic incidents a training draws."""

    incidents: int = 6_000  # to learn from
    held_out: int = 2_000  # to measure on


def _ignore_progress(_done: float, _what: str) -> None:
    return None


def train_ranking(
    seed: int = 1,
    progress: Progress = _ignore_progress,
    feedback: Sequence[Feedback] = (),
    champion: RankingModel | None = None,
    playbook: Playbook | None = None,
    size: TrainingSize = TrainingSize(),
) -> Trained:
    """Returns a new version, measured beside the champion on incidents and outcomes that neither has learnt from.

    feedback: recorded outcomes; the newest are held out to measure on. playbook: None is the default one.
    """
    playbook = playbook or default_playbook()
    train, held_out = split_feedback(feedback, playbook)
    incidents, unseen = _generate(seed, size, playbook, progress)
    solved = np.concatenate([incident.solved for incident in incidents]).astype(float)
    success = np.array([SUCCESS[entry.outcome] for entry in train])
    rows = np.concatenate([extract_incident_features(incidents, playbook), extract_feedback_features(train, playbook)])
    weights = _weigh_rows(len(solved), len(train))
    progress(0.5, "learning from them")
    model = RankingModel.fit(rows, np.concatenate([solved, success]), weights, seed)
    progress(0.9, "measuring on incidents that it has never seen")
    measures = measure_ranking(model, unseen, held_out, playbook)
    rival = measure_ranking(champion, unseen, held_out, playbook) if champion else []
    progress(1.0, "done")
    counts = _Counts(len(incidents), len(solved), len(train), len(held_out))
    return _describe(model, RANKING_ALGORITHM, TREES, seed, counts, measures, rival)


def train_priority(
    seed: int = 1,
    progress: Progress = _ignore_progress,
    feedback: Sequence[Feedback] = (),
    champion: PriorityModel | None = None,
    playbook: Playbook | None = None,
    size: TrainingSize = TrainingSize(),
) -> Trained:
    """Returns a new version of the priority model, as `train_ranking` does of the ranking model."""
    playbook = playbook or default_playbook()
    train, held_out = split_feedback(feedback, playbook)
    incidents, unseen = _generate(seed, size, playbook, progress)
    labels = np.concatenate(label_priorities(incidents, seed))
    recorded = np.array([PRIORITIES.index(label_priority(entry)) for entry in train], dtype=np.int64)
    rows = np.concatenate([extract_incident_features(incidents, playbook), extract_feedback_features(train, playbook)])
    weights = _weigh_rows(len(labels), len(train))
    progress(0.5, "learning from them")
    model = PriorityModel.fit(rows, np.concatenate([labels, recorded]), weights, seed)
    progress(0.9, "measuring on incidents that it has never seen")
    measures = measure_priority(model, unseen, HELD_OUT_SEED, held_out, playbook)
    rival = measure_priority(champion, unseen, HELD_OUT_SEED, held_out, playbook) if champion else []
    progress(1.0, "done")
    counts = _Counts(len(incidents), len(labels), len(train), len(held_out))
    return _describe(model, PRIORITY_ALGORITHM, PRIORITY_TREES * len(PRIORITIES), seed, counts, measures, rival)


def _generate(
    seed: int, size: TrainingSize, playbook: Playbook, progress: Progress
) -> tuple[list[Incident], list[Incident]]:
    """Returns the incidents to learn from, and those to measure on."""
    progress(0.0, "imagining incidents")
    incidents = list(generate_incidents(seed, size.incidents, playbook))
    progress(0.3, "imagining others to measure on")
    return incidents, list(generate_incidents(HELD_OUT_SEED, size.held_out, playbook))


def _weigh_rows(simulated: int, recorded: int) -> Floats:
    return np.concatenate([np.ones(simulated), np.full(recorded, weigh_feedback(simulated, recorded))])


@dataclass(frozen=True)
class _Counts:
    incidents: int
    simulated: int  # rows of these incidents
    recorded: int  # outcomes learnt from
    held_out: int  # outcomes measured on


def _describe(
    model: RankingModel | PriorityModel,
    algorithm: str,
    trees: int,
    seed: int,
    counts: _Counts,
    measures: list[Measure],
    rival: list[Measure],
) -> Trained:
    recorded = counts.recorded * weigh_feedback(counts.simulated, counts.recorded)
    details: Mapping[str, object] = {
        "trained_on": SIMULATED,
        "incidents": counts.incidents,
        "recorded_outcomes": counts.recorded,
        "recorded_outcomes_measured_on": counts.held_out,
        "weight_of_recorded": round(recorded / (counts.simulated + recorded), 4),
    }
    return Trained(
        artefact=model.to_bytes(),
        algorithm=algorithm,
        features=tuple(feature.value for feature in RankingFeature),
        hyperparameters={"trees": trees, "equal_at": EQUAL_AT},
        seed=seed,
        samples=counts.simulated + counts.recorded,
        details=details,
        measures=tuple(measures),
        rival_measures=tuple(rival),
    )
