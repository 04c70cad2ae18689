"""Candidates: who could be at fault for an event, by what the affected links have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Integers
from ml.root_cause.directions import repeat_for_directions
from ml.root_cause.event_features import EventFeatures
from ml.root_cause.events import Event
from ml.root_cause.signature import DirectionMask, Signature

MOST_OF_ONE: Final = 8  # affected links or sites: of more, no single one can be at fault
DRY_BAND: Final = "C"  # which rain hardly attenuates

Sharing: TypeAlias = Iterator[tuple[CulpritKind, int, Bools]]  # kind, topology's index, links that it affects (links,)


@dataclass(frozen=True)
class CulpritCandidate:
    """A possible culprit. index: the topology's. members: the streams that it would affect, shape (streams,)."""

    kind: CulpritKind
    index: int
    members: Bools


def find_candidates(
    topology: Topology, event: Event, event_features: EventFeatures, signature: Signature, direction_mask: DirectionMask
) -> Iterator[CulpritCandidate]:
    """Yields whoever is connected to an affected link and could be at fault as the signature says."""
    links = len(topology.links)
    directions = np.repeat([direction_mask != "OB", direction_mask != "IB"], links)
    sharing = _find_sharing(topology, event.affected_links, event_features.centre, signature, direction_mask)
    for kind, index, members in sharing:
        yield CulpritCandidate(kind, index, repeat_for_directions(members) & directions)


def _find_sharing(
    topology: Topology, affected: Integers, centre: int, signature: Signature, direction_mask: DirectionMask
) -> Sharing:
    match signature.culprit:
        case CulpritKind.LINK:
            return _links(topology, affected, signature.cause)
        case CulpritKind.NETWORK:
            return _each(CulpritKind.NETWORK, topology.network, affected)
        case CulpritKind.SATELLITE:
            return _transponders(topology, affected)
        case CulpritKind.SITE:
            return _at_sites(topology, affected, centre, signature, direction_mask)


def _at_sites(
    topology: Topology, affected: Integers, centre: int, signature: Signature, direction_mask: DirectionMask
) -> Sharing:
    match signature.cause:
        case RootCause.POWER_OUTAGE | RootCause.BLOCKAGE as cause:
            return _sites(topology, affected, cause)
        case RootCause.SUN_TRANSIT:
            return _sun_transit(topology, affected, direction_mask)
        case RootCause.RAIN_FADE:
            return _rainy(topology, affected, None if signature.at_hub else centre)
        case _:
            return _each(CulpritKind.SITE, topology.hub, affected)


def _each(kind: CulpritKind, shared: Integers, affected: Integers) -> Sharing:
    """Yields a candidate for every value of `shared`, shape (links,), among the affected links."""
    for index in np.unique(shared[affected]).tolist():
        yield kind, index, shared == index


def _links(topology: Topology, affected: Integers, cause: RootCause) -> Sharing:
    """Yields single links. Congestion is a network's, and a link's only if it is alone in its network."""
    if cause is RootCause.CONGESTION:
        alone = np.bincount(topology.network) == 1
        affected = affected[alone[topology.network[affected]]]
    if len(affected) <= MOST_OF_ONE:
        yield from _each(CulpritKind.LINK, np.arange(len(topology.links)), affected)


def _transponders(topology: Topology, affected: Integers) -> Sharing:
    for transponder in np.unique(topology.transponder[affected]).tolist():
        satellite = int(topology.transponder_satellite[transponder])
        yield CulpritKind.SATELLITE, satellite, topology.transponder == transponder


def _sites(topology: Topology, affected: Integers, cause: RootCause) -> Sharing:
    """Yields remotes, and for outages their hubs."""
    if len(np.unique(topology.site[affected])) <= MOST_OF_ONE:
        yield from _each(CulpritKind.SITE, topology.site, affected)
    if cause is RootCause.POWER_OUTAGE:
        yield from _each(CulpritKind.SITE, topology.hub, affected)


def _sun_transit(topology: Topology, affected: Integers, direction_mask: DirectionMask) -> Sharing:
    """Yields hubs with their links on one satellite, for inbound, or satellites with the affected remotes."""
    if direction_mask != "IB":
        struck = np.isin(np.arange(len(topology.links)), affected)
        for kind, satellite, members in _each(CulpritKind.SATELLITE, topology.satellite, affected):
            yield kind, satellite, members & struck
        return
    for kind, hub, of_hub in _each(CulpritKind.SITE, topology.hub, affected):
        for satellite in np.unique(topology.satellite[affected[of_hub[affected]]]).tolist():
            yield kind, hub, of_hub & (topology.satellite == satellite)


def _rainy(topology: Topology, affected: Integers, centre: int | None) -> Sharing:
    """Yields hubs, or the centre of the affected remotes. centre: None for rain on hubs."""
    rain_sensitive = topology.networks.band[topology.network] != DRY_BAND
    if centre is not None:
        yield CulpritKind.SITE, centre, np.isin(np.arange(len(topology.links)), affected) & rain_sensitive
        return
    for kind, hub, of_hub in _each(CulpritKind.SITE, topology.hub, affected):
        yield kind, hub, of_hub & rain_sensitive
