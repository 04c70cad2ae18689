"""The root-cause model: the classifier, and the calibration of explanations."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.root_causes import CLASSIFIED, RootCause
from ml.numerics.arrays import Floats
from ml.numerics.artefacts import name_damage, read_arrays, write_arrays
from ml.root_cause.classifier import Classifier, ClassifierFeature
from ml.root_cause.localization import Explanation

CLASSIFIER_WEIGHT: Final = 0.6  # of its log-likelihood ratio: its features are partly the signatures'
MOST_NATS: Final = 2.0  # of that ratio
LEAST_KNOTS: Final = 2


@dataclass(frozen=True)
class RootCauseModel:
    """What training fits.

    temperature: divides the explanations' log-likelihoods. confidence_x, confidence_y: knots of the map from posterior
    to confidence, shape (knots,). alarmed_x, alarmed_y: of that for links that are known to misbehave, likewise.
    """

    classifier: Classifier
    temperature: float
    confidence_x: Floats
    confidence_y: Floats
    alarmed_x: Floats
    alarmed_y: Floats
    version: str = ""

    def rank_explanations(self, explanations: list[Explanation], features: Floats | None) -> list[Explanation]:
        """Returns the explanations with their posterior probabilities, best first.

        features: the classifier's, shape (10,), None where the signal does not show the event.
        """
        return compute_posterior(with_classifier_evidence(self.classifier, explanations, features), self.temperature)

    def confidence(self, explanations: list[Explanation], *, alarmed: bool = False) -> float:
        """Returns the calibrated probability that the first explanation is right: its cause and its culprit.

        alarmed: that the links misbehave is known, as of an incident's.
        """
        x, y = (self.alarmed_x, self.alarmed_y) if alarmed else (self.confidence_x, self.confidence_y)
        return float(np.interp(explanations[0].probability, x, y))

    def to_bytes(self) -> bytes:
        """Returns an .npz artefact without pickle; the same model gives the same bytes."""
        arrays: dict[str, NDArray[Any]] = {
            "temperature": np.array(self.temperature),
            "confidence_x": self.confidence_x,
            "confidence_y": self.confidence_y,
            "alarmed_x": self.alarmed_x,
            "alarmed_y": self.alarmed_y,
        }
        return write_arrays(arrays | self.classifier.to_arrays())

    @classmethod
    def from_bytes(cls, data: bytes, version: str) -> Self:
        """Reads an artefact. Raises ValueError if it is damaged or another model's."""
        with name_damage("a root-cause model"):
            arrays = read_arrays(data)
            model = cls(
                Classifier.from_arrays(arrays),
                float(arrays["temperature"]),
                arrays["confidence_x"],
                arrays["confidence_y"],
                arrays.get("alarmed_x", arrays["confidence_x"]),  # until version 1.1.0 there was one map
                arrays.get("alarmed_y", arrays["confidence_y"]),
                version,
            )
        model._check()
        return model

    def _check(self) -> None:
        trees = self.classifier.trees
        fits = trees.classes == len(CLASSIFIED) and trees.trees.columns == len(ClassifierFeature)
        maps = ((self.confidence_x, self.confidence_y), (self.alarmed_x, self.alarmed_y))
        fits &= all(x.shape == y.shape and x.ndim == 1 and len(x) >= LEAST_KNOTS for x, y in maps)
        if not fits or not np.isfinite(self.temperature) or self.temperature <= 0:
            raise ValueError("not a root-cause model's artefact: its parts do not fit together")
        if not all(_is_map_to_probabilities(x, y) for x, y in maps):
            raise ValueError("not a root-cause model's artefact: its calibration is no map to probabilities")


def _is_map_to_probabilities(x: Floats, y: Floats) -> bool:
    return bool(np.isfinite(x).all() and (np.diff(x) >= 0).all() and ((y >= 0) & (y <= 1)).all())


def with_classifier_evidence(
    classifier: Classifier, explanations: list[Explanation], features: Floats | None
) -> list[Explanation]:
    """Returns the explanations with the classifier's log-likelihood ratios added to their scores.

    features: shape (10,), None where the signal does not show the event. An abstaining classifier changes nothing.
    """
    if features is None:
        return explanations
    chances = classifier.probabilities(features[None])[0]
    if chances.max() < classifier.abstains_below:
        return explanations
    nats = np.clip(np.log(np.maximum(chances, 1e-9) * len(CLASSIFIED)), -MOST_NATS, MOST_NATS)
    gains = {cause: CLASSIFIER_WEIGHT * float(gain) for cause, gain in zip(CLASSIFIED, nats, strict=True)}
    return [replace(one, score=one.score + gains.get(one.cause, 0.0)) for one in explanations]


def compute_posterior(explanations: list[Explanation], temperature: float) -> list[Explanation]:
    """Returns the explanations with posterior probabilities at equal priors, best first."""
    scores = np.array([one.score for one in explanations]) / temperature
    odds = np.exp(scores - scores.max())
    chances = (odds / odds.sum()).tolist()
    ranked = [replace(one, probability=chance) for one, chance in zip(explanations, chances, strict=True)]
    return sorted(ranked, key=lambda explanation: -explanation.probability)


def is_unknown(explanations: list[Explanation]) -> bool:
    """Returns whether the best explanation is that the cause is unknown."""
    return explanations[0].cause is RootCause.UNKNOWN
