"""How good scores are, for known events: ranking, events caught within a budget of false alarms, calibration."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.numerics.arrays import Bools, Floats, Integers

BUFFERS: Final = (8, 100)  # rows: the least and the most that VUS-PR grants around an event
BUFFER_STEPS: Final = 20  # so many widths between none and the widest
LEVELS: Final = 250  # thresholds along each curve under the surface
SLACK_ROWS: Final = 3  # an alarm this near to an event is neither false nor, after its end, too late
MERGE_SECONDS: Final = 1800  # alarms closer than this are one episode,
MERGE_ROWS: Final = (2, 60)  # within these bounds
BINS: Final = 10


@dataclass(frozen=True)
class Alarms:
    """What came of a threshold in so many days; `delays`: rows from each caught event's start to its first alarm."""

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
        """Of what was alarmed, the share of true events; NaN where nothing was."""
        alarmed = self.caught + self.false_alarms
        return self.caught / alarmed if alarmed else np.nan

    @property
    def false_alarms_per_day(self) -> float:
        return self.false_alarms / self.days

    @property
    def delay(self) -> float:
        """Rows, the median; NaN where nothing was caught."""
        return float(np.median(self.delays)) if self.delays else np.nan


def pooled(parts: Iterable[Alarms]) -> Alarms:
    """As if all had been watched by one."""
    every = list(parts)
    return Alarms(
        sum(part.events for part in every),
        sum(part.caught for part in every),
        sum(part.false_alarms for part in every),
        sum(part.days for part in every),
        tuple(delay for part in every for delay in part.delays),
    )


def events_of(truth: Bools) -> Integers:
    """The first and the last row of each run of true rows, (events, 2)."""
    edges = np.flatnonzero(np.diff(truth.astype(np.int8), prepend=0, append=0))
    return (edges.reshape(-1, 2) - (0, 1)).astype(np.int64)


# ---------------------------------------------------------------- ranking


def average_precision(truth: Bools, scores: Floats) -> float:
    """Area under the precision-recall curve, equal scores entering together; NaN without events."""
    if not truth.any():
        return np.nan
    level = np.unique(-scores, return_inverse=True)[1]
    found = np.bincount(level, weights=truth)
    precision = np.cumsum(found) / np.cumsum(np.bincount(level))
    return float(found @ precision / truth.sum())


def widest_buffer(events: Integers) -> int:
    """Twice the median event, within bounds."""
    lengths = events[:, 1] - events[:, 0] + 1
    return int(np.clip(2.0 * np.median(lengths), *BUFFERS))


