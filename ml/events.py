"""Degradations that go together: a common course in time, and which link directions follow it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.plant import Bools, Indices, Plant
from ml.residuals import Cells, Residuals

MOST_EVENTS: Final = 12
CLIP_DB: Final = 1.0  # deeper fades of one link say no more about the group
COMMON_DB: Final = 0.32  # of the group's clipped mean: more than a quarter of deep fades, less than all of 1 dB
SIGMAS: Final = 4.5  # of a group's mean
COMMON_QUEUE: Final = 0.2
FOOT: Final = 0.3  # of the threshold: where a run begins and ends
SINGLE_DB: Final = 1.0  # a single direction's smoothed fade
SINGLE_SIGMAS: Final = 3.0
WANDERS: Final = 1.5
LONG, SHORT = 1.05, 2.4  # times the threshold: a long fade's mean, and what a short one's must be deeper by
MOST_TRIED: Final = 12  # streams
FOLLOWS_FROM: Final = 0.35  # of the common course
ALIKE_FROM: Final = 0.5  # correlation with it
OWN_LEAST_DB: Final = 0.6  # of the other direction of a link, which power control may hide
PARTNER_DB: Final = 0.3  # of the other directions of many links, in the median
SMOOTHING: Final = 3  # samples
MOST_RUNS: Final = 60
MOST_LAG: Final = 6  # samples, by which a rain cell may arrive later at neighbours
NEIGHBOUR_KM: Final = 70.0
KM_PER_DEGREE: Final = 111.2


class Channel(StrEnum):
    """What the degradation shows in."""

    DARK = "DARK"
    SIGNAL = "SIGNAL"
    QUEUE = "QUEUE"


@dataclass(frozen=True)
class Event:
    """course (times,): the common degradation, about in dB, 0 where nothing is; active (times,): where it counts.

    follows (streams,): how much of it each one shows; hit (streams,): probability that it does at all; evidence
    (streams,): it was measured meanwhile. seed: a stream that shows it. runs: how often it came.
    """

    channel: Channel
    course: Cells
    active: Bools
    follows: Cells
    hit: Cells
    evidence: Bools
    seed: int
    runs: int

    @property
    def hits(self) -> Indices:
        return np.flatnonzero(self.hit > 0.5)


@dataclass
class _Signal:
    """What is left to explain: degradation (streams, times), 0 where unknown; `sigma` of its noise (streams,)."""

    channel: Channel
    depth: Cells
    known: Cells  # 1 or 0
    sigma: Cells
    wander: Cells  # (streams,) as far as a healthy one strays


@dataclass(frozen=True)
class _Candidate:
    members: Indices  # streams
    runs: list[slice]  # strongest first
    course: Cells  # (times,) of the group
    score: float


def events(plant: Plant, found: Residuals) -> list[Event]:
    """The strongest first within each channel: silence, then signal, then queues where the signal is all right."""
    near = neighbours(plant)
    told: list[Event] = []
    explained = np.zeros(found.esno.shape, dtype=bool)
    for signal in (_silence(found), _fades(found), _queues(found)):
        if signal.channel is not Channel.DARK:
            signal.known[explained] = 0.0
            signal.depth[explained] = 0.0
        carriers = signal.channel is Channel.QUEUE
        for event in _in_channel(signal, _groups(plant, carriers=carriers), near, singles=not carriers):
            told.append(event)
            reach = np.convolve(event.active, np.ones(5), mode="same") > 0
            explained[np.ix_(event.hit > 0.5, reach)] = True
    return told


def neighbours(plant: Plant) -> Bools:
    """(links, links): their sites are near each other, or the same. Unknown positions are near nothing else."""
    latitude, longitude = plant.sites.latitude[plant.site], plant.sites.longitude[plant.site]
    north = latitude[:, None] - latitude[None]
    middle = np.radians((latitude[:, None] + latitude[None]) / 2)
    east = ((longitude[:, None] - longitude[None] + 180.0) % 360.0 - 180.0) * np.cos(middle)
    with np.errstate(invalid="ignore"):
        close: Bools = KM_PER_DEGREE * np.hypot(north, east) <= NEIGHBOUR_KM
    return close | (plant.site[:, None] == plant.site[None])


# ---------------------------------------------------------------- signals


def _silence(found: Residuals) -> _Signal:
    depth = np.where(found.dark, np.float32(5.0), np.float32(0.0))
    known = np.repeat(found.known[:, None], depth.shape[1], axis=1).astype(np.float32)
    return _Signal(Channel.DARK, depth * known, known, np.full(len(depth), 0.05, dtype=np.float32), np.zeros(len(depth), dtype=np.float32))


def _fades(found: Residuals) -> _Signal:
    known = np.isfinite(found.esno)
    depth = np.where(known, np.clip(-found.esno, -2.0, 15.0), 0.0).astype(np.float32)
    return _Signal(Channel.SIGNAL, depth, known.astype(np.float32), found.sigma, found.wander)


def _queues(found: Residuals) -> _Signal:
    """In halves of a deviation, where the signal is not what fails."""
    fading = np.nan_to_num(found.esno, nan=0.0) < -1.0
    known = np.isfinite(found.queue) & ~_grown(fading, 2) & ~found.dark
    depth = np.where(known, np.clip(found.queue / 2.0 - 0.4, 0.0, None), 0.0).astype(np.float32)
    return _Signal(Channel.QUEUE, depth, known.astype(np.float32), np.full(len(depth), 0.35, dtype=np.float32), np.zeros(len(depth), dtype=np.float32))


def _grown(true: Bools, by: int) -> Bools:
    grown = true.copy()
    for shift in range(1, by + 1):
        grown[:, shift:] |= true[:, :-shift]
        grown[:, :-shift] |= true[:, shift:]
    return grown


def _groups(plant: Plant, *, carriers: bool) -> list[Indices]:
    """Streams that share a network, hub, transponder or satellite, by direction; only where there are several.

    carriers: only networks, and those of a single link as well.
    """
    links, groups = len(plant.links), dict[bytes, Indices]()
    for shared in (plant.network,) if carriers else (plant.network, plant.hub, plant.transponder, plant.satellite):
        for one in np.unique(shared):
            members = np.flatnonzero(shared == one)
            if len(members) > 1 or carriers:
                groups |= {(members + offset).tobytes(): members + offset for offset in (0, links)}
    return list(groups.values())


# ---------------------------------------------------------------- the search


def _in_channel(signal: _Signal, groups: list[Indices], near: Bools, *, singles: bool) -> Iterator[Event]:
    member = np.zeros((len(groups), len(signal.depth)), dtype=np.float32)
    for place, group in enumerate(groups):
        member[place, group] = 1.0
    for _ in range(MOST_EVENTS):
        candidate = _strongest(signal, groups, member, singles=singles)
        if candidate is None:
            return
        event = _followed(signal, candidate, near)
        if event.hits.size:
            _explain(signal, event, candidate)
            yield event
        else:  # it is no common course, though much goes on
            places = [place for place, group in enumerate(groups) if group is candidate.members]
            member[places] = 0.0
            if not places:
                signal.depth[candidate.members] = 0.0


def _strongest(signal: _Signal, groups: list[Indices], member: Cells, *, singles: bool) -> _Candidate | None:
    """The group or single stream that degraded in most samples of most of its members."""
    best: _Candidate | None = None
    if len(groups):
        best = _strongest_group(signal, groups, member)
    if not singles:
        return best
    single = _strongest_single(signal)
    return single if single and (best is None or single.score > best.score) else best


def _strongest_single(signal: _Signal) -> _Candidate | None:
    """A stream whose fades are deep for how long they last, and for how far it strays when it is healthy."""
    smooth = _median_of_three(_held(signal.depth, signal.known))
    threshold = np.maximum(np.maximum(SINGLE_DB, SINGLE_SIGMAS * signal.sigma), WANDERS * signal.wander)
    over = smooth / threshold[:, None]
    scores = (np.clip(over, 0.0, 1.0) * (over >= 1.0)).sum(axis=1)
    for stream in np.argsort(-scores)[:MOST_TRIED].tolist():
        if scores[stream] <= 0:
            return None
        runs = [run for run in _runs(over[stream], 1.0, FOOT) if _plain(smooth[stream, run], threshold[stream])]
        if runs:
            return _Candidate(np.array([stream]), runs, smooth[stream], float(scores[stream]))
    return None


def _plain(fade: Cells, threshold: float) -> bool:
    """Whether a single stream's fade is one: the shorter, the deeper it must be."""
    clear = fade[fade >= threshold]
    return bool(len(clear) >= 2 and clear.mean() >= threshold * (LONG + SHORT / np.sqrt(len(clear))))  # noqa: PLR2004


