"""Runs: stretches of time in which something is true."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Bools

Scalar = TypeVar("Scalar", bound=np.generic)


def find_runs(true: Bools) -> list[slice]:
    """Of `true` (times,), in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    return [slice(start, stop) for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]


def mask_runs(times: int, runs: Sequence[slice]) -> Bools:
    """(times,): within one of the runs."""
    covered = np.zeros(times, dtype=bool)
    for run in runs:
        covered[run] = True
    return covered


def shift_right(values: NDArray[Scalar], by: int = 1, first: float = 0.0) -> NDArray[Scalar]:
    """(streams, times): what was there `by` samples before, at the beginning `first`."""
    result = np.full_like(values, first)
    result[:, by:] = values[:, :-by]
    return result


def shift_left(values: NDArray[Scalar], by: int = 1) -> NDArray[Scalar]:
    """(streams, times): what will be there `by` samples later, at the end 0."""
    result = np.zeros_like(values)
    result[:, :-by] = values[:, by:]
    return result


def drop_short_runs(true: Bools, least: int) -> Bools:
    """(streams, times): only those runs that have at least so many samples."""
    begun = true
    for shift in range(1, least):
        begun = begun & shift_left(true, shift)
    kept = begun.copy()
    for shift in range(1, least):
        kept |= shift_right(begun, shift)
    return kept


def dilate(true: Bools, by: int) -> Bools:
    """(streams, times): with so many samples before and after."""
    result = true.copy()
    for shift in range(1, min(by, true.shape[1] - 1) + 1):
        result[:, shift:] |= true[:, :-shift]
        result[:, :-shift] |= true[:, shift:]
    return result


def extend_runs(true: Bools, through: Bools, most: int, *, backwards: bool) -> Bools:
    """(streams, times): with what of `through` follows right after, or before as well, up to `most` samples."""
    for _ in range(most):
        beside = shift_right(true) | shift_left(true) if backwards else shift_right(true)
        more = true | (through & beside)
        if (more == true).all():
            break
        true = more
    return true
