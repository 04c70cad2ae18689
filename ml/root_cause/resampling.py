"""Samples of links resampled to one grid of streams, times and metrics."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from ml.catalogue.metrics import Metric
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.root_cause.report import READ, Request

PLACE: Final = {metric: place for place, metric in enumerate(READ)}
HISTORY_COLUMNS: Final = 48  # times of the history before the window
THINNED_COLUMNS: Final = 96  # times of the window that reference levels are learned from
MOST_CELLS: Final = 3_000_000  # streams × times: longer windows get a coarser grid
LEAST_COLUMNS, MOST_COLUMNS = 48, 4400  # bounds of the times, whatever `MOST_CELLS` allows
CADENCE_ROWS, CADENCE_STREAMS = 40, 9  # rows and streams from which the cadence is estimated
JITTER_MS, PUNCTUAL_SHARE = 1000, 0.9  # if so many samples are as punctual as that, the grid takes their times
LONGEST_GAP: Final = 10.0  # usual gaps: a longer one counts as this
FINER: Final = 3  # steps of the window's grid in one of the newest samples, from which the last stretch is refined
FINE_COLUMNS: Final = 360  # times of the last stretch
RECENT: Final = 20  # newest samples of a stream, whose usual gap is its cadence now
DEFAULT_STEP_MS, LEAST_STEP_MS, MOST_STEP_MS = 300_000, 1_000, 3_600_000


@dataclass(frozen=True)
class Grid:
    """Readings of all streams at the same times; NaN = not measured.

    at: epoch ms, `step_ms` apart, shape (times,). window: shape (streams, times, len(READ)). history: before the
    window, shape (streams, `HISTORY_COLUMNS` or 0, len(READ)).
    """

    at: Integers
    step_ms: int
    window: Floats32
    history: Floats32

    def reading(self, metric: Metric) -> Floats32:
        return self.window[..., PLACE[metric]]

    @cached_property
    def present(self) -> Bools:
        """Where there is a sample, shape (streams, times)."""
        absent: Bools = np.logical_and.reduce(np.isnan(self.window), axis=2)
        return ~absent

    @property
    def pooled(self) -> Floats32:
        """The history, then the window, thinned, shape (streams, thinned times, len(READ))."""
        stride = max(1, len(self.at) // THINNED_COLUMNS)
        return np.concatenate([self.history, self.window[:, ::stride]], axis=1)


def resample(topology: Topology, request: Request) -> Grid:
    """Returns the request's samples on a grid with their own cadence, or a coarser one for long windows.

    Where the cadence changed within the window, it is the one that most of the window has.
    """
    stream, at = _streams(topology, request.frame), request.frame["at"].to_numpy()
    values = request.frame.select(metric.column for metric in READ).to_numpy().astype(np.float32, copy=False)
    inside = (at >= request.start_ms) & (at < request.end_ms) & (stream >= 0)
    before = (at < request.start_ms) & (stream >= 0)
    streams = 2 * len(topology.links)
    cadence = request.step_ms or _cadence(stream[inside], at[inside])
    step, columns = _steps(cadence, request.end_ms - request.start_ms, streams)
    first = request.start_ms + _phase((at[inside] - request.start_ms) % step)
    column = np.clip((at[inside] - first + min(JITTER_MS, step // 2)) // step, 0, columns - 1)
    return Grid(
        at=first + step * np.arange(columns, dtype=np.int64),
        step_ms=step,
        window=_place_on_grid(stream[inside], column, values[inside], streams, columns),
        history=_history(request.start_ms, stream[before], at[before], values[before], streams),
    )


def _streams(topology: Topology, frame: pl.DataFrame) -> Integers:
    """Returns each row's stream, -1 for links that are not the topology's, shape (rows,)."""
    order = np.argsort(topology.links)
    keys, sorted_keys = frame["link"].to_numpy().astype(np.int64), topology.links[order]
    place = np.clip(np.searchsorted(sorted_keys, keys), 0, len(order) - 1)
    outbound = (frame["direction"] == "OB").to_numpy()
    streams: Integers = np.where(sorted_keys[place] == keys, order[place] + outbound * len(order), -1)
    return streams


def refine(topology: Topology, request: Request, step_ms: int) -> Request | None:
    """Returns the last stretch of a request in the cadence of its newest samples, None if `step_ms` is about that.

    What came before it is its history.
    """
    stream, at = _streams(topology, request.frame), request.frame["at"].to_numpy()
    inside = (at >= request.start_ms) & (at < request.end_ms) & (stream >= 0)
    times = _times(stream[inside], at[inside])
    gaps = [np.diff(own)[-RECENT:] for own in times if len(own) > 1]
    if request.step_ms or not gaps:
        return None
    recent = _to_step(float(np.median([np.median(gap) for gap in gaps])))
    if step_ms < FINER * recent:
        return None
    together = np.unique(np.concatenate(times))
    pauses = np.flatnonzero(np.diff(together) >= FINER * recent)
    since = int(together[pauses[-1] + 1]) if len(pauses) else request.start_ms
    return replace(request, start_ms=max(since, request.end_ms - FINE_COLUMNS * recent), step_ms=recent)


def _cadence(stream: Integers, at: Integers) -> int:
    """Returns the usual gap between samples of a few streams, in ms, rounded to seconds: half of the time has it."""
    gaps = [_usual(np.diff(own)) for own in _times(stream, at) if len(own) > 1]
    return _to_step(float(np.median(gaps))) if gaps else DEFAULT_STEP_MS


def _times(stream: Integers, at: Integers) -> list[Integers]:
    """Returns the times of the samples of a few streams, epoch ms, ascending."""
    few = np.unique(stream[:: max(1, len(stream) // CADENCE_ROWS)])[:CADENCE_STREAMS]
    return [np.unique(at[stream == one]) for one in few]


def _usual(gap: Integers) -> float:
    """Returns the median gap, ms, weighted by its length; pauses count little."""
    ordered = np.sort(gap)
    weight = np.minimum(ordered, LONGEST_GAP * np.median(ordered)).cumsum()
    return float(ordered[np.searchsorted(weight, weight[-1] / 2.0)])


def _to_step(gap_ms: float) -> int:
    return int(np.clip(round(gap_ms / 1000.0) * 1000, LEAST_STEP_MS, MOST_STEP_MS))


def _phase(late: Integers) -> int:
    """Returns the common offset of the samples from the grid, ms, or 0 if they have none.

    late: each sample's offset, ms, shape (rows,).
    """
    if not len(late):
        return 0
    middle = int(np.median(late))
    return middle if float((np.abs(late - middle) <= JITTER_MS).mean()) > PUNCTUAL_SHARE else 0


def _steps(cadence: int, duration_ms: int, streams: int) -> tuple[int, int]:
    """Returns the grid's step in ms, and the number of its times."""
    columns = -(-duration_ms // cadence)
    most = min(MOST_COLUMNS, max(LEAST_COLUMNS, MOST_CELLS // max(1, streams)))
    coarser = max(1, -(-columns // most))
    return cadence * coarser, -(-columns // coarser)


def _place_on_grid(stream: Integers, column: Integers, values: Floats32, streams: int, columns: int) -> Floats32:
    """Returns `values`, shape (rows, metrics), placed into shape (streams, columns, metrics).

    Of several samples in a cell the last remains.
    """
    cells = np.full((streams * columns, values.shape[1]), np.nan, dtype=np.float32)
    cells[stream * columns + column] = values
    return cells.reshape(streams, columns, values.shape[1])


def _history(start_ms: int, stream: Integers, at: Integers, values: Floats32, streams: int) -> Floats32:
    if not len(at):
        return np.full((streams, 0, values.shape[1]), np.nan, dtype=np.float32)
    first, order = int(at.min()), np.argsort(at)  # of several samples in a cell the newest
    column = np.minimum((at - first) * HISTORY_COLUMNS // max(1, start_ms - first), HISTORY_COLUMNS - 1)
    return _place_on_grid(stream[order], column[order], values[order], streams, HISTORY_COLUMNS)
