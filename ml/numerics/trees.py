"""Fitted trees as flat arrays, and isolation forests: exactly scikit-learn's scores, without it and without pickle."""

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

LANES: Final = 25_600  # rows × trees that descend together: their work arrays stay in the processor's cache
PADDING: Final = 4  # complete trees descend faster while they have at most this many leaves for each node
EULER_GAMMA: Final = 0.5772156649015329


class Tree(NamedTuple):
    """One tree as it was fitted; per node: its children (equal in a leaf), column, least value to the right, value."""

    left: NDArray[Any]
    right: NDArray[Any]
    feature: NDArray[Any]
    least: Numbers
    value: Floats


class _Level(NamedTuple):
    """Nodes that are reached in one step, and their left child's place in the next level: twice their own if None."""

    feature: Indexes
    least: Numbers
    left: Indexes | None


@dataclass(frozen=True)
class Trees:
    """Trees node by node: all `count` roots, then their children, then the children of these, to the bottom.

    The n-th node that splits has the children count + 2n and count + 2n + 1, so pointers need not be kept.
    feature (nodes,): the column that is looked at, -1 in a leaf; from `columns` on, the negated columns.
    least (nodes,): what is not below it goes right, the rest and NaN left; its precision is that of the comparison.
    value (nodes,): what counts in a leaf.
    """

    count: int
    columns: int
    feature: NDArray[np.int32]
    least: Numbers
    value: Floats

    @classmethod
    def joined(cls, trees: Iterable[Tree], columns: int) -> Self:
        """Put the nodes of fitted trees into this order."""
        parts = list(trees)
        sizes = [len(part.left) for part in parts]
        roots = np.cumsum([0, *sizes[:-1]])
        left, right, feature, least, value = (np.concatenate(fields) for fields in zip(*parts, strict=True))
        left, right = left + np.repeat(roots, sizes), right + np.repeat(roots, sizes)
        levels = [roots]
        while len(parents := levels[-1][left[levels[-1]] != right[levels[-1]]]):
            levels.append(np.column_stack([left[parents], right[parents]]).ravel())
        order = np.concatenate(levels)
        feature = np.where(left == right, -1, feature)[order].astype(np.int32)
        return cls(len(parts), columns, feature, least[order], value[order])

    def __post_init__(self) -> None:
        """Raises ValueError where this is no tree: what passes can be walked without checking any index."""
        if self.least.dtype not in (np.float32, np.float64):
            raise ValueError("nodes compare in single or double precision")
        if self.feature.dtype != np.int32 or self.value.dtype != np.float64 or not np.isfinite(self.value).all():
            raise ValueError("the nodes' features are not whole, or their values not finite")
        if not self.feature.shape == self.least.shape == self.value.shape == (self.feature.size,):
            raise ValueError("each node has one feature, one least value and one value")
        if self.feature.min(initial=-1) < -1 or self.feature.max(initial=-1) >= 2 * self.columns:
            raise ValueError(f"a node looks at something else than the {self.columns} features")
        if self.count < 1 or self.depth < 0:
            raise ValueError("nodes are missing, or there are too many")

    @cached_property
    def depth(self) -> int:
        """Steps from the roots to the lowest leaf; -1 where nodes are missing or too many."""
        start, width, depth = 0, self.count, 0
        while children := 2 * int(np.count_nonzero(self.feature[start : start + width] >= 0)):
            start, width, depth = start + width, children, depth + 1
        return depth if start + width == len(self.feature) else -1

    @cached_property
    def _levels(self) -> tuple[list[_Level], Floats]:
        """What to walk through, and the value of each place at the end. A leaf is its own left child."""
        splits, nodes = self.feature >= 0, np.arange(len(self.feature))
        left = np.where(splits, self.count + 2 * (np.cumsum(splits) - 1), nodes)
        feature, least = np.maximum(self.feature, 0).astype(np.intp), np.where(splits, self.least, np.nan)
        if self.count << self.depth > PADDING * len(nodes):
            return [_Level(feature, least, left)] * self.depth, self.value
        levels, level = [], nodes[: self.count]
        for _ in range(self.depth):
            levels.append(_Level(feature[level], least[level], None))
            level = np.column_stack([left[level], left[level] + splits[level]]).ravel()
        return levels, self.value[level]

    def sums(self, features: Floats, groups: int = 1) -> Floats:
        """The values of the leaves that each row of `features` reaches, (rows, groups): added up over runs of trees."""
        if features.ndim != 2 or features.shape[1] != self.columns:
            raise ValueError(f"a row has {self.columns} features, not {features.shape[1:]}")
        rows = np.ascontiguousarray(features, dtype=self.least.dtype)
        if self.feature.max() >= self.columns:
            rows = np.hstack([rows, -rows])
        levels, value = self._levels
        height, result = max(1, LANES // self.count), np.empty((len(rows), groups))
        for start in range(0, len(rows), height):
            leaves = _descend(levels, rows[start : start + height], self.count)
            result[start : start + height] = value.take(leaves).reshape(len(leaves), groups, -1).sum(axis=2)
        return result

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        return {
            f"{prefix}_shape": np.array([self.count, self.columns]),
            f"{prefix}_feature": self.feature,
            f"{prefix}_least": self.least,
            f"{prefix}_value": self.value,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Self:
        shape, *nodes = (arrays[f"{prefix}_{name}"] for name in ("shape", "feature", "least", "value"))
        if shape.shape != (2,) or shape.dtype.kind != "i":
            raise ValueError("how many trees and columns there are is two whole numbers")
        return cls(int(shape[0]), int(shape[1]), *nodes)


@dataclass(frozen=True)
class Forest:
    """An isolation forest: trees whose leaves are worth the expected path length to their rows.

    normaliser: the average path length in a tree of `max_samples` rows.
    """

    trees: Trees
    normaliser: float

    @classmethod
    def from_sklearn(cls, forest: "IsolationForest") -> Self:
        """Flatten a fitted forest whose trees see all features. Raises ValueError for other ones."""
        if forest.max_samples_ < 2:
            raise ValueError("trees of a single row tell nothing")
        if any(len(features) != forest.n_features_in_ for features in forest.estimators_features_):
            raise ValueError("each tree must see every feature (max_features = 1.0)")
        fitted = [estimator.tree_ for estimator in forest.estimators_]
        paths = [tree.compute_node_depths() - 1 + average_path(tree.n_node_samples) for tree in fitted]
        trees = map(flat, fitted, paths)
        return cls(Trees.joined(trees, forest.n_features_in_), float(average_path(np.array([forest.max_samples_]))[0]))

    def score(self, features: Floats) -> Floats:
        """Anomaly scores (rows,) in 0 to 1 of finite `features` (rows, features): -score_samples of scikit-learn.

        2^(-mean path length / normaliser): Liu, Ting and Zhou, "Isolation Forest", 2008, equation 2.
        """
        result: Floats = np.exp2(-self.trees.sums(features)[:, 0] / (self.trees.count * self.normaliser))
        return result

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays for an .npz file; `from_arrays` reads them back."""
        return {"forest_normaliser": np.array(self.normaliser), **self.trees.to_arrays("forest")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Raises KeyError where an array is missing, ValueError where they do not describe trees."""
        normaliser = arrays["forest_normaliser"]
        if normaliser.shape != () or normaliser.dtype.kind != "f" or not 0.0 < float(normaliser) < np.inf:
            raise ValueError("the forest's normaliser is one positive number")
        return cls(Trees.from_arrays(arrays, "forest"), float(normaliser))


def average_path(rows: NDArray[Any]) -> Floats:
    """c(n), the average path length of unsuccessful searches in a binary tree of n rows (Liu et al., equation 1)."""
    count = np.maximum(rows, 2).astype(np.float64)
    length = 2.0 * (np.log(count - 1.0) + EULER_GAMMA) - 2.0 * (count - 1.0) / count
    result: Floats = np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, length))
    return result


