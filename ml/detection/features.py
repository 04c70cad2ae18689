"""Six features per metric that compare a sample with its own stream's past, computed from a state of constant size."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.units import HOUR_MS
from ml.numerics.arrays import Bools, Floats, Integers

FAST_SECONDS: Final = 1800.0
SLOW_SECONDS: Final = 43_200.0
FAST_MIN_SAMPLES: Final = 3.0  # an average over fewer samples would follow the noise
SLOW_MIN_SAMPLES: Final = 36.0
GAP_SECONDS: Final = 3600.0  # after a longer silence the last sample is not compared with this one
GAP_SAMPLES: Final = 12.0
NOMINAL_CADENCE_SECONDS: Final = 300.0  # assumed where a stream has too few samples to tell
CADENCE_STEPS: Final = (0.5, 1.25)  # how much one gap may change a cadence: a longer gap may be a missing sample
CADENCE_TOLERANCE: Final = 0.05  # a clock's jitter changes no cadence
MIN_GAP_SECONDS: Final = 1.0  # a shorter one tells nothing of the cadence
NEVER: Final = -(2**62)  # epoch ms of the newest sample of a stream without samples


class Feature(IntEnum):
    """The second axis of every features array."""

    RESIDUAL = 0  # value minus the median at this hour of the day
    JUMP = 1  # value minus the previous value
    SPIKE = 2  # jump minus the previous jump: the second difference
    DEVIATION = 3  # value minus the average of the last half hour
    SHIFT = 4  # average of the last half hour minus that of the last half day
    VOLATILITY = 5  # logarithm of the root mean square jump of the last half hour


FEATURES: Final = len(Feature)
_STATE_ROWS: Final = 5  # per metric: last value, last jump, fast average, slow average, mean square jump


@dataclass(frozen=True)
class Memory:
    """The state of many streams behind their newest samples.

    values: last value, last jump, fast average, slow average and mean square jump, shape (streams, 5, metrics),
        NaN before the first sample.
    count: samples seen so far, shape (streams,).
    at: time of the newest sample in epoch ms, shape (streams,), `NEVER` before the first.
    cadence_seconds: time between the last samples, shape (streams,), NaN before the second.
    observed_seconds: time that the samples span without long silences, shape (streams,).
    gap_seconds: time between the newest sample and the one before, shape (streams,), NaN where unknown.
    """

    values: Floats
    count: Integers
    at: Integers
    cadence_seconds: Floats
    observed_seconds: Floats
    gap_seconds: Floats

    @classmethod
    def blank(cls, streams: int, metrics: int) -> "Memory":
        """Returns the state of streams without samples."""
        unknown = np.full((streams, _STATE_ROWS, metrics), np.nan)
        count, at = np.zeros(streams, dtype=np.int64), np.full(streams, NEVER, dtype=np.int64)
        return cls(unknown, count, at, np.full(streams, np.nan), np.zeros(streams), np.full(streams, np.nan))

    def take(self, which: NDArray[np.intp]) -> "Memory":
        """Returns the state of these streams, in this order."""
        pace = self.cadence_seconds[which], self.observed_seconds[which], self.gap_seconds[which]
        return Memory(self.values[which], self.count[which], self.at[which], *pace)

    def replace_at(self, which: NDArray[np.intp], others: "Memory") -> None:
        """Puts `others` in the places `which`."""
        for field in fields(self):
            getattr(self, field.name)[which] = getattr(others, field.name)

    def to_bytes(self) -> list[bytes]:
        """Returns one string of bytes per stream; `from_bytes` reads them back exactly."""
        packed = np.empty(len(self.count), dtype=_make_packed_type(self.values.shape[2]))
        packed["values"], packed["count"], packed["at"] = self.values, self.count, self.at
        packed["cadence"], packed["observed"] = self.cadence_seconds, self.observed_seconds
        packed["gap"] = self.gap_seconds
        return [row.tobytes() for row in packed]

    @classmethod
    def from_bytes(cls, memories: Sequence[bytes | None], metrics: int) -> "Memory":
        """Reads one state per stream; blank where there is none, or one of another number of metrics.

        States that were stored before cadences were remembered are read as of a stream of the nominal cadence.
        """
        packed_type = _make_packed_type(metrics)
        blank, whole = bytes(packed_type.itemsize), packed_type.itemsize
        paced, old = whole - _GAP_BYTES, whole - _GAP_BYTES - _PACE_BYTES
        known = [memory if memory is not None and len(memory) in (old, paced, whole) else None for memory in memories]
        packed = np.frombuffer(b"".join((memory or blank).ljust(whole, b"\0") for memory in known), packed_type)
        length = np.array([len(memory or b"") for memory in known], dtype=np.int64)
        is_known, has_pace = length > 0, length >= paced
        observed = np.where(has_pace, packed["observed"], NOMINAL_CADENCE_SECONDS * packed["count"])
        return cls(
            np.where(is_known[:, None, None], packed["values"], np.nan),
            packed["count"].astype(np.int64),
            np.where(is_known, packed["at"], NEVER),
            np.where(has_pace, packed["cadence"], np.nan),
            observed,
            np.where(length == whole, packed["gap"], np.nan),
        )


_PACE_BYTES: Final = 16  # of a packed state: its cadence and the time it spans
_GAP_BYTES: Final = 8  # of a packed state: its last gap


def _make_packed_type(metrics: int) -> np.dtype[np.void]:
    state = [("values", "<f8", (_STATE_ROWS, metrics)), ("count", "<i8"), ("at", "<i8")]
    return np.dtype([*state, ("cadence", "<f8"), ("observed", "<f8"), ("gap", "<f8")])


@dataclass(frozen=True)
class SmoothingScales:
    """The scales at which streams are smoothed.

    The averages take in a movement only up to its clipping bound, so that a fault is soon forgotten once it is over
    (robust exponential smoothing: Gelper, Fried and Croux, 2010).

    cadence_seconds: time between samples where a stream's memory does not know it, shape (streams,).
    noise_floor: movements below this mean nothing, in the metric's unit, shape (streams, metrics).
    clip_bound: larger movements count as this, in the metric's unit, shape (streams, metrics).
    """

    cadence_seconds: Floats
    noise_floor: Floats
    clip_bound: Floats

    def take(self, which: NDArray[np.intp]) -> "SmoothingScales":
        """Returns the scales of these streams, in this order."""
        return SmoothingScales(self.cadence_seconds[which], self.noise_floor[which], self.clip_bound[which])


@dataclass(frozen=True)
class StreamSamples:
    """Samples of many streams, sorted by stream and time.

    values: readings in the catalogue's order and units, shape (rows, metrics), NaN where not measured.
    at: epoch ms, shape (rows,).
    stream: the stream of each row, from 0 to `streams` - 1, shape (rows,).
    streams: number of streams; some may have no rows.
    """

    values: Floats
    at: Integers
    stream: Integers
    streams: int

    @cached_property
    def hours(self) -> Integers:
        """Hour of the day of each row, UTC, 0 to 23, shape (rows,)."""
        hours: Integers = self.at // HOUR_MS % 24
        return hours

    @cached_property
    def slices(self) -> list[slice]:
        """The rows of each stream."""
        bounds = np.searchsorted(self.stream, np.arange(self.streams + 1)).tolist()
        return [slice(first, end) for first, end in pairwise(bounds)]

    def where(self, chosen: Bools) -> "StreamSamples":
        """Returns the chosen rows, of as many streams."""
        return StreamSamples(self.values[chosen], self.at[chosen], self.stream[chosen], self.streams)

    @classmethod
    def of_one_stream(cls, values: Floats, at: Integers) -> "StreamSamples":
        """Returns the samples of a single stream; shapes (rows, metrics) and (rows,)."""
        return cls(values, at, np.zeros(len(values), dtype=np.int64), 1)


def compute_features(memory: Memory, samples: StreamSamples, scales: SmoothingScales) -> tuple[Floats, Memory]:
    """Returns the raw features of each row, shape (rows, 6, metrics), and the state behind each stream's last row.

    Features are in their metric's unit, but volatility is a logarithm, and the residual is still the value itself: the
    caller subtracts the median of its hour. A feature depends on its own row and on earlier ones only. It is NaN
    where its metric was not measured; the state then assumes that the metric stayed as it was. Shift and volatility are
    NaN until their averages have filled.
    """
    batch = walk_samples(memory, samples, scales)
    return batch.features(), batch.memory()


def walk_samples(memory: Memory, samples: StreamSamples, scales: SmoothingScales) -> "FeatureBatch":
    """Returns the same as `compute_features`, and the cadence at each row."""
    batch = FeatureBatch(memory, samples, scales)
    starts = np.searchsorted(samples.stream, np.arange(samples.streams + 1))
    lengths = np.diff(starts)
    longest_first = np.argsort(-lengths, kind="stable")
    active = np.searchsorted(-lengths[longest_first], -np.arange(1, max(1, lengths.max(initial=0)) + 1), side="right")
    for step, count in enumerate(active.tolist()):
        if count:
            which = longest_first[:count]
            batch.step(which, starts[which] + step)
    return batch


class FeatureBatch:
    """Walks through a batch, one sample of every stream at a time.

    pace: seconds between the samples of each row's stream, as known before it, shape (rows,).
    gap_before: seconds between the two samples before each row, shape (rows,), NaN where there are fewer.
    """

    def __init__(self, memory: Memory, samples: StreamSamples, scales: SmoothingScales) -> None:
        rows, metrics = samples.values.shape
        self.samples, self.squared_floor, self.clip_bound = samples, scales.noise_floor**2, scales.clip_bound
        self.values, self.count, self.at = memory.values.copy(), memory.count.copy(), memory.at.copy()
        self.observed = memory.observed_seconds.copy()
        self.nominal = scales.cadence_seconds
        self.cadence = np.where(np.isnan(memory.cadence_seconds), self.nominal, memory.cadence_seconds)
        self.fast, self.slow = np.empty((2, len(self.cadence), 1))
        self._set_pace(np.arange(len(self.cadence)))
        self.gap = memory.gap_seconds.copy()
        self.pace, self.gap_before = np.empty((2, rows))
        self.raw = np.empty((rows, FEATURES, metrics))
        self.raw[:, Feature.RESIDUAL] = samples.values
        self.jump, self.spike, self.deviation, self.shift, self.square = self.raw.swapaxes(0, 1)[Feature.JUMP :]
        self.ready = np.empty(rows, dtype=bool)

    def _set_pace(self, which: NDArray[np.intp]) -> None:
        cadence = self.cadence[which]
        self.fast[which, 0] = compute_smoothing_weight(FAST_SECONDS, FAST_MIN_SAMPLES, cadence)
        self.slow[which, 0] = compute_smoothing_weight(SLOW_SECONDS, SLOW_MIN_SAMPLES, cadence)

    def step(self, which: NDArray[np.intp], row: NDArray[np.intp]) -> None:
        """Takes the next sample, at `row`, of each of the streams `which`; both of shape (active,)."""
        fresh = self._keep_pace(which, row)[:, None]
        last, before, fast, slow, square = self.values[which].swapaxes(0, 1)
        value = self.samples.values[row]
        missing = np.isnan(value)
        value = np.where(missing, last, value)
        last = np.where(fresh | np.isnan(last), value, last)
        fast = np.where(fresh | np.isnan(fast), value, fast)
        slow = np.where(np.isnan(slow), value, slow)
        jump, deviation = value - last, value - fast
        before = np.where(fresh | np.isnan(before), 0.0, before)
        bound = self.clip_bound[which]
        squared = np.minimum(np.abs(jump), bound) ** 2
        square = np.where(np.isnan(square), squared, square)
        weight = self.fast[which]
        fast = fast + weight * np.minimum(np.maximum(deviation, -bound), bound)  # np.clip takes thrice as long
        slow = slow + self.slow[which] * np.minimum(np.maximum(value - slow, -bound), bound)
        square = square + np.where(missing, 0.0, weight * (squared - square))  # a missing sample is not a calm one
        for place, state in enumerate((value, jump, fast, slow, square)):
            self.values[which, place] = state
        self.jump[row], self.spike[row], self.deviation[row] = jump, jump - before, deviation
        self.shift[row], self.square[row] = fast - slow, square
        self.ready[row] = self.count[which] * weight[:, 0] > 1.0

    def _keep_pace(self, which: NDArray[np.intp], row: NDArray[np.intp]) -> Bools:
        """Follows the cadence; returns which streams were silent for so long that they begin anew, shape (active,).

        A shorter gap is faster samples; a longer one may be a missing sample, and so changes the cadence but a little.
        """
        now, before, cadence = self.samples.at[row], self.at[which], self.cadence[which]
        gap = np.where(before == NEVER, 0.0, (now - before) / 1000.0)
        fresh: Bools = gap > np.maximum(GAP_SECONDS, GAP_SAMPLES * cadence)
        self.pace[row], self.gap_before[row] = cadence, self.gap[which]
        self.gap[which] = np.where(before == NEVER, np.nan, gap)
        changed = (gap >= MIN_GAP_SECONDS) & (np.abs(gap - cadence) > CADENCE_TOLERANCE * cadence)
        if changed.any():
            down, up = CADENCE_STEPS
            moved = np.minimum(np.maximum(gap, down * cadence), up * cadence)
            self.cadence[which] = np.where(changed, moved, cadence)
            self._set_pace(which[changed])
        self.observed[which] += np.where(fresh, 0.0, np.maximum(gap, 0.0))
        self.count[which] += 1
        self.at[which] = now
        return fresh

    def features(self) -> Floats:
        self.raw[:, Feature.VOLATILITY] = 0.5 * np.log(self.square + self.squared_floor[self.samples.stream])
        self.raw[~self.ready, Feature.SHIFT :] = np.nan
        np.copyto(self.raw, np.nan, where=np.isnan(self.samples.values)[:, None, :])
        return self.raw

    def memory(self) -> Memory:
        cadence = np.where(self.count > 1, self.cadence, np.nan)
        return Memory(self.values, self.count, self.at, cadence, self.observed, self.gap)


def compute_smoothing_weight(seconds: float, min_samples: float, cadence_seconds: Floats) -> Floats:
    """Returns the newest sample's weight in an exponential average over this time, shape of `cadence_seconds`.

    The average spans at least `min_samples`.
    """
    result: Floats = -np.expm1(-1.0 / np.maximum(min_samples, seconds / cadence_seconds))
    return result
