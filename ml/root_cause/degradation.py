"""What degraded, by channel: silence, loss of signal, and queues where the signal is all right."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

import numpy as np

from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.runs import grown
from ml.root_cause.residuals import Residuals

DARK_DEPTH, DARK_NOISE = 5.0, 0.05
HIGHEST_DB, DEEPEST_DB = 2.0, 15.0  # above and below the usual
FADING_DB: Final = 1.0  # a signal that lost so much is what fails
FADING_SAMPLES: Final = 2  # so many before and after count as well
QUEUE_FROM, QUEUE_NOISE = 0.4, 0.35  # halves of a deviation


class Channel(StrEnum):
    """What a degradation shows in."""

    DARK = "DARK"
    SIGNAL = "SIGNAL"
    QUEUE = "QUEUE"


@dataclass
class Degradation:
    """What is left to explain, in one channel.

    depth (streams, times): about dB, 0 where unknown; known (streams, times): 1 or 0; sigma (streams,): standard
    deviation of its noise; wander (streams,): as far as a healthy one strays.
    """

    channel: Channel
    depth: Floats32
    known: Floats32
    sigma: Floats32
    wander: Floats32
    measured: Bools = field(init=False)  # (streams, times): known before anything was explained

    def __post_init__(self) -> None:
        self.measured = self.known > 0

    def of(self, streams: Integers) -> Self:
        return type(self)(
            self.channel, self.depth[streams], self.known[streams], self.sigma[streams], self.wander[streams]
        )

    def forget(self, cells: Bools) -> None:
        self.depth[cells] = 0.0
        self.known[cells] = 0.0


def silence(found: Residuals) -> Degradation:
    depth = np.where(found.dark, np.float32(DARK_DEPTH), np.float32(0.0))
    known = np.repeat(found.known[:, None], depth.shape[1], axis=1).astype(np.float32)
    return Degradation(Channel.DARK, depth * known, known, _same(DARK_NOISE, depth), _same(0.0, depth))


def fades(found: Residuals) -> Degradation:
    known = np.isfinite(found.esno)
    depth = np.where(known, np.clip(-found.esno, -HIGHEST_DB, DEEPEST_DB), 0.0).astype(np.float32)
    return Degradation(Channel.SIGNAL, depth, known.astype(np.float32), found.sigma, found.wander)


def queues(found: Residuals) -> Degradation:
    """In halves of a deviation, where the signal is not what fails."""
    fading = np.nan_to_num(found.esno, nan=0.0) < -FADING_DB
    known = np.isfinite(found.queue) & ~grown(fading, FADING_SAMPLES) & ~found.dark
    depth = np.where(known, np.clip(found.queue / 2.0 - QUEUE_FROM, 0.0, None), 0.0).astype(np.float32)
    return Degradation(Channel.QUEUE, depth, known.astype(np.float32), _same(QUEUE_NOISE, depth), _same(0.0, depth))


def _same(value: float, depth: Floats32) -> Floats32:
    """(streams,)"""
    return np.full(len(depth), value, dtype=np.float32)
