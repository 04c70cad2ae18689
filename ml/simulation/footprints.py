"""Which links a fault reaches, and how much of it each gets."""

from typing import Final

import numpy as np

from ml.numerics.arrays import Floats
from ml.numerics.geodesy import KM_PER_DEGREE, degrees_apart, km_apart
from ml.simulation.fleet import Fleet, SiteSpec

GUST_KMH: Final = 15.0  # standard deviation, in each direction, of how fast rain cells travel
TRANSIT_LATITUDE: Final = 4.0  # degrees north or south by which a day's sun transit fades out
TRANSIT_LONGITUDE: Final = 10.0  # degrees east or west over which it passes
TRANSIT_SHARE: Final = 0.6  # of the whole passage that one place sees


def select_links(
    fleet: Fleet,
    network: int | None,
    site: int | None,
    link: int | None,
    satellite: str | None,
    transponder: str | None,
) -> Floats:
    """(links,): 1 for links of everything that is named."""
    hit = [
        network in (None, own.number)
        and site in (None, one.site, own.hub)
        and link in (None, one.number)
        and satellite in (None, own.satellite)
        and transponder in (None, own.transponder)
        for one, own in zip(fleet.links, fleet.link_networks, strict=True)
    ]
    return np.array(hit, dtype=np.float64)


def rain_cell(
    fleet: Fleet, centre: SiteSpec, radius_km: float, minutes: Floats, duration_minutes: float, seed: int
) -> Floats:
    """(times, links): a Gaussian cell, over `centre` at half-time; with a seed it travels."""
    north_km, east_km = KM_PER_DEGREE * offsets_degrees(fleet, centre)
    speed = np.random.default_rng([seed, 33]).normal(0.0, GUST_KMH, 2) if seed else np.zeros(2)
    travelled = speed[:, None] * (minutes - duration_minutes / 2.0) / 60.0
    squared = (north_km - travelled[0][:, None]) ** 2 + (east_km - travelled[1][:, None]) ** 2
    cell: Floats = np.exp(-squared / radius_km**2)
    return cell


def offsets_degrees(fleet: Fleet, centre: SiteSpec) -> Floats:
    """(2, links): degrees of arc that each remote lies north and east of `centre`, on a plane: near enough."""
    latitude, longitude = fleet.link_places
    return np.stack(degrees_apart(latitude, longitude, centre.latitude, centre.longitude))


def distances_km(fleet: Fleet, centre: SiteSpec) -> Floats:
    """(links,): of each remote from `centre`."""
    latitude, longitude = fleet.link_places
    return km_apart(latitude, longitude, centre.latitude, centre.longitude)


def sun_over_remotes(fleet: Fleet, centre: SiteSpec, phase: Floats) -> Floats:
    """(times, links): the sun's passage, `phase` 0 to 1, by geography: by longitude in time, by latitude in depth."""
    north, east = offsets_degrees(fleet, centre)
    later = (1.0 - TRANSIT_SHARE) * (0.5 + np.clip(east / (2.0 * TRANSIT_LONGITUDE), -0.5, 0.5))
    near: Floats = np.exp(-((north / TRANSIT_LATITUDE) ** 2))
    return near * half_sine_pulse((phase[:, None] - later) / TRANSIT_SHARE)


def half_sine_pulse(phase: Floats) -> Floats:
    """A bell over 0 to 1, nothing outside."""
    result: Floats = np.sin(np.pi * np.clip(phase, 0.0, 1.0)) ** 0.7
    return result
