"""Eight ways to look at a sample, each a number that grows with how odd it is, and what they say together."""

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.detection.calibration import surprise
from ml.detection.features import Feature
from ml.detection.profiles import TOGETHER, Profiles
from ml.numerics.arrays import Floats
from ml.numerics.trees import Forest

FARTHEST: Final = 50.0  # deviations beyond say no more to a distance
CHUNK_ROWS: Final = 2048  # keeps the work arrays in the processor's cache


class View(IntEnum):
    """In the order of every views array."""

    ISOLATION = 0  # how few random cuts isolate it: all features (Liu, Ting and Zhou, 2008)
    RESIDUAL_DISTANCE = 1  # squared Mahalanobis distance, on all principal components, with a variance floor
    SHIFT_DISTANCE = 2
    SPIKE_DISTANCE = 3
    RESIDUAL_BREADTH = 4  # root mean square over the metrics of log(1 + |deviation|)
    JUMP_BREADTH = 5
    DEVIATION_BREADTH = 6
    VOLATILITY_BREADTH = 7


VOTES: Final = np.array([0.25] + [1.0] * 7) / 7.25  # the forest sees what the others see, less sharply
BREADTHS: Final = (Feature.RESIDUAL, Feature.JUMP, Feature.DEVIATION, Feature.VOLATILITY)


def views(deviations: Floats, whiten: NDArray[np.float32], stream: NDArray[np.int64], forest: Forest) -> Floats:
    """(rows, 8) from deviations (rows, 6, metrics), NaN = not measured, of streams with these `whiten`."""
    missing = np.isnan(deviations)
    known = np.where(missing, 0.0, deviations)
    logs = np.log1p(np.abs(known))
    measured = np.maximum(1, (~missing[:, Feature.RESIDUAL]).sum(axis=1))[:, None]
    measured = np.sqrt(measured * deviations.shape[2])  # the mean of few varies more: their tails meet about here
    result = np.empty((len(deviations), len(View)))
    result[:, View.ISOLATION] = forest.score(logs.reshape(len(logs), logs.shape[1] * logs.shape[2]))
    result[:, View.RESIDUAL_DISTANCE : View.RESIDUAL_BREADTH] = np.log1p(_distances(known, whiten, stream) / measured)
    breadth = (logs[:, BREADTHS] ** 2).sum(axis=2)
    result[:, View.RESIDUAL_BREADTH :] = np.sqrt(breadth / measured)
    return result


def log_sizes(deviations: Floats) -> Floats:
    """log(1 + |deviation|), 0 where not measured."""
    result: Floats = np.log1p(np.abs(np.nan_to_num(deviations)))
    return result


def _distances(deviations: Floats, whiten: NDArray[np.float32], stream: NDArray[np.int64]) -> Floats:
    """Squared, (rows, 3)."""
    apart = np.minimum(np.maximum(deviations[:, TOGETHER], -FARTHEST), FARTHEST).swapaxes(0, 1)  # (3, rows, metrics)
    if len(stream) and stream[0] == stream[-1]:
        white = apart @ whiten[stream[0]]
    else:
        white = (apart[:, :, None, :] @ whiten[stream].swapaxes(0, 1))[:, :, 0]
    result: Floats = (white**2).sum(axis=2).T
    return result


def fused(odd: Floats, profiles: Profiles, stream: NDArray[np.int64]) -> Floats:
    """One number per row, (rows,): the square of the cubic mean of log(1 + surprise) of the views."""
    which = stream[:1] if len(stream) and stream[0] == stream[-1] else stream
    surprises = surprise(odd, profiles.knots[which].astype(np.float64), profiles.beyond[which].astype(np.float64))
    result: Floats = (np.log1p(surprises) ** 3 @ VOTES) ** (2.0 / 3.0)
    return result
