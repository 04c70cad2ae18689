"""Faults put into real telemetry, where nobody knows the true ones: step, spike, freeze, drift and fade."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.detection.profiles import Scales
from ml.numerics.arrays import Floats

EVERY_ROWS: Final = 150  # one fault in so many rows of a stream, on average
LENGTHS: Final = (3, 24)  # rows
SIZES: Final = (4.0, 12.0)  # robust standard deviations

Fault = Callable[[Floats, Floats], Floats]  # values and the full size (metrics,) → values with the fault


def _step(values: Floats, size: Floats) -> Floats:
    return values + size


def _spike(values: Floats, size: Floats) -> Floats:
    result = values.copy()
    result[: max(1, len(values) // 8)] += 1.5 * size
    return result


def _freeze(values: Floats, size: Floats) -> Floats:
    """The last reading before everything stands still, and some way off."""
    return np.broadcast_to(values[0] + 0.5 * size, values.shape).copy()


def _drift(values: Floats, size: Floats) -> Floats:
    return values + np.linspace(0.0, 1.5, len(values))[:, None] * size


def _fade(values: Floats, size: Floats) -> Floats:
    return values + np.sin(np.pi * np.linspace(0.05, 0.95, len(values)))[:, None] * size


FAULTS: Final[tuple[Fault, ...]] = (_step, _spike, _freeze, _drift, _fade)


def inject(values: Floats, scales: Scales, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """One stream's values (rows, metrics) with faults in some of its metrics, for the worse, and the rows they hit."""
    result = values.copy()
    faulty: NDArray[np.bool_] = np.zeros(len(values), dtype=bool)
    if not len(values):
        return result, faulty
    spread = np.maximum(1.4826 * _median(np.abs(values - _median(values))), scales.least_spread)
    for _ in range(rng.poisson(len(values) / EVERY_ROWS)):
        length = int(rng.integers(*LENGTHS))
        if length >= len(values):
            continue
        first = int(rng.integers(0, len(values) - length))
        rows = slice(first, first + length)
        worse = np.where(scales.harmless_sign == 0.0, rng.choice((-1.0, 1.0)), -scales.harmless_sign)
        hit: NDArray[np.bool_] = np.asarray(rng.random(values.shape[1]) < 0.4)
        hit[rng.integers(values.shape[1])] = True
        size = np.where(hit, worse * spread * rng.uniform(*SIZES), 0.0)
        fault = FAULTS[int(rng.integers(len(FAULTS)))]
        result[rows] = np.where(hit, fault(result[rows], size), result[rows])
        faulty[rows] = True
    return result, faulty


def _median(values: Floats) -> Floats:
    known = np.where(np.isnan(values).all(axis=0), 0.0, values)
    result: Floats = np.nanmedian(known, axis=0)
    return result
