"""Fitted trees as flat arrays, and isolation forests: scikit-learn's exact scores without scikit-learn or pickle."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

Indexes = NDArray[np.intp]
Numbers = NDArray[np.floating[Any]]

BLOCK_SIZE: Final = 25_600  # rows × trees that descend together: their work arrays stay in the processor's cache
MOST_PADDING: Final = 4  # padding trees to complete ones is faster up to so many leaves for each node
EULER_GAMMA: Final = 0.5772156649015329


class Tree(NamedTuple):
    """A fitted tree, per node: children (equal in a leaf), column, smallest value that goes right, leaf's value."""

    left: NDArray[Any]
    right: NDArray[Any]
    feature: NDArray[Any]
    threshold: Numbers
    value: Floats


class _Level(NamedTuple):
    """The nodes of one depth. left: each left child's place in the next level, None if it is twice the node's own."""

    feature: Indexes
    threshold: Numbers
    left: Indexes | None


@dataclass(frozen=True)
class Trees:
    """Trees in breadth-first order: all `count` roots, then their children, and so on.

    The n-th splitting node has the children count + 2n and count + 2n + 1, so no pointers are stored.
    feature (nodes,): the column to compare, -1 in a leaf; values from `columns` on mean the negated columns.
    threshold (nodes,): values at or above it go right, others and NaN left, compared in the threshold's precision.
    value (nodes,): the value of a leaf.
    """

    count: int
    columns: int
    feature: NDArray[np.int32]
    threshold: Numbers
    value: Floats

    @classmethod
    def concatenate(cls, trees: Iterable[Tree], columns: int) -> Self:
        """Returns fitted trees as one, their nodes in this order."""
        parts = list(trees)
        sizes = [len(part.left) for part in parts]
        roots = np.cumsum([0, *sizes[:-1]])
        left, right, feature, threshold, value = (np.concatenate(fields) for fields in zip(*parts, strict=True))
        left, right = left + np.repeat(roots, sizes), right + np.repeat(roots, sizes)
        levels = [roots]
        while len(parents := levels[-1][left[levels[-1]] != right[levels[-1]]]):
            levels.append(np.column_stack([left[parents], right[parents]]).ravel())
        order = np.concatenate(levels)
        feature = np.where(left == right, -1, feature)[order].astype(np.int32)
        return cls(len(parts), columns, feature, threshold[order], value[order])

    def __post_init__(self) -> None:
        """Raises ValueError if these are no trees. Trees that pass can be walked without index checks."""
        if self.threshold.dtype not in (np.float32, np.float64):
            raise ValueError("nodes must compare in single or double precision")
        if self.feature.dtype != np.int32 or self.value.dtype != np.float64 or not np.isfinite(self.value).all():
            raise ValueError("the nodes' features are not whole, or their values not finite")
        if not self.feature.shape == self.threshold.shape == self.value.shape == (self.feature.size,):
            raise ValueError("each node has one feature, one least value and one value")
        if self.feature.min(initial=-1) < -1 or self.feature.max(initial=-1) >= 2 * self.columns:
            raise ValueError(f"a node looks at something else than the {self.columns} features")
        if self.count < 1 or self.depth < 0:
            raise ValueError("nodes are missing, or there are too many")

    @cached_property
    def depth(self) -> int:
        """Returns the steps from the roots to the deepest leaf; -1 if nodes are missing or superfluous."""
        start, width, depth = 0, self.count, 0
        while children := 2 * int(np.count_nonzero(self.feature[start : start + width] >= 0)):
            start, width, depth = start + width, children, depth + 1
        return depth if start + width == len(self.feature) else -1

    @cached_property
    def _levels(self) -> tuple[list[_Level], Floats]:
        """Returns the levels to walk through, and the value of each place in the last. A leaf is its own left child."""
        splits, nodes = self.feature >= 0, np.arange(len(self.feature))
        left = np.where(splits, self.count + 2 * (np.cumsum(splits) - 1), nodes)
        feature, threshold = np.maximum(self.feature, 0).astype(np.intp), np.where(splits, self.threshold, np.nan)
        if self.count << self.depth > MOST_PADDING * len(nodes):
            return [_Level(feature, threshold, left)] * self.depth, self.value
        levels, level = [], nodes[: self.count]
        for _ in range(self.depth):
            levels.append(_Level(feature[level], threshold[level], None))
            level = np.column_stack([left[level], left[level] + splits[level]]).ravel()
        return levels, self.value[level]

    def sums(self, features: Floats, groups: int = 1) -> Floats:
        """Returns the sums of the leaf values that each row reaches, shape (rows, groups).

        features: shape (rows, columns). groups: into how many equal runs of consecutive trees the sums are split.
        """
        if features.ndim != 2 or features.shape[1] != self.columns:
            raise ValueError(f"a row has {self.columns} features, not {features.shape[1:]}")
        rows = np.ascontiguousarray(features, dtype=self.threshold.dtype)
        if self.feature.max() >= self.columns:
            rows = np.hstack([rows, -rows])
        levels, value = self._levels
        height, result = max(1, BLOCK_SIZE // self.count), np.empty((len(rows), groups))
        for start in range(0, len(rows), height):
            leaves = _descend(levels, rows[start : start + height], self.count)
            result[start : start + height] = value.take(leaves).reshape(len(leaves), groups, -1).sum(axis=2)
        return result

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        return {
            f"{prefix}_shape": np.array([self.count, self.columns]),
            f"{prefix}_feature": self.feature,
            f"{prefix}_least": self.threshold,
            f"{prefix}_value": self.value,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Self:
        shape, *nodes = (arrays[f"{prefix}_{name}"] for name in ("shape", "feature", "least", "value"))
        if shape.shape != (2,) or shape.dtype.kind != "i":
            raise ValueError("the numbers of trees and columns must be two whole numbers")
        return cls(int(shape[0]), int(shape[1]), *nodes)


@dataclass(frozen=True)
class Forest:
    """An isolation forest (Liu, Ting and Zhou, "Isolation Forest", 2008): a leaf's value is its expected path length.

    normaliser: the average path length in a tree of `max_samples` rows.
    """

    trees: Trees
    normaliser: float

    @classmethod
    def from_sklearn(cls, forest: "IsolationForest") -> Self:
        """Returns a fitted forest as arrays. Raises ValueError unless each tree sees all features."""
        if forest.max_samples_ < 2:
            raise ValueError("trees of a single row isolate nothing")
        if any(len(features) != forest.n_features_in_ for features in forest.estimators_features_):
            raise ValueError("each tree must see every feature (max_features = 1.0)")
        fitted = [estimator.tree_ for estimator in forest.estimators_]
        paths = [tree.compute_node_depths() - 1 + average_path_length(tree.n_node_samples) for tree in fitted]
        trees = map(flatten_tree, fitted, paths)
        normaliser = float(average_path_length(np.array([forest.max_samples_]))[0])
        return cls(Trees.concatenate(trees, forest.n_features_in_), normaliser)

    def score(self, features: Floats) -> Floats:
        """Returns anomaly scores from 0 to 1, shape (rows,): `-score_samples` of scikit-learn.

        features: finite, shape (rows, features). Score: 2^(-mean path length / normaliser), equation 2 of the paper.
        """
        result: Floats = np.exp2(-self.trees.sums(features)[:, 0] / (self.trees.count * self.normaliser))
        return result

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Returns plain arrays for an .npz file; `from_arrays` reads them back."""
        return {"forest_normaliser": np.array(self.normaliser), **self.trees.to_arrays("forest")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Reads a forest. Raises KeyError if an array is missing, ValueError if the arrays describe no trees."""
        normaliser = arrays["forest_normaliser"]
        if normaliser.shape != () or normaliser.dtype.kind != "f" or not 0.0 < float(normaliser) < np.inf:
            raise ValueError("the forest's normaliser must be one positive number")
        return cls(Trees.from_arrays(arrays, "forest"), float(normaliser))


def average_path_length(rows: NDArray[Any]) -> Floats:
    """Returns c(n), the average path length of unsuccessful searches in a binary tree of n rows (equation 1)."""
    count = np.maximum(rows, 2).astype(np.float64)
    length = 2.0 * (np.log(count - 1.0) + EULER_GAMMA) - 2.0 * (count - 1.0) / count
    result: Floats = np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, length))
    return result


