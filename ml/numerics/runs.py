"""Runs: stretches of consecutive samples in which something is true."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Bools

Scalar = TypeVar("Scalar", bound=np.generic)


def find_runs(true: Bools) -> list[slice]:
    """Returns the runs of `true`, shape (times,), in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    return [slice(start, stop) for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]


def mask_runs(times: int, runs: Sequence[slice]) -> Bools:
    """Returns which of `times` samples lie within one of the runs, shape (times,)."""
    covered = np.zeros(times, dtype=bool)
    for run in runs:
        covered[run] = True
    return covered


def shift_right(values: NDArray[Scalar], by: int = 1, first: float = 0.0) -> NDArray[Scalar]:
    """Returns the values of `by` samples before, shape (streams, times), filled with `first` at the beginning."""
    result = np.full_like(values, first)
    result[:, by:] = values[:, :-by]
    return result


def shift_left(values: NDArray[Scalar], by: int = 1) -> NDArray[Scalar]:
    """Returns the values of `by` samples later, shape (streams, times), filled with 0 at the end."""
    result = np.zeros_like(values)
    result[:, :-by] = values[:, by:]
    return result


def drop_short_runs(true: Bools, least: int) -> Bools:
    """Returns only the runs of at least `least` samples, shape (streams, times)."""
    times = true.shape[1]
    place = np.arange(times)
    before = np.maximum.accumulate(np.where(true, -1, place), axis=1)
    after = np.minimum.accumulate(np.where(true, times, place)[:, ::-1], axis=1)[:, ::-1]
    kept: Bools = true & (after - before - 1 >= least)
    return kept


def dilate(true: Bools, by: int) -> Bools:
    """Returns the runs with `by` samples more before and after each, shape (streams, times)."""
    result = true.copy()
    for shift in range(1, min(by, true.shape[1] - 1) + 1):
        result[:, shift:] |= true[:, :-shift]
        result[:, :-shift] |= true[:, shift:]
    return result


def extend_runs(true: Bools, through: Bools, most: int, *, backwards: bool) -> Bools:
    """Returns the runs, shape (streams, times), extended by adjacent samples of `through`: `most` at most.

    backwards: extend them to earlier samples as well.
    """
    for _ in range(most):
        beside = shift_right(true) | shift_left(true) if backwards else shift_right(true)
        more = true | (through & beside)
        if (more == true).all():
            break
        true = more
    return true
