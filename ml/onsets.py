"""When an event began: the change point of what all streams that it hit show together."""

from typing import Final

import numpy as np

from ml.events import Channel, Event
from ml.residuals import Cells, Residuals

BEFORE: Final = 48  # samples that may precede the first one noticed
CLEARLY_BETTER: Final = 0.6  # what is left of the squares
SHARP: Final = 3  # samples of rise: a step


def onset(found: Residuals, event: Event) -> int:
    """The sample at which it began.

    Of a step the first sample that shows clearly; of anything slower the foot of the straight line that fits the rise
    best, by least squares over all places where it could begin.
    """
    first, last = _first_run(event)
    if event.channel is not Channel.SIGNAL:
        return first
    course, noise = _course(found, event)
    start = max(0, first - BEFORE)
    peak = float(np.quantile(course[first:last], 0.85))
    high = first + int(np.argmax(course[first:last] >= 0.75 * peak))
    quarter = np.flatnonzero(course[start : high + 1] <= 0.25 * peak)
    low = start + (int(quarter[-1]) if len(quarter) else 0)
    if high - low <= SHARP:
        clear = max(3.0 * noise, 0.2 * peak)
        onset_at = high
        while onset_at > start and course[onset_at - 1] >= clear:
            onset_at -= 1
        return onset_at
    start = max(0, min(start, low - 3 * (high - low)))
    return start + _hinge(course[start : high + 1])


def _first_run(event: Event) -> tuple[int, int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], event.active.astype(np.int8), [0]])))
    return int(edges[0]), int(edges[1])


def _course(found: Residuals, event: Event) -> tuple[Cells, float]:
    """The common course at every time, also where it is not active, and the noise of that."""
    values = -found.esno[event.hits]
    known = np.isfinite(values)
    follows = np.maximum(event.follows[event.hits], 0.05)[:, None]
    weight = np.maximum((known * follows**2).sum(axis=0), 1e-3)
    course = (np.where(known, values, 0.0) * follows).sum(axis=0) / weight
    noise = float(np.sqrt((found.sigma[event.hits] ** 2 * follows[:, 0] ** 2).sum()) / max(1e-3, (follows**2).sum()))
    return course.astype(np.float32), noise


def _hinge(values: Cells) -> int:
    """Where what was flat begins to rise, as a line or as a square (a drifting antenna): least squares over all."""
    places = np.arange(len(values))
    rise = np.maximum(0.0, places[None] - places[:-2, None])  # (knees, samples)
    values = values - np.median(values[: max(1, len(values) // 8)])
    costs = []
    for x in (rise, rise**2):
        slope = (x @ values) / np.maximum((x * x).sum(axis=1), 1e-6)
        costs.append(((values[None] - slope[:, None] * x) ** 2).sum(axis=1))
    straight, curved = costs
    return int(np.argmin(curved if curved.min() < CLEARLY_BETTER * straight.min() else straight))
