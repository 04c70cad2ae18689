"""How a sample differs from its own stream's past: six features per metric, from a memory of constant size."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats

FAST_SECONDS: Final = 1800.0
SLOW_SECONDS: Final = 43_200.0
FAST_LEAST: Final = 3.0  # samples: fewer are no average
SLOW_LEAST: Final = 36.0
GAP_SECONDS: Final = 3600.0  # after a longer silence the last sample is no neighbour of this one any more
GAP_SAMPLES: Final = 12.0
NEVER: Final = -(2**62)  # no sample yet, in epoch ms


class Feature(IntEnum):
    """In the order of every features array."""

    RESIDUAL = 0  # from what is usual at this hour of the day
    JUMP = 1  # from the sample before
    SPIKE = 2  # of a jump from the jump before: the second difference
    DEVIATION = 3  # from the average of the last half hour
    SHIFT = 4  # of that average from the one of the last half day
    VOLATILITY = 5  # log of the root mean square jump of the last half hour


FEATURES: Final = len(Feature)
_ROWS: Final = 5  # of the memory per metric: last value, last jump, fast average, slow average, mean square jump


@dataclass(frozen=True)
class Memory:
    """What is remembered of each stream: `values` (streams, 5, metrics), `count` (streams,) samples, `at` epoch ms.

    `values`: the last value, the last jump, the fast and slow averages and the mean square jump; NaN before the first.
    """

    values: Floats
    count: NDArray[np.int64]
    at: NDArray[np.int64]

    @classmethod
    def blank(cls, streams: int, metrics: int) -> "Memory":
        nothing = np.full((streams, _ROWS, metrics), np.nan)
        return cls(nothing, np.zeros(streams, dtype=np.int64), np.full(streams, NEVER, dtype=np.int64))

    def take(self, which: NDArray[np.intp]) -> "Memory":
        return Memory(self.values[which], self.count[which], self.at[which])

    def to_bytes(self) -> list[bytes]:
        """One per stream; `from_bytes` reads them back, exactly."""
        packed = np.empty(len(self.count), dtype=_packing(self.values.shape[2]))
        packed["values"], packed["count"], packed["at"] = self.values, self.count, self.at
        return [row.tobytes() for row in packed]

    @classmethod
    def from_bytes(cls, memories: Sequence[bytes | None], metrics: int) -> "Memory":
        """Blank where there is none, or one of other metrics."""
        packing = _packing(metrics)
        fits = [one is not None and len(one) == packing.itemsize for one in memories]
        nothing = bytes(packing.itemsize)
        packed = np.frombuffer(
            b"".join(one if fit and one else nothing for one, fit in zip(memories, fits, strict=True)), dtype=packing
        )
        known = np.array(fits, dtype=bool)
        return cls(
            np.where(known[:, None, None], packed["values"], np.nan),
            packed["count"].astype(np.int64),
            np.where(known, packed["at"], NEVER),
        )


def _packing(metrics: int) -> np.dtype[np.void]:
    return np.dtype([("values", "<f8", (_ROWS, metrics)), ("count", "<i8"), ("at", "<i8")])


@dataclass(frozen=True)
class Pace:
    """How streams move: cadence_seconds (streams,), a usual time between samples; floor and reach (streams, metrics).

    Movements smaller than `floor` mean nothing; larger ones than `reach` count as that in what is remembered, so that
    a fault is soon forgotten when it is over (robust exponential smoothing: Gelper, Fried and Croux, 2010).
    """

    cadence_seconds: Floats
    floor: Floats
    reach: Floats


@dataclass(frozen=True)
class Rows:
    """Samples sorted by stream and time: values (rows, metrics), NaN = not measured; at (rows,) epoch ms.

    stream (rows,): which each is of, from 0 to `streams` - 1.
    """

    values: Floats
    at: NDArray[np.int64]
    stream: NDArray[np.int64]
    streams: int

    @cached_property
    def hours(self) -> NDArray[np.int64]:
        """Of the day, UTC, 0 to 23, (rows,)."""
        hours: NDArray[np.int64] = self.at // 3_600_000 % 24
        return hours

    def where(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Some of them, of as many streams."""
        return Rows(self.values[chosen], self.at[chosen], self.stream[chosen], self.streams)

    @classmethod
    def of_one(cls, values: Floats, at: NDArray[np.int64]) -> "Rows":
        return cls(values, at, np.zeros(len(values), dtype=np.int64), 1)


