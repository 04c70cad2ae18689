"""What degraded, by channel: outages, fades of the signal, and congestion where the signal is healthy."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

import numpy as np

from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.runs import dilate
from ml.root_cause.residuals import Residuals

OUTAGE_DEPTH, OUTAGE_NOISE = 5.0, 0.05
HIGHEST_DB, DEEPEST_DB = 2.0, 15.0  # above and below the reference
LEAST_SMOOTHED, MOST_SMOOTHED, SMOOTHED_MS = 3, 15, 90_000  # samples, and their duration
FADING_DB: Final = 1.0  # from this fade on it is the signal that fails
FADING_SAMPLES: Final = 2  # before and after a fade that count as fading
CONGESTED_FROM, CONGESTION_NOISE = 0.4, 0.35  # in halves of a robust deviation


class Channel(StrEnum):
    """What a degradation shows in."""

    OUTAGE = "OUTAGE"
    SIGNAL = "SIGNAL"
    CONGESTION = "CONGESTION"


@dataclass
class Degradation:
    """What events have not explained yet, in one channel.

    depth: about in dB, 0 where unknown, shape (streams, times). known: 1 or 0, shape (streams, times).
    sigma: standard deviation of the noise, shape (streams,). low_frequency_noise: of a healthy stream, (streams,).
    measured: known before anything was explained, shape (streams, times). smoothed: samples in a minute and a half, at
    least `LEAST_SMOOTHED`: a slow fade of a noisy stream shows in their mean. alarmed: streams known to misbehave,
    shape (streams,), None for none.
    """

    channel: Channel
    depth: Floats32
    known: Floats32
    sigma: Floats32
    low_frequency_noise: Floats32
    smoothed: int = LEAST_SMOOTHED
    alarmed: Bools | None = None
    measured: Bools = field(init=False)

    def __post_init__(self) -> None:
        self.measured = self.known > 0

    def of(self, streams: Integers) -> Self:
        """Returns the degradation of some streams, given by their places."""
        return type(self)(
            self.channel,
            self.depth[streams],
            self.known[streams],
            self.sigma[streams],
            self.low_frequency_noise[streams],
            self.smoothed,
            None if self.alarmed is None else self.alarmed[streams],
        )

    def forget(self, cells: Bools) -> None:
        """Marks cells, shape (streams, times), as not known."""
        self.depth[cells] = 0.0
        self.known[cells] = 0.0


def measure_outages(residuals: Residuals) -> Degradation:
    """Returns a fixed depth during outages."""
    depth = np.where(residuals.outage, np.float32(OUTAGE_DEPTH), np.float32(0.0))
    known = np.repeat(residuals.known[:, None], depth.shape[1], axis=1).astype(np.float32)
    return Degradation(Channel.OUTAGE, depth * known, known, _same(OUTAGE_NOISE, depth), _same(0.0, depth))


def measure_fades(residuals: Residuals) -> Degradation:
    """Returns the fall of Es/N0 below its reference, dB."""
    known = np.isfinite(residuals.esno)
    depth = np.where(known, np.clip(-residuals.esno, -HIGHEST_DB, DEEPEST_DB), 0.0).astype(np.float32)
    smoothed = int(np.clip(SMOOTHED_MS // residuals.step_ms, LEAST_SMOOTHED, MOST_SMOOTHED))
    return Degradation(
        Channel.SIGNAL,
        depth,
        known.astype(np.float32),
        residuals.sigma,
        residuals.low_frequency_noise,
        smoothed,
        residuals.alarmed,
    )


def measure_congestion(residuals: Residuals) -> Degradation:
    """Returns congestion in halves of a robust deviation, where the signal is healthy.

    A stream that carries much more than usual, and yet does not queue, is no witness for either.
    """
    fading = np.nan_to_num(residuals.esno, nan=0.0) < -FADING_DB
    known = np.isfinite(residuals.congestion) & ~dilate(fading, FADING_SAMPLES) & ~residuals.outage
    depth = np.where(known, np.clip(residuals.congestion / 2.0 - CONGESTED_FROM, 0.0, None), 0.0).astype(np.float32)
    known &= ~(residuals.busy & (depth <= 0.0))
    return Degradation(
        Channel.CONGESTION, depth, known.astype(np.float32), _same(CONGESTION_NOISE, depth), _same(0.0, depth)
    )


def _same(value: float, depth: Floats32) -> Floats32:
    """Returns the same value for every stream, shape (streams,)."""
    return np.full(len(depth), value, dtype=np.float32)
