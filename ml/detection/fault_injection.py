"""Injects synthetic faults into real telemetry, whose true faults nobody knows: step, spike, freeze, drift and fade."""

from collections.abc import Callable
from typing import Final

import numpy as np

from ml.detection.profiles import MetricScales
from ml.numerics.arrays import Bools, Floats
from ml.numerics.robust import MAD_TO_SIGMA

ROWS_PER_FAULT: Final = 150  # of a stream, on average
LENGTHS: Final = (3, 24)  # rows
SIZES: Final = (4.0, 12.0)  # robust standard deviations
AFFECTED_SHARE: Final = 0.4  # of the metrics, on average

Fault = Callable[[Floats, Floats], Floats]  # values (rows, metrics) and full size (metrics,) → values with the fault


def _step(values: Floats, size: Floats) -> Floats:
    return values + size


def _spike(values: Floats, size: Floats) -> Floats:
    result = values.copy()
    result[: max(1, len(values) // 8)] += 1.5 * size
    return result


def _freeze(values: Floats, size: Floats) -> Floats:
    """Repeats the last reading before the fault, some way off."""
    return np.broadcast_to(values[0] + 0.5 * size, values.shape).copy()


def _drift(values: Floats, size: Floats) -> Floats:
    return values + np.linspace(0.0, 1.5, len(values))[:, None] * size


def _fade(values: Floats, size: Floats) -> Floats:
    return values + np.sin(np.pi * np.linspace(0.05, 0.95, len(values)))[:, None] * size


FAULTS: Final[tuple[Fault, ...]] = (_step, _spike, _freeze, _drift, _fade)


def inject_faults(
    values: Floats,
    scales: MetricScales,
    rng: np.random.Generator,
    rows_per_fault: int = ROWS_PER_FAULT,
    lengths: tuple[int, int] = LENGTHS,
    sizes: tuple[float, float] = SIZES,
) -> tuple[Floats, Bools]:
    """Returns one stream's values with faults for the worse in some metrics, and which rows are faulty.

    values: shape (rows, metrics), NaN where not measured. The result has the same shape, the mask shape (rows,).
    rows_per_fault: on average.
    lengths: of a fault, in rows, the second excluded.
    sizes: in robust standard deviations.
    """
    result = values.copy()
    faulty: Bools = np.zeros(len(values), dtype=bool)
    if not len(values):
        return result, faulty
    spread = np.maximum(MAD_TO_SIGMA * _median(np.abs(values - _median(values))), scales.least_spread)
    for _ in range(rng.poisson(len(values) / rows_per_fault)):
        length = int(rng.integers(*lengths))
        if length >= len(values):
            continue
        first = int(rng.integers(0, len(values) - length))
        rows = slice(first, first + length)
        worse = np.where(scales.harmless_sign == 0.0, rng.choice((-1.0, 1.0)), -scales.harmless_sign)
        affected: Bools = np.asarray(rng.random(values.shape[1]) < AFFECTED_SHARE)
        affected[rng.integers(values.shape[1])] = True
        size = np.where(affected, worse * spread * rng.uniform(*sizes), 0.0)
        fault = FAULTS[int(rng.integers(len(FAULTS)))]
        result[rows] = np.where(affected, fault(result[rows], size), result[rows])
        faulty[rows] = True
    return result, faulty


def _median(values: Floats) -> Floats:
    """Returns each metric's median, shape (metrics,); 0 where nothing was measured."""
    filled = np.where(np.isnan(values).all(axis=0), 0.0, values)
    result: Floats = np.nanmedian(filled, axis=0)
    return result
