"""Events: degradations with a common-mode profile, and the streams that show it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.geodesy import km_apart
from ml.numerics.runs import dilate, mask_runs
from ml.root_cause.common_modes import (
    CommonMode,
    StreamGroups,
    find_common_mode,
    group_by_network,
    group_by_shared_risk,
)
from ml.root_cause.degradation import Channel, Degradation, measure_congestion, measure_fades, measure_outages
from ml.root_cause.membership import LEAST_MEASURED, fit_membership
from ml.root_cause.residuals import Residuals

MOST_EVENTS: Final = 12  # in a channel
NEIGHBOUR_KM: Final = 70.0
TAIL: Final = 0.05  # of the peak: less, at its end, is no part of an event
AROUND: Final = 2  # samples before and after that an event explains as well
UNEXPLAINED_DB, UNEXPLAINED_SHARE = 1.5, 0.35  # deeper than expected by so much: something else happens as well


@dataclass(frozen=True)
class Event:
    """Streams that degraded together.

    profile: the common-mode profile, about in dB, 0 outside the event, shape (times,). active: during it, (times,).
    loading: each stream's factor on the profile, shape (streams,). membership: the probability that it shows the
    profile at all, shape (streams,). evidence: which streams were measured meanwhile, shape (streams,).
    runs: how often it occurred.
    """

    channel: Channel
    profile: Floats32
    active: Bools
    loading: Floats32
    membership: Floats32
    evidence: Bools
    runs: int

    @property
    def affected_streams(self) -> Integers:
        """The streams that probably show it, ascending."""
        return np.flatnonzero(self.membership > 0.5)

    @property
    def affected_links(self) -> Integers:
        """The links with at least one affected direction, ascending."""
        return np.unique(self.affected_streams % (len(self.membership) // 2))


def detect_events(topology: Topology, residuals: Residuals) -> list[Event]:
    """Returns events by channel: outages, then fades, then congestion, the strongest of each first."""
    detected: list[Event] = []
    explained = np.zeros(residuals.esno.shape, dtype=bool)
    for left in (measure_outages(residuals), measure_fades(residuals), measure_congestion(residuals)):
        left.forget(explained)
        congestion = left.channel is Channel.CONGESTION
        for event in _in_channel(
            topology,
            left,
            group_by_network(topology) if congestion else group_by_shared_risk(topology),
            unlocked=residuals.unlocked,
            singles=not congestion,
        ):
            detected.append(event)
            explained[np.ix_(event.membership > 0.5, _widen(event.active))] = True
    return detected


def _in_channel(
    topology: Topology, left: Degradation, groups: StreamGroups, unlocked: Bools, *, singles: bool
) -> Iterator[Event]:
    """Yields one event after another, and takes each away from what is left to explain."""
    for _ in range(MOST_EVENTS):
        common_mode = find_common_mode(left, groups, singles=singles)
        if common_mode is None:
            return
        event = _event(topology, left, common_mode)
        if event.affected_streams.size:
            _explain(left, event, common_mode, unlocked)
            yield event
        elif common_mode.group is not None:  # the group degrades, but without a common profile
            groups.dismiss(common_mode.group)
        else:
            left.depth[common_mode.members] = 0.0


def _event(topology: Topology, left: Degradation, common_mode: CommonMode) -> Event:
    near = _near_link(topology, int(common_mode.members[0])) if common_mode.alone else None
    fit = fit_membership(left, common_mode, near)
    active = _trim_tail(mask_runs(len(common_mode.profile), fit.runs), common_mode.profile)
    profile = np.where(active, common_mode.profile, 0.0)
    evidence = left.known[:, active].mean(axis=1) > LEAST_MEASURED
    return Event(left.channel, profile, active, fit.loading, fit.probability * evidence, evidence, len(fit.runs))


def _trim_tail(active: Bools, profile: Floats32) -> Bools:
    """Returns the event's times without the last ones at which next to nothing is left of it, shape (times,)."""
    shown = np.flatnonzero(active & (profile >= TAIL * profile[active].max(initial=0.0)))
    result: Bools = active & (np.arange(len(active)) <= (shown[-1] if len(shown) else len(active)))
    return result


def _near_link(topology: Topology, stream: int) -> Bools:
    """Returns which links have sites near that of a stream, or the same, shape (links,).

    Sites of unknown position are near no other.
    """
    latitude, longitude = topology.sites.latitude[topology.site], topology.sites.longitude[topology.site]
    link = stream % len(topology.links)
    close = km_apart(latitude, longitude, latitude[link], longitude[link]) <= NEIGHBOUR_KM
    result: Bools = close | (topology.site == topology.site[link])
    return result


def _explain(left: Degradation, event: Event, common_mode: CommonMode, unlocked: Bools) -> None:
    """Takes the event away from what is left to explain; only much deeper degradation stays.

    How deep a fade is that a receiver lost lock in, nobody knows.
    """
    reach = _widen(event.active)
    gone = np.union1d(event.affected_streams, common_mode.members) if common_mode.alone else event.affected_streams
    cells = np.ix_(gone, np.flatnonzero(reach))
    expected = event.loading[gone][:, None] * event.profile[reach][None]
    more = left.depth[cells] - expected
    covered = (more < np.maximum(UNEXPLAINED_DB, UNEXPLAINED_SHARE * expected)) | unlocked[cells]
    left.depth[cells] = np.where(covered, 0.0, more)
    left.known[cells] = np.where(covered, 0.0, left.known[cells])


def _widen(active: Bools) -> Bools:
    around: Bools = dilate(active[None], AROUND)[0]
    return around
