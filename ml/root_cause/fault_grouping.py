"""Fault grouping: events of one fault become one, and the consequences of another fault are dropped."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ml.catalogue.root_causes import RootCause
from ml.catalogue.topology import SiteArrays, Topology
from ml.numerics.geodesy import km_apart
from ml.root_cause.degradation import Channel
from ml.root_cause.directions import repeat_for_directions
from ml.root_cause.events import Event
from ml.root_cause.localization import Explanation

LEAST_SIZE: Final = 100.0  # dB × samples × streams: smaller doubtful events are dropped
DOUBT: Final = 0.25  # probability of an unknown cause
STORM_KM: Final = 300.0
STORM_GAP: Final = 12  # samples between two showers of one storm
BEFORE, AFTER = 2, 6  # samples by which a consequence may precede its fault, or outlast it
AT_ONCE: Final = 3  # concurrent faults at most


@dataclass(frozen=True)
class ExplainedEvent:
    """An event with its explanations, best first. first, last: samples of its onset and its end."""

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
        """Whether an unknown cause is about as likely."""
        return any(one.cause is RootCause.UNKNOWN and one.probability > DOUBT for one in self.explanations)

    @property
    def size(self) -> float:
        """Its area in dB × samples × streams."""
        return len(self.event.affected_streams) * float(self.event.profile.sum())


def group_faults(topology: Topology, explained: list[ExplainedEvent]) -> list[ExplainedEvent]:
    """Returns one explained event for each fault that touches the scope, at most three at a time."""
    scope = repeat_for_directions(topology.in_scope)
    faults = _drop_consequences(_join(topology, explained))
    return _keep_concurrent([fault for fault in faults if scope[fault.event.affected_streams].any()])


# ---------------------------------------------------------------- the same fault


def _join(topology: Topology, explained: list[ExplainedEvent]) -> list[ExplainedEvent]:
    """Joins events of the same cause and culprit, however often they occurred, and the showers of one storm."""
    kept: list[ExplainedEvent] = []
    for event in explained:
        same = next((place for place, other in enumerate(kept) if _is_same(topology, event, other)), None)
        if same is None:
            kept.append(event)
        else:
            kept[same] = _merge(kept[same], event)
    return kept


def _is_same(topology: Topology, event: ExplainedEvent, other: ExplainedEvent) -> bool:
    own, theirs = event.best.candidate, other.best.candidate
    if event.best.cause is not other.best.cause or own is None or theirs is None:
        return False
    if (own.kind, own.index) == (theirs.kind, theirs.index):
        return True
    overlap = min(event.last, other.last) - max(event.first, other.first)
    if event.best.cause is RootCause.RAIN_FADE and _is_one_storm(topology.sites, own.index, theirs.index):
        return overlap >= -STORM_GAP
    return overlap >= 0 and np.intersect1d(event.event.affected_links, other.event.affected_links).size > 0


def _is_one_storm(sites: SiteArrays, centre: int, other: int) -> bool:
    """Returns whether the centres of two rain cells are near enough."""
    latitude, longitude = sites.latitude, sites.longitude
    return bool(km_apart(latitude[[centre]], longitude[[centre]], latitude[other], longitude[other])[0] <= STORM_KM)


def _merge(main: ExplainedEvent, other: ExplainedEvent) -> ExplainedEvent:
    """Returns both events as one, with the explanations of the first."""
    first, second = _normalize(main.event), _normalize(other.event)
    event = replace(
        first,
        profile=np.maximum(first.profile, second.profile),
        active=first.active | second.active,
        loading=np.maximum(first.loading, np.where(second.membership > 0.5, second.loading, 0.0)),
        membership=np.maximum(first.membership, second.membership),
        evidence=first.evidence | second.evidence,
        runs=first.runs + second.runs,
    )
    return replace(main, event=event, first=min(main.first, other.first), last=max(main.last, other.last))


def _normalize(event: Event) -> Event:
    """Returns the event with a median loading of 1, so that profiles are comparable."""
    scale = float(np.median(event.loading[event.affected_streams])) if event.affected_streams.size else 1.0
    return replace(event, profile=event.profile * np.float32(scale), loading=event.loading / np.float32(scale))


# ---------------------------------------------------------------- consequences


def _drop_consequences(explained: list[ExplainedEvent]) -> list[ExplainedEvent]:
    """Drops side effects of other events, and small doubtful ones.

    Side effects are congestion while the signal or the electricity fails, and what remains of a fade whose profile was
    not quite the common one.
    """
    kept = (event for event in explained if not event.is_doubtful or event.size > LEAST_SIZE)
    return [event for event in kept if not _is_consequence(event, explained)]


def _is_consequence(event: ExplainedEvent, explained: list[ExplainedEvent]) -> bool:
    """Returns whether events that can cause it affect most of its links at the same time."""
    links = len(event.event.membership) // 2
    around = [other for other in explained if other.first - BEFORE <= event.last and event.first <= other.last + AFTER]
    causes = [other for other in around if other is not event and _can_cause(other, event)]
    affected = {link for other in causes for link in other.event.affected_links.tolist()}
    own = (event.event.affected_streams % links).tolist()
    return sum(link in affected for link in own) >= 0.5 * len(own)


def _can_cause(greater: ExplainedEvent, minor: ExplainedEvent) -> bool:
    """Returns whether `minor` can be a side effect of `greater`."""
    if minor.event.channel is Channel.CONGESTION:
        return greater.event.channel is not Channel.CONGESTION
    if minor.event.channel is Channel.OUTAGE:  # a link that fades far enough falls silent
        fading = greater.event.channel is Channel.SIGNAL and not greater.is_unknown
        return fading and (greater.first < minor.first or greater.best.cause is RootCause.RAIN_FADE)
    return minor.is_unknown and greater.size > minor.size


def _keep_concurrent(explained: list[ExplainedEvent]) -> list[ExplainedEvent]:
    """Keeps at most `AT_ONCE` events at a time, those with most streams for longest."""
    kept: list[ExplainedEvent] = []
    for event in sorted(explained, key=_extent, reverse=True):
        at_once = [other for other in kept if other.first <= event.last and event.first <= other.last]
        if len(at_once) < AT_ONCE:
            kept.append(event)
    return kept


def _extent(event: ExplainedEvent) -> float:
    """Returns streams × samples."""
    return len(event.event.affected_streams) * float(event.event.active.sum())
