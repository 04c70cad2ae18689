"""Fitted isolation forests as flat arrays: exactly scikit-learn's scores, without scikit-learn and without pickle."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.metrics import Floats

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

CHUNK_ROWS: Final = 256  # (rows, trees) work arrays of this height stay in the processor's cache
EULER_GAMMA: Final = 0.5772156649015329


@dataclass(frozen=True)
class Forest:
    """Trees padded to complete ones: node i has children 2i + 1 and 2i + 2, so all trees descend in step.

    feature, threshold: (trees, 2^depth - 1), go right where x > threshold; path: (trees, 2^depth) the expected path
    length of each leaf; normaliser: the average path length in a tree of `max_samples` rows.
    """

    feature: NDArray[np.intp]
    threshold: NDArray[np.float32]
    path: Floats
    normaliser: float

    @classmethod
    def from_sklearn(cls, forest: "IsolationForest") -> Self:
        """Flatten a fitted forest whose trees see all features. Raises ValueError for other ones."""
        if forest.max_samples_ < 2:
            raise ValueError("trees of a single row tell nothing")
        if any(len(features) != forest.n_features_in_ for features in forest.estimators_features_):
            raise ValueError("each tree must see every feature (max_features = 1.0)")
        trees = [estimator.tree_ for estimator in forest.estimators_]
        depth = max(1, *(tree.max_depth for tree in trees))
        flat = [_complete(tree, depth) for tree in trees]
        feature, threshold, path = (np.stack(parts) for parts in zip(*flat, strict=True))
        return cls(feature, threshold, path, float(average_path(np.array([forest.max_samples_]))[0]))

    def score(self, features: Floats) -> Floats:
        """Anomaly scores (rows,) in 0 to 1 of finite `features` (rows, features): -score_samples of scikit-learn.

        2^(-mean path length / normaliser): Liu, Ting and Zhou, "Isolation Forest", 2008, equation 2.
        """
        rows = np.ascontiguousarray(features, dtype=np.float32)  # scikit-learn compares in this precision
        scores = np.empty(len(rows))
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            scores[start : start + CHUNK_ROWS] = self._mean_path(chunk)
        result: Floats = np.exp2(-scores / self.normaliser)
        return result

    def _mean_path(self, rows: NDArray[np.float32]) -> Floats:
        trees, nodes = self.feature.shape
        feature, threshold = self.feature.ravel(), self.threshold.ravel()
        values, row_start = rows.ravel(), (np.arange(len(rows)) * rows.shape[1])[:, None]
        root = np.arange(trees) * nodes
        node = np.zeros((len(rows), trees), dtype=np.intp)
        for _ in range((nodes + 1).bit_length() - 1):
            place = node + root
            right = values.take(feature.take(place) + row_start) > threshold.take(place)
            node += node
            node += 1
            node += right
        leaf = node + (np.arange(trees) * (nodes + 1) - nodes)
        result: Floats = self.path.ravel().take(leaf).mean(axis=1)
        return result

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays for an .npz file; `from_arrays` reads them back."""
        return {
            "forest_feature": self.feature.astype(np.int16),
            "forest_threshold": self.threshold,
            "forest_path": self.path,
            "forest_normaliser": np.array(self.normaliser),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Raises KeyError where an array is missing, ValueError where shapes do not describe complete trees."""
        feature = arrays["forest_feature"].astype(np.intp)
        threshold, path = arrays["forest_threshold"].astype(np.float32), arrays["forest_path"].astype(np.float64)
        trees, nodes = feature.shape
        if threshold.shape != (trees, nodes) or path.shape != (trees, nodes + 1) or nodes & (nodes + 1):
            raise ValueError("the forest's arrays do not describe complete trees")
        return cls(feature, threshold, path, float(arrays["forest_normaliser"]))


def average_path(rows: NDArray[Any]) -> Floats:
    """c(n), the average path length of unsuccessful searches in a binary tree of n rows (Liu et al., equation 1)."""
    count = np.maximum(rows, 2).astype(np.float64)
    length = 2.0 * (np.log(count - 1.0) + EULER_GAMMA) - 2.0 * (count - 1.0) / count
    result: Floats = np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, length))
    return result


def _complete(tree: Any, depth: int) -> tuple[NDArray[np.intp], NDArray[np.float32], Floats]:
    """One scikit-learn tree, padded: a leaf above the bottom sends its rows always left, down to its path length."""
    nodes = 2**depth - 1
    feature, threshold = np.zeros(nodes, dtype=np.intp), np.full(nodes, np.inf, dtype=np.float32)
    path = np.zeros(nodes + 1)
    unsplit = average_path(tree.n_node_samples)
    places = [(0, 0, 0)]  # (node of scikit-learn's, node of ours, level)
    while places:
        node, place, level = places.pop()
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            path[(place + 1) * 2 ** (depth - level) - 1 - nodes] = level + unsplit[node]
            continue
        feature[place], threshold[place] = tree.feature[node], _round_down(tree.threshold[node])
        places += [(left, 2 * place + 1, level + 1), (right, 2 * place + 2, level + 1)]
    return feature, threshold, path


def _round_down(threshold: float) -> np.float32:
    """The greatest float32 not above the threshold: float32 values compare with it as they do with the threshold."""
    nearest = np.float32(threshold)
    return np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > threshold else nearest
