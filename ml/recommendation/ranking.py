"""Ranking: how well each action will probably do, how soon it wants to be looked at, and which ones to recommend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.root_causes import RootCause
from ml.numerics.arrays import Floats, Integers
from ml.numerics.artefacts import name_damage, read_arrays, write_arrays
from ml.numerics.gradient_boosting import BoostedTrees
from ml.recommendation.case import Past, Priority, Ranked, Situation
from ml.recommendation.features import AT, RankingFeature, features
from ml.recommendation.playbook.catalogue import candidates
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

Key = tuple[str, RootCause | None]


@dataclass(frozen=True)
class RankingModel:
    """Boosted trees that tell the chance that an action solves a fault."""

    trees: BoostedTrees
    version: str = ""

    @classmethod
    def fit(cls, rows: Floats, success: Floats, weight: Floats, seed: int) -> Self:
        """From features (rows, features), how far each was a success (rows,) 0 to 1, and its weight (rows,)."""
        doubled = np.concatenate([rows, rows])  # what is half a success is a success and a failure of half the weight
        labels = np.repeat([1, 0], len(rows))
        weights = np.concatenate([success, 1.0 - success]) * np.concatenate([weight, weight])
        said = weights > 0
        return cls(_boosted(doubled[said], labels[said], weights[said], seed, TREES, MONOTONIC))

    def chances(self, rows: Floats) -> Floats:
        """(rows,): that the action solves the fault."""
        result: Floats = self.trees.probabilities(rows)[:, 1]
        return result

    def scores(self, rows: Floats) -> Floats:
        """(rows,), 0 to 1: that chance, times what a solution with that effort is worth."""
        result: Floats = self.chances(rows) * EFFORT_WORTH[rows[:, AT[RankingFeature.EFFORT]].astype(np.intp)]
        return result

    def to_bytes(self) -> bytes:
        """An .npz artefact without pickle; the same model gives the same bytes."""
        return _to_bytes(self.trees)

    @classmethod
    def from_bytes(cls, data: bytes, version: str) -> Self:
        """Raises ValueError where `data` is damaged, or no ranking model's."""
        return cls(_from_bytes(data, 2, "a ranking model"), version)


@dataclass(frozen=True)
class PriorityModel:
    """Boosted trees that tell how soon an action wants to be looked at."""

    trees: BoostedTrees
    version: str = ""

    @classmethod
    def fit(cls, rows: Floats, labels: Integers, weight: Floats, seed: int) -> Self:
        """From features (rows, features), places in `PRIORITIES` (rows,), of which each occurs, and weights (rows,)."""
        return cls(_boosted(rows, labels, weight, seed, PRIORITY_TREES))

    def probabilities(self, rows: Floats) -> Floats:
        """(rows, priorities), from LOW to HIGH."""
        return self.trees.probabilities(rows)

    def to_bytes(self) -> bytes:
        """An .npz artefact without pickle; the same model gives the same bytes."""
        return _to_bytes(self.trees)

    @classmethod
    def from_bytes(cls, data: bytes, version: str) -> Self:
        """Raises ValueError where `data` is damaged, or no priority model's."""
        return cls(_from_bytes(data, len(PRIORITIES), "a priority model"), version)


# ---------------------------------------------------------------- recommending


def ranked(
    situation: Situation, pasts: Mapping[Key, Past], ranking: RankingModel, priority: PriorityModel
) -> list[Ranked]:
    """What may help, best first, and equals as the playbook has them; `pasts` by action and cause, none if missing."""
    options = candidates(situation)
    known = [pasts.get((one.action.key, one.cause), Past()) for one in options]
    rows = features(situation, options, known)
    scores = ranking.scores(rows).tolist()
    places = priority.probabilities(rows).argmax(axis=1).tolist()
    result = [Ranked(one, score, PRIORITIES[at]) for one, score, at in zip(options, scores, places, strict=True)]
    return sorted(result, key=lambda one: (-one.score, one.candidate.order))


def chosen(per_situation: Sequence[Sequence[Ranked]]) -> list[tuple[int, Ranked]]:
    """Three to seven, best first, each with the number of its situation: of each, as far as seven allow, the best.

    Beyond three, and beyond the best of each, only those that score at least half as high as the best of all.
    """
    listed = [(number, place, one) for number, of in enumerate(per_situation) for place, one in enumerate(of)]
    listed.sort(key=lambda one: (one[1] > 0, -one[2].score))  # the best of each first
    picked = listed[:MOST]
    good = GOOD_ENOUGH * max((one.score for _, _, one in picked), default=0.0)
    kept = [(n, one) for at, (n, place, one) in enumerate(picked) if place == 0 or at < LEAST or one.score >= good]
    return sorted(kept, key=lambda one: -one[1].score)


# ---------------------------------------------------------------- trees


def _boosted(
    rows: Floats,
    labels: Integers,
    weight: Floats,
    seed: int,
    trees: int,
    monotonic: Mapping[RankingFeature, int] | None = None,
) -> BoostedTrees:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - only training needs it
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # noqa: PLC0415

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


def _to_bytes(trees: BoostedTrees) -> bytes:
    names: dict[str, NDArray[Any]] = {"features": np.array([feature.value for feature in RankingFeature])}
    return write_arrays(names | trees.to_arrays())


def _from_bytes(data: bytes, classes: int, meant: str) -> BoostedTrees:
    with name_damage(meant):
        arrays = read_arrays(data)
        trees, names = BoostedTrees.from_arrays(arrays), arrays["features"].tolist()
    if names != list(RankingFeature) or trees.classes != classes or trees.trees.columns != len(RankingFeature):
        raise ValueError(f"not {meant}'s artefact: it tells something else, or by other features")
    return trees
