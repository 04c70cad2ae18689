import subprocess
import sys

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from ml.trees import CHUNK_ROWS, Forest

RNG = np.random.default_rng(3)
TRAINING = np.column_stack([RNG.normal(size=(2000, 4)), RNG.integers(0, 3, 2000)])


@pytest.mark.parametrize("settings", [{}, {"max_samples": 17, "n_estimators": 7}, {"max_samples": 3}])
def test_scores_equal_those_of_scikit_learn(settings: dict[str, int]) -> None:
    fitted = IsolationForest(random_state=4, **settings).fit(TRAINING)
    rows = np.vstack([RNG.normal(size=(CHUNK_ROWS + 9, 5)) * 3, TRAINING[:50], np.zeros((1, 5))])

    scores = Forest.from_sklearn(fitted).score(rows)

    assert np.abs(scores + fitted.score_samples(rows)).max() < 1e-12


def test_values_on_a_threshold_go_the_same_way_as_in_scikit_learn() -> None:
    fitted = IsolationForest(random_state=5).fit(TRAINING)
    thresholds = np.unique(np.concatenate([tree.tree_.threshold for tree in fitted.estimators_]))
    rows = np.repeat(thresholds[thresholds > -1.9][:3000, None], 5, axis=1)

    scores = Forest.from_sklearn(fitted).score(rows)

    assert np.abs(scores + fitted.score_samples(rows)).max() < 1e-12


def test_a_forest_survives_its_arrays() -> None:
    forest = Forest.from_sklearn(IsolationForest(random_state=6).fit(TRAINING))

    again = Forest.from_arrays(forest.to_arrays())

    assert np.array_equal(again.score(TRAINING[:100]), forest.score(TRAINING[:100]))


def test_arrays_of_incomplete_trees_are_refused() -> None:
    arrays = Forest.from_sklearn(IsolationForest(random_state=6).fit(TRAINING)).to_arrays()
    arrays["forest_path"] = arrays["forest_path"][:, 1:]

    with pytest.raises(ValueError, match="complete trees"):
        Forest.from_arrays(arrays)


def test_forests_whose_trees_see_only_some_features_are_refused() -> None:
    fitted = IsolationForest(max_features=0.5, random_state=7).fit(TRAINING)

    with pytest.raises(ValueError, match="every feature"):
        Forest.from_sklearn(fitted)


def test_forests_of_single_rows_are_refused() -> None:
    fitted = IsolationForest(max_samples=1, random_state=7).fit(TRAINING)

    with pytest.raises(ValueError, match="single row"):
        Forest.from_sklearn(fitted)


def test_scoring_needs_no_scikit_learn() -> None:
    code = "import sys, ml.detector, ml.episodes, ml.baselines, ml.training; sys.exit('sklearn' in sys.modules)"

    finished = subprocess.run([sys.executable, "-c", code], check=False)

    assert finished.returncode == 0
