"""Who could be at fault for an event: the things that the links hit have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.catalogue.topology import Plant
from ml.numerics.arrays import Bools, Integers
from ml.numerics.directions import in_both
from ml.root_cause.event_features import Shown
from ml.root_cause.events import Event
from ml.root_cause.signature import Signature, Way

MOST_OF_ONE: Final = 8  # links or sites hit: of more, no single one can be at fault
DRY_BAND: Final = "C"  # which rain hardly dims

Sharing: TypeAlias = Iterator[tuple[CulpritKind, int, Bools]]  # kind, the plant's index, (links,) that it would hit


@dataclass(frozen=True)
class Suspect:
    """A culprit with the streams (streams,) that it would hit; `index` is the plant's."""

    kind: CulpritKind
    index: int
    members: Bools


def suspects(plant: Plant, event: Event, seen: Shown, signature: Signature, way: Way) -> Iterator[Suspect]:
    """Whoever has to do with a link that is hit, and can be at fault in the way of the signature."""
    links = len(plant.links)
    ways = np.repeat([way != "OB", way != "IB"], links)
    for kind, index, members in _sharing(plant, event.links, seen.centre, signature, way):
        yield Suspect(kind, index, in_both(members) & ways)


def _sharing(plant: Plant, hit: Integers, centre: int, signature: Signature, way: Way) -> Sharing:
    match signature.culprit:
        case CulpritKind.LINK:
            return _links(plant, hit, signature.cause)
        case CulpritKind.NETWORK:
            return _each(CulpritKind.NETWORK, plant.network, hit)
        case CulpritKind.SATELLITE:
            return _transponders(plant, hit)
        case CulpritKind.SITE:
            return _at_sites(plant, hit, centre, signature, way)


def _at_sites(plant: Plant, hit: Integers, centre: int, signature: Signature, way: Way) -> Sharing:
    match signature.cause:
        case RootCause.POWER_OUTAGE | RootCause.BLOCKAGE as cause:
            return _sites(plant, hit, cause)
        case RootCause.SUN_TRANSIT:
            return _before_the_sun(plant, hit, way)
        case RootCause.RAIN_FADE:
            return _wet(plant, hit, None if signature.at_hub else centre)
        case _:
            return _each(CulpritKind.SITE, plant.hub, hit)


def _each(kind: CulpritKind, shared: Integers, hit: Integers) -> Sharing:
    """One for every value of `shared` (links,) that a link hit has."""
    for index in np.unique(shared[hit]).tolist():
        yield kind, index, shared == index


def _links(plant: Plant, hit: Integers, cause: RootCause) -> Sharing:
    """Congestion is a carrier's: a link's only where it has one to itself."""
    if cause is RootCause.CONGESTION:
        alone = np.bincount(plant.network) == 1
        hit = hit[alone[plant.network[hit]]]
    if len(hit) <= MOST_OF_ONE:
        yield from _each(CulpritKind.LINK, np.arange(len(plant.links)), hit)


def _transponders(plant: Plant, hit: Integers) -> Sharing:
    for transponder in np.unique(plant.transponder[hit]).tolist():
        satellite = int(plant.transponder_satellite[transponder])
        yield CulpritKind.SATELLITE, satellite, plant.transponder == transponder


def _sites(plant: Plant, hit: Integers, cause: RootCause) -> Sharing:
    """Remotes; electricity may also fail at a hub."""
    if len(np.unique(plant.site[hit])) <= MOST_OF_ONE:
        yield from _each(CulpritKind.SITE, plant.site, hit)
    if cause is RootCause.POWER_OUTAGE:
        yield from _each(CulpritKind.SITE, plant.hub, hit)


def _before_the_sun(plant: Plant, hit: Integers, way: Way) -> Sharing:
    """Seen from a hub, whose links by one satellite suffer inbound; from the remotes, outbound."""
    if way != "IB":
        struck = np.isin(np.arange(len(plant.links)), hit)
        for kind, satellite, members in _each(CulpritKind.SATELLITE, plant.satellite, hit):
            yield kind, satellite, members & struck
        return
    for kind, hub, of_hub in _each(CulpritKind.SITE, plant.hub, hit):
        for satellite in np.unique(plant.satellite[hit[of_hub[hit]]]).tolist():
            yield kind, hub, of_hub & (plant.satellite == satellite)


def _wet(plant: Plant, hit: Integers, centre: int | None) -> Sharing:
    """Over the hub, or over the remotes hit around a site in their middle."""
    wet = plant.networks.band[plant.network] != DRY_BAND
    if centre is not None:
        yield CulpritKind.SITE, centre, np.isin(np.arange(len(plant.links)), hit) & wet
        return
    for kind, hub, of_hub in _each(CulpritKind.SITE, plant.hub, hit):
        yield kind, hub, of_hub & wet
