"""Where an event is: the site in its middle, how closely it lies around that, and whether that is coincidence."""

from typing import Final

import numpy as np

from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats, Floats32, Integers
from ml.numerics.directions import in_any_direction
from ml.numerics.geodesy import km_apart
from ml.root_cause.events import Event

FAR_KM: Final = 1000.0  # beyond that, farther is no different
LEAST_SITES: Final = 4  # of fewer no fall of depth with distance can be told
LEAST_DEPTH_DB: Final = 0.2  # before its logarithm is taken
COINCIDENCE: Final = 3.0  # nats, where a cloud would have hit all links of a hub, and no others
LEAST_LINKS: Final = 6  # of a hub
COINCIDENT, COINCIDENT_SOFT = 0.7, 0.3  # of the links: a share up to that is nothing special, one of all is certain


def find_centre(topology: Topology, links: Integers, depth: Floats32) -> tuple[int, Floats32]:
    """The site hit around which depth falls off with distance, and how far from it every link's site is, km.

    links, depth (hits,): the link of each stream hit, and its depth, dB. Depth is held against A exp(-(d / r)^2), by
    least squares of its logarithm, for every site hit as the centre; of fewer than four sites it is the deepest.
    """
    affected = np.unique(links)
    deepest = np.zeros(len(topology.links))
    np.maximum.at(deepest, links, np.nan_to_num(depth))
    latitude, longitude = topology.sites.latitude[topology.site], topology.sites.longitude[topology.site]
    distance = km_apart(latitude, longitude, latitude[affected, None], longitude[affected, None])
    among = distance[:, affected]
    best = int(np.argmax(deepest[affected]))
    if len(np.unique(topology.site[affected])) >= LEAST_SITES and np.isfinite(among).all():
        best = int(np.argmin(_misfit(np.minimum(among, FAR_KM) ** 2, np.maximum(deepest[affected], LEAST_DEPTH_DB))))
    return int(topology.site[affected[best]]), distance[best].astype(np.float32)


def _misfit(squares: Floats, depth: Floats) -> Floats:
    """Of each centre (centres,): weighted squares that are left; where depth grows with distance all of them.

    squares (centres, sites): of the distances, km²; depth (sites,): dB.
    """
    weight = depth / depth.sum()
    logs = np.log(depth) - weight @ np.log(depth)
    away = squares - (squares @ weight)[:, None]
    slope = (away * logs) @ weight / np.maximum((away * away) @ weight, 1e-9)
    left: Floats = ((logs - np.minimum(slope, 0.0)[:, None] * away) ** 2) @ weight
    return left


def measure_compactness(distance: Floats32, affected: Bools) -> float:
    """The chance that one hit (links,) is nearer to the centre than one that is not; NaN where there are not both."""
    inside, outside = distance[affected], distance[~affected]
    inside, outside = inside[np.isfinite(inside) & (inside > 0)], np.sort(outside[np.isfinite(outside)])
    if not len(inside) or not len(outside):
        return float("nan")
    return float(1.0 - (np.searchsorted(outside, inside) / len(outside)).mean())


def coincidence_penalty(topology: Topology, event: Event) -> float:
    """Nats against a cloud that hits every link of a hub, and hardly one of another."""
    affected = in_any_direction(event.membership > 0.5)
    of_hub = topology.hub == np.bincount(topology.hub[affected]).argmax()
    if of_hub.all() or of_hub.sum() < LEAST_LINKS:
        return 0.0
    share = float(affected[of_hub].mean()) * float(of_hub[affected].mean())
    return COINCIDENCE * max(0.0, (share - COINCIDENT) / COINCIDENT_SOFT)
