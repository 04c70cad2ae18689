import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml.catalogue.models import ROOT_CAUSE, Trained, promotion_blockers
from ml.catalogue.root_causes import CLASSIFIED, NAMED
from ml.root_cause.classifier import Classifier, ClassifierFeature
from ml.root_cause.model import RootCauseModel
from ml.root_cause.training import train
from tests.helpers.incidents import briefly_trained, root_cause
from tests.helpers.shipped import shipped

pytestmark = pytest.mark.xdist_group("root causes")  # trained once, in one process

PROMISED = {"accuracy", "four_class_accuracy", "culprit_accuracy", "iou", "onset_within_2", "calibration_error"}
PROMISED |= {"false_patterns", "classifier_accuracy", "classifier_abstained", "classifier_calibration_error"}
PROMISED |= {"young_accuracy", "young_culprit_accuracy", "young_calibration_error"}
PROMISED |= {f"accuracy_{cause.value.lower()}" for cause in NAMED}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- training


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_even_a_brief_training_names_most_causes() -> None:
    made = train(incidents=56, young=10, held_out=10, held_out_young=4, healthy=2)
    model = RootCauseModel.from_bytes(made.artefact, "1.0.0")

    again = train(incidents=56, young=10, held_out=10, held_out_young=4, healthy=2, champion=model)

    assert digest(again.artefact) == digest(made.artefact)
    assert again.measures == again.rival_measures == made.measures
    assert promotion_blockers(again.measures, again.rival_measures) == []
    values = {one.name: one.value for one in made.measures}
    assert values["accuracy"] >= 0.7
    assert values["culprit_accuracy"] >= 0.6
    assert values["iou"] >= 0.7


def test_a_champion_is_measured_on_the_same_incidents() -> None:
    made = briefly_trained()

    assert made.rival_measures != made.measures
    assert {one.name: one.samples for one in made.measures}["accuracy"] == 2
    assert {one.name for one in made.rival_measures} <= PROMISED
    assert {one.dataset for one in (*made.rival_measures, *made.measures)} == {"simulated incidents"}


def test_measures_are_named_as_promised_and_say_what_they_were_taken_on() -> None:
    measures = {one.name: one for one in shipped(ROOT_CAUSE).measures}

    assert set(measures) == PROMISED
    assert {one.dataset for one in measures.values()} == {"simulated incidents"}
    assert all(0.0 <= one.value <= 1.0 and one.samples > 0 for one in measures.values())
    assert measures["accuracy"].samples == 60
    assert measures["false_patterns"].samples == 20


def test_the_shipped_model_names_most_causes() -> None:
    values = {one.name: one.value for one in shipped(ROOT_CAUSE).measures}

    assert values["accuracy"] >= 0.9
    assert values["culprit_accuracy"] >= 0.9
    assert values["iou"] >= 0.9


@pytest.mark.parametrize("made", [briefly_trained, lambda: shipped(ROOT_CAUSE)], ids=["trained", "shipped"])
def test_a_version_says_what_it_was_made_of(made: Callable[[], Trained]) -> None:
    version = made()

    assert version.features == tuple(feature.value for feature in ClassifierFeature)
    assert len(version.features) == 10
    assert version.details["trained_on"] == "simulated incidents"
    assert version.hyperparameters["classes"] == len(CLASSIFIED)
    assert version.seed == 1


# ---------------------------------------------------------------- keeping


def test_a_model_comes_back_from_its_bytes_as_it_was() -> None:
    model = RootCauseModel.from_bytes(briefly_trained().artefact, "1.0.0")
    features = np.random.default_rng(1).normal(0.0, 3.0, (50, 10))

    restored = RootCauseModel.from_bytes(model.to_bytes(), "2.0.0")

    assert restored.to_bytes() == model.to_bytes() == briefly_trained().artefact
    assert restored.version == "2.0.0"
    assert restored.temperature == model.temperature
    np.testing.assert_array_equal(restored.classifier.probabilities(features), model.classifier.probabilities(features))
    np.testing.assert_array_equal(restored.confidence_x, model.confidence_x)
    np.testing.assert_array_equal(restored.confidence_y, model.confidence_y)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_half_a_model_is_none(share: float) -> None:
    data = briefly_trained().artefact

    with pytest.raises(ValueError, match="damaged"):
        RootCauseModel.from_bytes(data[: int(share * len(data))], "1.0.0")


@settings(max_examples=150)
@given(st.floats(0.0, 1.0, exclude_max=True), st.integers(1, 255))
def test_a_byte_that_changes_is_noticed_unless_nothing_depends_on_it(place: float, flips: int) -> None:
    data = bytearray(briefly_trained().artefact)
    where = int(place * _contents(data))
    data[where] ^= flips

    assert _refused_or_same(bytes(data))


@pytest.mark.parametrize("behind", [6, 8, 10], ids=["of a later version", "encrypted", "compressed in an unknown way"])
def test_damage_to_the_directory_is_noticed_as_well(behind: int) -> None:
    data = bytearray(briefly_trained().artefact)
    data[_contents(data) + behind] ^= 0xFF

    assert _refused_or_same(bytes(data))


@given(st.binary(max_size=200))
@example(b"PK\x03\x04")
def test_any_bytes_are_no_model(data: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        RootCauseModel.from_bytes(data, "1.0.0")


def test_a_model_of_other_features_is_no_root_cause_model() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 4
    other = Classifier.fit(rng.normal(0.0, 1.0, (200, 3)) + labels[:, None], labels, seed=1)
    strange = replace(root_cause(), classifier=other)

    with pytest.raises(ValueError, match="a root-cause model's artefact"):
        RootCauseModel.from_bytes(strange.to_bytes(), "1.0.0")


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"temperature": np.nan},
        {"confidence_y": np.array([0.2, 1.2])},
        {"confidence_x": np.array([0.9, 0.1])},
        {"confidence_x": np.array([np.nan, 1.0])},
        {"confidence_x": np.array([0.0, 0.5, 1.0])},
        {"confidence_x": np.array([0.5]), "confidence_y": np.array([0.5])},
    ],
)
def test_a_model_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    fine = replace(root_cause(), confidence_x=np.array([0.0, 1.0]), confidence_y=np.array([0.0, 1.0]))
    data = replace(fine, **wrong).to_bytes()  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="a root-cause model's artefact"):
        RootCauseModel.from_bytes(data, "1.0.0")


def _contents(data: bytearray) -> int:
    """Where the directory begins."""
    return data.index(b"PK\x01\x02")


def _refused_or_same(data: bytes) -> bool:
    try:
        return RootCauseModel.from_bytes(data, "1.0.0").to_bytes() == briefly_trained().artefact
    except ValueError:
        return True
