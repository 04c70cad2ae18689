"""Eight base scorers, each a number that grows with how unusual a sample is, and their ensemble score."""

from enum import IntEnum
from typing import Final

import numpy as np

from ml.detection.calibration import compute_surprisal
from ml.detection.features import Feature
from ml.detection.profiles import JOINT_FEATURES, Profiles
from ml.numerics.arrays import Floats, Floats32, Integers
from ml.numerics.trees import Forest

MAX_DEVIATION: Final = 50.0  # robust standard deviations: larger ones say no more to a distance
CHUNK_ROWS: Final = 2048  # keeps the work arrays in the processor's cache


class BaseScorer(IntEnum):
    """The second axis of every array of base scores."""

    ISOLATION = 0  # how few random cuts isolate the sample, on all features (Liu, Ting and Zhou, 2008)
    RESIDUAL_DISTANCE = 1  # squared Mahalanobis distance, on all principal components, with a variance floor
    SHIFT_DISTANCE = 2
    SPIKE_DISTANCE = 3
    RESIDUAL_BREADTH = 4  # root mean square over the metrics of log(1 + |deviation|)
    JUMP_BREADTH = 5
    DEVIATION_BREADTH = 6
    VOLATILITY_BREADTH = 7


SCORER_WEIGHTS: Final = np.array([0.25] + [1.0] * 7) / 7.25  # the forest sees what the others see, less sharply
BREADTH_FEATURES: Final = (Feature.RESIDUAL, Feature.JUMP, Feature.DEVIATION, Feature.VOLATILITY)


def compute_base_scores(standardized: Floats, whitening: Floats32, stream: Integers, forest: Forest) -> Floats:
    """Returns the scores of the eight base scorers, shape (rows, 8).

    standardized: features in robust standard deviations, shape (rows, 6, metrics), NaN where not measured.
    whitening: of all streams, shape (streams, 3, metrics, metrics); see `Profiles`.
    stream: the stream of each row, shape (rows,).
    """
    missing = np.isnan(standardized)
    filled = np.where(missing, 0.0, standardized)
    logs = np.log1p(np.abs(filled))
    measured = np.maximum(1, (~missing[:, Feature.RESIDUAL]).sum(axis=1))[:, None]
    measured = np.sqrt(measured * standardized.shape[2])  # the mean of few varies more: their tails meet about here
    result = np.empty((len(standardized), len(BaseScorer)))
    result[:, BaseScorer.ISOLATION] = forest.score(logs.reshape(len(logs), logs.shape[1] * logs.shape[2]))
    distances = _compute_distances(filled, whitening, stream)
    result[:, BaseScorer.RESIDUAL_DISTANCE : BaseScorer.RESIDUAL_BREADTH] = np.log1p(distances / measured)
    breadth = (logs[:, BREADTH_FEATURES] ** 2).sum(axis=2)
    result[:, BaseScorer.RESIDUAL_BREADTH :] = np.sqrt(breadth / measured)
    return result


def compute_log_magnitudes(standardized: Floats) -> Floats:
    """Returns log(1 + |deviation|), shape of `standardized`, 0 where not measured."""
    result: Floats = np.log1p(np.abs(np.nan_to_num(standardized)))
    return result


def _compute_distances(deviations: Floats, whitening: Floats32, stream: Integers) -> Floats:
    """Returns squared Mahalanobis distances of the joint features, shape (rows, 3)."""
    joint = np.minimum(np.maximum(deviations[:, JOINT_FEATURES], -MAX_DEVIATION), MAX_DEVIATION)
    joint = joint.swapaxes(0, 1)  # (3, rows, metrics)
    if len(stream) and stream[0] == stream[-1]:
        white = joint @ whitening[stream[0]]
    else:
        white = (joint[:, :, None, :] @ whitening[stream].swapaxes(0, 1))[:, :, 0]
    result: Floats = (white**2).sum(axis=2).T
    return result


def compute_ensemble_score(base_scores: Floats, profiles: Profiles, stream: Integers) -> Floats:
    """Returns one score per row, shape (rows,): the square of the cubic mean of log(1 + surprisal) of the scorers.

    base_scores: what `compute_base_scores` returns, shape (rows, 8).
    stream: the profile of each row, shape (rows,).
    """
    which = stream[:1] if len(stream) and stream[0] == stream[-1] else stream
    knots, tail_scale = profiles.knots[which].astype(np.float64), profiles.tail_scale[which].astype(np.float64)
    surprisals = compute_surprisal(base_scores, knots, tail_scale)
    result: Floats = (np.log1p(surprisals) ** 3 @ SCORER_WEIGHTS) ** (2.0 / 3.0)
    return result
