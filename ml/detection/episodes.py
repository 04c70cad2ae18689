"""Alarms become episodes: one fault is one anomaly, not hundreds, however the samples are cut into batches."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats

EXTREME: Final = 0.4  # a score from here on opens an episode at once
PERSIST: Final = 3  # milder alarms open one when they are as many
HOLE: Final = 2  # quiet samples in a row that pending alarms survive
QUIETS: Final = 5  # quiet samples in a row that end an episode
GAP_MS: Final = 3_600_000  # silence longer than an hour: nobody knows what happened, so begin anew


class Severity(StrEnum):
    """How urgently an episode wants a person."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"

    @property
    def rank(self) -> int:
        """From 0 (low) to 3 (critical), for ordering and storage."""
        return list(Severity).index(self)


def severity(score: float, metrics: int, duration_seconds: float) -> Severity:
    """One step for each: peak score from 0.3, peak score from 0.45, three metrics take part, an hour or more long.

    A peak of 0.75 and more (an outage) is critical by itself. `score` -1 to 1, `metrics` the number of metrics with a
    notable share, `duration_seconds` from the first alarm to the last.
    """
    steps = (score >= 0.3) + (score >= 0.45) + (metrics >= 3) + (duration_seconds >= 3600)
    return list(Severity)[3 if score >= 0.75 else min(3, int(steps))]


@dataclass(frozen=True, slots=True)
class EpisodeState:
    """Where one stream stands between two batches.

    `alarms` pending or counted so far, `quiets` in a row since the last alarm, `since` the first alarm of the pending
    run and `seen_at` the last scored sample (both epoch ms).
    """

    open: bool = False
    alarms: int = 0
    quiets: int = 0
    since: int | None = None
    seen_at: int | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """What a batch adds to one episode; times are epoch ms.

    `opened`: it begins in this batch, else it continues the one open before. `started_at`: its first alarm (which may
    have been pending since before this batch); of a continued one the first alarm within this batch, or the first
    sample seen when it just closes. `last_seen_at`: the last alarm, and `peak`: the row of the highest score; both
    None when it closes without an alarm in this batch. `alarms`: those of this batch and, when it opens, those
    that were pending: summed over batches they are the episode's.
    """

    opened: bool
    started_at: int
    last_seen_at: int | None
    peak: int | None
    alarms: int
    closed: bool


def follow(state: EpisodeState, times: NDArray[np.int64], scores: Floats) -> tuple[EpisodeState, list[Episode]]:
    """Follow one stream through a batch: `times` (rows,) in epoch ms ascending, `scores` (rows,), NaN = unscored.

    Returns the state after the batch and, in order of time, every episode that has alarms in it or closes in it.
    """
    rows = _that_matter(state, scores)
    course = _Course(state)
    for row, at, score in zip(rows.tolist(), times[rows].tolist(), scores[rows].tolist(), strict=True):
        course.step(row, at, score)
    course.flush(closed=False)
    scored = np.flatnonzero(~np.isnan(scores))
    last = int(times[scored[-1]]) if len(scored) else state.seen_at
    return replace(course.state, seen_at=last), course.episodes


def _that_matter(state: EpisodeState, scores: Floats) -> NDArray[np.intp]:
    """Scored rows but those so long after any alarm that nothing is open or pending any more: they change nothing."""
    scored = np.flatnonzero(~np.isnan(scores))
    alarmed = np.flatnonzero(scores[scored] > 0)
    before = np.searchsorted(alarmed, np.arange(len(scored)), side="right") - 1
    idle = not state.open and state.alarms == 0
    last_alarm = np.append(alarmed, -QUIETS - 1 if idle else -1)[before]  # -1 picks the one before this batch
    kept: NDArray[np.intp] = scored[np.arange(len(scored)) - last_alarm <= QUIETS]
    return kept


class _Course:
    """A stream's way through one batch."""

    def __init__(self, state: EpisodeState) -> None:
        self.state = state
        self.episodes: list[Episode] = []
        self.opened = False
        self.alarms: list[tuple[int, int, float]] = []  # row, time and score, of the open or pending run

    def step(self, row: int, at: int, score: float) -> None:
        if self.state.seen_at is not None and at - self.state.seen_at > GAP_MS:
            self._end(at)
        if score > 0:
            self._alarm(row, at, score)
        else:
            self._quiet(at)
        self.state = replace(self.state, seen_at=at)

    def _alarm(self, row: int, at: int, score: float) -> None:
        before = self.state
        self.alarms.append((row, at, score))
        alarms = before.alarms + 1
        opens = not before.open and (score >= EXTREME or alarms >= PERSIST)
        since = at if before.since is None and not before.open else before.since
        self.opened = self.opened or opens
        self.state = replace(before, open=before.open or opens, alarms=alarms, quiets=0, since=since)

    def _quiet(self, at: int) -> None:
        if not self.state.open and self.state.alarms == 0:
            return  # nothing to wait for the end of
        quiets = self.state.quiets + 1
        self.state = replace(self.state, quiets=quiets)
        if quiets >= QUIETS or (not self.state.open and quiets > HOLE):
            self._end(at)

    def _end(self, at: int) -> None:
        """Close what is open, forget what is pending."""
        self.flush(closed=self.state.open, at=at)
        self.opened, self.alarms = False, []
        self.state = EpisodeState()

    def flush(self, *, closed: bool, at: int = 0) -> None:
        """Report the open episode, if this batch adds to it."""
        if not self.state.open or not (self.alarms or closed):
            return
        since = self.state.since if self.opened else None
        first = self.alarms[0][1] if self.alarms else at
        peak = max(self.alarms, key=lambda alarm: alarm[2])[0] if self.alarms else None
        count = self.state.alarms if self.opened else len(self.alarms)
        last = self.alarms[-1][1] if self.alarms else None
        self.episodes.append(Episode(self.opened, first if since is None else since, last, peak, count, closed))
