"""Common courses: which group of streams, or which single one, degraded most, and when."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.runs import find_runs, mask_runs
from ml.root_cause.degradation import Channel, Degradation

CLIP_DB: Final = 1.0  # deeper fades of one link say no more about the group
COMMON_DB: Final = 0.32  # of the group's clipped mean: more than a quarter of deep fades, less than all of 1 dB
SIGMAS: Final = 4.5  # of a group's mean
COMMON_CONGESTION: Final = 0.2
MOST_MEMBERS: Final = 0.6  # of a group show its common course
ENOUGH_MEMBERS: Final = 0.3  # of a group must be measured
LEAST_SAMPLES: Final = 2  # of a run, or that show a single stream's fade
FOOT: Final = 0.3  # of the threshold: where a run begins and ends
SINGLE_DB: Final = 1.0  # a single direction's smoothed fade
SINGLE_SIGMAS: Final = 3.0
LOW_FREQUENCY_FACTOR: Final = 1.5
LONG, SHORT = 1.05, 2.4  # times the threshold: a long fade's mean, and what a short one's must be deeper by
MOST_TRIED: Final = 12  # groups, or streams
SMOOTHING: Final = 3  # samples


@dataclass(frozen=True)
class StreamGroups:
    """streams: those of each group; member (groups, streams): 1 or 0, only 0 where a group is out of the question."""

    streams: list[Integers]
    member: Floats32

    @classmethod
    def of(cls, streams: list[Integers], count: int) -> Self:
        member = np.zeros((len(streams), count), dtype=np.float32)
        for place, group in enumerate(streams):
            member[place, group] = 1.0
        return cls(streams, member)

    def dismiss(self, group: int) -> None:
        self.member[group] = 0.0


@dataclass(frozen=True)
class CommonMode:
    """members: streams, those of the group at place `group`, None of a single stream.

    runs: when they degraded, strongest first; course (times,): of their common degradation.
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
    """Streams that share a network, hub, transponder or satellite, by direction; only where there are several."""
    shared = (topology.network, topology.hub, topology.transponder, topology.satellite)
    return _groups(topology, [links for one in shared for links in _alike(one) if len(links) > 1])


def group_by_network(topology: Topology) -> StreamGroups:
    """Streams of a network, by direction, also where there is only one."""
    return _groups(topology, _alike(topology.network))


def _groups(topology: Topology, groups: list[Integers]) -> StreamGroups:
    links = len(topology.links)
    different = {streams.tobytes(): streams for one in groups for streams in (one, one + links)}
    return StreamGroups.of(list(different.values()), 2 * links)


def _alike(shared: Integers) -> list[Integers]:
    """Places of equal values."""
    return [np.flatnonzero(shared == one) for one in np.unique(shared)]


def find_common_mode(left: Degradation, groups: StreamGroups, *, singles: bool) -> CommonMode | None:
    """The group, or single stream if they are looked at, that degraded in most samples of most of its members."""
    best = _find_group(left, groups) if groups.streams else None
    single = _find_single(left) if singles else None
    if best is None or single is None:
        return best or single
    return single if single.score > best.score else best


# ---------------------------------------------------------------- single streams


def _find_single(left: Degradation) -> CommonMode | None:
    """A stream whose fades are deep for how long they last, and for how far it strays when it is healthy."""
    smooth = _median_of_three(_held(left.depth, left.measured))
    threshold = np.maximum(
        np.maximum(SINGLE_DB, SINGLE_SIGMAS * left.sigma), LOW_FREQUENCY_FACTOR * left.low_frequency_noise
    )
    over = smooth / threshold[:, None]
    scores = (np.clip(over, 0.0, 1.0) * (over >= 1.0)).sum(axis=1)
    deepest = np.lexsort((-smooth.sum(axis=1), -scores))  # of equal scores, as they are clipped
    for stream in deepest[:MOST_TRIED].tolist():
        if scores[stream] <= 0:
            return None
        runs = [run for run in _reaching(over[stream]) if _plain(smooth[stream, run], threshold[stream])]
        if runs:
            return CommonMode(np.array([stream]), None, runs, smooth[stream], float(scores[stream]))
    return None


