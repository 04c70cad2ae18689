"""The topology of links: what they share, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.root_causes import CulpritKind
from ml.numerics.arrays import Bools, Floats, Integers


@dataclass(frozen=True)
class SiteArrays:
    """Sites, hubs among them, each array of shape (sites,); NaN = not known.

    keys: the caller's. latitude, longitude: degrees north and east.
    """

    keys: Integers
    names: tuple[str, ...]
    latitude: Floats
    longitude: Floats
    antenna_diameter_m: Floats
    mobile: Bools


@dataclass(frozen=True)
class NetworkArrays:
    """Networks, each array of shape (networks,).

    keys: the caller's. hub: index into the sites. satellite, transponder: indices into those of the topology.
    band: C, KU or KA.
    """

    keys: Integers
    names: tuple[str, ...]
    hub: Integers
    satellite: Integers
    transponder: Integers
    band: NDArray[np.str_]


@dataclass(frozen=True)
class Topology:
    """Links and their shared risks.

    links: the caller's keys, shape (links,). network, site: indices into networks and sites, shape (links,).
    in_scope: the links that an analysis is about, shape (links,); the others are for comparison.
    satellites: the caller's keys, shape (satellites,). satellite_longitude: degrees east, shape (satellites,).
    transponder_satellite: each transponder's satellite, shape (transponders,). A transponder is a pair of satellite and
    name; networks of unknown transponder share one per satellite.
    """

    links: Integers
    link_names: tuple[str, ...]
    network: Integers
    site: Integers
    in_scope: Bools
    networks: NetworkArrays
    sites: SiteArrays
    satellites: Integers
    satellite_names: tuple[str, ...]
    satellite_longitude: Floats
    transponder_names: tuple[str, ...]
    transponder_satellite: Integers

    @cached_property
    def hub(self) -> Integers:
        """The hub's index into the sites, shape (links,)."""
        return self.networks.hub[self.network]

    @cached_property
    def transponder(self) -> Integers:
        """The transponder's index, shape (links,)."""
        return self.networks.transponder[self.network]

    @cached_property
    def satellite(self) -> Integers:
        """The satellite's index, shape (links,)."""
        return self.networks.satellite[self.network]

    def scoped(self, in_scope: Bools) -> Self:
        """Returns the same topology with another scope, shape (links,)."""
        return replace(self, in_scope=in_scope)

    def key(self, kind: CulpritKind, index: int) -> int:
        """Returns the caller's key of a culprit, from its index."""
        return int(self.keys(kind)[index])

    def keys(self, kind: CulpritKind) -> Integers:
        """Returns the caller's keys of all culprits of a kind."""
        return {
            CulpritKind.SATELLITE: self.satellites,
            CulpritKind.SITE: self.sites.keys,
            CulpritKind.NETWORK: self.networks.keys,
            CulpritKind.LINK: self.links,
        }[kind]


def place_sites(topology: Topology, positions: Mapping[int, tuple[float, float]]) -> Topology:
    """Returns the topology with some sites at other places, degrees north and east by the caller's keys."""
    places = [place for place, key in enumerate(topology.sites.keys.tolist()) if key in positions]
    if not places:
        return topology
    latitude, longitude = topology.sites.latitude.copy(), topology.sites.longitude.copy()
    for place in places:
        latitude[place], longitude[place] = positions[int(topology.sites.keys[place])]
    return replace(topology, sites=replace(topology.sites, latitude=latitude, longitude=longitude))