def flatten_tree(tree: Any, value: Floats) -> Tree:
    """Returns a scikit-learn tree, which compares in single precision, with these node values."""
    return Tree(tree.children_left, tree.children_right, tree.feature, round_up(tree.threshold, np.float32), value)


def round_up(thresholds: Floats, precision: type[np.float32 | np.float64]) -> Numbers:
    """Returns the smallest numbers of that precision that are greater than the thresholds."""
    nearest: Numbers = thresholds.astype(precision)
    result: Numbers = np.where(nearest > thresholds, nearest, np.nextafter(nearest, precision(np.inf)))
    return result


def _descend(levels: list[_Level], rows: Numbers, trees: int) -> Indexes:
    """Returns the place in the last level that each row reaches in each tree, shape (rows, trees).

    All descend in step. Reused work arrays save a fifth of the time ("clip": with "raise", numpy would copy).
    """
    block, values = (len(rows), trees), rows.ravel()
    row_start = (np.arange(len(rows)) * rows.shape[1])[:, None]
    place = np.empty(block, dtype=np.intp)
    place[:] = np.arange(trees)
    index, right = np.empty_like(place), np.empty(block, dtype=np.bool_)
    value, threshold = np.empty(block, dtype=rows.dtype), np.empty(block, dtype=rows.dtype)
    for level in levels:
        level.feature.take(place, out=index, mode="clip")
        index += row_start
        values.take(index, out=value, mode="clip")
        level.threshold.take(place, out=threshold, mode="clip")
        np.greater_equal(value, threshold, out=right)
        if level.left is None:
            place += place
        else:
            place, index = level.left.take(place, out=index, mode="clip"), place
        place += right
    return place
