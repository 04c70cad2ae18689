"""An event's onset: the change point of what all affected streams show together."""

from typing import Final

import numpy as np

from ml.numerics.arrays import Floats32
from ml.numerics.runs import find_runs
from ml.root_cause.degradation import Channel
from ml.root_cause.events import Event
from ml.root_cause.residuals import Residuals

BEFORE: Final = 48  # samples before the first active one that are searched
PEAK: Final = 0.85  # the quantile of the first run that is its depth
LOW, HIGH = 0.25, 0.75  # shares of the depth between which the rise lies
SHARP: Final = 3  # samples of rise: shorter is a step
CLEAR_SIGMAS, CLEAR = 3.0, 0.2  # of the noise, and of the depth: above both a step shows clearly
RISES_BEFORE: Final = 3  # lengths of the rise in which its foot is searched
FLAT: Final = 8  # the first eighth of the samples defines the level before the rise
LEAST_LOADING: Final = 0.05
CLEARLY_BETTER: Final = 0.6  # of the squared error


def estimate_onset(residuals: Residuals, event: Event) -> int:
    """Returns the sample at which the event began.

    For a step this is the first sample that shows clearly, for a slower rise the foot of the best fitting line or
    parabola, by least squares over all possible feet.
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
    """Returns the first of the consecutive clear samples before `high`, not before `start`."""
    dim = np.flatnonzero(profile[start:high] < clear)
    return start + int(dim[-1]) + 1 if len(dim) else start


def _common_profile(residuals: Residuals, event: Event) -> tuple[Floats32, float]:
    """Returns the common-mode profile also outside the event, dB, shape (times,), and its noise's sigma, dB."""
    values = -residuals.esno[event.affected_streams]
    known = np.isfinite(values)
    loading = np.maximum(event.loading[event.affected_streams], LEAST_LOADING)[:, None]
    weight = np.maximum((known * loading**2).sum(axis=0), 1e-3)
    profile = (np.where(known, values, 0.0) * loading).sum(axis=0) / weight
    noise = float(
        np.sqrt((residuals.sigma[event.affected_streams] ** 2 * loading[:, 0] ** 2).sum())
        / max(1e-3, (loading**2).sum())
    )
    return profile.astype(np.float32), noise


def _hinge(values: Floats32) -> int:
    """Returns where flat values begin to rise, as a line, or as a parabola (a drifting antenna): least squares."""
    places = np.arange(len(values))
    rise = np.maximum(0.0, places[None] - places[:-2, None])  # (knees, samples)
    values = values - np.median(values[: max(1, len(values) // FLAT)])
    straight, curved = _misfit(values, rise), _misfit(values, rise**2)
    return int(np.argmin(curved if curved.min() < CLEARLY_BETTER * straight.min() else straight))


def _misfit(values: Floats32, shapes: Floats32) -> Floats32:
    """Returns the squared error of each shape, shape (knees,), from (knees, samples) and values (samples,)."""
    slope = (shapes @ values) / np.maximum((shapes * shapes).sum(axis=1), 1e-6)
    left: Floats32 = ((values[None] - slope[:, None] * shapes) ** 2).sum(axis=1)
    return left
