"""The part of a fleet that an analysis looks at: links, and what they share, as arrays."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import Floats
from ml.catalogue.root_causes import CulpritKind
from ml.simulation.fleet import Fleet

Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Places:
    """Sites, hubs among them: the caller's keys and names; degrees north and east and dish in metres, NaN = unknown."""

    keys: Indices
    names: tuple[str, ...]
    latitude: Floats
    longitude: Floats
    antenna_diameter_m: Floats
    mobile: Bools


@dataclass(frozen=True)
class Carriers:
    """Networks: `hub` indexes the sites, `transponder` and `satellite` those of the plant; bands are C, KU, KA."""

    keys: Indices
    names: tuple[str, ...]
    hub: Indices
    satellite: Indices
    transponder: Indices
    band: NDArray[np.str_]


@dataclass(frozen=True)
class Plant:
    """Links (links,) with indices into networks and sites; `in_scope`: asked about, the others only surround them.

    Keys are the caller's, for example of a database. A transponder is one pair of satellite and transponder's name;
    networks whose transponder is unknown share one per satellite.
    """

    links: Indices
    link_names: tuple[str, ...]
    network: Indices
    site: Indices
    in_scope: Bools
    networks: Carriers
    sites: Places
    satellites: Indices
    satellite_names: tuple[str, ...]
    satellite_longitude: Floats
    transponder_names: tuple[str, ...]
    transponder_satellite: Indices

    @cached_property
    def hub(self) -> Indices:
        """(links,) the hub's index into the sites."""
        return self.networks.hub[self.network]

    @cached_property
    def transponder(self) -> Indices:
        """(links,)"""
        return self.networks.transponder[self.network]

    @cached_property
    def satellite(self) -> Indices:
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

    @classmethod
    def of_fleet(cls, fleet: Fleet) -> Self:
        """All of an invented fleet, all in scope; keys are its numbers, a satellite's its place."""
        site_at = {site.number: place for place, site in enumerate(fleet.sites)}
        network_at = {network.number: place for place, network in enumerate(fleet.networks)}
        satellite_at = {satellite.name: place for place, satellite in enumerate(fleet.satellites)}
        transponders = sorted({(network.satellite, network.transponder) for network in fleet.networks})
        return cls(
            links=_integers(link.number for link in fleet.links),
            link_names=tuple(link.name for link in fleet.links),
            network=_integers(network_at[link.network] for link in fleet.links),
            site=_integers(site_at[link.site] for link in fleet.links),
            in_scope=np.ones(len(fleet.links), dtype=bool),
            networks=Carriers(
                _integers(network.number for network in fleet.networks),
                tuple(network.name for network in fleet.networks),
                _integers(site_at[network.hub] for network in fleet.networks),
                _integers(satellite_at[network.satellite] for network in fleet.networks),
                _integers(transponders.index((one.satellite, one.transponder)) for one in fleet.networks),
                np.array([network.band for network in fleet.networks], dtype=np.str_),
            ),
            sites=Places(
                _integers(site.number for site in fleet.sites),
                tuple(site.name for site in fleet.sites),
                np.array([site.latitude for site in fleet.sites], dtype=np.float64),
                np.array([site.longitude for site in fleet.sites], dtype=np.float64),
                np.array([site.antenna_diameter_m for site in fleet.sites], dtype=np.float64),
                np.array([site.mobile for site in fleet.sites], dtype=bool),
            ),
            satellites=np.arange(len(fleet.satellites)),
            satellite_names=tuple(satellite.name for satellite in fleet.satellites),
            satellite_longitude=np.array([satellite.longitude for satellite in fleet.satellites], dtype=np.float64),
            transponder_names=tuple(name for _, name in transponders),
            transponder_satellite=_integers(satellite_at[satellite] for satellite, _ in transponders),
        )


def _integers(values: object) -> Indices:
    return np.array(list(values), dtype=np.int64)  # type: ignore[call-overload]
