"""How good anomaly scores are when the events are known: ranking, alarms within a budget, calibration."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.numerics.arrays import Bools, Floats, Integers

BUFFERS: Final = (8, 100)  # rows: bounds of the widest buffer that VUS-PR allows around an event
BUFFER_STEPS: Final = 20  # widths between none and the widest
LEVELS: Final = 250  # thresholds along each curve under the surface
SLACK_ROWS: Final = 3  # an alarm this near to an event is neither false nor, after its end, too late
MERGE_SECONDS: Final = 1800  # alarms closer than this are one episode,
MERGE_ROWS: Final = (2, 60)  # within these bounds
BINS: Final = 10


@dataclass(frozen=True)
class Alarms:
    """The result of a threshold over `days`. delays: rows from each caught event's start to its first alarm."""

    events: int
    caught: int
    false_alarms: int
    days: float
    delays: tuple[int, ...]

    @property
    def recall(self) -> float:
        """NaN without events."""
        return self.caught / self.events if self.events else np.nan

    @property
    def precision(self) -> float:
        """The share of alarm episodes that are true events; NaN without alarms."""
        alarmed = self.caught + self.false_alarms
        return self.caught / alarmed if alarmed else np.nan

    @property
    def false_alarms_per_day(self) -> float:
        return self.false_alarms / self.days

    @property
    def delay(self) -> float:
        """The median delay in rows; NaN if nothing was caught."""
        return float(np.median(self.delays)) if self.delays else np.nan


def sum_alarms(parts: Iterable[Alarms]) -> Alarms:
    """Returns the totals of several results."""
    every = list(parts)
    return Alarms(
        sum(part.events for part in every),
        sum(part.caught for part in every),
        sum(part.false_alarms for part in every),
        sum(part.days for part in every),
        tuple(delay for part in every for delay in part.delays),
    )


def find_events(truth: Bools) -> Integers:
    """Returns the first and the last row of each run of true rows, shape (events, 2)."""
    edges = np.flatnonzero(np.diff(truth.astype(np.int8), prepend=0, append=0))
    return (edges.reshape(-1, 2) - (0, 1)).astype(np.int64)


# ---------------------------------------------------------------- ranking


def average_precision(truth: Bools, scores: Floats) -> float:
    """Returns the area under the precision-recall curve, NaN without events. Equal scores count together."""
    if not truth.any():
        return np.nan
    level = np.unique(-scores, return_inverse=True)[1]
    found = np.bincount(level, weights=truth)
    precision = np.cumsum(found) / np.cumsum(np.bincount(level))
    return float(found @ precision / truth.sum())


def widest_buffer(events: Integers) -> int:
    """Returns twice the median length of the events in rows, within `BUFFERS`."""
    lengths = events[:, 1] - events[:, 0] + 1
    return int(np.clip(2.0 * np.median(lengths), *BUFFERS))