def follow(memory: Memory, rows: Rows, pace: Pace) -> tuple[Floats, Memory]:
    """Raw features, (rows, 6, metrics), and the memory behind the last row of each stream.

    Each depends on its row and those before it only. The residual is still the value itself: what
    is usual at its hour is for the caller to subtract. NaN where a metric was not measured; a metric that is missing
    is remembered to have stayed where it was. Volatility and shift are NaN until their averages have filled.
    """
    course = _Course(memory, rows, pace)
    starts = np.searchsorted(rows.stream, np.arange(rows.streams + 1))
    lengths = np.diff(starts)
    longest_first = np.argsort(-lengths, kind="stable")
    active = np.searchsorted(-lengths[longest_first], -np.arange(1, max(1, lengths.max(initial=0)) + 1), side="right")
    for step, count in enumerate(active.tolist()):
        if count:
            which = longest_first[:count]
            course.step(which, starts[which] + step)
    return course.features(), course.memory()


class _Course:
    """All streams on their way through a batch, one sample each at a time."""

    def __init__(self, memory: Memory, rows: Rows, pace: Pace) -> None:
        self.rows, self.least, self.reach = rows, pace.floor**2, pace.reach
        cadence_seconds = pace.cadence_seconds
        self.values, self.count, self.at = memory.values.copy(), memory.count.copy(), memory.at.copy()
        self.fast = smoothing(FAST_SECONDS, FAST_LEAST, cadence_seconds)[:, None]
        self.slow = smoothing(SLOW_SECONDS, SLOW_LEAST, cadence_seconds)[:, None]
        self.gap_ms = 1000.0 * np.maximum(GAP_SECONDS, GAP_SAMPLES * cadence_seconds)
        self.filled = 1.0 / self.fast[:, 0]
        self.raw = np.empty((len(rows.values), FEATURES, rows.values.shape[1]))
        self.raw[:, Feature.RESIDUAL] = rows.values
        self.jump, self.spike, self.deviation, self.shift, self.square = self.raw.swapaxes(0, 1)[Feature.JUMP :]
        self.ready = np.empty(len(rows.values), dtype=bool)

    def step(self, which: NDArray[np.intp], row: NDArray[np.intp]) -> None:
        """Take the next sample, `row`, of each of the streams `which`."""
        last, before, fast, slow, square = self.values[which].swapaxes(0, 1)
        value = self.rows.values[row]
        missing = np.isnan(value)
        value = np.where(missing, last, value)
        now = self.rows.at[row]
        fresh = (now - self.at[which] > self.gap_ms[which])[:, None]
        last = np.where(fresh | np.isnan(last), value, last)
        fast = np.where(fresh | np.isnan(fast), value, fast)
        slow = np.where(np.isnan(slow), value, slow)
        jump, deviation = value - last, value - fast
        before = np.where(fresh | np.isnan(before), 0.0, before)
        reach = self.reach[which]
        squared = np.minimum(np.abs(jump), reach) ** 2
        square = np.where(np.isnan(square), squared, square)
        weight = self.fast[which]
        fast = fast + weight * np.minimum(np.maximum(deviation, -reach), reach)  # np.clip takes thrice as long
        slow = slow + self.slow[which] * np.minimum(np.maximum(value - slow, -reach), reach)
        square = square + np.where(missing, 0.0, weight * (squared - square))  # what nobody saw is not calm
        for place, remembered in enumerate((value, jump, fast, slow, square)):
            self.values[which, place] = remembered
        self.count[which] += 1
        self.at[which] = now
        self.jump[row], self.spike[row], self.deviation[row] = jump, jump - before, deviation
        self.shift[row], self.square[row] = fast - slow, square
        self.ready[row] = self.count[which] > self.filled[which]

    def features(self) -> Floats:
        self.raw[:, Feature.VOLATILITY] = 0.5 * np.log(self.square + self.least[self.rows.stream])
        self.raw[~self.ready, Feature.SHIFT :] = np.nan
        result: Floats = np.where(np.isnan(self.rows.values)[:, None, :], np.nan, self.raw)
        return result

    def memory(self) -> Memory:
        return Memory(self.values, self.count, self.at)


def smoothing(seconds: float, least: float, cadence_seconds: Floats) -> Floats:
    """The weight of the newest sample in an exponential average over so many seconds, but `least` samples or more."""
    result: Floats = -np.expm1(-1.0 / np.maximum(least, seconds / cadence_seconds))
    return result
