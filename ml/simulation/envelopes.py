"""Envelopes: how a fault's strength, from 0 to 1, unfolds in time.

Each takes the minutes since the fault began, shape (times,), the fault's duration in minutes, and a seed for
irregularities (0: none), and returns the share of its strength at these times, shape (times,).
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from ml.catalogue.units import DAY_MINUTES
from ml.numerics.arrays import Floats

Envelope = Callable[[Floats, float, int], Floats]

QUICK_MINUTES: Final = 8.0
INTERFERENCE_MINUTES: Final = ((12.0, 45.0), (5.0, 25.0))  # ranges of the time on and the time off
BLOCKAGE_MINUTES: Final = ((6.0, 20.0), (8.0, 35.0))
RIPPLES: Final = 3


def step(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """Full strength from the first minute."""
    del duration_minutes, seed
    return np.ones_like(minutes)


def quick_step(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """A step; with odd seeds a ramp of minutes, as of a mount that gives way."""
    del duration_minutes
    return np.clip(minutes / QUICK_MINUTES, 0.1, 1.0) if seed % 2 else np.ones_like(minutes)


def bell(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """Up and down once; with a seed in gusts."""
    envelope: Floats = np.sin(np.pi * np.clip(minutes / duration_minutes, 0.0, 1.0)) ** 0.7
    return envelope * _gusts(minutes / duration_minutes, seed) if seed else envelope


def _gusts(elapsed: Floats, seed: int) -> Floats:
    rng = np.random.default_rng([seed, 11])
    turns, phases = rng.uniform(1.0, 6.0, RIPPLES), rng.uniform(0.0, 2.0 * np.pi, RIPPLES)
    ripple = np.sin(2.0 * np.pi * elapsed[:, None] * turns + phases).mean(axis=1)
    gusts: Floats = 0.85 + 0.15 * ripple
    return gusts


def drift(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """An angle that grows evenly until half-time: the pointing loss grows with its square."""
    del seed
    envelope: Floats = np.minimum(1.0, 2.0 * minutes / duration_minutes) ** 2
    return envelope


def waves(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """The satellite's daily figure of eight without tracking: a period of 12 h, with odd seeds of 24 h."""
    del duration_minutes
    period = DAY_MINUTES if seed % 2 else DAY_MINUTES / 2.0
    envelope: Floats = np.sin(np.pi * minutes / period) ** 2
    return envelope


def interference(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """On and off; with a seed differently strong each time."""
    return _on_and_off(minutes, duration_minutes, seed, *INTERFERENCE_MINUTES, weakest=0.6 if seed else 1.0)


def blockage(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """A square wave: behind the mast, clear of it, behind it again."""
    return _on_and_off(minutes, duration_minutes, seed, *BLOCKAGE_MINUTES, weakest=1.0)


def _on_and_off(
    minutes: Floats,
    duration_minutes: float,
    seed: int,
    on: tuple[float, float],
    off: tuple[float, float],
    weakest: float,
) -> Floats:
    rng = np.random.default_rng([seed, 22])
    turns = int(duration_minutes / (on[0] + off[0])) + 2
    spells = np.stack([rng.uniform(*on, turns), rng.uniform(*off, turns)], axis=1).ravel()
    strength = np.stack([rng.uniform(weakest, 1.0, turns), np.zeros(turns)], axis=1).ravel()
    envelope: Floats = strength[np.searchsorted(np.cumsum(spells)[:-1], minutes, side="right")]
    return envelope


def busy_load(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """Demand that rises quickly and, with a seed, varies a little."""
    if not seed:
        return np.ones_like(minutes)
    return quick_step(minutes, duration_minutes, 1) * _gusts(minutes / duration_minutes, seed)
