"""What degraded, by channel: silence, loss of signal, and queues where the signal is all right."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

import numpy as np

from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.runs import dilate
from ml.root_cause.residuals import Residuals

OUTAGE_DEPTH, OUTAGE_NOISE = 5.0, 0.05
HIGHEST_DB, DEEPEST_DB = 2.0, 15.0  # above and below the usual
FADING_DB: Final = 1.0  # a signal that lost so much is what fails
FADING_SAMPLES: Final = 2  # so many before and after count as well
CONGESTED_FROM, CONGESTION_NOISE = 0.4, 0.35  # halves of a deviation


class Channel(StrEnum):
    """What a degradation shows in."""

    OUTAGE = "DARK"
    SIGNAL = "SIGNAL"
    CONGESTION = "QUEUE"


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
    low_frequency_noise: Floats32
    measured: Bools = field(init=False)  # (streams, times): known before anything was explained

    def __post_init__(self) -> None:
        self.measured = self.known > 0

    def of(self, streams: Integers) -> Self:
        return type(self)(
            self.channel,
            self.depth[streams],
            self.known[streams],
            self.sigma[streams],
            self.low_frequency_noise[streams],
        )

    def forget(self, cells: Bools) -> None:
        self.depth[cells] = 0.0
        self.known[cells] = 0.0


def measure_outages(residuals: Residuals) -> Degradation:
    depth = np.where(residuals.outage, np.float32(OUTAGE_DEPTH), np.float32(0.0))
    known = np.repeat(residuals.known[:, None], depth.shape[1], axis=1).astype(np.float32)
    return Degradation(Channel.OUTAGE, depth * known, known, _same(OUTAGE_NOISE, depth), _same(0.0, depth))


def measure_fades(residuals: Residuals) -> Degradation:
    known = np.isfinite(residuals.esno)
    depth = np.where(known, np.clip(-residuals.esno, -HIGHEST_DB, DEEPEST_DB), 0.0).astype(np.float32)
    return Degradation(Channel.SIGNAL, depth, known.astype(np.float32), residuals.sigma, residuals.low_frequency_noise)


def measure_congestion(residuals: Residuals) -> Degradation:
    """In halves of a deviation, where the signal is not what fails."""
    fading = np.nan_to_num(residuals.esno, nan=0.0) < -FADING_DB
    known = np.isfinite(residuals.congestion) & ~dilate(fading, FADING_SAMPLES) & ~residuals.outage
    depth = np.where(known, np.clip(residuals.congestion / 2.0 - CONGESTED_FROM, 0.0, None), 0.0).astype(np.float32)
    return Degradation(
        Channel.CONGESTION, depth, known.astype(np.float32), _same(CONGESTION_NOISE, depth), _same(0.0, depth)
    )


def _same(value: float, depth: Floats32) -> Floats32:
    """(streams,)"""
    return np.full(len(depth), value, dtype=np.float32)
