"""One fault, one pattern: events of the same fault are joined, and what another fault brings with it is left out."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ml.catalogue.root_causes import RootCause
from ml.catalogue.topology import SiteArrays, Topology
from ml.numerics.geodesy import km_apart
from ml.root_cause.degradation import Channel
from ml.root_cause.events import Event
from ml.root_cause.localization import Explanation

WORTH: Final = 100.0  # dB times samples times links: less that may be anything is not worth a word
DOUBT: Final = 0.25
STORM_KM: Final = 300.0
STORM_GAP: Final = 12  # samples between two showers of one storm
BEFORE, AFTER = 2, 6  # samples by which a consequence may end before its fault begins, or begin after it ended
AT_ONCE: Final = 3  # concurrent causes at most


@dataclass(frozen=True)
class ExplainedEvent:
    """An event with its explanations, the best first; first and last are samples."""

    event: Event
    explanations: list[Explanation]
    first: int
    last: int

    @property
    def best(self) -> Explanation:
        return self.explanations[0]

    @property
    def is_unknown(self) -> bool:
        return self.best.cause is RootCause.UNKNOWN

    @property
    def is_doubtful(self) -> bool:
        """It may as well be anything."""
        return any(one.cause is RootCause.UNKNOWN and one.probability > DOUBT for one in self.explanations)

    @property
    def size(self) -> float:
        """In dB times samples times link directions."""
        return len(self.event.affected_streams) * float(self.event.profile.sum())


def group_faults(topology: Topology, explained: list[ExplainedEvent]) -> list[ExplainedEvent]:
    """One for each fault, at most three at a time."""
    return _concurrent(_without_consequences(_joined(topology, explained)))


# ---------------------------------------------------------------- the same fault


def _joined(topology: Topology, explained: list[ExplainedEvent]) -> list[ExplainedEvent]:
    """The same cause of the same culprit is one fault, however often it came; so are showers of one storm."""
    kept: list[ExplainedEvent] = []
    for one in explained:
        same = next((place for place, other in enumerate(kept) if _same(topology, one, other)), None)
        if same is None:
            kept.append(one)
        else:
            kept[same] = _both(kept[same], one)
    return kept


def _same(topology: Topology, one: ExplainedEvent, other: ExplainedEvent) -> bool:
    own, theirs = one.best.candidate, other.best.candidate
    if one.best.cause is not other.best.cause or own is None or theirs is None:
        return False
    if (own.kind, own.index) == (theirs.kind, theirs.index):
        return True
    overlap = min(one.last, other.last) - max(one.first, other.first)
    if one.best.cause is RootCause.RAIN_FADE and _one_storm(topology.sites, own.index, theirs.index):
        return overlap >= -STORM_GAP
    return overlap >= 0 and np.intersect1d(one.event.affected_links, other.event.affected_links).size > 0


def _one_storm(sites: SiteArrays, one: int, other: int) -> bool:
    """The middles of two rain cells are that close."""
    latitude, longitude = sites.latitude, sites.longitude
    return bool(km_apart(latitude[[one]], longitude[[one]], latitude[other], longitude[other])[0] <= STORM_KM)


def _both(main: ExplainedEvent, other: ExplainedEvent) -> ExplainedEvent:
    one, two = _scaled(main.event), _scaled(other.event)
    event = replace(
        one,
        profile=np.maximum(one.profile, two.profile),
        active=one.active | two.active,
        loading=np.maximum(one.loading, np.where(two.membership > 0.5, two.loading, 0.0)),
        membership=np.maximum(one.membership, two.membership),
        evidence=one.evidence | two.evidence,
        runs=one.runs + two.runs,
    )
    return replace(main, event=event, first=min(main.first, other.first), last=max(main.last, other.last))


def _scaled(event: Event) -> Event:
    """Its course as those hit show it in the median, so that courses compare."""
    scale = float(np.median(event.loading[event.affected_streams])) if event.affected_streams.size else 1.0
    return replace(event, profile=event.profile * np.float32(scale), loading=event.loading / np.float32(scale))


# ---------------------------------------------------------------- consequences


def _without_consequences(explained: list[ExplainedEvent]) -> list[ExplainedEvent]:
    """Leave out what another one brings with it, and what may be anything and is small.

    A queue where signal or electricity fails, and what is left of a fade whose course was not quite the common one.
    """
    return [one for one in explained if not _brought(one, explained) and (not one.is_doubtful or one.size > WORTH)]


def _brought(one: ExplainedEvent, explained: list[ExplainedEvent]) -> bool:
    """Others that may have it in their train hit most of its links at the same time."""
    links = len(one.event.membership) // 2
    around = [other for other in explained if other.first - BEFORE <= one.last and one.first <= other.last + AFTER]
    greater = [other for other in around if other is not one and _brings(other, one)]
    struck = {link for other in greater for link in other.event.affected_links.tolist()}
    own = (one.event.affected_streams % links).tolist()
    return sum(link in struck for link in own) >= 0.5 * len(own)


def _brings(greater: ExplainedEvent, minor: ExplainedEvent) -> bool:
    """Whether the one may have the other in its train."""
    if minor.event.channel is Channel.CONGESTION:
        return greater.event.channel is not Channel.CONGESTION
    if minor.event.channel is Channel.OUTAGE:  # what fades far enough falls silent
        fading = greater.event.channel is Channel.SIGNAL and not greater.is_unknown
        return fading and (greater.first < minor.first or greater.best.cause is RootCause.RAIN_FADE)
    return minor.is_unknown and greater.size > minor.size


def _concurrent(explained: list[ExplainedEvent]) -> list[ExplainedEvent]:
    """At most three at a time, those that most links follow for longest."""
    kept: list[ExplainedEvent] = []
    for one in sorted(explained, key=lambda one: -len(one.event.affected_streams) * float(one.event.active.sum())):
        at_once = [other for other in kept if other.first <= one.last and one.first <= other.last]
        if len(at_once) < AT_ONCE:
            kept.append(one)
    return kept
