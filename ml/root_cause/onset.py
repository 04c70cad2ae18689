"""When an event began: the change point of what all streams that it hit show together."""

from typing import Final

import numpy as np

from ml.numerics.arrays import Floats32
from ml.numerics.runs import find_runs
from ml.root_cause.degradation import Channel
from ml.root_cause.events import Event
from ml.root_cause.residuals import Residuals

BEFORE: Final = 48  # samples that may precede the first one noticed
PEAK: Final = 0.85  # the quantile of the first run that is its depth
LOW, HIGH = 0.25, 0.75  # of the depth: the rise lies between
SHARP: Final = 3  # samples of rise: a step
CLEAR_SIGMAS, CLEAR = 3.0, 0.2  # of the noise, and of the depth: a step shows clearly
RISES_BEFORE: Final = 3  # times the rise, to look for its foot
FLAT: Final = 8  # an eighth of the samples, the first ones, tell what flat is
LEAST_FOLLOWING: Final = 0.05
CLEARLY_BETTER: Final = 0.6  # what is left of the squares


def estimate_onset(residuals: Residuals, event: Event) -> int:
    """The sample at which it began.

    Of a step the first sample that shows clearly; of anything slower the foot of the straight line that fits the rise
    best, by least squares over all places where it could begin.
    """
    run = find_runs(event.active)[0]
    first = int(run.start)
    if event.channel is not Channel.SIGNAL:
        return first
    profile, noise = _common_profile(residuals, event)
    start = max(0, first - BEFORE)
    peak = float(np.quantile(profile[run], PEAK))
    high = first + int(np.argmax(profile[run] >= HIGH * peak))
    quarter = np.flatnonzero(profile[start : high + 1] <= LOW * peak)
    low = start + (int(quarter[-1]) if len(quarter) else 0)
    if high - low <= SHARP:
        return _step(profile, start, high, max(CLEAR_SIGMAS * noise, CLEAR * peak))
    start = max(0, min(start, low - RISES_BEFORE * (high - low)))
    return start + _hinge(profile[start : high + 1])


def _step(profile: Floats32, start: int, high: int, clear: float) -> int:
    """The first of the samples before `high` that are clear without a gap, not before `start`."""
    dim = np.flatnonzero(profile[start:high] < clear)
    return start + int(dim[-1]) + 1 if len(dim) else start


def _common_profile(residuals: Residuals, event: Event) -> tuple[Floats32, float]:
    """(times,): the common course, dB, also where it is not active, and the standard deviation of its noise."""
    values = -residuals.esno[event.affected_streams]
    known = np.isfinite(values)
    loading = np.maximum(event.loading[event.affected_streams], LEAST_FOLLOWING)[:, None]
    weight = np.maximum((known * loading**2).sum(axis=0), 1e-3)
    profile = (np.where(known, values, 0.0) * loading).sum(axis=0) / weight
    noise = float(
        np.sqrt((residuals.sigma[event.affected_streams] ** 2 * loading[:, 0] ** 2).sum())
        / max(1e-3, (loading**2).sum())
    )
    return profile.astype(np.float32), noise


def _hinge(values: Floats32) -> int:
    """Where what was flat begins to rise, as a line or as a square (a drifting antenna): least squares over all."""
    places = np.arange(len(values))
    rise = np.maximum(0.0, places[None] - places[:-2, None])  # (knees, samples)
    values = values - np.median(values[: max(1, len(values) // FLAT)])
    straight, curved = _misfit(values, rise), _misfit(values, rise**2)
    return int(np.argmin(curved if curved.min() < CLEARLY_BETTER * straight.min() else straight))


def _misfit(values: Floats32, shapes: Floats32) -> Floats32:
    """(knees,): the squares that each shape (knees, samples) leaves of the values (samples,)."""
    slope = (shapes @ values) / np.maximum((shapes * shapes).sum(axis=1), 1e-6)
    left: Floats32 = ((values[None] - slope[:, None] * shapes) ** 2).sum(axis=1)
    return left
