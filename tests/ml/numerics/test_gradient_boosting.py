import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from threadpoolctl import threadpool_limits

from ml.numerics.arrays import Floats
from ml.numerics.gradient_boosting import BoostedTrees, class_probabilities
from ml.numerics.trees import BLOCK_SIZE

RNG = np.random.default_rng(11)
EXACT = (GradientBoostingRegressor, GradientBoostingClassifier)
HISTOGRAM = (HistGradientBoostingRegressor, HistGradientBoostingClassifier)
FEATURES = RNG.normal(size=(600, 4))
HOLED = np.where(RNG.random(FEATURES.shape) < 0.1, np.nan, FEATURES)
CLASS = 2 * (FEATURES[:, 0] * FEATURES[:, 1] > 0) + (FEATURES[:, 2] > 0.3)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other would take thirty times as long while other tests run."""
    with threadpool_limits(1, user_api="openmp"):
        yield


def expected(model: Any, features: Floats) -> Floats:
    result: Floats = getattr(model, "decision_function", model.predict)(features)
    return result


def thresholds(model: Any) -> Floats:
    if isinstance(model, EXACT):
        return np.concatenate([tree.tree_.threshold for tree in model.estimators_.ravel()])
    return np.concatenate([tree.nodes["num_threshold"] for trees in model._predictors for tree in trees])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    columns=st.integers(1, 3),
    trees=st.integers(1, 4),
    depth=st.sampled_from([1, 2, 3, 12]),
    classes=st.sampled_from([0, 2, 4]),
    histogram=st.booleans(),
)
def test_predictions_equal_those_of_scikit_learn(
    seed: int, columns: int, trees: int, depth: int, classes: int, histogram: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice(rng.normal(size=rng.integers(1, 30)), (80, columns))  # with ties, or constant
    target = np.arange(80) % classes if classes else np.round(values.sum(axis=1) + rng.normal(size=80), 1)
    size = {"max_iter": trees, "min_samples_leaf": 2} if histogram else {"n_estimators": trees}
    holes = rng.random(values.shape) < rng.choice([0.0, 0.2])
    known = np.where(holes & histogram, np.nan, values)
    model = (HISTOGRAM if histogram else EXACT)[classes > 0](max_depth=depth, random_state=seed, **size)
    model.fit(known, target)
    on = thresholds(model)
    near = np.concatenate([known.ravel(), on, np.nextafter(on, np.inf), np.nextafter(on, -np.inf), [1e30, -1e30]])
    rows = rng.choice(np.append(near, [np.nan, np.inf, -np.inf] if histogram else []), (300, columns))
    rows = rows if histogram else np.nan_to_num(rows, posinf=0.0)

    boosted = BoostedTrees.from_sklearn(model)

    assert boosted.decision_function(rows).shape == expected(model, rows).shape
    assert boosted.decision_function(rows) == pytest.approx(expected(model, rows), rel=1e-12, abs=1e-12)
    if classes:
        assert np.abs(boosted.probabilities(rows) - model.predict_proba(rows)).max() < 1e-12


@pytest.mark.parametrize("settings", [{}, {"max_depth": 8}, {"max_leaf_nodes": None, "max_depth": 30}])
def test_leafwise_trees_of_any_depth_are_followed_to_their_leaves(settings: dict[str, int]) -> None:
    model = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=1, random_state=1, **settings)
    model.fit(HOLED, CLASS)

    boosted = BoostedTrees.from_sklearn(model)

    rows = np.vstack([HOLED, RNG.normal(size=(BLOCK_SIZE // boosted.trees.count + 9, 4))])
    assert np.abs(boosted.decision_function(rows) - expected(model, rows)).max() < 1e-12
    assert boosted.trees.depth == max(tree.get_max_depth() for trees in model._predictors for tree in trees)


def test_that_a_value_is_missing_may_be_all_that_a_split_asks() -> None:
    missing = np.arange(100) % 3 == 0
    model = HistGradientBoostingRegressor(max_iter=2).fit(np.where(missing, np.nan, 5.0)[:, None], missing)
    rows = np.array([[np.nan], [5.0], [np.inf], [-np.inf]])

    raw = BoostedTrees.from_sklearn(model).decision_function(rows)

    assert np.inf in thresholds(model)
    assert raw == pytest.approx(expected(model, rows), rel=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(init="zero", n_estimators=5),
        GradientBoostingClassifier(n_estimators=50, n_iter_no_change=2, random_state=1),
        GradientBoostingClassifier(max_leaf_nodes=7, max_depth=None, n_estimators=5),
        GradientBoostingRegressor(loss="quantile", alpha=0.8, n_estimators=5, subsample=0.5, random_state=1),
        HistGradientBoostingRegressor(loss="absolute_error", max_iter=5),
        HistGradientBoostingClassifier(max_bins=4, max_iter=5),
    ],
)
def test_settings_that_change_the_sum_are_respected(model: Any) -> None:
    model.fit(FEATURES, CLASS)

    boosted = BoostedTrees.from_sklearn(model)

    assert np.abs(boosted.decision_function(FEATURES) - expected(model, FEATURES)).max() < 1e-12


def test_a_regression_with_a_logarithmic_link_predicts_the_logarithm() -> None:
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=5).fit(FEATURES, CLASS)

    raw = BoostedTrees.from_sklearn(model).decision_function(FEATURES)

    assert np.exp(raw) == pytest.approx(model.predict(FEATURES), rel=1e-12)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (GradientBoostingClassifier(), "not fitted"),
        (RandomForestClassifier(n_estimators=2).fit(FEATURES, CLASS), "no gradient boosting"),
        (GradientBoostingRegressor(init=DummyRegressor(), n_estimators=2).fit(FEATURES, CLASS), "constant"),
        (GradientBoostingClassifier(loss="exponential", n_estimators=2).fit(FEATURES, CLASS > 1), "loss"),
        (
            HistGradientBoostingClassifier(categorical_features=[0], max_iter=2).fit(CLASS[:, None], CLASS),
            "numerical",
        ),
    ],
)
def test_models_that_cannot_be_followed_are_refused(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BoostedTrees.from_sklearn(model)


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e39])
def test_features_that_a_model_cannot_know_are_refused(odd: float) -> None:
    boosted = BoostedTrees.from_sklearn(GradientBoostingClassifier(n_estimators=2).fit(FEATURES, CLASS))

    with pytest.raises(ValueError, match="missing"):
        boosted.decision_function(np.array([[0.0, odd, 0.0, 0.0]]))


@pytest.mark.parametrize("rows", [FEATURES[:, :3], FEATURES[0]])
def test_rows_of_other_features_are_refused(rows: Floats) -> None:
    boosted = BoostedTrees.from_sklearn(HistGradientBoostingClassifier(max_iter=2).fit(FEATURES, CLASS))

    with pytest.raises(ValueError, match="4 features"):
        boosted.decision_function(rows)


def test_a_regression_has_no_probabilities() -> None:
    boosted = BoostedTrees.from_sklearn(GradientBoostingRegressor(n_estimators=2).fit(FEATURES, CLASS))

    with pytest.raises(ValueError, match="no classes"):
        boosted.probabilities(FEATURES)


def test_no_rows_have_no_predictions() -> None:
    boosted = BoostedTrees.from_sklearn(GradientBoostingClassifier(n_estimators=2).fit(FEATURES, CLASS))

    assert boosted.probabilities(np.empty((0, 4))).shape == (0, 4)


def test_probabilities_stand_extreme_decisions() -> None:
    assert class_probabilities(np.array([-2000.0, 0.0, 2000.0])).tolist() == [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]


@pytest.mark.parametrize("kind", [GradientBoostingClassifier, HistGradientBoostingClassifier])
def test_a_saved_model_predicts_the_same_without_scikit_learn(kind: Any, tmp_path: Path) -> None:
    boosted = BoostedTrees.from_sklearn(kind(random_state=2).fit(FEATURES, CLASS))
    np.savez(tmp_path / "model.npz", allow_pickle=False, rows=FEATURES, **boosted.to_arrays())
    code = """if True:
        import sys, numpy as np
        from ml.numerics.gradient_boosting import BoostedTrees
        arrays = dict(np.load(sys.argv[1]))
        np.save(sys.argv[2], BoostedTrees.from_arrays(arrays).probabilities(arrays["rows"]))
        sys.exit("sklearn" in sys.modules)"""

    paths = [str(tmp_path / "model.npz"), str(tmp_path / "answer.npy")]
    finished = subprocess.run([sys.executable, "-c", code, *paths], check=False)

    assert finished.returncode == 0
    assert np.array_equal(np.load(tmp_path / "answer.npy"), boosted.probabilities(FEATURES))


SAVED = BoostedTrees.from_sklearn(GradientBoostingClassifier(n_estimators=3).fit(FEATURES, CLASS)).to_arrays()
NODES = len(SAVED["boosted_feature"])


def changed(name: str, place: int, value: float) -> Any:
    array = SAVED[name].copy()
    array[place] = value
    return array


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_model_without_one_of_its_arrays_is_refused(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        BoostedTrees.from_arrays({other: array for other, array in SAVED.items() if other != name})


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("boosted_shape", np.array([12])),
        ("boosted_shape", np.array([12.0, 4.0])),
        ("boosted_shape", np.array([11, 4])),
        ("boosted_shape", np.array([0, 4])),
        ("boosted_shape", np.array([12, 1])),
        ("boosted_feature", changed("boosted_feature", 0, 8)),
        ("boosted_feature", changed("boosted_feature", 0, -2)),
        ("boosted_feature", changed("boosted_feature", 0, -1)),
        ("boosted_feature", changed("boosted_feature", -1, 0)),
        ("boosted_feature", np.zeros(NODES, dtype=np.int32)),
        ("boosted_feature", np.full(NODES, -1, dtype=np.int32)),
        ("boosted_feature", SAVED["boosted_feature"][:-1]),
        ("boosted_feature", SAVED["boosted_feature"].reshape(-1, 1)),
        ("boosted_feature", SAVED["boosted_feature"].astype(np.int64) + 2**32),
        ("boosted_feature", SAVED["boosted_feature"].astype(str)),
        ("boosted_least", SAVED["boosted_least"][:-1]),
        ("boosted_least", SAVED["boosted_least"].astype(np.float16)),
        ("boosted_value", SAVED["boosted_value"][:-1]),
        ("boosted_value", SAVED["boosted_value"].astype(str)),
        ("boosted_value", changed("boosted_value", 5, np.nan)),
        ("boosted_baseline", SAVED["boosted_baseline"][:-1]),
        ("boosted_baseline", SAVED["boosted_baseline"].astype(str)),
        ("boosted_baseline", changed("boosted_baseline", 0, np.inf)),
        ("boosted_classes", np.array(5)),
        ("boosted_classes", np.array(2)),
        ("boosted_classes", np.array(-4)),
        ("boosted_classes", np.array([4])),
        ("boosted_classes", np.array("four")),
    ],
)
def test_damaged_arrays_are_refused(name: str, damaged: Any) -> None:
    with pytest.raises(ValueError, match=r"\w+ .* \w+"):
        BoostedTrees.from_arrays(SAVED | {name: damaged})


def test_a_single_class_is_no_classification() -> None:
    arrays = BoostedTrees.from_sklearn(GradientBoostingRegressor(n_estimators=2).fit(FEATURES, CLASS)).to_arrays()

    with pytest.raises(ValueError, match="fit the classes"):
        BoostedTrees.from_arrays(arrays | {"boosted_classes": np.array(1)})
