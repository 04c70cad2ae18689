"""The classifier of the four specified causes: gradient boosting over ten RF and traffic features."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.root_causes import CLASSIFIED, RootCause
from ml.numerics.arrays import Floats, Floats32, Integers
from ml.numerics.gradient_boosting import BoostedTrees, class_probabilities
from ml.numerics.robust import median
from ml.root_cause.directions import in_any_direction, inbound_mask
from ml.root_cause.event_features import EventFeatures
from ml.root_cause.events import Event
from ml.root_cause.residuals import CRITICAL_GRADE, Residuals

TREES: Final = 60
TRAINED_SHARE: Final = 2 / 3  # of the rows; the temperature is fitted to the others
LEAST_DEPTH_DB: Final = 0.3  # divisor of ratios to the depth, at least
TEMPERATURES: Final = np.geomspace(0.3, 6.0, 60)
ABSTAINS_BELOW: Final = 0.5


class ClassifierFeature(StrEnum):
    """Features of all streams that an event affects; NaN = not measured."""

    ESNO_CHANGE = "ESNO_CHANGE"  # dB, of the direction affected more
    LEVEL_CHANGE = "LEVEL_CHANGE"  # dB, of the same direction
    NOISE_SHARE = "NOISE_SHARE"  # share of the fall of Es/N0 that added noise explains
    TX_POWER_CHANGE = "TX_POWER_CHANGE"  # dB, of the remotes
    DIRECTION_BALANCE = "DIRECTION_BALANCE"  # -1: only inbound is affected, 1: only outbound
    THROUGHPUT_CHANGE = "THROUGHPUT_CHANGE"  # natural logarithm of the ratio to the reference
    LOSS_CHANGE = "LOSS_CHANGE"  # percentage points
    CRITICAL_SHARE = "CRITICAL_SHARE"  # share of samples with a grade below 7
    RISE = "RISE"  # natural logarithm of the minutes from a fifth to four fifths of the depth, at least of 1
    INSTABILITY = "INSTABILITY"  # standard deviation of Es/N0 during the event over its depth


def extract_classifier_features(residuals: Residuals, event: Event, event_features: EventFeatures) -> Floats:
    """Returns the features in the order of `ClassifierFeature`, shape (10,)."""
    affected, inbound = event_features.affected, inbound_mask(len(event_features.affected))
    depths = [median(event_features.depth[affected & direction]) for direction in (inbound, ~inbound)]
    ib, ob = (np.nan_to_num(max(0.0, depth_db)) for depth_db in depths)
    main = affected & (inbound if ib >= ob else ~inbound)
    cells = np.ix_(main, event.active)
    depth = max(ib, ob, LEAST_DEPTH_DB)
    return np.array(
        [
            -max(ib, ob),
            median(residuals.level[cells]),
            median(event_features.noise[main]) / depth,
            median(event_features.power[inbound][in_any_direction(affected)]),
            (ob - ib) / max(ob + ib, 1e-3),
            median(residuals.throughput[cells]),
            median(residuals.loss[cells]),
            _critical_share(residuals.grade[cells]),
            np.log(max(1.0, event_features.rise_minutes)),
            float(np.std(event_features.profile[event.active])) / depth,
        ],
        dtype=np.float64,
    )


def _critical_share(grades: Floats32) -> float:
    known = grades[np.isfinite(grades)]
    return float((known < CRITICAL_GRADE).mean()) if known.size else float("nan")


@dataclass(frozen=True)
class Classifier:
    """Boosted trees with temperature scaling. It abstains if its best probability is below `abstains_below`."""

    trees: BoostedTrees
    temperature: float
    abstains_below: float = ABSTAINS_BELOW

    @classmethod
    def fit(cls, features: Floats, labels: Integers, seed: int) -> Self:
        """Returns a classifier fitted to all rows, its temperature to a third that a first fit did not see.

        Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks", 2017.

        features: shape (rows, columns), NaN = not measured. labels: 0 to classes - 1, shape (rows,).
        """
        kept = np.random.default_rng(seed).random(len(labels)) < TRAINED_SHARE
        if set(labels[kept]) != set(labels) or kept.all():  # too few rows to set any aside
            return cls(_fit_boosted_trees(features, labels, seed), 1.0)
        trial = _fit_boosted_trees(features[kept], labels[kept], seed)
        raw = trial.decision_function(features[~kept])
        losses = [_loss(raw / temperature, labels[~kept]) for temperature in TEMPERATURES]
        return cls(_fit_boosted_trees(features, labels, seed), float(TEMPERATURES[int(np.argmin(losses))]))

    def probabilities(self, features: Floats) -> Floats:
        """Returns class probabilities, shape (rows, classes)."""
        return class_probabilities(self.trees.decision_function(features) / self.temperature)

    def classify(self, features: Floats) -> list[RootCause]:
        """Returns each row's likeliest cause, or UNKNOWN if the classifier abstains."""
        chances = self.probabilities(features)
        best = chances.argmax(axis=1)
        sure = chances.max(axis=1) >= self.abstains_below
        return [CLASSIFIED[b] if s else RootCause.UNKNOWN for b, s in zip(best, sure, strict=True)]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return self.trees.to_arrays() | {"classifier": np.array([self.temperature, self.abstains_below])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Reads a classifier. Raises KeyError if an array is missing, ValueError if one is impossible."""
        temperature, abstains = arrays["classifier"].tolist()
        if not (0 < temperature < np.inf and 0 <= abstains <= 1):
            raise ValueError("the classifier's temperature or threshold is impossible")
        return cls(BoostedTrees.from_arrays(arrays), temperature, abstains)


def _fit_boosted_trees(features: Floats, labels: Integers, seed: int) -> BoostedTrees:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - only training needs it
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_depth=4,
        learning_rate=0.12,
        min_samples_leaf=5,
        l2_regularization=1.0,
        random_state=seed,
        early_stopping=False,
    )
    with threadpool_limits(1):  # small data: threads cost more than they bring
        model.fit(features, labels)
    return BoostedTrees.from_sklearn(model)


def _loss(raw: Floats, labels: Integers) -> float:
    chance = class_probabilities(raw)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chance, 1e-12)).mean())
