"""Where an event is: its centre, its compactness, and whether its shape is a coincidence."""

from typing import Final

import numpy as np

from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats, Floats32, Integers
from ml.numerics.geodesy import km_apart
from ml.root_cause.directions import in_any_direction
from ml.root_cause.events import Event

FAR_KM: Final = 1000.0  # greater distances count as this
LEAST_SITES: Final = 4  # fewer do not show how depth falls with distance
LEAST_DEPTH_DB: Final = 0.2  # before its logarithm is taken
COINCIDENCE: Final = 3.0  # nats, if a rain cell would affect all links of a hub and no others
LEAST_LINKS: Final = 6  # of a hub
WIDE_COINCIDENCE: Final = 4.0  # nats on top, if they are scattered wider than any cell
CELL_KM, CELL_SOFT_KM = 80.0, 200.0  # median distance of its sites: of a cell up to the first, of none from their sum
SCATTERED: Final = 0.4  # share of links, as `COINCIDENT`, from which their distance counts
MOST_CENTRES: Final = 300  # affected sites that are tried as the centre, evenly
MOST_SITES: Final = 60  # whose distances are measured
COINCIDENT, COINCIDENT_SOFT = 0.7, 0.3  # share of links: nothing special up to the first, certain at their sum


def find_centre(topology: Topology, links: Integers, depth: Floats32) -> tuple[int, Floats32]:
    """Returns the affected site around which depth falls off with distance, and every link's distance from it, km.

    Each affected site is tried as the centre of A exp(-(d / r)^2), by least squares of the logarithm; of fewer than
    four sites the deepest is the centre.

    links: the link of each affected stream. depth: dB. Both have the shape (affected streams,).
    """
    affected = np.unique(links)
    affected = affected[:: max(1, len(affected) // MOST_CENTRES)]
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
    """Returns each centre's weighted squared error, shape (centres,); a depth that grows with distance is no fit.

    squares: squared distances, km², shape (centres, sites). depth: dB, shape (sites,).
    """
    weight = depth / depth.sum()
    logs = np.log(depth) - weight @ np.log(depth)
    away = squares - (squares @ weight)[:, None]
    slope = (away * logs) @ weight / np.maximum((away * away) @ weight, 1e-9)
    left: Floats = ((logs - np.minimum(slope, 0.0)[:, None] * away) ** 2) @ weight
    return left


def measure_compactness(distance: Floats32, affected: Bools) -> float:
    """Returns the chance that an affected link is nearer to the centre than another; NaN if one kind is missing.

    distance: km. affected: which links are. Both have the shape (links,).
    """
    inside, outside = distance[affected], distance[~affected]
    inside, outside = inside[np.isfinite(inside) & (inside > 0)], np.sort(outside[np.isfinite(outside)])
    if not len(inside) or not len(outside):
        return float("nan")
    return float(1.0 - (np.searchsorted(outside, inside) / len(outside)).mean())


def coincidence_penalty(topology: Topology, event: Event) -> float:
    """Returns nats against a rain cell that affects all links of a hub and hardly any other.

    The wider the links of a hub are scattered, the less a single cell can affect them alike.
    """
    affected = in_any_direction(event.membership > 0.5)
    of_hub = topology.hub == np.bincount(topology.hub[affected]).argmax()
    if of_hub.all() or of_hub.sum() < LEAST_LINKS:
        return 0.0
    share = float(affected[of_hub].mean()) * float(of_hub[affected].mean())
    wide = float(np.clip((_median_km(topology, affected & of_hub) - CELL_KM) / CELL_SOFT_KM, 0.0, 1.0))
    likely = float(np.clip((share - SCATTERED) / COINCIDENT_SOFT, 0.0, 1.0))
    return COINCIDENCE * max(0.0, (share - COINCIDENT) / COINCIDENT_SOFT) + WIDE_COINCIDENCE * wide * likely


def _median_km(topology: Topology, links: Bools) -> float:
    """Returns the median distance between the sites of some links, km, 0 if none is known."""
    sites = np.unique(topology.site[links])
    sites = sites[:: max(1, len(sites) // MOST_SITES)]
    latitude, longitude = topology.sites.latitude[sites], topology.sites.longitude[sites]
    distance = km_apart(latitude[:, None], longitude[:, None], latitude, longitude)
    between = distance[np.triu_indices(len(sites), 1)]
    return float(np.median(between[np.isfinite(between)])) if np.isfinite(between).any() else 0.0