def _strongest_group(signal: _Signal, groups: list[Indices], member: Cells) -> _Candidate | None:
    """By the mean of what each member shows, clipped; among the strongest few by the median, which half must share."""
    clipped = np.clip(signal.depth, -CLIP_DB, CLIP_DB) * signal.known
    count = np.maximum(member @ signal.known, 1e-6)
    mean = _smoothed(member @ clipped) / np.maximum(_smoothed(count), 1e-6)
    size = member.sum(axis=1)
    enough = count >= np.maximum(1.0, 0.3 * size[:, None])
    noise = np.sqrt(member @ signal.sigma**2) / np.maximum(size, 1.0)
    least = COMMON_QUEUE if signal.channel is Channel.QUEUE else np.maximum(COMMON_DB, SIGMAS * noise)[:, None]
    over = np.where(enough, mean / least, 0.0)
    scores = ((over >= 1.0) * np.clip(mean, 0.0, CLIP_DB)).sum(axis=1) * size
    best: _Candidate | None = None
    for place in np.argsort(-scores)[:MOST_TRIED].tolist():
        if scores[place] <= (best.score if best else 0.0):
            break
        members = groups[place]
        runs = [run for run in _runs(over[place], 1.0, FOOT) if run.stop - run.start >= 2]  # noqa: PLR2004
        course = _shared(signal, members)
        score = size[place] * float((np.clip(course, 0.0, CLIP_DB) * _mask(len(course), runs)).sum())
        if runs and score > (best.score if best else 0.0):
            best = _Candidate(members, runs, course, score)
    return best


