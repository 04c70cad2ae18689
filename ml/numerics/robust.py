"""Medians and quantiles that leave out what is not known, and soft thresholds."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats32

MAD_TO_SIGMA: Final = 1.4826  # a normal distribution's standard deviation over its median absolute deviation
FEW: Final = 4  # values: of fewer no spread can be told


def quantile(values: Floats32, at: float) -> Floats32:
    """Along the last axis; NaN where nothing is known."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = values.shape[-1] - np.isnan(ordered).sum(axis=-1)
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan, dtype=np.float32)
    place = np.clip(np.round(at * (count - 1)), 0, None).astype(np.int64)
    result: Floats32 = np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
    return result


def median(values: Floats32) -> float:
    """Of all values; NaN where none is known."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def deviation(values: Floats32) -> float:
    """The standard deviation that the median absolute one suggests; NaN of few values."""
    known = values[np.isfinite(values)]
    if len(known) < FEW:
        return float("nan")
    return float(MAD_TO_SIGMA * np.median(np.abs(known - np.median(known))))


def logistic_threshold(values: Floats32, threshold: Floats32 | float, soft: float) -> NDArray[np.floating]:
    """From 0 far below the threshold to 1 far above, the logistic function of their distance over `soft`."""
    distance = (values - threshold) / soft
    result: NDArray[np.floating] = 1.0 / (1.0 + np.exp(-np.clip(distance, -30.0, 30.0)))
    return result