def vus_pr(truth: Bools, scores: Floats, widest: int | None = None) -> float:
    """Volume under the range-PR surface (Paparrizos et al., VLDB 2022); NaN without events.

    The area under precision and recall, averaged over buffers around the events of no row to `widest` rows. Scores
    in a buffer count in part, and recall is scaled by the share of events that were noticed at all.
    """
    events = events_of(truth)
    if not len(events):
        return np.nan
    most = widest_buffer(events) if widest is None else widest
    reached = _levels_reached(scores)
    widths = range(0, most + 1, max(1, most // BUFFER_STEPS))
    return float(np.mean([_range_area(truth, events, reached, width) for width in widths]))


def _levels_reached(scores: Floats) -> Integers:
    """The first of LEVELS falling thresholds, evenly spaced by rank, that each row's score reaches."""
    ranks = np.linspace(0, len(scores) - 1, LEVELS).astype(np.int64)
    levels = np.sort(-scores)[ranks]
    return np.searchsorted(levels, -scores).astype(np.int64)


def _range_area(truth: Bools, events: Integers, reached: Integers, width: int) -> float:
    alarmed, inside, around = (
        np.cumsum(np.bincount(reached, weights, LEVELS)) for weights in (None, truth, _halo(truth, events, width))
    )
    found = inside + around
    recall = np.minimum(found / (truth.sum() + around / 2), 1.0) * _noticed(events, reached, width // 2)
    return float(np.diff(recall, prepend=0.0) @ (found / alarmed))


def _halo(truth: Bools, events: Integers, width: int) -> Floats:
    """How much each row outside of all events counts as part of one, falling with the distance to it."""
    before, after = np.arange(1, width // 2 + 1), np.arange(1, width // 2)
    place = np.concatenate([(events[:, :1] - before).ravel(), (events[:, 1:] + after).ravel()])
    share = np.sqrt(1.0 - np.concatenate([np.tile(each, len(events)) for each in (before, after)]) / max(1, width))
    known = (place >= 0) & (place < len(truth))
    halo = np.bincount(place[known], share[known], len(truth))
    return np.where(truth, 0.0, np.minimum(halo, 1.0))


def _noticed(events: Integers, reached: Integers, reach: int) -> Floats:
    """The share of events, widened by `reach` and joined where they meet, with an alarm at each level."""
    first = np.maximum(events[:, 0] - reach, 0)
    last = np.minimum(events[:, 1] + reach, len(reached) - 1)
    apart = first[1:] > last[:-1]
    bounds = np.column_stack([first[np.append(True, apart)], last[np.append(apart, True)] + 1])
    best = np.minimum.reduceat(np.append(reached, LEVELS), bounds.ravel())[::2]
    result: Floats = np.cumsum(np.bincount(best, minlength=LEVELS)) / len(best)
    return result


# ---------------------------------------------------------------- alarms


def merged_rows(cadence_seconds: float) -> int:
    """How many rows apart two alarms may be and still belong to one episode."""
    return int(np.clip(np.ceil(MERGE_SECONDS / cadence_seconds), *MERGE_ROWS))


def episodes(alarmed: Bools, gap: int) -> int:
    """How many runs of alarms there are, those at most `gap` rows apart being one."""
    rows = np.flatnonzero(alarmed)
    return int(np.sum(np.diff(rows) > gap)) + 1 if len(rows) else 0


def allowed_episodes(budget_per_day: float, days: float) -> int:
    """At least one: without any, no threshold could be told."""
    return max(1, int(budget_per_day * days))


def threshold_within(scores: Floats, counted: Bools, allowed: int, gap: int) -> float:
    """The lowest threshold on the way down whose alarms, scores above it, are at most `allowed` episodes.

    Only `counted` rows can alarm; equal scores enter together; scores are finite. A row begins an episode at the
    levels from its own score down to, not including, the greatest score of the `gap` rows before it: so one sorting
    counts the episodes at all levels.
    """
    own = np.where(counted, scores, -np.inf)
    earlier = np.concatenate([[-np.inf], _running_maximum(own, gap)])[:-1]
    begins, joins = np.sort(own[counted]), np.sort(np.minimum(own, earlier)[counted])
    levels = np.unique(begins)[::-1]
    if not len(levels):
        return -np.inf
    # As many scores at or above a level, less those at or above it that join an episode.
    number = np.searchsorted(joins, levels) - np.searchsorted(begins, levels)
    beyond = np.flatnonzero(number > allowed)
    return float(levels[beyond[0]] if len(beyond) else np.nextafter(levels[-1], -np.inf))


def _running_maximum(values: Floats, width: int) -> Floats:
    """The greatest of each value and the width - 1 before it, by doubling."""
    result, covered = values.copy(), 1
    while covered < min(width, len(values)):
        step = min(covered, width - covered)
        result[step:] = np.maximum(result[step:], result[:-step])
        covered += step
    return result


def near_events(truth: Bools) -> Bools:
    """Rows in an event or so near to one that an alarm there is not false."""
    near: Bools = np.convolve(np.pad(truth, SLACK_ROWS), np.ones(2 * SLACK_ROWS + 1), "valid") > 0.0
    return near


def alarms(truth: Bools, scores: Floats, threshold: float, gap: int, days: float) -> Alarms:
    """What scores above the threshold would have caught, and cost."""
    alarmed, events = scores > threshold, events_of(truth)
    rows = np.append(np.flatnonzero(alarmed), len(truth) + SLACK_ROWS + 1)  # the last one catches nothing
    next_alarm = rows[np.searchsorted(rows, events[:, 0])]
    caught = next_alarm <= events[:, 1] + SLACK_ROWS
    delays = (next_alarm - events[:, 0])[caught].tolist()
    return Alarms(len(events), len(delays), episodes(alarmed & ~near_events(truth), gap), days, tuple(delays))


# ---------------------------------------------------------------- confidence


def calibration_error(confidence: Floats, truth: Bools) -> float:
    """How far the mean confidence lies from the share of true rows, over ten equal bins weighted by rows.

    Rows whose confidence is NaN do not count; NaN without rows.
    """
    known = ~np.isnan(confidence)
    if not known.any():
        return np.nan
    values = confidence[known]
    bins = np.clip((values * BINS).astype(np.int64), 0, BINS - 1)
    return float(np.abs(np.bincount(bins, values - truth[known], BINS)).sum() / len(values))
