"""Robust statistics that ignore NaN, and a soft threshold."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats32

MAD_TO_SIGMA: Final = 1.4826  # a normal distribution's standard deviation over its median absolute deviation
FEW: Final = 4  # values: fewer have no meaningful spread


def quantile(values: Floats32, at: float) -> Floats32:
    """Returns the nearest-rank quantile along the last axis, NaN where all values are NaN.

    at: 0 to 1.
    """
    ordered = np.sort(values, axis=-1)  # NaN last
    count = values.shape[-1] - np.isnan(ordered).sum(axis=-1)
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan, dtype=np.float32)
    place = np.clip(np.round(at * (count - 1)), 0, None).astype(np.int64)
    result: Floats32 = np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
    return result


def median(values: Floats32) -> float:
    """Returns the median of all finite values, NaN if there are none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def deviation(values: Floats32) -> float:
    """Returns the standard deviation estimated from the median absolute deviation, NaN of fewer than `FEW` values."""
    known = values[np.isfinite(values)]
    if len(known) < FEW:
        return float("nan")
    return float(MAD_TO_SIGMA * np.median(np.abs(known - np.median(known))))


def logistic_threshold(values: Floats32, threshold: Floats32 | float, soft: float) -> NDArray[np.floating]:
    """Returns 0 far below the threshold, 1 far above: the logistic function of (values - threshold) / soft."""
    distance = (values - threshold) / soft
    result: NDArray[np.floating] = 1.0 / (1.0 + np.exp(-np.clip(distance, -30.0, 30.0)))
    return result
