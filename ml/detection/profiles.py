"""What is ordinary for each stream, as arrays: by hour, per feature, and how metrics move together."""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.detection.calibration import KNOTS
from ml.detection.features import FEATURES, Feature, Pace, Rows
from ml.numerics.arrays import Floats, Floats32

HOURS: Final = 24
TOGETHER: Final = (Feature.RESIDUAL, Feature.SHIFT, Feature.SPIKE)  # features whose metrics are judged together
REACH: Final = 3.0  # spreads of the residual
HALFWAY: Final = 0.5
VIEWS: Final = 8  # see `ml.detection.scorers`


@dataclass(frozen=True)
class Scales:
    """Of each metric: the smallest spread that matters, and the sign of a harmless deviation, 0 if none; (metrics,)."""

    least_spread: Floats
    harmless_sign: Floats


@dataclass(frozen=True)
class Profiles:
    """Arrays with one entry per stream; M metrics, 6 features, 8 views.

    samples: how many it rests on, 0 = only the fleet or the catalogue; cadence: seconds between samples; usual,
    restless (24, M): by hour of the day (UTC) the median, and by how much the logarithmic volatility exceeds the day's;
    floor (M): movements smaller than this mean nothing; centre, spread (6, M) of each feature; whiten (3, M, M): makes
    deviations of residual, shift and spike uncorrelated; knots (8, knots), beyond (8): tails of each view; peaks (3):
    a fused surprise, the mean excess of peaks above it, and how many per day are.
    """

    samples: Floats32
    cadence: Floats32
    usual: Floats32
    restless: Floats32
    floor: Floats32
    centre: Floats32
    spread: Floats32
    whiten: Floats32
    knots: Floats32
    beyond: Floats32
    peaks: Floats32

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, which: NDArray[np.intp]) -> Self:
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def pace(self) -> Pace:
        reach = REACH * self.spread[:, Feature.RESIDUAL].astype(np.float64)
        return Pace(self.cadence.astype(np.float64), self.floor.astype(np.float64), reach)

    def replaced(self, which: NDArray[np.intp], others: Self) -> Self:
        """The same, but `others` in the place of those."""
        parts = []
        for field in fields(self):
            part = getattr(self, field.name).copy()
            part[which] = getattr(others, field.name)
            parts.append(part)
        return type(self)(*parts)

    def to_bytes(self) -> list[bytes]:
        """One per stream; `from_bytes` reads them back."""
        columns = [getattr(self, field.name).reshape(len(self), -1) for field in fields(self)]
        return [row.tobytes() for row in np.concatenate(columns, axis=1).astype("<f4")]

    @classmethod
    def from_bytes(cls, profiles: list[bytes], metrics: int) -> Self:
        """Raises ValueError for bytes that are no profile of so many metrics."""
        shapes = profile_shapes(metrics)
        sizes = [int(np.prod(shape)) for shape in shapes]
        if any(len(one) != 4 * sum(sizes) for one in profiles):
            raise ValueError(f"not a profile of {metrics} metrics")
        table = np.frombuffer(b"".join(profiles), dtype="<f4").reshape(len(profiles), sum(sizes))
        parts = np.split(table, np.cumsum(sizes)[:-1], axis=1)
        return cls(*(part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)))


def profile_shapes(metrics: int) -> list[tuple[int, ...]]:
    """Of one stream's entries, in the order of the fields."""
    return [
        (),
        (),
        (HOURS, metrics),
        (HOURS, metrics),
        (metrics,),
        (FEATURES, metrics),
        (FEATURES, metrics),
        (len(TOGETHER), metrics, metrics),
        (VIEWS, KNOTS),
        (VIEWS,),
        (3,),
    ]


def deviations(profiles: Profiles, scales: Scales, rows: Rows, raw: Floats) -> Floats:
    """Features in robust standard deviations, (rows, 6, metrics), NaN where not measured or nothing is known.

    Deviations for the better are 0, but in volatility, which has no good side.
    """
    which, hour = rows.stream, rows.hours
    raw = raw.copy()
    raw[:, Feature.RESIDUAL] -= profiles.usual[which, hour]
    result = raw - profiles.centre[which]
    result[:, Feature.VOLATILITY] -= profiles.restless[which, hour]
    result /= profiles.spread[which]
    better = result * scales.harmless_sign > 0.0
    better[:, Feature.VOLATILITY] = False
    before = raw[:, Feature.JUMP] - raw[:, Feature.SPIKE]
    better[:, Feature.SPIKE] |= before * scales.harmless_sign > 0.0  # the end of an improvement is no fault either
    result[better & ~np.isnan(result)] = 0.0
    result[_homing(raw)] = 0.0
    return result


def _homing(raw: Floats) -> NDArray[np.bool_]:
    """Which movements bring a metric nearer to what is usual: a recovery is no fault."""
    residual, average = raw[:, Feature.RESIDUAL], raw[:, Feature.RESIDUAL] - raw[:, Feature.DEVIATION]
    result = np.zeros(raw.shape, dtype=bool)
    result[:, Feature.JUMP] = np.abs(residual) < np.abs(residual - raw[:, Feature.JUMP])
    result[:, Feature.SPIKE] = np.abs(residual) <= np.abs(residual - raw[:, Feature.JUMP])  # what stays put included
    result[:, Feature.DEVIATION] = np.abs(residual) < np.abs(average)
    result[:, Feature.SHIFT] = np.abs(average) < np.abs(average - raw[:, Feature.SHIFT])
    result[:, Feature.SHIFT] |= np.abs(residual) < HALFWAY * np.abs(average)
    return result
