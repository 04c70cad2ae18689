"""How far places lie apart, on a plane: near enough for beams and storms."""

from typing import Final

import numpy as np

from ml.numerics.arrays import Floats

KM_PER_DEGREE: Final = 111.2


def degrees_apart(
    latitude: Floats, longitude: Floats, from_latitude: Floats | float, from_longitude: Floats | float
) -> tuple[Floats, Floats]:
    """Degrees of arc to the north and to the east, the shorter way around; arguments in degrees, broadcast."""
    north: Floats = latitude - from_latitude
    east: Floats = (longitude - from_longitude + 180.0) % 360.0 - 180.0
    return north, east * np.cos(np.radians(from_latitude + north / 2.0))


def km_apart(
    latitude: Floats, longitude: Floats, from_latitude: Floats | float, from_longitude: Floats | float
) -> Floats:
    """Kilometres; arguments in degrees, broadcast; NaN where one is unknown."""
    north, east = degrees_apart(latitude, longitude, from_latitude, from_longitude)
    distance: Floats = KM_PER_DEGREE * np.hypot(north, east)
    return distance
