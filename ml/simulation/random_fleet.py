"""Random operators, as different from one another as real ones are, for training and evaluation."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ml.simulation.fleet import Band, Fleet, LinkSpec, NetworkSpec, SatelliteSpec, SiteSpec

BANDS: Final[tuple[Band, ...]] = ("KU", "KA", "C")
BANDS_CHANCE: Final = (0.6, 0.2, 0.2)
SHARED: Final = 0.45  # share of networks on a transponder that another network uses already
NEIGHBOURING: Final = 0.3  # share of networks with remotes where another network has them
MOBILE: Final = 0.35  # share of networks that serve vessels
SCATTER_DEGREES: Final = (0.1, 0.5, 1.5, 6.0)  # of a network's remotes: a town, a county, a country, half a continent
DISHES_M: Final = {True: (0.8, 1.0, 1.2), False: (1.2, 1.8, 2.4)}  # mobile or not


@dataclass
class _Shared:
    """What a fleet's networks may share."""

    satellites: tuple[SatelliteSpec, ...]
    hubs: tuple[SiteSpec, ...]
    transponders: list[tuple[str, str, Band]] = field(default_factory=list)
    regions: list[tuple[float, float, float]] = field(default_factory=list)


def random_fleet(rng: np.random.Generator, largest: int = 30) -> Fleet:
    """Returns 2 to 4 satellites, 2 to 5 hubs and 4 to 10 networks of 4 to `largest` links, numbered as `demo_fleet`."""
    longitudes = np.sort(rng.uniform(-40.0, 60.0, rng.integers(2, 5))).round(1)
    satellites = tuple(SatelliteSpec(f"Orbiter {1 + order}", float(east)) for order, east in enumerate(longitudes))
    hubs = tuple(_hub(rng, 1 + order) for order in range(rng.integers(2, 6)))
    shared = _Shared(satellites, hubs)
    networks: list[NetworkSpec] = []
    sites: list[SiteSpec] = []
    links: list[LinkSpec] = []
    for order in range(rng.integers(4, 11)):
        network = _network(rng, shared, 101 + order)
        networks.append(network)
        for site in _remotes(rng, shared, network, 1001 + len(sites), largest):
            links.append(LinkSpec(5001 + len(sites), site.name, network.number, site.number))
            sites.append(site)
    return Fleet(satellites, hubs + tuple(sites), tuple(networks), tuple(links))


def _hub(rng: np.random.Generator, number: int) -> SiteSpec:
    north, east = float(rng.uniform(36.0, 56.0)), float(rng.uniform(-8.0, 28.0))
    return SiteSpec(number, f"Teleport {number}", "HUB", round(north, 3), round(east, 3), 9.0, mobile=False)


def _network(rng: np.random.Generator, shared: _Shared, number: int) -> NetworkSpec:
    if not shared.transponders or rng.random() > SHARED:
        satellite = shared.satellites[int(rng.integers(len(shared.satellites)))].name
        band = BANDS[int(rng.choice(len(BANDS), p=BANDS_CHANCE))]
        shared.transponders.append((satellite, f"{band}-{1 + len(shared.transponders):02}", band))
        chosen = shared.transponders[-1]
    else:
        chosen = shared.transponders[int(rng.integers(len(shared.transponders)))]
    satellite, transponder, band = chosen
    hub = shared.hubs[int(rng.integers(len(shared.hubs)))].number
    return NetworkSpec(number, f"Network {number}", hub, satellite, transponder, band)


def _remotes(
    rng: np.random.Generator, shared: _Shared, network: NetworkSpec, first: int, largest: int
) -> list[SiteSpec]:
    mobile = bool(rng.random() < MOBILE)
    latitude, longitude, scatter = _region(rng, shared, mobile)
    sites = []
    for number in range(first, first + int(rng.integers(4, largest + 1))):
        north = float(np.clip(latitude + rng.normal(0.0, scatter), -65.0, 65.0))
        east = float(longitude + rng.normal(0.0, scatter) / np.cos(np.radians(north)))
        name = f"{'Vessel' if mobile else 'Branch'} {number} of {network.name}"
        dish = float(rng.choice(DISHES_M[mobile]))
        sites.append(SiteSpec(number, name, "REMOTE", round(north, 4), round(east, 4), dish, mobile))
    return sites


def _region(rng: np.random.Generator, shared: _Shared, mobile: bool) -> tuple[float, float, float]:
    """Returns latitude, longitude and scatter, in degrees."""
    if shared.regions and rng.random() < NEIGHBOURING:
        return shared.regions[int(rng.integers(len(shared.regions)))]
    east = shared.satellites[int(rng.integers(len(shared.satellites)))].longitude
    scatter = float(rng.choice(SCATTER_DEGREES[2 if mobile else 0 :]))
    region = (float(rng.uniform(-35.0, 58.0)), east + float(rng.uniform(-30.0, 30.0)), scatter)
    shared.regions.append(region)
    return region
