"""A simulated fleet as the topology that an analysis takes."""

from collections.abc import Iterable

import numpy as np

from ml.catalogue.topology import NetworkArrays, SiteArrays, Topology
from ml.numerics.arrays import Integers
from ml.simulation.fleet import Fleet


def build_topology(fleet: Fleet) -> Topology:
    """Returns the topology of a whole fleet, all in scope. Keys are its numbers, and satellites' places."""
    site_at = {site.number: place for place, site in enumerate(fleet.sites)}
    network_at = {network.number: place for place, network in enumerate(fleet.networks)}
    satellite_at = {satellite.name: place for place, satellite in enumerate(fleet.satellites)}
    transponders = sorted({(network.satellite, network.transponder) for network in fleet.networks})
    return Topology(
        links=_integers(link.number for link in fleet.links),
        link_names=tuple(link.name for link in fleet.links),
        network=_integers(network_at[link.network] for link in fleet.links),
        site=_integers(site_at[link.site] for link in fleet.links),
        in_scope=np.ones(len(fleet.links), dtype=bool),
        networks=NetworkArrays(
            _integers(network.number for network in fleet.networks),
            tuple(network.name for network in fleet.networks),
            _integers(site_at[network.hub] for network in fleet.networks),
            _integers(satellite_at[network.satellite] for network in fleet.networks),
            _integers(transponders.index((one.satellite, one.transponder)) for one in fleet.networks),
            np.array([network.band for network in fleet.networks], dtype=np.str_),
        ),
        sites=SiteArrays(
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


def _integers(values: Iterable[int]) -> Integers:
    return np.array(list(values), dtype=np.int64)
