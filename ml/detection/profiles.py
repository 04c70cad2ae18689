"""What is normal for each stream, as arrays: by hour, per feature, and how metrics move together."""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.detection.calibration import KNOTS
from ml.detection.features import FEATURES, Feature, SmoothingScales, StreamSamples
from ml.numerics.arrays import Bools, Floats, Floats32

HOURS: Final = 24
JOINT_FEATURES: Final = (Feature.RESIDUAL, Feature.SHIFT, Feature.SPIKE)  # scored over all metrics at once
CLIP_SPREADS: Final = 3.0  # clipping bound of the averages, in spreads of the residual
RECOVERED_SHARE: Final = 0.5  # of its average's distance: a value nearer to normal than this is recovering
SCORERS: Final = 8  # see `ml.detection.scorers`


@dataclass(frozen=True)
class MetricScales:
    """What the catalogue knows of each metric, shape (metrics,).

    least_spread: the smallest spread that matters, in the metric's unit.
    harmless_sign: the sign of a deviation for the better; 0 where both are for the worse.
    """

    least_spread: Floats
    harmless_sign: Floats


@dataclass(frozen=True)
class Profiles:
    """What was learned of streams. Values are in their metric's unit unless stated otherwise.

    samples: samples a profile rests on, 0 = only on the fleet or the catalogue, shape (streams,).
    cadence_seconds: usual time between samples, shape (streams,).
    hourly_median: median by hour of the day (UTC), shape (streams, 24, metrics).
    hourly_volatility: excess of the logarithmic volatility over the whole day's, shape (streams, 24, metrics).
    noise_floor: movements below this mean nothing, shape (streams, metrics).
    centre, spread: median and robust standard deviation of each feature, shape (streams, 6, metrics).
    whitening: matrices that decorrelate the metrics of residual, shift and spike, shape (streams, 3, metrics, metrics).
    knots: quantiles of each base scorer's scores, shape (streams, 8, 20).
    tail_scale: mean excess beyond the last knot, shape (streams, 8).
    peaks: of the ensemble score: a level, the mean excess of peaks above it, and how many per day, shape (streams, 3).
    """

    samples: Floats32
    cadence_seconds: Floats32
    hourly_median: Floats32
    hourly_volatility: Floats32
    noise_floor: Floats32
    centre: Floats32
    spread: Floats32
    whitening: Floats32
    knots: Floats32
    tail_scale: Floats32
    peaks: Floats32

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, which: NDArray[np.intp]) -> Self:
        """Returns the profiles of these streams, in this order."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def smoothing_scales(self) -> SmoothingScales:
        """The scales for `compute_features`."""
        clip_bound = CLIP_SPREADS * self.spread[:, Feature.RESIDUAL].astype(np.float64)
        return SmoothingScales(self.cadence_seconds.astype(np.float64), self.noise_floor.astype(np.float64), clip_bound)

    def replace_at(self, which: NDArray[np.intp], others: Self) -> Self:
        """Returns the profiles with `others` in the places `which`."""
        parts = []
        for field in fields(self):
            part = getattr(self, field.name).copy()
            part[which] = getattr(others, field.name)
            parts.append(part)
        return type(self)(*parts)

    def to_bytes(self) -> list[bytes]:
        """Returns one string of bytes per stream; `from_bytes` reads them back."""
        columns = [getattr(self, field.name).reshape(len(self), -1) for field in fields(self)]
        return [row.tobytes() for row in np.concatenate(columns, axis=1).astype("<f4")]

    @classmethod
    def from_bytes(cls, profiles: list[bytes], metrics: int) -> Self:
        """Reads one profile per stream. Raises ValueError for bytes that are no profile of so many metrics."""
        shapes = list_profile_shapes(metrics)
        sizes = [int(np.prod(shape)) for shape in shapes]
        if any(len(profile) != 4 * sum(sizes) for profile in profiles):
            raise ValueError(f"not a profile of {metrics} metrics")
        table = np.frombuffer(b"".join(profiles), dtype="<f4").reshape(len(profiles), sum(sizes))
        parts = np.split(table, np.cumsum(sizes)[:-1], axis=1)
        return cls(*(part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)))


def list_profile_shapes(metrics: int) -> list[tuple[int, ...]]:
    """Returns the shapes of one stream's profile, in the order of the fields of `Profiles`."""
    return [
        (),
        (),
        (HOURS, metrics),
        (HOURS, metrics),
        (metrics,),
        (FEATURES, metrics),
        (FEATURES, metrics),
        (len(JOINT_FEATURES), metrics, metrics),
        (SCORERS, KNOTS),
        (SCORERS,),
        (3,),
    ]


def standardize(profiles: Profiles, scales: MetricScales, samples: StreamSamples, raw: Floats) -> Floats:
    """Returns features in robust standard deviations of their stream, shape (rows, 6, metrics).

    raw: what `compute_features` returns for these samples, shape (rows, 6, metrics).

    NaN where a metric was not measured or has no profile. Deviations for the better and recoveries are 0; volatility
    has no better side.
    """
    which, hour = samples.stream, samples.hours
    raw = raw.copy()
    raw[:, Feature.RESIDUAL] -= profiles.hourly_median[which, hour]
    result = raw - profiles.centre[which]
    result[:, Feature.VOLATILITY] -= profiles.hourly_volatility[which, hour]
    result /= profiles.spread[which]
    better = result * scales.harmless_sign > 0.0
    better[:, Feature.VOLATILITY] = False
    before = raw[:, Feature.JUMP] - raw[:, Feature.SPIKE]
    better[:, Feature.SPIKE] |= before * scales.harmless_sign > 0.0  # the end of an improvement is no fault either
    result[better & ~np.isnan(result)] = 0.0
    result[_find_recoveries(raw)] = 0.0
    return result


def _find_recoveries(raw: Floats) -> Bools:
    """Returns which movements bring a metric nearer to normal, shape of `raw`."""
    residual, average = raw[:, Feature.RESIDUAL], raw[:, Feature.RESIDUAL] - raw[:, Feature.DEVIATION]
    result = np.zeros(raw.shape, dtype=bool)
    result[:, Feature.JUMP] = np.abs(residual) < np.abs(residual - raw[:, Feature.JUMP])
    result[:, Feature.SPIKE] = np.abs(residual) <= np.abs(residual - raw[:, Feature.JUMP])  # staying put included
    result[:, Feature.DEVIATION] = np.abs(residual) < np.abs(average)
    result[:, Feature.SHIFT] = np.abs(average) < np.abs(average - raw[:, Feature.SHIFT])
    result[:, Feature.SHIFT] |= np.abs(residual) < RECOVERED_SHARE * np.abs(average)
    return result
