"""Ranking: how well each action will probably do, how soon to look at it, and which ones to recommend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats, Integers
from ml.numerics.artefacts import name_damage, read_arrays, write_arrays
from ml.numerics.gradient_boosting import BoostedTrees
from ml.recommendation.candidates import list_candidates
from ml.recommendation.case import ActionForCause, Candidate, FaultCase, Priority, RankedAction, TrackRecord
from ml.recommendation.features import AT, RankingFeature, extract_features
from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.success_model import EFFORT_WORTH

LEAST: Final = 3  # recommendations, where the playbook has so many
MOST: Final = 7
GOOD_ENOUGH: Final = 0.5  # of the best score, for those beyond the least
TREES: Final = 200
PRIORITY_TREES: Final = 100
PRIORITIES: Final = tuple(Priority)
# More solutions never lower a score, and more failures never raise it.
MONOTONIC: Final[dict[RankingFeature, int]] = {
    RankingFeature.RATE: 1,
    RankingFeature.RATE_HERE: 1,
    RankingFeature.SOLVED: 1,
    RankingFeature.FAILED: -1,
}


@dataclass(frozen=True)
class RankingModel:
    """Boosted trees that predict the chance that an action solves a fault."""

    trees: BoostedTrees
    version: str = ""

    @classmethod
    def fit(cls, rows: Floats, success: Floats, weight: Floats, seed: int) -> Self:
        """Fits a model.

        rows: features, shape (rows, features).
        success: how far each row was a success, 0 to 1, shape (rows,).
        weight: of each row, shape (rows,).
        """
        doubled = np.concatenate([rows, rows])  # half a success is a success and a failure, each of half the weight
        labels = np.repeat([1, 0], len(rows))
        weights = np.concatenate([success, 1.0 - success]) * np.concatenate([weight, weight])
        counts = weights > 0
        return cls(_fit_trees(doubled[counts], labels[counts], weights[counts], seed, TREES, MONOTONIC))

    def chances(self, rows: Floats) -> Floats:
        """Returns the chance that each action solves its fault, shape (rows,)."""
        result: Floats = self.trees.probabilities(rows)[:, 1]
        return result

    def scores(self, rows: Floats) -> Floats:
        """Returns that chance times what a solution with this effort is worth, 0 to 1, shape (rows,)."""
        result: Floats = self.chances(rows) * EFFORT_WORTH[rows[:, AT[RankingFeature.EFFORT]].astype(np.intp)]
        return result

    def to_bytes(self) -> bytes:
        """Returns an .npz artefact without pickle; the same model gives the same bytes."""
        return _write_artefact(self.trees)

    @classmethod
    def from_bytes(cls, data: bytes, version: str) -> Self:
        """Raises ValueError where `data` is damaged, or no ranking model's."""
        return cls(_read_artefact(data, 2, "a ranking model"), version)


@dataclass(frozen=True)
class PriorityModel:
    """Boosted trees that predict how soon somebody should look at an action."""

    trees: BoostedTrees
    version: str = ""

    @classmethod
    def fit(cls, rows: Floats, labels: Integers, weight: Floats, seed: int) -> Self:
        """Fits a model.

        rows: features, shape (rows, features).
        labels: positions in `PRIORITIES`, each of which occurs, shape (rows,).
        weight: of each row, shape (rows,).
        """
        return cls(_fit_trees(rows, labels, weight, seed, PRIORITY_TREES))

    def probabilities(self, rows: Floats) -> Floats:
        """Returns the probability of each priority, from LOW to HIGH, shape (rows, priorities)."""
        return self.trees.probabilities(rows)

    def to_bytes(self) -> bytes:
        """Returns an .npz artefact without pickle; the same model gives the same bytes."""
        return _write_artefact(self.trees)

    @classmethod
    def from_bytes(cls, data: bytes, version: str) -> Self:
        """Raises ValueError where `data` is damaged, or no priority model's."""
        return cls(_read_artefact(data, len(PRIORITIES), "a priority model"), version)


# ---------------------------------------------------------------- recommending


def rank_actions(
    case: FaultCase,
    records: Mapping[ActionForCause, TrackRecord],
    ranking: RankingModel,
    priority: PriorityModel,
    playbook: Playbook,
    candidates: Sequence[Candidate] | None = None,
) -> list[RankedAction]:
    """Returns what may help, best first; equal scores in the playbook's order.

    records: of actions that were tried before; the others may be missing.
    candidates: to rank; else all that the playbook lists for the case.
    """
    candidates = list_candidates(case, playbook) if candidates is None else candidates
    history = [records.get((candidate.action.key, candidate.cause), TrackRecord()) for candidate in candidates]
    rows = extract_features(case, candidates, history, playbook)
    scores = ranking.scores(rows).tolist()
    places = priority.probabilities(rows).argmax(axis=1).tolist()
    ranked = [
        RankedAction(candidate, score, PRIORITIES[place])
        for candidate, score, place in zip(candidates, scores, places, strict=True)
    ]
    return sorted(ranked, key=lambda action: (-action.score, action.candidate.order))


def choose_recommendations(ranked_by_case: Sequence[Sequence[RankedAction]]) -> list[tuple[int, RankedAction]]:
    """Returns three to seven actions, best first, each with the number of its case.

    The best of each case comes before all others. Beyond three, and beyond the best of each case, only those are chosen
    that score at least half as high as the best of all.
    """
    listed = [(number, place, action) for number, of in enumerate(ranked_by_case) for place, action in enumerate(of)]
    listed.sort(key=lambda entry: (entry[1] > 0, -entry[2].score))  # the best of each case first
    picked = listed[:MOST]
    good = GOOD_ENOUGH * max((action.score for _, _, action in picked), default=0.0)
    kept = [
        (number, action)
        for at, (number, place, action) in enumerate(picked)
        if place == 0 or at < LEAST or action.score >= good
    ]
    return sorted(kept, key=lambda entry: -entry[1].score)


# ---------------------------------------------------------------- trees


def _fit_trees(
    rows: Floats,
    labels: Integers,
    weight: Floats,
    seed: int,
    trees: int,
    monotonic: Mapping[RankingFeature, int] | None = None,
) -> BoostedTrees:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - only training needs it
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    model = HistGradientBoostingClassifier(
        max_iter=trees,
        max_depth=3,
        learning_rate=0.08,
        min_samples_leaf=60,
        l2_regularization=5.0,
        monotonic_cst=monotonic and [monotonic.get(feature, 0) for feature in RankingFeature],
        random_state=seed,
        early_stopping=False,
    )
    with threadpool_limits(1):  # small data: threads cost more than they bring
        model.fit(rows, labels, sample_weight=weight)
    return BoostedTrees.from_sklearn(model)


def _write_artefact(trees: BoostedTrees) -> bytes:
    names: dict[str, NDArray[Any]] = {"features": np.array([feature.value for feature in RankingFeature])}
    return write_arrays(names | trees.to_arrays())


def _read_artefact(data: bytes, classes: int, meant: str) -> BoostedTrees:
    with name_damage(meant):
        arrays = read_arrays(data)
        trees, names = BoostedTrees.from_arrays(arrays), arrays["features"].tolist()
    if names != list(RankingFeature) or trees.classes != classes or trees.trees.columns != len(RankingFeature):
        raise ValueError(f"not {meant}'s artefact: it predicts something else, or by other features")
    return trees
