"""Scenarios: a fleet with known faults in a window of time, and the samples that it reports."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.catalogue.units import HOUR_MS
from ml.numerics.arrays import Integers
from ml.root_cause.report import HISTORY_HOURS, READ
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet
from ml.simulation.simulator import simulate

HISTORY_STRIDE: Final = 3  # steps of the window between two samples of the history


@dataclass(frozen=True)
class Scenario:
    """A fleet with faults in a window. history_ms: when the history before the window begins."""

    fleet: Fleet
    start_ms: int
    end_ms: int
    step_ms: int
    faults: tuple[Fault, ...]
    seed: int
    history_hours: float = HISTORY_HOURS

    @property
    def history_ms(self) -> int:
        return self.start_ms - int(self.history_hours * HOUR_MS)

    @cached_property
    def times(self) -> Integers:
        """The window's times, epoch ms."""
        return np.arange(self.start_ms, self.end_ms, self.step_ms, dtype=np.int64)

    @property
    def history(self) -> Integers:
        return np.arange(self.history_ms, self.start_ms, HISTORY_STRIDE * self.step_ms, dtype=np.int64)


def simulate_samples(scenario: Scenario) -> pl.DataFrame:
    """Returns the links' samples of the window and its thinned history as `Request.frame`, with numbers as keys."""
    at = np.concatenate([scenario.history, scenario.times])
    kinds = (TargetKind.LINK,)
    links = simulate(scenario.fleet, at, scenario.faults, scenario.seed, kinds=kinds, marked=False)[TargetKind.LINK]
    metrics = CATALOGUE[TargetKind.LINK].metrics
    columns = {metric.column: links.readings[:, metrics.index(metric)] for metric in READ}
    keys = {"link": links.number, "direction": links.direction, "at": links.at}
    return pl.DataFrame({**keys, **columns}).with_columns(pl.col(column).fill_nan(None) for column in columns)
