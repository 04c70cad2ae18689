"""How surprising is a value: tail probabilities learned from ordinary values, prudent beyond the largest of them."""

from typing import Final

import numpy as np

from ml.detection.episodes import EXTREME, HOLE, PERSIST
from ml.numerics.arrays import Floats

TAIL: Final = 0.05  # of ordinary values lie beyond the last knot, where an exponential tail stands in for too few
KNOTS: Final = 20
LEVELS: Final = np.linspace(0.0, -np.log10(TAIL), KNOTS)  # the surprise at each knot
THINNEST: Final = 0.1  # of the way from the median to the last knot: how thin a tail may seem
APART: Final = 1e-6  # keeps an absent tail from dividing by nothing


def tails(values: Floats) -> tuple[Floats, Floats]:
    """Of ordinary `values` (rows, views): the knots (views, 20) of their distribution, and the tails' scales (views,).

    Exponential beyond the 95 % quantile (peaks over threshold: Pickands, 1975); the scale from how far the 99 %
    quantile lies beyond it, which some per cent of unnoticed faults hardly move.
    """
    if not len(values):
        return np.zeros((values.shape[1], KNOTS)), np.ones(values.shape[1])
    knots = np.quantile(values, 1.0 - 10.0**-LEVELS, axis=0).T
    far = np.quantile(values, 1.0 - TAIL / 5.0, axis=0)
    top = knots[:, -1]
    least = THINNEST * (top - np.median(values, axis=0))
    return knots, np.maximum(np.maximum((far - top) / np.log(5.0), least), APART)


def surprise(values: Floats, knots: Floats, beyond: Floats) -> Floats:
    """-log10 P(an ordinary value is as great as each of `values`), (rows, views).

    `knots` (rows or 1, views, 20) and `beyond` (rows or 1, views), of whichever stream each row is of.
    """
    above = np.minimum(np.maximum((knots < values[..., None]).sum(axis=-1), 1), KNOTS - 1)
    stream, view = np.arange(len(knots))[:, None], np.arange(values.shape[1])
    low, high = knots[stream, view, above - 1], knots[stream, view, above]
    part = np.minimum(np.maximum((values - low) / np.maximum(high - low, APART), 0.0), 1.0)
    tail = np.maximum(values - knots[..., -1], 0.0) / (beyond * np.log(10.0))
    result: Floats = (above - 1 + part) * LEVELS[1] + tail
    return result


# ---------------------------------------------------------------- thresholds

BLOCK_SECONDS: Final = 1800.0  # alarms closer than this are one episode
PEAKS_PER_DAY: Final = 3.0  # as many peaks as the largest budget allows
LEAST_PEAKS: Final = 8
NO_PEAKS: Final = (1.0, 1.0, 1.0)


def opening(fused: Floats) -> Floats:
    """The highest threshold at which an episode would open by each row, (rows,): see `ml.detection.episodes`.

    At once where the score would be extreme, else when the last few rows hold enough milder alarms.
    """
    at_once = fused * (1.0 - EXTREME) / (1.0 + EXTREME)
    reach = PERSIST + HOLE
    last = np.lib.stride_tricks.sliding_window_view(np.pad(fused, (reach - 1, 0)), reach)
    result: Floats = np.maximum(at_once, np.sort(last, axis=1)[:, -PERSIST])
    return result


def peaks_over(fused: Floats, cadence_seconds: float) -> tuple[float, float, float]:
    """Level, mean excess and daily rate of the highest peaks of a stretch of fused surprises (rows,), of any length.

    Peaks of what episodes open at, so that a budget counts these. A peak is the maximum of half an hour that is no
    smaller than its neighbours. The excess is exponential, its mean taken from its median, which a few true faults
    among the peaks do not move.
    """
    if not len(fused):
        return NO_PEAKS
    fused = opening(fused)
    width = int(np.clip(np.ceil(BLOCK_SECONDS / cadence_seconds), 2, 60))
    blocks = len(fused) // width
    if blocks < 2:
        return float(fused.max(initial=0.0)), APART, 1.0
    highest = fused[len(fused) - blocks * width :].reshape(blocks, width).max(axis=1)
    around = np.pad(highest, 1, constant_values=-np.inf)
    peaks = np.sort(highest[(highest >= around[:-2]) & (highest > around[2:])])[::-1]
    days = len(fused) * cadence_seconds / 86_400.0
    count = int(np.clip(np.ceil(PEAKS_PER_DAY * days), min(LEAST_PEAKS, len(peaks)), len(peaks)))
    level = peaks[count - 1] if count else highest.max()
    excess = np.median(peaks[:count] - level) / np.log(2.0) if count else 0.0
    return float(level), float(max(excess, 0.02 * level, APART)), max(count, 1) / days


def threshold(peaks: Floats, per_day: float) -> Floats:
    """The fused surprise that so many peaks per day exceed; `peaks` (streams, 3) as of `peaks_over`."""
    level, excess, rate = peaks.T
    result: Floats = np.maximum(level + excess * np.log(rate / per_day), 0.5 * level)
    return result
