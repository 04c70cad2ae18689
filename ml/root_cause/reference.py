"""Reference levels: each stream's readings while its signal is as good as it ever is for long."""

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
LOW: Final = 0.06  # the quantile to which a healthy signal falls by low-frequency noise
LOW_TO_QUARTILE: Final = 2.3  # its distance from the median in that of the lower quartile, which no past fault moves
HEALTHY_SIGMAS, HEALTHY_DB = 4.0, 0.3  # by which healthy samples may lie below the best
QUARTILES_TO_SIGMA: Final = 1.35  # the interquartile range of a normal distribution in standard deviations
FALLEN_DB: Final = 1.5  # a window so far below the known reference is degraded throughout
LEAST_NOISE_DB: Final = 0.08
UNKNOWN_NOISE_DB, UNKNOWN_LOW_FREQUENCY_DB, UNKNOWN_WHITE_DB = 0.5, 0.5, 0.3
LEAST_SPREAD: Final = np.array([CATALOGUE[TargetKind.LINK].spec(one).least_spread for one in READ], dtype=np.float32)


@dataclass(frozen=True)
class ReferenceLevels:
    """Reference levels of streams.

    centre, spread: median and robust deviation of healthy samples, shape (streams, len(READ)).
    noise: standard deviation of healthy Es/N0, dB, shape (streams,).
    low_frequency_noise: how far the signal fell below its median in the history, dB, shape (streams,).
    """

    centre: Floats32
    spread: Floats32
    noise: Floats32
    low_frequency_noise: Floats32

    def of(self, metric: Metric) -> Floats32:
        """Returns the metric's median, shape (streams,)."""
        return self.centre[:, PLACE[metric]]

    def change(self, grid: Grid, metric: Metric) -> Floats32:
        """Returns the metric's readings minus their median, shape (streams, times)."""
        return grid.reading(metric) - self.of(metric)[:, None]


def estimate_reference(grid: Grid, known_reference: Floats | None) -> ReferenceLevels:
    """Returns reference levels from history and window.

    known_reference: shape (streams, len(READ)), used where the window is degraded throughout or measured nothing.
    """
    pooled, before = grid.pooled, _signal(grid.history)
    chosen = np.where(_healthy(pooled)[..., None], pooled, np.nan).transpose(0, 2, 1)
    middle = quantile(before, 0.5)
    low_frequency_db = np.minimum(middle - quantile(before, LOW), LOW_TO_QUARTILE * (middle - quantile(before, 0.25)))
    centre, between = quantile(chosen, 0.5), quantile(chosen, 0.75) - quantile(chosen, 0.25)
    noise = np.maximum(between[:, PLACE[Metric.ESNO_DB]] / QUARTILES_TO_SIGMA, LEAST_NOISE_DB)
    return ReferenceLevels(
        centre=centre if known_reference is None else _with_known(centre, known_reference.astype(np.float32)),
        spread=np.maximum(between / QUARTILES_TO_SIGMA, LEAST_SPREAD).astype(np.float32),
        noise=np.nan_to_num(noise, nan=UNKNOWN_NOISE_DB).astype(np.float32),
        low_frequency_noise=np.nan_to_num(low_frequency_db, nan=UNKNOWN_LOW_FREQUENCY_DB).astype(np.float32),
    )


def _healthy(pooled: Floats32) -> Bools:
    """Returns which samples are healthy, shape (streams, times)."""
    signal = _signal(pooled)
    best = quantile(signal, GOOD)
    quiet = np.maximum(_white_noise(signal), LEAST_NOISE_DB)
    healthy: Bools = signal >= (best - HEALTHY_SIGMAS * quiet - HEALTHY_DB)[:, None]
    return healthy | (np.isnan(signal) & ~np.isfinite(best)[:, None])  # without any signal: all samples


def _with_known(centre: Floats32, known_reference: Floats32) -> Floats32:
    """Returns the known reference where the pooled samples lie well below it or measured nothing, else `centre`."""
    now, before = centre[:, PLACE[Metric.ESNO_DB]], known_reference[:, PLACE[Metric.ESNO_DB]]
    fallen = ~(now >= before - FALLEN_DB) & np.isfinite(before)
    replaced = (fallen[:, None] | np.isnan(centre)) & np.isfinite(known_reference)
    result: Floats32 = np.where(replaced, known_reference, centre)
    return result


def _signal(values: Floats32) -> Floats32:
    """Returns the best measure of signal quality, dB, shape (streams, times) from (streams, times, len(READ)).

    This is Es/N0; where it is never measured the level; where that is neither the grade, scaled to dB.
    """
    esno, level, grade = (values[..., PLACE[one]] for one in (Metric.ESNO_DB, Metric.RX_LEVEL_DBM, Metric.GRADE))
    result: Floats32 = np.where(_ever_known(esno), esno, np.where(_ever_known(level), level, GRADE_DB * grade))
    return result


def _ever_known(values: Floats32) -> Bools:
    """Returns which streams have any value, shape (streams, 1)."""
    never: Bools = np.logical_and.reduce(np.isnan(values), axis=1, keepdims=True)
    return ~never


def _white_noise(signal: Floats32) -> Floats32:
    """Returns the standard deviation estimated from differences of neighbours, dB, shape (streams,)."""
    result: Floats32 = quantile(np.abs(np.diff(signal, axis=1)), 0.5) * np.float32(MAD_TO_SIGMA / np.sqrt(2.0))
    return np.nan_to_num(result, nan=UNKNOWN_WHITE_DB)