def vus_pr(truth: Bools, scores: Floats, widest: int | None = None) -> float:
    """Returns the volume under the range-PR surface (VUS-PR; Paparrizos et al., VLDB 2022), NaN without events.

    This is the area under precision and recall, averaged over buffers of 0 to `widest` rows around the events. Rows
    in a buffer count in part, and recall is scaled by the share of events that are detected at all.
    """
    events = find_events(truth)
    if not len(events):
        return np.nan
    most = widest_buffer(events) if widest is None else widest
    reached = _levels_reached(scores)
    widths = range(0, most + 1, max(1, most // BUFFER_STEPS))
    return float(np.mean([_range_area(truth, events, reached, width) for width in widths]))


def _levels_reached(scores: Floats) -> Integers:
    """Returns the first of `LEVELS` falling thresholds, evenly spaced by rank, that each row reaches, shape (rows,)."""
    ranks = np.linspace(0, len(scores) - 1, LEVELS).astype(np.int64)
    levels = np.sort(-scores)[ranks]
    return np.searchsorted(levels, -scores).astype(np.int64)


def _range_area(truth: Bools, events: Integers, reached: Integers, width: int) -> float:
    alarmed, inside, around = (
        np.cumsum(np.bincount(reached, weights, LEVELS)) for weights in (None, truth, _halo(truth, events, width))
    )
    found = inside + around
    recall = np.minimum(found / (truth.sum() + around / 2), 1.0) * _measure_event_recall(events, reached, width // 2)
    return float(np.diff(recall, prepend=0.0) @ (found / alarmed))


def _halo(truth: Bools, events: Integers, width: int) -> Floats:
    """Returns how much each row outside the events counts as part of one, falling with distance, shape (rows,)."""
    before, after = np.arange(1, width // 2 + 1), np.arange(1, width // 2)
    place = np.concatenate([(events[:, :1] - before).ravel(), (events[:, 1:] + after).ravel()])
    share = np.sqrt(1.0 - np.concatenate([np.tile(each, len(events)) for each in (before, after)]) / max(1, width))
    known = (place >= 0) & (place < len(truth))
    halo = np.bincount(place[known], share[known], len(truth))
    return np.where(truth, 0.0, np.minimum(halo, 1.0))


def _measure_event_recall(events: Integers, reached: Integers, reach: int) -> Floats:
    """Returns the share of events with an alarm at each level, shape (levels,).

    Events are widened by `reach` rows and joined where they meet.
    """
    first = np.maximum(events[:, 0] - reach, 0)
    last = np.minimum(events[:, 1] + reach, len(reached) - 1)
    apart = first[1:] > last[:-1]
    bounds = np.column_stack([first[np.append(True, apart)], last[np.append(apart, True)] + 1])
    best = np.minimum.reduceat(np.append(reached, LEVELS), bounds.ravel())[::2]
    result: Floats = np.cumsum(np.bincount(best, minlength=LEVELS)) / len(best)
    return result


# ---------------------------------------------------------------- alarms


def merge_gap_rows(cadence_seconds: float) -> int:
    """Returns how many rows apart two alarms of one episode may be."""
    return int(np.clip(np.ceil(MERGE_SECONDS / cadence_seconds), *MERGE_ROWS))


def count_episodes(alarmed: Bools, gap: int) -> int:
    """Returns the number of runs of alarms; runs at most `gap` rows apart count as one."""
    rows = np.flatnonzero(alarmed)
    return int(np.sum(np.diff(rows) > gap)) + 1 if len(rows) else 0


def allowed_episodes(budget_per_day: float, days: float) -> int:
    """Returns the false episodes that a budget allows, at least 1: with 0 there would be no threshold."""
    return max(1, int(budget_per_day * days))


def find_threshold(scores: Floats, counted: Bools, allowed: int, gap: int) -> float:
    """Returns the lowest threshold, searching downwards, that causes at most `allowed` episodes.

    Rows alarm above the threshold; only `counted` rows can; equal scores alarm together; scores are finite. A row
    begins an episode at the levels from its own score down to, not including, the greatest score of the `gap` rows
    before it: so one sort counts the episodes at all levels.
    """
    own = np.where(counted, scores, -np.inf)
    earlier = np.concatenate([[-np.inf], _running_maximum(own, gap)])[:-1]
    begins, joins = np.sort(own[counted]), np.sort(np.minimum(own, earlier)[counted])
    levels = np.unique(begins)[::-1]
    if not len(levels):
        return -np.inf
    # Scores at or above a level, minus those of them that join an episode.
    number = np.searchsorted(joins, levels) - np.searchsorted(begins, levels)
    beyond = np.flatnonzero(number > allowed)
    return float(levels[beyond[0]] if len(beyond) else np.nextafter(levels[-1], -np.inf))


def _running_maximum(values: Floats, width: int) -> Floats:
    """Returns the maximum of each value and the width - 1 before it, by doubling."""
    result, covered = values.copy(), 1
    while covered < min(width, len(values)):
        step = min(covered, width - covered)
        result[step:] = np.maximum(result[step:], result[:-step])
        covered += step
    return result


def mask_near_events(truth: Bools) -> Bools:
    """Returns the rows in an event, or so near to one that an alarm there is not false, shape (rows,)."""
    near: Bools = np.convolve(np.pad(truth, SLACK_ROWS), np.ones(2 * SLACK_ROWS + 1), "valid") > 0.0
    return near


def count_alarms(truth: Bools, scores: Floats, threshold: float, gap: int, days: float) -> Alarms:
    """Returns what alarms above the threshold catch, and how many are false."""
    alarmed, events = scores > threshold, find_events(truth)
    rows = np.append(np.flatnonzero(alarmed), len(truth) + SLACK_ROWS + 1)  # the last one catches nothing
    next_alarm = rows[np.searchsorted(rows, events[:, 0])]
    caught = next_alarm <= events[:, 1] + SLACK_ROWS
    delays = (next_alarm - events[:, 0])[caught].tolist()
    false_alarms = count_episodes(alarmed & ~mask_near_events(truth), gap)
    return Alarms(len(events), len(delays), false_alarms, days, tuple(delays))


# ---------------------------------------------------------------- confidence


def calibration_error(confidence: Floats, truth: Bools) -> float:
    """Returns the expected calibration error over ten equal bins, NaN without rows.

    This is the distance of the mean confidence from the share of true rows, weighted by rows. NaN confidences do not
    count. Source: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015.
    """
    known = ~np.isnan(confidence)
    if not known.any():
        return np.nan
    values = confidence[known]
    bins = np.clip((values * BINS).astype(np.int64), 0, BINS - 1)
    return float(np.abs(np.bincount(bins, values - truth[known], BINS)).sum() / len(values))
