"""How an event goes in time: how fast it came, how long it was there, and whether it comes daily."""

from typing import Final

import numpy as np

from ml.catalogue.units import DAY_MINUTES, MINUTE_MS
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.runs import runs_of
from ml.root_cause.events import Event
from ml.root_cause.residuals import Residuals

SHOWS, PEAK = 0.3, 0.9  # of the depth: as long as that it is there; the quantile that is the depth
RISE_FROM, RISE_TO = 0.2, 0.8  # of the depth, which for a rise is the quantile `RISE_TO` of the run
BEFORE_RISE, BEFORE_ONSET = 2, 12  # samples before an event to look at
SAME_TIME_MINUTES: Final = 30.0


def main_run(course: Floats32, active: Bools) -> slice:
    """The one in which the course (times,) has most area."""
    return max(runs_of(active), key=lambda run: float(course[run].sum()))


def samples_shown(course: Floats32) -> float:
    """At how many samples of the course (times,) it is there."""
    return float((course >= SHOWS * np.quantile(course, PEAK)).sum())


def rise(course: Floats32, run: slice) -> float:
    """Samples from a fifth to four fifths of the depth of a run; a step takes none."""
    start = max(0, run.start - BEFORE_RISE)
    part = course[start : run.stop]
    peak = float(np.quantile(course[run], RISE_TO))
    high = int(np.argmax(part >= RISE_TO * peak))
    low = np.flatnonzero(part[: high + 1] <= RISE_FROM * peak)
    return float(max(0, high - (int(low[-1]) if len(low) else 0) - 1))


def daily(at: Integers, active: Bools) -> float:
    """1 where it came at the same time of several days, 0 where it came again otherwise; NaN where it came once."""
    starts = at[[run.start for run in runs_of(active)]]
    if len(starts) <= 1:
        return float("nan")
    minutes = (starts - starts[0]) / MINUTE_MS
    off = np.abs((minutes + DAY_MINUTES / 2) % DAY_MINUTES - DAY_MINUTES / 2)
    return float((off <= SAME_TIME_MINUTES).all())


def arrivals(found: Residuals, event: Event) -> Floats32:
    """(hits,): minutes from the event's first sample to each one's first two at half of its depth; NaN: it has none."""
    first = int(np.flatnonzero(event.active)[0])
    before = max(0, first - BEFORE_ONSET)
    depth = np.nan_to_num(-found.esno[event.hits, before:])
    deep = depth >= (0.5 * event.follows[event.hits] * float(event.course.max()))[:, None]
    reached = deep & np.pad(deep, ((0, 0), (0, 1)))[:, 1:]
    place = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
    return np.where(place < 0, np.nan, (place + before - first) * found.step_ms / MINUTE_MS).astype(np.float32)