def _shared(signal: _Signal, members: Indices) -> Cells:
    """What at least half of the members show; of queues the mean, as only the busier links of a full carrier have one."""
    depth, known = signal.depth[members], signal.known[members]
    if signal.channel is not Channel.QUEUE:
        return _middle(depth, known)
    result: Cells = (depth * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1.0)
    return result


def _smoothed(values: Cells) -> Cells:
    """The running mean of `SMOOTHING` samples, along the last axis."""
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    result: Cells = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / np.float32(SMOOTHING)
    return result


def _held(depth: Cells, known: Cells) -> Cells:
    """Where nothing was measured, what was measured last."""
    place = np.where(known > 0, np.arange(depth.shape[1]), 0)
    result: Cells = np.take_along_axis(depth, np.maximum.accumulate(place, axis=1), axis=1)
    return result


def _median_of_three(values: Cells) -> Cells:
    """Along the last axis: a lone reading is no fade."""
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    one, two, three = padded[:, :-2], padded[:, 1:-1], padded[:, 2:]
    result: Cells = np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))
    return result


def _runs(over: Cells, high: float, low: float) -> list[slice]:
    """Stretches above `low` that reach `high`, most area first."""
    above = np.concatenate([[False], over > low, [False]])
    edges = np.flatnonzero(np.diff(above.astype(np.int8)))
    runs = [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    reached = [run for run in runs if over[run].max() >= high]
    return sorted(reached, key=lambda run: -float(over[run].sum()))


# ---------------------------------------------------------------- who follows


def _followed(signal: _Signal, candidate: _Candidate, near: Bools) -> Event:
    """Fit the course to every stream, around its strongest run; more runs of the same streams belong to it."""
    course = candidate.course
    times = len(course)
    main = candidate.runs[0]
    active = _mask(times, [main])
    follows, alike = _fit(signal, np.where(active, course, 0.0), _around(main, times), _mask(times, candidate.runs[1:]))
    hit = _hit(signal, course[main], follows, alike, candidate, near)
    if len(candidate.members) == 1:
        follows, hit = _late(signal, course, main, follows, hit, candidate, near)
    hit = _partners(course[main], follows, alike, hit)
    runs = [main, *(run for run in candidate.runs[1:MOST_RUNS] if _again(signal, course, run, follows, hit))]
    active = _mask(times, runs)
    evidence = (signal.known[:, active].mean(axis=1) > 0.3) if active.any() else np.zeros(len(follows), dtype=bool)  # noqa: PLR2004
    seed = int(candidate.members[np.argmax(follows[candidate.members])])
    return Event(signal.channel, np.where(active, course, 0.0), active, follows, hit * evidence, evidence, seed, len(runs))


def _again(signal: _Signal, course: Cells, run: slice, follows: Cells, hit: Cells) -> bool:
    """Whether in another run it is the same streams that follow, and no others."""
    known = signal.known[:, run]
    expected = np.maximum(known @ course[run], 1e-3)
    shown = (signal.depth[:, run] * known).sum(axis=1) / expected / np.maximum(follows, 0.3)
    seen = known.mean(axis=1) > 0.3  # noqa: PLR2004
    struck, spared = shown[seen & (hit > 0.5)], shown[seen & (hit < 0.5)]  # noqa: PLR2004
    if not len(struck) or np.median(struck) < 0.45:  # noqa: PLR2004
        return False
    return not len(spared) or float((spared > 0.5).sum()) <= max(1.0, len(struck), 0.1 * len(spared))  # noqa: PLR2004


def _middle(depth: Cells, known: Cells) -> Cells:
    """The median over the members that were measured."""
    values = np.sort(np.where(known > 0, depth, np.inf), axis=0)
    count = (known > 0).sum(axis=0)
    low, high = np.maximum(0, (count - 1) // 2), np.maximum(0, count // 2)
    middle = (np.take_along_axis(values, low[None], 0) + np.take_along_axis(values, high[None], 0))[0] / 2
    result: Cells = np.where(count > 0, middle, 0.0).astype(np.float32)
    return result


def _mask(times: int, runs: list[slice]) -> Bools:
    mask = np.zeros(times, dtype=bool)
    for run in runs:
        mask[run] = True
    return mask


def _around(run: slice, times: int) -> slice:
    margin = max(8, (run.stop - run.start) // 2)
    return slice(max(0, run.start - margin), min(times, run.stop + margin))


def _fit(signal: _Signal, course: Cells, span: slice, aside: Bools) -> tuple[Cells, Cells]:
    """Slope and correlation of every stream's depth on the course, with a level of its own.

    Left out are unknown samples, and those that are to be put aside.
    """
    depth, known, model = signal.depth[:, span], signal.known[:, span] * ~aside[span], course[span]
    weight = np.maximum(known.sum(axis=1), 1e-6)
    mean_model = known @ model / weight
    mean_depth = (known * depth).sum(axis=1) / weight
    together = (known * depth) @ model / weight - mean_model * mean_depth
    of_model = np.maximum(known @ model**2 / weight - mean_model**2, 1e-6)
    of_depth = np.maximum((known * depth**2).sum(axis=1) / weight - mean_depth**2, 1e-6)
    alike = together / np.sqrt(of_model * of_depth)
    if not ((model <= 0) & ~aside[span]).sum():  # nothing beside it to compare with: as much as it is deep
        scale = max(float(model @ model), 1e-6)
        return ((known * depth) @ model / scale).astype(np.float32), np.ones(len(depth), dtype=np.float32)
    return (together / of_model).astype(np.float32), alike.astype(np.float32)


def _hit(
    signal: _Signal, course: Cells, follows: Cells, alike: Cells, candidate: _Candidate, near: Bools
) -> Cells:
    """The probability that a stream follows; of the seed's own link, whatever is plainly there does."""
    likely = _rising((follows - FOLLOWS_FROM) / 0.06) * _rising((alike - ALIKE_FROM) / 0.05)
    links = len(near)
    if len(candidate.members) == 1:
        own = [int(candidate.members[0]) % links + offset for offset in (0, links)]
        peak = float(course.max())
        plain = _rising((follows[own] * peak - np.maximum(OWN_LEAST_DB, 2.0 * signal.sigma[own])) / 0.15)
        likely[own] = np.maximum(likely[own], plain * _rising((alike[own] - 0.4) / 0.05))
    else:  # of the group itself, what is plainly no chance
        own = candidate.members
        least = max(0.25, 2.5 / np.sqrt(len(course)))
        plain = _rising((alike[own] - least) / 0.05) * _rising((follows[own] - 0.2) / 0.03)
        likely[own] = np.maximum(likely[own], plain)
    return likely.astype(np.float32)


def _partners(course: Cells, follows: Cells, alike: Cells, hit: Cells) -> Cells:
    """The other directions of the links hit, where together they follow, however little: each as much as the rest."""
    links = len(hit) // 2
    struck = hit > 0.5  # noqa: PLR2004
    other = np.concatenate([struck[links:], struck[:links]]) & ~struck
    if other.sum() < 3:  # noqa: PLR2004
        return hit
    mean = float(np.median(follows[other]))
    if mean * float(course.max()) < PARTNER_DB or float(np.median(alike[other])) < 0.3:  # noqa: PLR2004
        return hit
    own = _rising((follows[other] - 0.4 * mean) / (0.1 * mean)) * _rising((alike[other] - 0.15) / 0.05)
    hit = hit.copy()
    hit[other] = np.maximum(hit[other], own)
    return hit


def _late(  # noqa: PLR0913, PLR0917
    signal: _Signal, course: Cells, main: slice, follows: Cells, hit: Cells, candidate: _Candidate, near: Bools
) -> tuple[Cells, Cells]:
    """Neighbours in space may follow somewhat earlier or later."""
    links, times = len(near), len(course)
    close = np.flatnonzero(np.tile(near[int(candidate.members[0]) % links], 2))
    part = replace(signal, depth=signal.depth[close], known=signal.known[close], sigma=signal.sigma[close])
    span = _around(slice(max(0, main.start - MOST_LAG), min(times, main.stop + MOST_LAG)), times)
    for lag in range(-MOST_LAG, MOST_LAG + 1, 2):
        moved = np.where(_mask(times, [main]), course, 0.0)
        moved = np.roll(moved, lag)
        own_follows, own_alike = _fit(part, moved, span, np.zeros(times, dtype=bool))
        own = _rising((own_follows * float(course[main].max()) - 1.0) / 0.15) * _rising((own_alike - 0.6) / 0.05)
        better = own > hit[close]
        follows[close] = np.where(better, own_follows, follows[close])
        hit[close] = np.maximum(hit[close], own).astype(np.float32)
    return follows, hit


def _overlap(one: Bools, other: Bools) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _rising(x: Cells) -> Cells:
    """The logistic function."""
    result: Cells = 1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0)))
    return result


def _explain(signal: _Signal, event: Event, candidate: _Candidate) -> None:
    """Take the event away from what is left to explain; only what is much deeper stays."""
    reach = np.convolve(event.active, np.ones(5), mode="same") > 0
    gone = event.hits if len(candidate.members) > 1 else np.union1d(event.hits, candidate.members)
    rows = np.ix_(gone, np.flatnonzero(reach))
    expected = event.follows[gone][:, None] * event.course[reach][None]
    left = signal.depth[rows] - expected
    covered = left < np.maximum(1.5, 0.35 * expected)
    signal.depth[rows] = np.where(covered, 0.0, left)
    signal.known[rows] = np.where(covered, 0.0, signal.known[rows])
