from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CLASSIFIED, RootCause
from ml.numerics.arrays import Floats
from ml.numerics.scores import calibration_error
from ml.root_cause.analysis import extract_classifier_input
from ml.root_cause.classifier import Classifier, ClassifierFeature
from ml.root_cause.event_features import extract_features
from ml.root_cause.events import detect_events
from ml.root_cause.residuals import compute_residuals
from ml.simulation.faults import Fault, Variant
from tests.helpers.incidents import TOPOLOGY, asked, fault
from tests.helpers.places import SHARED

MICROWAVE = SHARED / "data" / "open" / "rootcause_microwave.parquet"
FOLDS = 3


def clusters(rows: int = 400, apart: float = 3.0, seed: int = 1) -> tuple[Floats, NDArray[np.int64]]:
    """Four of them in as many dimensions, a tenth of all values missing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 4
    features = rng.normal(0.0, 1.0, (rows, 4)) + apart * np.eye(4)[labels]
    return np.where(rng.random(features.shape) < 0.1, np.nan, features), labels


def shows(broken: Fault) -> dict[ClassifierFeature, float]:
    """The features of what is found of a fault."""
    found = compute_residuals(TOPOLOGY, asked(broken))
    event = detect_events(TOPOLOGY, found)[0]
    features = extract_classifier_input(found, event, extract_features(TOPOLOGY, found, event))
    assert features is not None
    return dict(zip(ClassifierFeature, features.tolist(), strict=True))


# ---------------------------------------------------------------- learning


def test_what_is_plain_is_learned_though_values_are_missing() -> None:
    classifier = Classifier.fit(*clusters(), seed=1)
    features, labels = clusters(seed=2)

    causes = classifier.classify(features)

    decided = [(cause, CLASSIFIED[label]) for cause, label in zip(causes, labels, strict=True) if cause in CLASSIFIED]
    assert len(decided) > 350
    assert np.mean([cause is right for cause, right in decided]) > 0.9


def test_where_there_is_nothing_to_tell_by_it_has_no_opinion() -> None:
    rng = np.random.default_rng(3)
    classifier = Classifier.fit(rng.normal(size=(400, 4)), rng.integers(0, 4, 400), seed=1)

    causes = classifier.classify(rng.normal(size=(200, 4)))

    assert causes.count(RootCause.UNKNOWN) > 150


def test_chances_are_chances_whatever_it_is_asked() -> None:
    classifier = Classifier.fit(*clusters(), seed=1)
    odd = np.array([[np.nan] * 4, [np.inf] * 4, [-np.inf] * 4, [0.0] * 4, [1e300] * 4])

    chances = classifier.probabilities(odd)

    assert chances.shape == (5, 4)
    assert (chances >= 0.0).all()
    assert chances.sum(axis=1) == pytest.approx(1.0)


def test_the_temperature_makes_it_as_sure_as_it_is_right() -> None:
    classifier = Classifier.fit(*clusters(apart=1.0), seed=1)
    features, labels = clusters(4000, apart=1.0, seed=2)

    tempered, as_fitted = (
        _error(chances, labels)
        for chances in (classifier.probabilities(features), classifier.trees.probabilities(features))
    )

    assert classifier.temperature > 1.0
    assert tempered < 0.06
    assert tempered < 0.5 * as_fitted


def test_the_same_seed_learns_the_same() -> None:
    one, other = (Classifier.fit(*clusters(), seed=4).to_arrays() for _ in range(2))

    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_it_comes_back_from_its_arrays_as_it_was() -> None:
    classifier = Classifier.fit(*clusters(), seed=1)
    features, _ = clusters(seed=2)

    restored = Classifier.from_arrays(classifier.to_arrays())

    np.testing.assert_array_equal(restored.probabilities(features), classifier.probabilities(features))
    assert (restored.temperature, restored.abstains_below) == (classifier.temperature, classifier.abstains_below)


@pytest.mark.parametrize(
    "impossible", [[0.0, 0.5], [-1.0, 0.5], [np.nan, 0.5], [np.inf, 0.5], [1.0, 1.5], [1.0, np.nan], [1.0]]
)
def test_impossible_settings_are_refused(impossible: list[float]) -> None:
    arrays = Classifier.fit(*clusters(), seed=1).to_arrays()

    with pytest.raises(ValueError, match=r"impossible|unpack"):
        Classifier.from_arrays({**arrays, "classifier": np.array(impossible)})


# ---------------------------------------------------------------- what it looks at


def test_a_weak_transmitter_takes_signal_and_level_down_together() -> None:
    event_features = shows(fault(RootCause.EQUIPMENT_FAILURE, network=106, variant=Variant.TRANSMITTER))

    assert event_features[ClassifierFeature.ESNO_CHANGE] == pytest.approx(-8.0, abs=0.5)
    assert -8.5 < event_features[ClassifierFeature.LEVEL_CHANGE] < -6.0  # the noise stays
    assert event_features[ClassifierFeature.NOISE_SHARE] == pytest.approx(0.0, abs=0.15)
    assert event_features[ClassifierFeature.DIRECTION_BALANCE] == pytest.approx(1.0, abs=0.1)
    assert event_features[ClassifierFeature.CRITICAL_SHARE] > 0.5


def test_interference_is_all_noise() -> None:
    where: dict[str, Any] = {"satellite": "Meridian 2", "transponder": "KU-07", "direction": Direction.IB}

    event_features = shows(fault(RootCause.SATELLITE_INTERFERENCE, hours=5, irregularity=3, **where))

    assert event_features[ClassifierFeature.NOISE_SHARE] > 0.7
    assert event_features[ClassifierFeature.LEVEL_CHANGE] > -0.3
    assert event_features[ClassifierFeature.DIRECTION_BALANCE] == pytest.approx(-1.0, abs=0.1)


def test_an_antenna_that_drifts_takes_its_time_and_one_that_is_knocked_does_not() -> None:
    drifting = shows(fault(RootCause.ANTENNA_ALIGNMENT, hours=20, site=1))
    knocked = shows(fault(RootCause.ANTENNA_MISALIGNMENT, hours=20, link=5007))

    assert drifting[ClassifierFeature.RISE] > np.log(60.0)
    assert knocked[ClassifierFeature.RISE] < np.log(15.0)
    assert abs(knocked[ClassifierFeature.DIRECTION_BALANCE]) < 0.5


# ---------------------------------------------------------------- on real faults


@cache
def _microwave() -> tuple[NDArray[np.bool_], Floats]:
    """Of each distinct row, by a classifier that has not seen it: whether it was right, and how sure it was.

    Rows that are alike are all on the same side of each split.
    """
    frame = pl.read_parquet(MICROWAVE)
    labels = frame["label"].to_numpy()
    features = frame.drop("label").to_numpy().astype(np.float64)
    _, first, alike = np.unique(features, axis=0, return_index=True, return_inverse=True)
    fold = np.random.default_rng(1).integers(0, FOLDS, len(first))[alike.ravel()]
    chances = np.empty((len(labels), 4))
    for part in range(FOLDS):
        classifier = Classifier.fit(features[fold != part], labels[fold != part], seed=1)
        chances[fold == part] = classifier.probabilities(features[fold == part])
    return (chances.argmax(axis=1) == labels)[first], chances.max(axis=1)[first]


@pytest.mark.skipif(not MICROWAVE.exists(), reason="the real set is not at hand")
def test_on_1003_real_microwave_equipment_faults_it_names_nine_of_ten_unlike_any_it_has_seen() -> None:
    right, _ = _microwave()

    assert len(right) == 691  # distinct rows: 164 alarms' seconds; indoor unit, outdoor unit, cable or power
    assert right.mean() > 0.91


@pytest.mark.skipif(not MICROWAVE.exists(), reason="the real set is not at hand")
def test_on_real_microwave_equipment_faults_it_is_as_sure_as_it_is_right() -> None:
    right, sure = _microwave()

    assert calibration_error(sure, right) < 0.04


def _error(chances: Floats, labels: NDArray[np.int64]) -> float:
    return calibration_error(chances.max(axis=1), chances.argmax(axis=1) == labels)
