"""Common modes: which group of streams, or which single stream, degraded most, and when."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.runs import find_runs, mask_runs
from ml.root_cause.degradation import Channel, Degradation

CLIP_DB: Final = 1.0  # deeper fades of one link say no more about its group
COMMON_DB: Final = 0.32  # of a group's clipped mean: more than a quarter of its links fading deeply
SIGMAS: Final = 4.5  # of the noise of a group's mean
COMMON_CONGESTION: Final = 0.2
MOST_MEMBERS: Final = 0.6  # share of a group that shows its common-mode profile
ENOUGH_MEMBERS, ENOUGH_BUSY = 0.3, 0.1  # share of a group that must be measured; of congestion, where busy ones hide
LEAST_SAMPLES: Final = 2  # of a run, or of a single stream's fade
FOOT: Final = 0.3  # of the threshold: where a run begins and ends
SINGLE_DB: Final = 1.0  # a single stream's smoothed fade
SINGLE_SIGMAS: Final = 3.0
ALARMED: Final = 0.6  # of these, for a stream that is known to misbehave
LOW_FREQUENCY_FACTOR: Final = 1.5
LONG, SHORT = 1.05, 2.4  # in thresholds: the mean of a long fade, and what is added for a short one
MOST_TRIED: Final = 12  # groups, or streams
SMOOTHING: Final = 3  # samples


@dataclass(frozen=True)
class StreamGroups:
    """Groups of streams.

    streams: the members of each group. member: 1 or 0, shape (groups, streams); only 0 for a dismissed group.
    """

    streams: list[Integers]
    member: Floats32

    @classmethod
    def of(cls, streams: list[Integers], count: int) -> Self:
        """Returns groups of these members, out of `count` streams."""
        member = np.zeros((len(streams), count), dtype=np.float32)
        for place, group in enumerate(streams):
            member[place, group] = 1.0
        return cls(streams, member)

    def dismiss(self, group: int) -> None:
        """Takes a group out of consideration."""
        self.member[group] = 0.0


@dataclass(frozen=True)
class CommonMode:
    """A degradation that streams have in common.

    members: the streams. group: their group's place, None for a single stream. runs: when they degraded, strongest
    first. profile: the common-mode profile, about in dB, shape (times,).
    """

    members: Integers
    group: int | None
    runs: list[slice]
    profile: Floats32
    score: float

    @property
    def alone(self) -> bool:
        return len(self.members) == 1


def group_by_shared_risk(topology: Topology) -> StreamGroups:
    """Returns the streams that share a network, hub, transponder or satellite, by direction; groups of at least two."""
    shared = (topology.network, topology.hub, topology.transponder, topology.satellite)
    return _groups(topology, [links for one in shared for links in _group_equal(one) if len(links) > 1])


def group_by_network(topology: Topology) -> StreamGroups:
    """Returns the streams of each network, by direction, also groups of one."""
    return _groups(topology, _group_equal(topology.network))


def _groups(topology: Topology, groups: list[Integers]) -> StreamGroups:
    links = len(topology.links)
    different = {streams.tobytes(): streams for one in groups for streams in (one, one + links)}
    return StreamGroups.of(list(different.values()), 2 * links)


def _group_equal(shared: Integers) -> list[Integers]:
    """Returns the places of each value."""
    return [np.flatnonzero(shared == one) for one in np.unique(shared)]


def find_common_mode(left: Degradation, groups: StreamGroups, *, singles: bool) -> CommonMode | None:
    """Returns the strongest common mode of what is left to explain, None if nothing degrades clearly.

    singles: single streams count as well as groups.
    """
    best = _find_group(left, groups) if groups.streams else None
    single = _find_single(left) if singles else None
    if best is None or single is None:
        return best or single
    return single if single.score > best.score else best


# ---------------------------------------------------------------- single streams


def _find_single(left: Degradation) -> CommonMode | None:
    """Returns the stream whose fades are deepest for their duration and its healthy noise.

    Each stream is looked at twice: by medians of three samples, and by means of more where samples come fast.
    """
    held = _hold(left.depth, left.measured)
    views = [_View.of(left, _median_of_three(held), 1.0)]
    if left.smoothed > SMOOTHING:
        views.append(_View.of(left, _mean_before(held, left.smoothed), left.smoothed / SMOOTHING))
    over = np.maximum.reduce([view.over for view in views])
    scores = (np.clip(over, 0.0, 1.0) * (over >= 1.0)).sum(axis=1)
    deepest = np.lexsort((-views[0].fade.sum(axis=1), -scores))  # of equal scores, as they are clipped
    for stream in deepest[:MOST_TRIED].tolist():
        if scores[stream] <= 0:
            return None
        runs = [run for run in _runs_above(over[stream]) if any(view.is_clear(stream, run) for view in views)]
        if runs:
            return CommonMode(np.array([stream]), None, runs, views[0].fade[stream], float(scores[stream]))
    return None


@dataclass(frozen=True)
class _View:
    """Smoothed fades.

    fade: dB, shape (streams, times). threshold: from which it is clear, dB, shape (streams,). samples: of which one is
    independent.
    """

    fade: Floats32
    threshold: Floats32
    samples: float

    @classmethod
    def of(cls, left: Degradation, fade: Floats32, samples: float) -> Self:
        white = SINGLE_SIGMAS * left.sigma / np.sqrt(samples)
        noise = np.maximum(white, LOW_FREQUENCY_FACTOR * left.low_frequency_noise)
        usual = np.maximum(SINGLE_DB, noise)
        threshold = usual if left.alarmed is None else np.where(left.alarmed, ALARMED * usual, usual)
        return cls(fade, threshold.astype(np.float32), samples)

    @property
    def over(self) -> Floats32:
        return self.fade / self.threshold[:, None]

    def is_clear(self, stream: int, run: slice) -> bool:
        return _is_clear(self.fade[stream, run], float(self.threshold[stream]), self.samples)


def _is_clear(fade: Floats32, threshold: float, samples: float) -> bool:
    """Returns whether a single stream's fade is no noise: the shorter, the deeper it must be.

    samples: of which one is independent.
    """
    clear = fade[fade >= threshold]
    count = len(clear) / samples
    return bool(count >= LEAST_SAMPLES and clear.mean() >= threshold * (LONG + SHORT / np.sqrt(count)))


def _hold(depth: Floats32, measured: Bools) -> Floats32:
    """Returns the depth with gaps filled by the last measured value."""
    place = np.where(measured, np.arange(depth.shape[1]), 0)
    result: Floats32 = np.take_along_axis(depth, np.maximum.accumulate(place, axis=1), axis=1)
    return result


def _mean_before(values: Floats32, count: int) -> Floats32:
    """Returns the mean of the last `count` samples at each, fewer at the beginning."""
    total = np.pad(values.cumsum(axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    stop = np.arange(1, values.shape[1] + 1)
    start = np.maximum(0, stop - count)
    result: Floats32 = ((total[:, stop] - total[:, start]) / (stop - start)).astype(np.float32)
    return result


def _median_of_three(values: Floats32) -> Floats32:
    """Returns the running median of three samples: a lone reading is no fade."""
    first, second, third = _with_neighbours(values)
    result: Floats32 = np.maximum(np.minimum(first, second), np.minimum(np.maximum(first, second), third))
    return result


# ---------------------------------------------------------------- groups


def _find_group(left: Degradation, groups: StreamGroups) -> CommonMode | None:
    """Returns the group with the strongest common-mode profile.

    The clipped mean of the members selects `MOST_TRIED` groups, what most of their members share decides among them.
    """
    size = groups.member.sum(axis=1)
    mean, over = _group_means(left, groups.member)
    scores = ((over >= 1.0) * np.clip(mean, 0.0, CLIP_DB)).sum(axis=1) * size
    best: CommonMode | None = None
    for place in np.argsort(-scores)[:MOST_TRIED].tolist():
        least = best.score if best else 0.0
        if scores[place] <= least:
            break
        profile = _common_profile(left, groups.streams[place])
        runs = [run for run in _runs_above(over[place]) if run.stop - run.start >= LEAST_SAMPLES]
        score = size[place] * float((np.clip(profile, 0.0, CLIP_DB) * mask_runs(len(profile), runs)).sum())
        if runs and score > least:
            best = CommonMode(groups.streams[place], place, runs, profile, score)
    return best


def _group_means(left: Degradation, member: Floats32) -> tuple[Floats32, Floats32]:
    """Returns the members' smoothed mean, and the mean over its threshold, shape (groups, times) each."""
    size = member.sum(axis=1)
    count = np.maximum(member @ left.known, 1e-6)
    total = member @ (np.clip(left.depth, -CLIP_DB, CLIP_DB) * left.known)
    mean = _smooth(total) / np.maximum(_smooth(count), 1e-6)
    noise = np.sqrt(member @ left.sigma**2) / np.maximum(size, 1.0)
    least = COMMON_CONGESTION if left.channel is Channel.CONGESTION else np.maximum(COMMON_DB, SIGMAS * noise)[:, None]
    share = ENOUGH_BUSY if left.channel is Channel.CONGESTION else ENOUGH_MEMBERS
    enough = count >= np.maximum(1.0, share * size[:, None])
    over: Floats32 = np.where(enough, mean / least, 0.0)
    return mean.astype(np.float32), over


