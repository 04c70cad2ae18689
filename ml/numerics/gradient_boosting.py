"""Gradient boosted trees as flat arrays: scikit-learn's exact predictions without scikit-learn or pickle."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats
from ml.numerics.trees import Tree, Trees, flatten_tree, round_up

if TYPE_CHECKING:
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )

    Exact: TypeAlias = GradientBoostingClassifier | GradientBoostingRegressor
    Histogram: TypeAlias = HistGradientBoostingClassifier | HistGradientBoostingRegressor

LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class BoostedTrees:
    """A sum of trees for each output: one output for a regression or two classes, else one for each class.

    trees: those of the first output, then those of the next. baseline (outputs,): the sums' initial values.
    classes: their number, 0 for a regression.
    """

    trees: Trees
    baseline: Floats
    classes: int

    @classmethod
    def from_sklearn(cls, model: "Exact | Histogram") -> Self:
        """Returns a fitted model of numerical features as arrays. Raises ValueError for other models."""
        if hasattr(model, "init_"):
            baseline, trees = _exact(model)
        elif hasattr(model, "_predictors"):
            baseline, trees = _histogram(model)
        else:
            raise ValueError("this is no gradient boosting model, or it is not fitted yet")
        return cls(Trees.concatenate(trees, model.n_features_in_), baseline, len(getattr(model, "classes_", ())))

    def __post_init__(self) -> None:
        outputs = 1 if self.classes in (0, 2) else self.classes
        if self.classes < 0 or self.classes == 1 or self.baseline.shape != (outputs,) or self.trees.count % outputs:
            raise ValueError("the trees and their baselines do not fit the classes")
        if self.baseline.dtype != np.float64 or not np.isfinite(self.baseline).all():
            raise ValueError("baselines are finite numbers")

    def decision_function(self, features: Floats) -> Floats:
        """Returns the decision function, shape (rows,), or (rows, classes) for more than two classes.

        features: shape (rows, features). For a regression this is the prediction, or its logarithm with a loss for
        counts and durations. Raises ValueError for another number of features, and for NaN and infinity unless the
        model was fitted by histograms, which treat NaN as missing.
        """
        if self.trees.threshold.dtype == np.float32 and not (np.abs(features) <= LARGEST).all():
            raise ValueError(f"a feature is missing, or greater than {LARGEST:.3g}")
        sums: Floats = self.trees.sums(features, len(self.baseline)) + self.baseline
        return sums[:, 0] if len(self.baseline) == 1 else sums

    def probabilities(self, features: Floats) -> Floats:
        """Returns class probabilities, shape (rows, classes). Raises ValueError for a regression and bad features."""
        if not self.classes:
            raise ValueError("a regression has no classes")
        return class_probabilities(self.decision_function(features))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Returns plain arrays for an .npz file; `from_arrays` reads them back."""
        own = {"boosted_baseline": self.baseline, "boosted_classes": np.array(self.classes)}
        return own | self.trees.to_arrays("boosted")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Reads a model. Raises KeyError if an array is missing, ValueError if the arrays describe no boosted trees."""
        baseline, classes = arrays["boosted_baseline"], arrays["boosted_classes"]
        if classes.shape != () or classes.dtype.kind != "i":
            raise ValueError("the number of classes must be one whole number")
        return cls(Trees.from_arrays(arrays, "boosted"), baseline, int(classes))


def class_probabilities(raw: Floats) -> Floats:
    """Returns the softmax of a decision function, shape (rows, classes); divide it by a temperature to soften it."""
    logits = raw if raw.ndim == 2 else np.column_stack([np.zeros_like(raw), raw])
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = odds / odds.sum(axis=1, keepdims=True)
    return result


def _exact(model: Any) -> tuple[Floats, Iterator[Tree]]:
    if model.init not in (None, "zero"):
        raise ValueError("only a constant may come before the trees (init = None or zero)")
    if model.loss == "exponential":
        raise ValueError("with this loss probabilities are not those of a logarithmic one")
    baseline = model._raw_predict_init(np.zeros((1, model.n_features_in_)))[0]  # noqa: SLF001 - each loss has its own
    trees = (estimator.tree_ for estimator in model.estimators_.T.ravel())
    return baseline, (flatten_tree(tree, model.learning_rate * tree.value[:, 0, 0]) for tree in trees)


def _histogram(model: Any) -> tuple[Floats, Iterator[Tree]]:
    if model.is_categorical_ is not None:
        raise ValueError("splits by category are not supported, only numerical features")
    by_output = zip(*model._predictors, strict=True)  # noqa: SLF001 - there is no public way
    trees = (_missing_left(tree.nodes, model.n_features_in_) for trees in by_output for tree in trees)
    return model._baseline_prediction.ravel(), trees  # noqa: SLF001


def _missing_left(nodes: NDArray[Any], columns: int) -> Tree:
    """Returns a tree that sends all missing values left, as ours do.

    Where they went right, the children are exchanged: x <= t is -x >= -t, and NaN satisfies neither.
    """
    mirrored = nodes["missing_go_to_left"] == 0
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    threshold = nodes["num_threshold"]
    return Tree(
        np.where(mirrored, right, left),
        np.where(mirrored, left, right),
        nodes["feature_idx"] + columns * mirrored,
        np.where(mirrored, -threshold, round_up(threshold, np.float64)),
        nodes["value"],
    )
