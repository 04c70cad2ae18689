"""The part of a fleet that an analysis looks at: links, and what they share, as arrays."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.root_causes import CulpritKind
from ml.numerics.arrays import Bools, Floats, Integers


@dataclass(frozen=True)
class SiteArrays:
    """Sites, hubs among them: the caller's keys and names; degrees north and east and dish in metres, NaN = unknown."""

    keys: Integers
    names: tuple[str, ...]
    latitude: Floats
    longitude: Floats
    antenna_diameter_m: Floats
    mobile: Bools


@dataclass(frozen=True)
class NetworkArrays:
    """Networks: `hub` indexes the sites, `transponder` and `satellite` those of the plant; bands are C, KU, KA."""

    keys: Integers
    names: tuple[str, ...]
    hub: Integers
    satellite: Integers
    transponder: Integers
    band: NDArray[np.str_]


@dataclass(frozen=True)
class Topology:
    """Links (links,) with indices into networks and sites; `in_scope`: asked about, the others only surround them.

    Keys are the caller's, for example of a database. A transponder is one pair of satellite and transponder's name;
    networks whose transponder is unknown share one per satellite.
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
        """(links,) the hub's index into the sites."""
        return self.networks.hub[self.network]

    @cached_property
    def transponder(self) -> Integers:
        """(links,)"""
        return self.networks.transponder[self.network]

    @cached_property
    def satellite(self) -> Integers:
        """(links,)"""
        return self.networks.satellite[self.network]

    def scoped(self, in_scope: Bools) -> Self:
        return replace(self, in_scope=in_scope)

    def key(self, kind: CulpritKind, index: int) -> int:
        keys = {
            CulpritKind.SATELLITE: self.satellites,
            CulpritKind.SITE: self.sites.keys,
            CulpritKind.NETWORK: self.networks.keys,
            CulpritKind.LINK: self.links,
        }
        return int(keys[kind][index])
