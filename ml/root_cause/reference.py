"""What is usual for each stream: its readings at times when its signal was as good as it ever is for long."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.numerics.arrays import Bools, Floats, Floats32
from ml.numerics.robust import MAD_TO_SIGMA, quantile
from ml.root_cause.report import READ
from ml.root_cause.resampling import PLACE, Grid

GRADE_DB: Final = 0.6  # dB that a point of the grade stands for
GOOD: Final = 0.8  # the quantile of the signal that is its best for long
LOW: Final = 0.06  # the quantile to which a healthy signal strays
HEALTHY_SIGMAS, HEALTHY_DB = 4.0, 0.3  # by which healthy samples may lie below the best
QUARTILES_TO_SIGMA: Final = 1.35  # of a normal distribution the quartiles are 1.35 standard deviations apart
USUAL_GAP_DB: Final = 1.5  # as much as a window lies below what was usual before, it is the window that is odd
LEAST_NOISE_DB: Final = 0.08
UNKNOWN_NOISE_DB, UNKNOWN_LOW_FREQUENCY_DB, UNKNOWN_WOBBLE_DB = 0.5, 0.5, 0.3
LEAST_SPREAD: Final = np.array([CATALOGUE[TargetKind.LINK].spec(one).least_spread for one in READ], dtype=np.float32)


@dataclass(frozen=True)
class ReferenceLevels:
    """centre, spread (streams, len(READ)): the middle of healthy samples, and their robust deviation.

    noise (streams,): standard deviation of healthy Es/N0, dB; wander (streams,): how far the signal strayed below its
    middle in the history, dB.
    """

    centre: Floats32
    spread: Floats32
    noise: Floats32
    low_frequency_noise: Floats32

    def of(self, metric: Metric) -> Floats32:
        """(streams,): its middle."""
        return self.centre[:, PLACE[metric]]

    def change(self, grid: Grid, metric: Metric) -> Floats32:
        """(streams, times): by how much its readings are above."""
        return grid.reading(metric) - self.of(metric)[:, None]


def estimate_reference(grid: Grid, known_reference: Floats | None) -> ReferenceLevels:
    """Estimates them from history and window, and takes `known_reference` where the window is odd throughout."""
    pooled = grid.pooled
    chosen = np.where(_healthy(pooled)[..., None], pooled, np.nan).transpose(0, 2, 1)
    centre, between = quantile(chosen, 0.5), quantile(chosen, 0.75) - quantile(chosen, 0.25)
    noise = np.maximum(between[:, PLACE[Metric.ESNO_DB]] / QUARTILES_TO_SIGMA, LEAST_NOISE_DB)
    before = _signal(grid.history)
    return ReferenceLevels(
        centre=centre if known_reference is None else _remembering(centre, known_reference.astype(np.float32)),
        spread=np.maximum(between / QUARTILES_TO_SIGMA, LEAST_SPREAD).astype(np.float32),
        noise=np.nan_to_num(noise, nan=UNKNOWN_NOISE_DB).astype(np.float32),
        low_frequency_noise=np.nan_to_num(
            quantile(before, 0.5) - quantile(before, LOW), nan=UNKNOWN_LOW_FREQUENCY_DB
        ).astype(np.float32),
    )


def _healthy(pooled: Floats32) -> Bools:
    """(streams, times)"""
    signal = _signal(pooled)
    best = quantile(signal, GOOD)
    quiet = np.maximum(_wobble(signal), LEAST_NOISE_DB)
    healthy: Bools = signal >= (best - HEALTHY_SIGMAS * quiet - HEALTHY_DB)[:, None]
    return healthy | (np.isnan(signal) & ~np.isfinite(best)[:, None])  # nothing to tell by: all that there is


def _remembering(centre: Floats32, known_reference: Floats32) -> Floats32:
    """What was usual before, where the pooled samples lie well below it, or know nothing."""
    now, before = centre[:, PLACE[Metric.ESNO_DB]], known_reference[:, PLACE[Metric.ESNO_DB]]
    fallen = ~(now >= before - USUAL_GAP_DB) & np.isfinite(before)
    result: Floats32 = np.where(
        (fallen[:, None] | np.isnan(centre)) & np.isfinite(known_reference), known_reference, centre
    )
    return result


def _signal(values: Floats32) -> Floats32:
    """(streams, times) of (streams, times, len(READ)), dB: what tells best how good a link is.

    Es/N0, else the level, else the grade as if it were dB.
    """
    esno, level, grade = (values[..., PLACE[one]] for one in (Metric.ESNO_DB, Metric.RX_LEVEL_DBM, Metric.GRADE))
    result: Floats32 = np.where(_ever_known(esno), esno, np.where(_ever_known(level), level, GRADE_DB * grade))
    return result


def _ever_known(values: Floats32) -> Bools:
    """(streams, 1)"""
    never: Bools = np.logical_and.reduce(np.isnan(values), axis=1, keepdims=True)
    return ~never


def _wobble(signal: Floats32) -> Floats32:
    """(streams,): the standard deviation that the differences of neighbours suggest, dB."""
    result: Floats32 = quantile(np.abs(np.diff(signal, axis=1)), 0.5) * np.float32(MAD_TO_SIGMA / np.sqrt(2.0))
    return np.nan_to_num(result, nan=UNKNOWN_WOBBLE_DB)
