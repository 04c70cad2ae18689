"""Alarms become episodes: one fault is one anomaly, not hundreds, however the samples are cut into batches."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.units import DAY_SECONDS, HOUR_MS, MINUTE_MS
from ml.detection.features import NEVER
from ml.numerics.arrays import Bools, Floats, Integers

EXTREME: Final = 0.4  # a score from here on opens an episode at once
MIN_ALARMS: Final = 3  # so many milder alarms open one,
PERSIST_MS: Final = MINUTE_MS  # over at least this time
MAX_GAP: Final = 2  # clear samples in a row that pending alarms survive
CLEAR_COUNT: Final = 5  # clear samples in a row that end an episode,
CLEAR_MS: Final = 5 * MINUTE_MS  # at least so long after its last alarm
GAP_MS: Final = HOUR_MS  # after a longer silence nothing is known of the time between: everything begins anew,
GAP_SAMPLES: Final = 12.0  # where that is more than so many samples,
GAP_REPEATS: Final = 3.0  # and than so many times the gap before it
SLOWEST_SECONDS: Final = 1.5 * DAY_SECONDS  # between samples of a stream that nobody knows the cadence of


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


@dataclass(frozen=True, slots=True)
class EpisodeState:
    """Where one stream stands between two batches; times are epoch ms.

    alarms: pending or counted so far.
    clear_count: clear samples in a row since the last alarm.
    since: the first alarm of the pending run.
    seen_at: the newest scored sample.
    alarmed_at: the last alarm of what is open or pending.
    """

    open: bool = False
    alarms: int = 0
    clear_count: int = 0
    since: int | None = None
    seen_at: int | None = None
    alarmed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """What a batch adds to one episode; times are epoch ms.

    opened: it begins in this batch; else it continues the one that was open.
    started_at: its first alarm, which may have been pending since before this batch. Of a continued episode the first
        alarm within this batch, or the first sample seen if it only closes.
    last_seen_at: the last alarm; None when it closes without an alarm in this batch.
    peak: the row of the highest score; None likewise.
    alarms: those of this batch and, when it opens, those that were pending. Their sum over batches is the episode's.
    """

    opened: bool
    started_at: int
    last_seen_at: int | None
    peak: int | None
    alarms: int
    closed: bool


def track_episodes(
    state: EpisodeState, times: Integers, scores: Floats, pace_seconds: Floats | None = None
) -> tuple[EpisodeState, list[Episode]]:
    """Returns the state after a batch of one stream, and the episodes that have alarms or close in it, by time.

    times: epoch ms, ascending, shape (rows,).
    scores: above 0 is an alarm, shape (rows,), NaN where not scored.
    pace_seconds: between samples, as known at each row or by `estimate_spacing`, shape (rows,); without it, a silence
        is an hour.
    """
    rows = _find_relevant_rows(state, times, scores)
    gaps = np.full(len(times), GAP_MS) if pace_seconds is None else compute_longest_gap(pace_seconds)
    walk = _BatchWalk(state)
    for row, at, score, gap in zip(
        rows.tolist(), times[rows].tolist(), scores[rows].tolist(), gaps[rows].tolist(), strict=True
    ):
        walk.step(row, at, score, gap)
    walk.flush(closed=False)
    scored = np.flatnonzero(~np.isnan(scores))
    last = int(times[scored[-1]]) if len(scored) else state.seen_at
    return replace(walk.state, seen_at=last), walk.episodes


def compute_longest_gap(pace_seconds: Floats) -> Floats:
    """Returns the silence in ms after which everything begins anew, shape of `pace_seconds`."""
    result: Floats = np.maximum(GAP_MS, 1000.0 * GAP_SAMPLES * pace_seconds)
    return result


def estimate_spacing(pace_seconds: Floats, gap_before_seconds: Floats, is_known: Bools) -> Floats:
    """Returns the seconds between samples that a silence is measured by, shape (rows,).

    pace_seconds: as known before each row, shape (rows,). It follows slowly where a stream becomes slower.
    gap_before_seconds: between the two samples before each row, shape (rows,), NaN where there are fewer.
    is_known: whether anything was known of the row's stream before these samples, shape (rows,).

    So a gap that is like the one before is no silence, whatever the stream's cadence was until then. The first gap of
    a new stream may be its cadence.
    """
    shares = GAP_REPEATS / GAP_SAMPLES
    unknown = np.where(is_known, 0.0, SLOWEST_SECONDS / GAP_SAMPLES)
    before = np.where(np.isnan(gap_before_seconds), unknown, shares * gap_before_seconds)
    result: Floats = np.maximum(pace_seconds, before)
    return result


def _find_relevant_rows(state: EpisodeState, times: Integers, scores: Floats) -> NDArray[np.intp]:
    """Returns the scored rows, but not those so long after any alarm that they change nothing."""
    scored = np.flatnonzero(~np.isnan(scores))
    alarmed = np.flatnonzero(scores[scored] > 0)
    before = np.searchsorted(alarmed, np.arange(len(scored)), side="right") - 1
    idle = not state.open and state.alarms == 0
    last_alarm = np.append(alarmed, -CLEAR_COUNT - 1 if idle else -1)[before]  # -1 picks the one before this batch
    at = times[scored]
    since = NEVER if idle else state.alarmed_at if state.alarmed_at is not None else NEVER
    alarmed_at = np.append(at[alarmed], since)[before]
    open_before = np.roll(at, 1) - alarmed_at < CLEAR_MS  # at the row before, as far as time goes
    open_before[:1] = not idle
    near = (np.arange(len(scored)) - last_alarm <= CLEAR_COUNT) | open_before
    relevant: NDArray[np.intp] = scored[near]
    return relevant


class _BatchWalk:
    """Walks through one batch of a stream, sample by sample."""

    def __init__(self, state: EpisodeState) -> None:
        self.state = state
        self.episodes: list[Episode] = []
        self.opened = False
        self.alarms: list[tuple[int, int, float]] = []  # row, time and score, of the open or pending run

    def step(self, row: int, at: int, score: float, longest_gap: float = GAP_MS) -> None:
        """Takes the next scored sample.

        longest_gap: a longer silence before it ends everything, ms.
        """
        if self.state.seen_at is not None and at - self.state.seen_at > longest_gap:
            self._end(at)
        if score > 0:
            self._add_alarm(row, at, score)
        else:
            self._add_clear(at)
        self.state = replace(self.state, seen_at=at)

    def _add_alarm(self, row: int, at: int, score: float) -> None:
        before = self.state
        self.alarms.append((row, at, score))
        alarms = before.alarms + 1
        since = at if before.since is None and not before.open else before.since
        persists = alarms >= MIN_ALARMS and since is not None and at - since >= PERSIST_MS
        opens = not before.open and (score >= EXTREME or persists)
        self.opened = self.opened or opens
        is_open = before.open or opens
        self.state = replace(before, open=is_open, alarms=alarms, clear_count=0, since=since, alarmed_at=at)

    def _add_clear(self, at: int) -> None:
        if not self.state.open and self.state.alarms == 0:
            return  # there is nothing to end
        clear_count = self.state.clear_count + 1
        self.state = replace(self.state, clear_count=clear_count)
        alarmed_at = self.state.alarmed_at
        # Somebody may have opened it by a detection that is newer than the samples.
        is_over = clear_count >= CLEAR_COUNT and (alarmed_at is None or not 0 <= at - alarmed_at < CLEAR_MS)
        if is_over or (not self.state.open and clear_count > MAX_GAP):
            self._end(at)

    def _end(self, at: int) -> None:
        """Closes what is open and forgets what is pending."""
        self.flush(closed=self.state.open, at=at)
        self.opened, self.alarms = False, []
        self.state = EpisodeState()

    def flush(self, *, closed: bool, at: int = 0) -> None:
        """Reports the open episode, if this batch adds to it."""
        if not self.state.open or not (self.alarms or closed):
            return
        since = self.state.since if self.opened else None
        first = self.alarms[0][1] if self.alarms else at
        peak = max(self.alarms, key=lambda alarm: alarm[2])[0] if self.alarms else None
        count = self.state.alarms if self.opened else len(self.alarms)
        last = self.alarms[-1][1] if self.alarms else None
        self.episodes.append(Episode(self.opened, first if since is None else since, last, peak, count, closed))