def flat(tree: Any, value: Floats) -> Tree:
    """A scikit-learn tree, which compares in single precision, with these values."""
    return Tree(tree.children_left, tree.children_right, tree.feature, least_above(tree.threshold, np.float32), value)


def least_above(thresholds: Floats, precision: type[np.float32 | np.float64]) -> Numbers:
    """The least numbers of that precision above the thresholds."""
    nearest: Numbers = thresholds.astype(precision)
    result: Numbers = np.where(nearest > thresholds, nearest, np.nextafter(nearest, precision(np.inf)))
    return result


def _descend(levels: list[_Level], rows: Numbers, trees: int) -> Indexes:
    """The place in the last level, (rows, trees), that each row reaches in each tree: all descend in step.

    Work arrays that are made once take a fifth off the time ("clip": with "raise", numpy would copy into them).
    """
    lanes, values = (len(rows), trees), rows.ravel()
    row_start = (np.arange(len(rows)) * rows.shape[1])[:, None]
    place = np.empty(lanes, dtype=np.intp)
    place[:] = np.arange(trees)
    index, right = np.empty_like(place), np.empty(lanes, dtype=np.bool_)
    value, least = np.empty(lanes, dtype=rows.dtype), np.empty(lanes, dtype=rows.dtype)
    for level in levels:
        level.feature.take(place, out=index, mode="clip")
        index += row_start
        values.take(index, out=value, mode="clip")
        level.least.take(place, out=least, mode="clip")
        np.greater_equal(value, least, out=right)
        if level.left is None:
            place += place
        else:
            place, index = level.left.take(place, out=index, mode="clip"), place
        place += right
    return place