def _common_profile(left: Degradation, members: Integers) -> Floats32:
    """Returns what most members show, shape (times,); for congestion their mean, as only busy links queue."""
    depth, known = left.depth[members], left.known[members]
    if left.channel is not Channel.CONGESTION:
        return _depth_of_most(depth, known > 0)
    result: Floats32 = (depth * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1.0)
    return result


def _depth_of_most(depth: Floats32, known: Bools) -> Floats32:
    """Returns the depth that `MOST_MEMBERS` of the measured streams exceed, shape (times,).

    If only half of a group fails, the group is not at fault.
    """
    values = np.sort(np.where(known, depth, np.inf), axis=0)
    count = known.sum(axis=0)
    place = np.round((1.0 - MOST_MEMBERS) * np.maximum(0, count - 1)).astype(np.int64)
    most = np.take_along_axis(values, place[None], 0)[0]
    result: Floats32 = np.where(count > 0, most, 0.0).astype(np.float32)
    return result


def _smooth(values: Floats32) -> Floats32:
    """Returns the running mean of `SMOOTHING` samples."""
    first, second, third = _with_neighbours(values)
    result: Floats32 = (first + second + third) / np.float32(SMOOTHING)
    return result


def _with_neighbours(values: Floats32) -> tuple[Floats32, Floats32, Floats32]:
    """Returns the sample before, the sample itself and the sample after, shape (streams, times) each."""
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    return padded[:, :-2], padded[:, 1:-1], padded[:, 2:]


def _runs_above(over: Floats32) -> list[slice]:
    """Returns the runs of `over`, shape (times,), above `FOOT` that reach 1, largest area first."""
    reached = [run for run in find_runs(over > FOOT) if over[run].max() >= 1.0]
    return sorted(reached, key=lambda run: -float(over[run].sum()))
