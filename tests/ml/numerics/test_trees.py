import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

from ml.numerics.trees import BLOCK_SIZE, Forest

RNG = np.random.default_rng(3)
TRAINING = np.column_stack([RNG.normal(size=(2000, 4)), RNG.integers(0, 3, 2000)])


@pytest.mark.parametrize(
    "settings", [{}, {"max_samples": 17, "n_estimators": 7}, {"max_samples": 3}, {"max_samples": 2, "n_estimators": 1}]
)
def test_scores_equal_those_of_scikit_learn(settings: dict[str, int]) -> None:
    fitted = IsolationForest(random_state=4, **settings).fit(TRAINING)
    rows = np.vstack([RNG.normal(size=(BLOCK_SIZE // 100 + 9, 5)) * 3, TRAINING[:50], np.zeros((1, 5))])

    scores = Forest.from_sklearn(fitted).score(rows)

    assert np.abs(scores + fitted.score_samples(rows)).max() < 1e-12


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), columns=st.integers(1, 3), values=st.integers(1, 9), rows=st.sampled_from([2, 40]))
def test_scores_equal_those_of_scikit_learn_where_values_repeat(
    seed: int, columns: int, values: int, rows: int
) -> None:
    training = np.random.default_rng(seed).integers(0, values, (rows, columns)).astype(np.float64)
    fitted = IsolationForest(n_estimators=5, random_state=seed).fit(training)

    scores = Forest.from_sklearn(fitted).score(training)

    assert np.abs(scores + fitted.score_samples(training)).max() < 1e-12


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


def test_no_rows_have_no_scores() -> None:
    forest = Forest.from_sklearn(IsolationForest(n_estimators=2, random_state=6).fit(TRAINING))

    assert forest.score(TRAINING[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("forest_normaliser", np.array(0.0)),
        ("forest_normaliser", np.array(np.nan)),
        ("forest_normaliser", np.array([1.0, 2.0])),
        ("forest_normaliser", np.array("ten")),
        ("forest_shape", np.array([99, 5])),
        ("forest_shape", np.array([100, 2])),
        ("forest_value", np.zeros(1)),
        ("forest_least", np.zeros(1, dtype=np.float32)),
    ],
)
def test_damaged_arrays_are_refused(name: str, damaged: Any) -> None:
    arrays = Forest.from_sklearn(IsolationForest(random_state=6).fit(TRAINING)).to_arrays()

    with pytest.raises(ValueError, match=r"\w+ .* \w+"):
        Forest.from_arrays(arrays | {name: damaged})


def test_a_missing_array_is_refused() -> None:
    with pytest.raises(KeyError, match="forest_normaliser"):
        Forest.from_arrays({})


def test_rows_of_other_features_are_refused() -> None:
    forest = Forest.from_sklearn(IsolationForest(n_estimators=2, random_state=6).fit(TRAINING))

    with pytest.raises(ValueError, match="5 features"):
        forest.score(TRAINING[:, :4])


def test_forests_whose_trees_see_only_some_features_are_refused() -> None:
    fitted = IsolationForest(max_features=0.5, random_state=7).fit(TRAINING)

    with pytest.raises(ValueError, match="every feature"):
        Forest.from_sklearn(fitted)


def test_forests_of_single_rows_are_refused() -> None:
    fitted = IsolationForest(max_samples=1, random_state=7).fit(TRAINING)

    with pytest.raises(ValueError, match="single row"):
        Forest.from_sklearn(fitted)


def test_scoring_needs_no_scikit_learn() -> None:
    modules = "ml.detection.detector, ml.detection.episodes, ml.detection.baselines, ml.detection.training"
    code = f"import sys, {modules}; sys.exit('sklearn' in sys.modules)"

    finished = subprocess.run([sys.executable, "-c", code], check=False)

    assert finished.returncode == 0
