"""A simulated operator's satellites, sites, networks and links, to demonstrate and train with."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from ml.numerics.arrays import Floats

Role = Literal["HUB", "REMOTE"]
Band = Literal["C", "KU", "KA"]


@dataclass(frozen=True)
class SatelliteSpec:
    """A geostationary satellite; longitude in degrees east."""

    name: str
    longitude: float


@dataclass(frozen=True)
class SiteSpec:
    """A hub or a remote; position in degrees north and east."""

    number: int
    name: str
    role: Role
    latitude: float
    longitude: float
    antenna_diameter_m: float
    mobile: bool


@dataclass(frozen=True)
class NetworkSpec:
    """The remotes of a hub on one transponder; `hub` is the number of the hub's site."""

    number: int
    name: str
    hub: int
    satellite: str
    transponder: str
    band: Band


@dataclass(frozen=True)
class LinkSpec:
    """A remote's pair of directions; `network` and `site` are their numbers."""

    number: int
    name: str
    network: int
    site: int


@dataclass(frozen=True)
class Fleet:
    """Everything an operator runs; links refer to networks and sites by number."""

    satellites: tuple[SatelliteSpec, ...]
    sites: tuple[SiteSpec, ...]
    networks: tuple[NetworkSpec, ...]
    links: tuple[LinkSpec, ...]

    @cached_property
    def site_of(self) -> dict[int, SiteSpec]:
        return {site.number: site for site in self.sites}

    @cached_property
    def network_of(self) -> dict[int, NetworkSpec]:
        return {network.number: network for network in self.networks}

    @cached_property
    def link_networks(self) -> tuple[NetworkSpec, ...]:
        """Each link's network, in the order of the links."""
        return tuple(self.network_of[link.network] for link in self.links)

    @cached_property
    def link_places(self) -> Floats:
        """The remotes' degrees north and east, shape (2, links)."""
        sites = [self.site_of[link.site] for link in self.links]
        return np.array([[site.latitude for site in sites], [site.longitude for site in sites]])


@dataclass(frozen=True)
class _Region:
    """The remotes of a network: their kind, and their position and scatter in degrees."""

    network: int
    kind: str
    latitude: float
    longitude: float
    scatter: float
    names: tuple[str, ...]

    @property
    def mobile(self) -> bool:
        return self.kind == "MV"


SATELLITES: Final = (
    SatelliteSpec("Meridian 1", -24.5),
    SatelliteSpec("Meridian 2", 13.0),
    SatelliteSpec("Meridian 3", 68.5),
)
HUBS: Final = (
    SiteSpec(1, "Raisting Teleport", "HUB", 47.902, 11.112, 9.0, mobile=False),
    SiteSpec(2, "Goonhilly Teleport", "HUB", 50.048, -5.182, 7.3, mobile=False),
    SiteSpec(3, "Fucino Teleport", "HUB", 41.978, 13.601, 9.0, mobile=False),
    SiteSpec(4, "Thermopylae Teleport", "HUB", 38.823, 22.687, 6.3, mobile=False),
)
# 101 and 103 share a transponder, and so do 104 and 105, each from two hubs: interference crosses hubs.
NETWORKS: Final = (
    NetworkSpec(101, "North Sea Energy", 1, "Meridian 2", "KU-07", "KU"),
    NetworkSpec(102, "Central Retail", 1, "Meridian 2", "KA-03", "KA"),
    NetworkSpec(103, "Atlantic Maritime", 2, "Meridian 2", "KU-07", "KU"),
    NetworkSpec(104, "Gulf of Guinea Offshore", 2, "Meridian 1", "C-12", "C"),
    NetworkSpec(105, "West Africa Enterprise", 3, "Meridian 1", "C-12", "C"),
    NetworkSpec(106, "Indian Ocean Maritime", 4, "Meridian 3", "KU-15", "KU"),
)
RIGS: Final = ("Alba", "Brae", "Cormorant", "Dunlin", "Ekofisk", "Forties", "Gullfaks", "Heather", "Troll", "Valhall")
TOWNS: Final = ("Augsburg", "Bergamo", "Brno", "Graz", "Linz", "Ljubljana", "Plzen", "Salzburg", "Trento", "Zagreb")
VESSELS: Final = ("Aurora", "Borealis", "Celeste", "Dorado", "Estrella", "Fjord", "Halcyon", "Ibis", "Juno", "Kestrel")
FIELDS: Final = ("Agbami", "Akpo", "Bonga", "Dalia", "Egina", "Girassol", "Jubilee", "Kizomba", "Okume", "Zafiro")
CITIES: Final = ("Abidjan", "Accra", "Bamako", "Conakry", "Cotonou", "Dakar", "Douala", "Kumasi", "Lagos", "Lomé")
SHIPS: Final = ("Amber", "Coral", "Emerald", "Jade", "Lapis", "Onyx", "Opal", "Pearl", "Ruby", "Topaz")
REGIONS: Final = (
    _Region(101, "Rig", 58.5, 1.8, 0.8, RIGS),
    _Region(102, "Branch", 47.3, 13.5, 0.7, TOWNS),
    _Region(103, "MV", 45.0, -12.0, 6.0, VESSELS),
    _Region(104, "FPSO", 3.5, 5.5, 1.2, FIELDS),
    _Region(105, "Branch", 7.5, -1.5, 1.5, CITIES),
    _Region(106, "MV", -4.0, 65.0, 8.0, SHIPS),
)


def demo_fleet(seed: int = 1, remotes: int = 120) -> Fleet:
    """Returns three satellites, four hubs, six networks, and `remotes` remotes with a link each.

    Hubs are numbered from 1, networks from 101, remotes from 1001, links from 5001. The seed places the remotes.
    """
    rng = np.random.default_rng([seed, 101])
    sites = tuple(_remote(rng, order) for order in range(remotes))
    links = tuple(
        LinkSpec(5001 + order, site.name, REGIONS[order % len(REGIONS)].network, site.number)
        for order, site in enumerate(sites)
    )
    return Fleet(SATELLITES, HUBS + sites, NETWORKS, links)


def _remote(rng: np.random.Generator, order: int) -> SiteSpec:
    region, turn = REGIONS[order % len(REGIONS)], order // len(REGIONS)
    series, which = divmod(turn, len(region.names))
    name = f"{region.kind} {region.names[which]}" + (f" {series + 1}" if series else "")
    north, east = rng.normal(0.0, region.scatter, 2)
    diameter = float(rng.choice((1.0, 1.2) if region.mobile else (1.2, 1.8, 2.4)))
    latitude, longitude = round(region.latitude + north, 4), round(region.longitude + east, 4)
    return SiteSpec(1001 + order, name, "REMOTE", latitude, longitude, diameter, region.mobile)
