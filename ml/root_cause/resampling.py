"""Samples of links resampled to one grid of streams, times and metrics."""

from dataclasses import dataclass
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
    """Returns the request's samples on a grid with their own cadence, or a coarser one for long windows."""
    stream, at = _streams(topology, request.frame), request.frame["at"].to_numpy()
    values = request.frame.select(metric.column for metric in READ).to_numpy().astype(np.float32, copy=False)
    inside = (at >= request.start_ms) & (at < request.end_ms) & (stream >= 0)
    before = (at < request.start_ms) & (stream >= 0)
    streams = 2 * len(topology.links)
    step, columns = _steps(_cadence(stream[inside], at[inside]), request.end_ms - request.start_ms, streams)
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


def _cadence(stream: Integers, at: Integers) -> int:
    """Returns the median gap between samples of a few streams, in ms, rounded to seconds."""
    gaps = [np.diff(np.unique(at[stream == one])) for one in np.unique(stream[:: max(1, len(stream) // CADENCE_ROWS)])]
    middle = [float(np.median(gap)) for gap in gaps[:CADENCE_STREAMS] if len(gap)]
    step = round(float(np.median(middle)) / 1000.0) * 1000 if middle else DEFAULT_STEP_MS
    return int(np.clip(step, LEAST_STEP_MS, MOST_STEP_MS))


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
