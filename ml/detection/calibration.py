"""Turns scores into surprisals by tail probabilities of normal values, and false-alarm budgets into thresholds."""

from typing import Final

import numpy as np

from ml.catalogue.units import DAY_SECONDS
from ml.detection.episodes import EXTREME, MAX_GAP, MIN_ALARMS, PERSIST_MS
from ml.numerics.arrays import Floats

TAIL: Final = 0.05  # share of normal values beyond the last knot, where an exponential stands in for too few of them
KNOTS: Final = 20
KNOT_SURPRISALS: Final = np.linspace(0.0, -np.log10(TAIL), KNOTS)
MIN_TAIL_SHARE: Final = 0.1  # of the way from the median to the last knot: no tail may seem thinner
EPSILON: Final = 1e-6  # keeps an absent tail from dividing by nothing


def fit_tails(scores: Floats) -> tuple[Floats, Floats]:
    """Fits the distribution of each scorer's scores of normal samples.

    scores: shape (rows, scorers).

    Returns the knots, shape (scorers, 20), and the tails' scales, shape (scorers,). The tail beyond the 95 % quantile
    is exponential (peaks over threshold: Pickands, 1975). Its scale comes from how far the 99 % quantile lies beyond,
    which some per cent of unnoticed faults hardly move.
    """
    if not len(scores):
        return np.zeros((scores.shape[1], KNOTS)), np.ones(scores.shape[1])
    knots = np.quantile(scores, 1.0 - 10.0**-KNOT_SURPRISALS, axis=0).T
    far = np.quantile(scores, 1.0 - TAIL / 5.0, axis=0)
    top = knots[:, -1]
    min_scale = MIN_TAIL_SHARE * (top - np.median(scores, axis=0))
    return knots, np.maximum(np.maximum((far - top) / np.log(5.0), min_scale), EPSILON)


def compute_surprisal(scores: Floats, knots: Floats, tail_scale: Floats) -> Floats:
    """Returns -log10 P(a normal sample scores at least as high), shape (rows, scorers).

    scores: shape (rows, scorers).
    knots: of each row's stream, shape (rows or 1, scorers, 20).
    tail_scale: of each row's stream, shape (rows or 1, scorers).
    """
    above = np.minimum(np.maximum((knots < scores[..., None]).sum(axis=-1), 1), KNOTS - 1)
    stream, scorer = np.arange(len(knots))[:, None], np.arange(scores.shape[1])
    low, high = knots[stream, scorer, above - 1], knots[stream, scorer, above]
    part = np.minimum(np.maximum((scores - low) / np.maximum(high - low, EPSILON), 0.0), 1.0)
    tail = np.maximum(scores - knots[..., -1], 0.0) / (tail_scale * np.log(10.0))
    result: Floats = (above - 1 + part) * KNOT_SURPRISALS[1] + tail
    return result


# ---------------------------------------------------------------- thresholds

BLOCK_SECONDS: Final = 1800.0  # alarms closer than this are one episode
BLOCK_SAMPLES: Final = 2  # or as close as these
PEAKS_PER_DAY: Final = 3.0  # as many peaks as the largest budget allows
MIN_PEAKS: Final = 8
SHAPE: Final = 0.1  # of the peaks' tail, a little heavier than exponential (generalized Pareto: Pickands, 1975)
NO_PEAKS: Final = (1.0, 1.0, 1.0)


def find_opening_thresholds(ensemble: Floats, cadence_seconds: float) -> Floats:
    """Returns the highest threshold at which an episode would open by each row, shape (rows,).

    ensemble: ensemble scores of one stream, shape (rows,).

    An episode opens at once where the score would be extreme, else when milder alarms persist: enough of the last few
    rows, and where samples are fast, without a longer hole over the time that they must persist. See
    `ml.detection.episodes`.
    """
    at_once = ensemble * (1.0 - EXTREME) / (1.0 + EXTREME)
    last = _slide(ensemble, MIN_ALARMS + MAX_GAP)
    mild = np.sort(last, axis=1)[:, -MIN_ALARMS]
    persisting = 1 + int(np.ceil(PERSIST_MS / 1000.0 / cadence_seconds))  # rows
    if persisting > MIN_ALARMS:
        holes = _slide(ensemble, MAX_GAP + 1).max(axis=1)  # none of these rows alarms above it
        mild = np.minimum(mild, _slide(holes, max(1, persisting - MAX_GAP)).min(axis=1))
    result: Floats = np.maximum(at_once, mild)
    return result


def _slide(values: Floats, rows: int) -> Floats:
    """Returns the last `rows` values at each row, shape (rows of values, rows); 0 before the first."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, (rows - 1, 0)), rows)


def fit_peaks(ensemble: Floats, cadence_seconds: float) -> tuple[float, float, float]:
    """Returns level, mean excess above it and daily rate of the highest peaks of a stretch of any length.

    ensemble: ensemble scores of one stream, shape (rows,).

    The peaks are those of the opening thresholds, so that a budget counts episodes. A peak is the maximum of half an
    hour that is no smaller than its neighbours. The excess is exponential; its mean is taken from its median, which a
    few true faults among the peaks do not move.
    """
    if not len(ensemble):
        return NO_PEAKS
    openings = find_opening_thresholds(ensemble, cadence_seconds)
    width = max(BLOCK_SAMPLES, int(np.ceil(BLOCK_SECONDS / cadence_seconds)))
    blocks = len(openings) // width
    if blocks < 2:
        return float(openings.max(initial=0.0)), EPSILON, 1.0
    highest = openings[len(openings) - blocks * width :].reshape(blocks, width).max(axis=1)
    around = np.pad(highest, 1, constant_values=-np.inf)
    peaks = np.sort(highest[(highest >= around[:-2]) & (highest > around[2:])])[::-1]
    days = len(openings) * cadence_seconds / DAY_SECONDS
    count = int(np.clip(np.ceil(PEAKS_PER_DAY * days), min(MIN_PEAKS, len(peaks)), len(peaks)))
    level = peaks[count - 1] if count else highest.max()
    excess = np.median(peaks[:count] - level) / np.log(2.0) if count else 0.0
    return float(level), float(max(excess, 0.02 * level, EPSILON)), max(count, 1) / days


def compute_threshold(peaks: Floats, per_day: Floats | float) -> Floats:
    """Returns the ensemble score that so many peaks per day exceed, shape (streams,).

    peaks: what `fit_peaks` returns for each stream, shape (streams, 3).
    per_day: the budget of all streams, or of each, shape (streams,).
    """
    level, excess, rate = peaks.T
    result: Floats = np.maximum(level + excess * np.expm1(SHAPE * np.log(rate / per_day)) / SHAPE, 0.5 * level)
    return result
