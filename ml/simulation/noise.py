"""Noise as real links have it: coloured, correlated between a link's directions, with samples missing in bursts."""

from typing import Final

import numpy as np

from ml.catalogue.units import MINUTE_MS
from ml.numerics.arrays import Bools, Floats, Integers

KNOTS_MINUTES: Final = (7, 35, 240, 900)  # correlation time of each part of the low-frequency noise
CORRELATION: Final = 0.7  # of a link's two directions, as of two channels on one real path
BURST_EVERY_MINUTES: Final = 30
BURST_MINUTES: Final = 6.0  # mean length


def draw_low_frequency_noise(seed: int, times: Integers, links: int) -> Floats:
    """Returns low-frequency noise of variance 1, shape (len(`KNOTS_MINUTES`), times, 2 x links).

    times: epoch ms, shape (times,). The noise at a time does not depend on the other times.
    """
    parts = [_draw_slow([seed, order], times, minutes, 3 * links) for order, minutes in enumerate(KNOTS_MINUTES)]
    inbound, outbound, shared = np.split(np.stack(parts), 3, axis=-1)
    own = np.concatenate([inbound, outbound], axis=-1)
    both = np.concatenate([shared, shared], axis=-1)
    result: Floats = np.sqrt(1.0 - CORRELATION) * own + np.sqrt(CORRELATION) * both
    return result


def _draw_slow(key: list[int], times: Integers, minutes: int, streams: int) -> Floats:
    """Returns normal deviates at knots of this distance, interpolated with variance 1 throughout, (times, streams)."""
    knot, within = np.divmod(times, minutes * MINUTE_MS)
    knots, place = np.unique(np.concatenate([knot, knot + 1]), return_inverse=True)
    drawn = np.empty((len(knots), streams))
    for row, number in enumerate(knots.tolist()):
        np.random.default_rng([*key, 606, number]).standard_normal(out=drawn[row])
    before, after = np.split(drawn[place], 2)
    angle = (0.5 * np.pi * within / (minutes * MINUTE_MS))[:, None]
    joined: Floats = np.cos(angle) * before + np.sin(angle) * after
    return joined


def draw_gaps(seed: int, times: Integers, streams: int, missing: float) -> Bools:
    """Returns where streams are silent for some minutes, together a fraction `missing`, shape (times, streams)."""
    block, within = np.divmod(times, BURST_EVERY_MINUTES * MINUTE_MS)
    blocks, place = np.unique(block, return_inverse=True)
    begins, lasts = np.full((2, len(blocks), streams), np.inf)
    for row, number in enumerate(blocks.tolist()):
        rng = np.random.default_rng([seed, 707, number])
        silent = rng.random(streams) < missing * BURST_EVERY_MINUTES / BURST_MINUTES
        begins[row, silent] = rng.uniform(0.0, BURST_EVERY_MINUTES, silent.sum())
        lasts[row] = rng.exponential(BURST_MINUTES, streams)
    minutes = (within / MINUTE_MS)[:, None]
    result: Bools = (minutes >= begins[place]) & (minutes < begins[place] + lasts[place])
    return result
