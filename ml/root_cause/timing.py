"""An event's timing: how fast it began, how long it lasted, and whether it comes daily."""

from functools import cache
from typing import Final

import numpy as np

from ml.catalogue.units import DAY_MINUTES, MINUTE_MS
from ml.numerics.arrays import Bools, Floats, Floats32, Integers
from ml.numerics.runs import find_runs
from ml.root_cause.events import Event
from ml.root_cause.residuals import Residuals

SHOWS, PEAK = 0.3, 0.9  # the share of the depth from which an event shows; the quantile that is its depth
RISE_FROM, RISE_TO = 0.2, 0.8  # of the depth, which for a rise is the quantile `RISE_TO` of the run
BEFORE_RISE, BEFORE_ONSET = 2, 12  # samples before an event that are searched
SAME_TIME_MINUTES: Final = 30.0
STEP_SAMPLES: Final = 1.0  # that a step may take by noise
LEAST_SHOWN: Final = 4  # samples, fewer have no shape
GRADUAL_SHARE, SLOW_MINUTES = 0.2, 45.0  # of its time so far, or so long: certainly gradual
LEAST_ROUND: Final = 3  # samples, fewer are round and flat alike
EDGE: Final = 2  # samples by which a run's end is uncertain
MOST_COMPARED: Final = 40  # samples of a run, evenly
PULSE_POWER: Final = 0.7  # of the half-sine, as the sun's disc or a shower makes it
LENGTHS, LONGEST_PULSE = 20, 6.0  # of pulses that are compared: their number, and the longest in times so far
UNEVEN_DB, UNEVEN_SHARE = 0.1, 0.04  # by which a real course differs from either shape: fixed, and of its depth
MOST_ROUND: Final = 8.0  # nats


def find_main_run(profile: Floats32, active: Bools) -> slice:
    """Returns the run with the largest area of the profile. profile, active: shape (times,)."""
    return max(find_runs(active), key=lambda run: float(profile[run].sum()))


def count_samples_shown(profile: Floats32) -> float:
    """Returns the number of samples at which the profile, shape (times,), shows."""
    return float((profile >= SHOWS * np.quantile(profile, PEAK)).sum())


def measure_rise(profile: Floats32, run: slice) -> float:
    """Returns the samples from a fifth to four fifths of a run's depth, 0 for a step. profile: shape (times,)."""
    start = max(0, run.start - BEFORE_RISE)
    part = profile[start : run.stop]
    peak = float(np.quantile(profile[run], RISE_TO))
    high = int(np.argmax(part >= RISE_TO * peak))
    low = np.flatnonzero(part[: high + 1] <= RISE_FROM * peak)
    return float(max(0, high - (int(low[-1]) if len(low) else 0) - 1))


def measure_gradualness(profile: Floats32, run: slice, minutes: float) -> float:
    """Returns 0 for a step to 1 for what rose during a fifth of its time so far, or slowly; NaN if it is too short.

    profile: shape (times,). minutes: between two samples.
    """
    rise, shown = max(0.0, measure_rise(profile, run) - STEP_SAMPLES), count_samples_shown(profile[run])
    if shown < LEAST_SHOWN:
        return float("nan")
    return float(min(1.0, max(rise / shown / GRADUAL_SHARE, rise * minutes / SLOW_MINUTES)))


def measure_roundness(profile: Floats32, run: slice, noise_db: float) -> float:
    """Returns how much better a half-sine pulse fits a run than a flat top does, in nats; NaN if it is too short.

    profile: dB, shape (times,). noise_db: the standard deviation of its noise.
    """
    if run.stop - run.start < LEAST_ROUND:
        return float("nan")
    start, stop = max(0, run.start - EDGE), min(len(profile), run.stop + EDGE)
    values = profile[start : stop : -(-(stop - start) // MOST_COMPARED)]
    spread = np.hypot(np.hypot(noise_db, UNEVEN_DB), UNEVEN_SHARE * float(np.quantile(profile[run], PEAK)))
    better = _least_error(values, _flat_tops(len(values))) - _least_error(values, _pulses(len(values)))
    return float(np.clip(0.5 * better / spread**2, -MOST_ROUND, MOST_ROUND))


@cache
def _flat_tops(count: int) -> Floats:
    """Returns steps up at each place and down again at any later one, shape (shapes, count)."""
    onset, end = np.triu_indices(count + 1, 1)
    place = np.arange(count)
    return ((place >= onset[:, None]) & (place < end[:, None])).astype(np.float64)


@cache
def _pulses(count: int) -> Floats:
    """Returns half-sines from each place on, that are over sooner or later, shape (shapes, count)."""
    onset, length = np.arange(-1.0, count - 1.0, 0.5), np.geomspace(3.0, LONGEST_PULSE * count, LENGTHS)
    phase = (np.arange(count) - onset[:, None, None]) / length[:, None]
    shapes: Floats = np.sin(np.pi * np.clip(phase, 0.0, 1.0)) ** PULSE_POWER
    return shapes.reshape(-1, count)


def _least_error(values: Floats32, shapes: Floats) -> float:
    """Returns the least squared error of any shape at its best scale, shapes: (shapes, samples)."""
    power = np.maximum((shapes * shapes).sum(axis=1), 1e-6)
    return float((values @ values) - ((shapes @ values) ** 2 / power).max())


def is_daily(at: Integers, active: Bools) -> float:
    """Returns 1 if it recurred at the same time of the day, 0 if it recurred otherwise, NaN if it did not recur.

    at: epoch ms, shape (times,). active: shape (times,).
    """
    starts = at[[run.start for run in find_runs(active)]]
    if len(starts) <= 1:
        return float("nan")
    minutes = (starts - starts[0]) / MINUTE_MS
    off = np.abs((minutes + DAY_MINUTES / 2) % DAY_MINUTES - DAY_MINUTES / 2)
    return float((off <= SAME_TIME_MINUTES).all())


def measure_arrivals(residuals: Residuals, event: Event) -> Floats32:
    """Returns when each affected stream reaches half of its depth, shape (affected streams,).

    In minutes from the event's first sample, at the first two consecutive samples; NaN if there are none.
    """
    first = int(np.flatnonzero(event.active)[0])
    before = max(0, first - BEFORE_ONSET)
    depth = np.nan_to_num(-residuals.esno[event.affected_streams, before:])
    deep = depth >= (0.5 * event.loading[event.affected_streams] * float(event.profile.max()))[:, None]
    reached = deep & np.pad(deep, ((0, 0), (0, 1)))[:, 1:]
    place = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
    return np.where(place < 0, np.nan, (place + before - first) * residuals.step_ms / MINUTE_MS).astype(np.float32)
