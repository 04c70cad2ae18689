"""Trains the ranking and the priority of recommendations: on imagined incidents, and on what operators recorded."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ml.catalogue.models import Measure, Progress, Trained
from ml.numerics.arrays import Floats
from ml.recommendation.evaluation import SIMULATED, priority_measures, ranking_measures, rows_of
from ml.recommendation.features import RankingFeature
from ml.recommendation.feedback import EQUAL_AT, SUCCESS, Experience, parted, priority_of, table, weight
from ml.recommendation.priority_labels import rated
from ml.recommendation.ranking import PRIORITIES, PRIORITY_TREES, TREES, PriorityModel, RankingModel
from ml.recommendation.synthetic_incidents import Incident, incidents

RANKING_ALGORITHM: Final = "gradient boosting of the chance that an action helps, times what its effort leaves of it"
PRIORITY_ALGORITHM: Final = "gradient boosting over three priorities"
INCIDENTS: Final = 6_000
HELD_OUT: Final = 2_000
HELD_OUT_SEED: Final = 900_001  # the same incidents for every version; no training uses them


def _unheard(_done: float, _what: str) -> None:
    return None


def train_ranking(
    seed: int = 1,
    progress: Progress = _unheard,
    experiences: Sequence[Experience] = (),
    champion: RankingModel | None = None,
) -> Trained:
    """A version from the incidents of `seed` and the older experiences, and a champion measured on the same others."""
    known, kept = parted(experiences)
    drawn, unseen = _drawn(seed, progress)
    solved = np.concatenate([one.solved for one in drawn]).astype(float)
    success = np.array([SUCCESS[one.outcome] for one in known])
    rows = np.concatenate([rows_of(drawn), table(known)])
    weights = _weights(len(solved), len(known))
    progress(0.5, "learning from them")
    model = RankingModel.fit(rows, np.concatenate([solved, success]), weights, seed)
    progress(0.9, "measuring on incidents that it has never seen")
    measures = ranking_measures(model, unseen, kept)
    rival = ranking_measures(champion, unseen, kept) if champion else []
    progress(1.0, "done")
    return _trained(model, RANKING_ALGORITHM, TREES, seed, (len(solved), len(known), len(kept)), measures, rival)


def train_priority(
    seed: int = 1,
    progress: Progress = _unheard,
    experiences: Sequence[Experience] = (),
    champion: PriorityModel | None = None,
) -> Trained:
    """As `train_ranking` does."""
    known, kept = parted(experiences)
    drawn, unseen = _drawn(seed, progress)
    labels = np.concatenate(rated(drawn, seed))
    recorded = np.array([PRIORITIES.index(priority_of(one)) for one in known], dtype=np.int64)
    rows = np.concatenate([rows_of(drawn), table(known)])
    weights = _weights(len(labels), len(known))
    progress(0.5, "learning from them")
    model = PriorityModel.fit(rows, np.concatenate([labels, recorded]), weights, seed)
    progress(0.9, "measuring on incidents that it has never seen")
    measures = priority_measures(model, unseen, HELD_OUT_SEED, kept)
    rival = priority_measures(champion, unseen, HELD_OUT_SEED, kept) if champion else []
    progress(1.0, "done")
    counts = (len(labels), len(known), len(kept))
    return _trained(model, PRIORITY_ALGORITHM, PRIORITY_TREES * len(PRIORITIES), seed, counts, measures, rival)


def _drawn(seed: int, progress: Progress) -> tuple[list[Incident], list[Incident]]:
    """To learn from, and to measure on."""
    progress(0.0, "imagining incidents")
    learnt = list(incidents(seed, INCIDENTS))
    progress(0.3, "imagining others to measure on")
    return learnt, list(incidents(HELD_OUT_SEED, HELD_OUT))


def _weights(simulated: int, recorded: int) -> Floats:
    return np.concatenate([np.ones(simulated), np.full(recorded, weight(simulated, recorded))])


def _trained(
    model: RankingModel | PriorityModel,
    algorithm: str,
    trees: int,
    seed: int,
    counts: tuple[int, int, int],
    measures: list[Measure],
    rival: list[Measure],
) -> Trained:
    """counts: rows imagined, recorded, and recorded but kept to measure on."""
    simulated, recorded, kept = counts
    weighs = recorded * weight(simulated, recorded)
    details: Mapping[str, object] = {
        "trained_on": SIMULATED,
        "incidents": INCIDENTS,
        "recorded_outcomes": recorded,
        "recorded_outcomes_measured_on": kept,
        "weight_of_recorded": round(weighs / (simulated + weighs), 4),
    }
    return Trained(
        artefact=model.to_bytes(),
        algorithm=algorithm,
        features=tuple(feature.value for feature in RankingFeature),
        hyperparameters={"trees": trees, "equal_at": EQUAL_AT},
        seed=seed,
        samples=simulated + recorded,
        details=details,
        measures=tuple(measures),
        rival_measures=tuple(rival),
    )
