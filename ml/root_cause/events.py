"""Degradations that go together: a common course in time, and which link directions follow it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.topology import Plant
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.geodesy import km_apart
from ml.numerics.runs import covering, grown
from ml.root_cause.common_modes import Candidate, Groups, carriers, sharing, strongest
from ml.root_cause.degradation import Channel, Degradation, fades, queues, silence
from ml.root_cause.membership import SEEN, followed
from ml.root_cause.residuals import Residuals

__all__ = ["Channel", "Event", "events"]

MOST_EVENTS: Final = 12  # in a channel
NEIGHBOUR_KM: Final = 70.0
AROUND: Final = 2  # samples beside it that an event explains
UNEXPLAINED_DB, UNEXPLAINED_SHARE = 1.5, 0.35  # deeper than expected by so much: something else goes on


@dataclass(frozen=True)
class Event:
    """course (times,): the common degradation, about in dB, 0 where nothing is; active (times,): where it counts.

    follows (streams,): how much of it each one shows; hit (streams,): probability that it does at all; evidence
    (streams,): it was measured meanwhile. runs: how often it came.
    """

    channel: Channel
    course: Floats32
    active: Bools
    follows: Floats32
    hit: Floats32
    evidence: Bools
    runs: int

    @property
    def hits(self) -> Integers:
        """Streams that probably follow."""
        return np.flatnonzero(self.hit > 0.5)

    @property
    def links(self) -> Integers:
        """Of which a direction does, in order."""
        return np.unique(self.hits % (len(self.hit) // 2))


def events(plant: Plant, found: Residuals) -> list[Event]:
    """The strongest first within each channel: silence, then signal, then queues where the signal is all right."""
    near = _neighbours(plant)
    told: list[Event] = []
    explained = np.zeros(found.esno.shape, dtype=bool)
    for left in (silence(found), fades(found), queues(found)):
        left.forget(explained)
        queue = left.channel is Channel.QUEUE
        for event in _in_channel(left, carriers(plant) if queue else sharing(plant), near, singles=not queue):
            told.append(event)
            explained[np.ix_(event.hit > 0.5, _around(event.active))] = True
    return told


def _neighbours(plant: Plant) -> Bools:
    """(links, links): their sites are near each other, or the same. Unknown positions are near nothing else."""
    latitude, longitude = plant.sites.latitude[plant.site], plant.sites.longitude[plant.site]
    close = km_apart(latitude[:, None], longitude[:, None], latitude, longitude) <= NEIGHBOUR_KM
    result: Bools = close | (plant.site[:, None] == plant.site[None])
    return result


def _in_channel(left: Degradation, groups: Groups, near: Bools, *, singles: bool) -> Iterator[Event]:
    """Take one event after another away from what is left to explain."""
    for _ in range(MOST_EVENTS):
        candidate = strongest(left, groups, singles=singles)
        if candidate is None:
            return
        event = _event(left, candidate, near)
        if event.hits.size:
            _explain(left, event, candidate)
            yield event
        elif candidate.group is not None:  # it is no common course, though much goes on
            groups.dismiss(candidate.group)
        else:
            left.depth[candidate.members] = 0.0


def _event(left: Degradation, candidate: Candidate, near: Bools) -> Event:
    one = followed(left, candidate, near)
    active = covering(len(candidate.course), one.runs)
    course = np.where(active, candidate.course, 0.0)
    evidence = left.known[:, active].mean(axis=1) > SEEN
    return Event(left.channel, course, active, one.follows, one.hit * evidence, evidence, len(one.runs))


def _explain(left: Degradation, event: Event, candidate: Candidate) -> None:
    """Take the event away from what is left to explain; only what is much deeper stays."""
    reach = _around(event.active)
    gone = np.union1d(event.hits, candidate.members) if candidate.alone else event.hits
    cells = np.ix_(gone, np.flatnonzero(reach))
    expected = event.follows[gone][:, None] * event.course[reach][None]
    more = left.depth[cells] - expected
    covered = more < np.maximum(UNEXPLAINED_DB, UNEXPLAINED_SHARE * expected)
    left.depth[cells] = np.where(covered, 0.0, more)
    left.known[cells] = np.where(covered, 0.0, left.known[cells])


def _around(active: Bools) -> Bools:
    around: Bools = grown(active[None], AROUND)[0]
    return around