def _plain(fade: Floats32, threshold: float) -> bool:
    """Whether a single stream's fade is one: the shorter, the deeper it must be."""
    clear = fade[fade >= threshold]
    return bool(len(clear) >= LEAST_SAMPLES and clear.mean() >= threshold * (LONG + SHORT / np.sqrt(len(clear))))


def _held(depth: Floats32, measured: Bools) -> Floats32:
    """Where nothing was measured, what was measured last."""
    place = np.where(measured, np.arange(depth.shape[1]), 0)
    result: Floats32 = np.take_along_axis(depth, np.maximum.accumulate(place, axis=1), axis=1)
    return result


def _median_of_three(values: Floats32) -> Floats32:
    """Along time: a lone reading is no fade."""
    one, two, three = _with_neighbours(values)
    result: Floats32 = np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))
    return result


# ---------------------------------------------------------------- groups


def _find_group(left: Degradation, groups: StreamGroups) -> CommonMode | None:
    """By the mean of what each member shows, clipped; among the strongest few by what most of them share."""
    size = groups.member.sum(axis=1)
    mean, over = _common(left, groups.member)
    scores = ((over >= 1.0) * np.clip(mean, 0.0, CLIP_DB)).sum(axis=1) * size
    best: CommonMode | None = None
    for place in np.argsort(-scores)[:MOST_TRIED].tolist():
        least = best.score if best else 0.0
        if scores[place] <= least:
            break
        profile = _shared(left, groups.streams[place])
        runs = [run for run in _reaching(over[place]) if run.stop - run.start >= LEAST_SAMPLES]
        score = size[place] * float((np.clip(profile, 0.0, CLIP_DB) * mask_runs(len(profile), runs)).sum())
        if runs and score > least:
            best = CommonMode(groups.streams[place], place, runs, profile, score)
    return best


def _common(left: Degradation, member: Floats32) -> tuple[Floats32, Floats32]:
    """(groups, times) each: the members' smoothed mean, and that over what it must reach."""
    size = member.sum(axis=1)
    count = np.maximum(member @ left.known, 1e-6)
    mean = _smoothed(member @ (np.clip(left.depth, -CLIP_DB, CLIP_DB) * left.known)) / np.maximum(
        _smoothed(count), 1e-6
    )
    noise = np.sqrt(member @ left.sigma**2) / np.maximum(size, 1.0)
    least = COMMON_CONGESTION if left.channel is Channel.CONGESTION else np.maximum(COMMON_DB, SIGMAS * noise)[:, None]
    enough = count >= np.maximum(1.0, ENOUGH_MEMBERS * size[:, None])
    over: Floats32 = np.where(enough, mean / least, 0.0)
    return mean.astype(np.float32), over


def _shared(left: Degradation, members: Integers) -> Floats32:
    """(times,): what most of the members show; of queues the mean, as only busier links of a carrier queue."""
    depth, known = left.depth[members], left.known[members]
    if left.channel is not Channel.CONGESTION:
        return _most(depth, known > 0)
    result: Floats32 = (depth * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1.0)
    return result


def _most(depth: Floats32, known: Bools) -> Floats32:
    """(times,): what `MOST_MEMBERS` of those measured exceed: where half of a group fails, it is not the group."""
    values = np.sort(np.where(known, depth, np.inf), axis=0)
    count = known.sum(axis=0)
    place = np.round((1.0 - MOST_MEMBERS) * np.maximum(0, count - 1)).astype(np.int64)
    most = np.take_along_axis(values, place[None], 0)[0]
    result: Floats32 = np.where(count > 0, most, 0.0).astype(np.float32)
    return result


def _smoothed(values: Floats32) -> Floats32:
    """The running mean of `SMOOTHING` samples."""
    one, two, three = _with_neighbours(values)
    result: Floats32 = (one + two + three) / np.float32(SMOOTHING)
    return result


def _with_neighbours(values: Floats32) -> tuple[Floats32, Floats32, Floats32]:
    """(streams, times) each: the sample before, the sample itself and the one after."""
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    return padded[:, :-2], padded[:, 1:-1], padded[:, 2:]


def _reaching(over: Floats32) -> list[slice]:
    """Stretches of `over` (times,) above `FOOT` that reach 1, most area first."""
    reached = [run for run in find_runs(over > FOOT) if over[run].max() >= 1.0]
    return sorted(reached, key=lambda run: -float(over[run].sum()))
