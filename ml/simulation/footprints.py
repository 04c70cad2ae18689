"""Footprints: which links a fault reaches, and how much of it reaches each."""

from typing import Final

import numpy as np

from ml.numerics.arrays import Floats
from ml.numerics.geodesy import KM_PER_DEGREE, degrees_apart, km_apart
from ml.simulation.fleet import Fleet, SiteSpec

RAIN_SPEED_KMH: Final = 15.0  # standard deviation, in each direction, of a rain cell's speed
TRANSIT_LATITUDE: Final = 4.0  # degrees north or south within which a day's sun transit fades out
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
    """Returns 1 for links that match every argument that is not None, shape (links,)."""
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
    """Returns the depth of a Gaussian rain cell that is over `centre` at half-time, shape (times, links).

    minutes: since it began, shape (times,). seed: 0 for a cell that does not travel.
    """
    north_km, east_km = KM_PER_DEGREE * offsets_degrees(fleet, centre)
    speed = np.random.default_rng([seed, 33]).normal(0.0, RAIN_SPEED_KMH, 2) if seed else np.zeros(2)
    travelled = speed[:, None] * (minutes - duration_minutes / 2.0) / 60.0
    squared = (north_km - travelled[0][:, None]) ** 2 + (east_km - travelled[1][:, None]) ** 2
    cell: Floats = np.exp(-squared / radius_km**2)
    return cell


def offsets_degrees(fleet: Fleet, centre: SiteSpec) -> Floats:
    """Returns the degrees of arc by which each remote lies north and east of `centre`, shape (2, links)."""
    latitude, longitude = fleet.link_places
    return np.stack(degrees_apart(latitude, longitude, centre.latitude, centre.longitude))


def distances_km(fleet: Fleet, centre: SiteSpec) -> Floats:
    """Returns each remote's distance from `centre`, km, shape (links,)."""
    latitude, longitude = fleet.link_places
    return km_apart(latitude, longitude, centre.latitude, centre.longitude)


def sun_over_remotes(fleet: Fleet, centre: SiteSpec, phase: Floats) -> Floats:
    """Returns the depth of a sun transit: its time goes by longitude, its depth by latitude, shape (times, links).

    phase: 0 to 1 over the whole passage, shape (times,). Geometry in the manner of ITU-R S.1525.
    """
    north, east = offsets_degrees(fleet, centre)
    later = (1.0 - TRANSIT_SHARE) * (0.5 + np.clip(east / (2.0 * TRANSIT_LONGITUDE), -0.5, 0.5))
    near: Floats = np.exp(-((north / TRANSIT_LATITUDE) ** 2))
    return near * half_sine_pulse((phase[:, None] - later) / TRANSIT_SHARE)


def half_sine_pulse(phase: Floats) -> Floats:
    """Returns a half-sine pulse over the phases 0 to 1, slightly flattened, and 0 outside."""
    result: Floats = np.sin(np.pi * np.clip(phase, 0.0, 1.0)) ** 0.7
    return result
