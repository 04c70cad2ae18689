"""How faults unfold: envelopes from 0 to 1 over the time since they began, regular or with a seed's irregularities."""

from collections.abc import Callable
from typing import Final

import numpy as np

from ml.catalogue.units import DAY_MINUTES
from ml.numerics.arrays import Floats

# Minutes since the beginning, minutes that it lasts in all, seed of the irregularities (0: none) → envelope.
Envelope = Callable[[Floats, float, int], Floats]

QUICK_MINUTES: Final = 8.0
INTERFERENCE_MINUTES: Final = ((12.0, 45.0), (5.0, 25.0))  # on, and off
BLOCKAGE_MINUTES: Final = ((6.0, 20.0), (8.0, 35.0))
RIPPLES: Final = 3


def step(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    del duration_minutes, seed
    return np.ones_like(minutes)


def quick(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """A step, or with irregularities a quick onset: a mount that gives way in minutes."""
    del duration_minutes
    return np.clip(minutes / QUICK_MINUTES, 0.1, 1.0) if seed % 2 else np.ones_like(minutes)


def bell(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """Up and down once; irregular: in gusts."""
    envelope: Floats = np.sin(np.pi * np.clip(minutes / duration_minutes, 0.0, 1.0)) ** 0.7
    return envelope * _gusts(minutes / duration_minutes, seed) if seed else envelope


def _gusts(elapsed: Floats, seed: int) -> Floats:
    rng = np.random.default_rng([seed, 11])
    turns, phases = rng.uniform(1.0, 6.0, RIPPLES), rng.uniform(0.0, 2.0 * np.pi, RIPPLES)
    ripple = np.sin(2.0 * np.pi * elapsed[:, None] * turns + phases).mean(axis=1)
    gusts: Floats = 0.85 + 0.15 * ripple
    return gusts


def drift(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """An angle that grows evenly until half-time: the pointing loss goes with its square."""
    del seed
    envelope: Floats = np.minimum(1.0, 2.0 * minutes / duration_minutes) ** 2
    return envelope


def waves(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """The satellite's daily figure of eight under an antenna that does not follow: every 12 h, or with odd seeds 24."""
    del duration_minutes
    period = DAY_MINUTES if seed % 2 else DAY_MINUTES / 2.0
    envelope: Floats = np.sin(np.pi * minutes / period) ** 2
    return envelope


def interference(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """Comes and goes, each time differently strong."""
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


def busy(minutes: Floats, duration_minutes: float, seed: int) -> Floats:
    """Demand that comes in quickly and swells and ebbs a little."""
    return (
        quick(minutes, duration_minutes, 1) * _gusts(minutes / duration_minutes, seed)
        if seed
        else np.ones_like(minutes)
    )
