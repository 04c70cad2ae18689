"""Distances on the Earth, on a plane: accurate enough for beams and storms."""

from typing import Final

import numpy as np

from ml.numerics.arrays import Floats

KM_PER_DEGREE: Final = 111.2  # of a great circle: 40 030 km / 360


def degrees_apart(
    latitude: Floats, longitude: Floats, from_latitude: Floats | float, from_longitude: Floats | float
) -> tuple[Floats, Floats]:
    """Returns degrees of arc to the north and to the east, by the shorter way around; arguments broadcast, degrees."""
    north: Floats = latitude - from_latitude
    east: Floats = (longitude - from_longitude + 180.0) % 360.0 - 180.0
    return north, east * np.cos(np.radians(from_latitude + north / 2.0))


def km_apart(
    latitude: Floats, longitude: Floats, from_latitude: Floats | float, from_longitude: Floats | float
) -> Floats:
    """Returns distances in km; arguments broadcast, degrees; NaN where a position is unknown."""
    north, east = degrees_apart(latitude, longitude, from_latitude, from_longitude)
    distance: Floats = KM_PER_DEGREE * np.hypot(north, east)
    return distance
