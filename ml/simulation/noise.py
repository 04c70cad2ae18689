"""Noise that looks measured: coloured, alike in both directions of a link, and samples that go missing in bursts."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.units import MINUTE_MS
from ml.numerics.arrays import Floats

KNOTS_MINUTES: Final = (7, 35, 240, 900)  # how long each part of the wander stays like itself
ALIKE: Final = 0.7  # correlation of the wander of a link's two directions, as of two channels on one real path
BURST_EVERY_MINUTES: Final = 30
BURST_MINUTES: Final = 6.0  # mean length


def draw_low_frequency_noise(seed: int, times: NDArray[np.int64], links: int) -> Floats:
    """Slow unit noise, (len(`KNOTS_MINUTES`), times, 2 x links); the same at a time whatever other times are asked."""
    parts = [_draw_slow([seed, order], times, minutes, 3 * links) for order, minutes in enumerate(KNOTS_MINUTES)]
    inbound, outbound, shared = np.split(np.stack(parts), 3, axis=-1)
    own = np.concatenate([inbound, outbound], axis=-1)
    both = np.concatenate([shared, shared], axis=-1)
    result: Floats = np.sqrt(1.0 - ALIKE) * own + np.sqrt(ALIKE) * both
    return result


def _draw_slow(key: list[int], times: NDArray[np.int64], minutes: int, streams: int) -> Floats:
    """Normal deviates at knots of this distance, joined so that their variance is 1 everywhere between as well."""
    knot, within = np.divmod(times, minutes * MINUTE_MS)
    knots, place = np.unique(np.concatenate([knot, knot + 1]), return_inverse=True)
    drawn = np.empty((len(knots), streams))
    for row, number in enumerate(knots.tolist()):
        np.random.default_rng([*key, 606, number]).standard_normal(out=drawn[row])
    before, after = np.split(drawn[place], 2)
    angle = (0.5 * np.pi * within / (minutes * MINUTE_MS))[:, None]
    joined: Floats = np.cos(angle) * before + np.sin(angle) * after
    return joined


def draw_gaps(seed: int, times: NDArray[np.int64], streams: int, missing: float) -> NDArray[np.bool_]:
    """(times, streams): where a stream is silent for some minutes, together a fraction `missing` of the time."""
    block, within = np.divmod(times, BURST_EVERY_MINUTES * MINUTE_MS)
    blocks, place = np.unique(block, return_inverse=True)
    begins, lasts = np.full((2, len(blocks), streams), np.inf)
    for row, number in enumerate(blocks.tolist()):
        rng = np.random.default_rng([seed, 707, number])
        silent = rng.random(streams) < missing * BURST_EVERY_MINUTES / BURST_MINUTES
        begins[row, silent] = rng.uniform(0.0, BURST_EVERY_MINUTES, silent.sum())
        lasts[row] = rng.exponential(BURST_MINUTES, streams)
    minutes = (within / MINUTE_MS)[:, None]
    result: NDArray[np.bool_] = (minutes >= begins[place]) & (minutes < begins[place] + lasts[place])
    return result
