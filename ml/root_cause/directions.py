"""Link directions as rows: all links inbound first, then all links outbound. Such a row is called a stream."""

import numpy as np

from ml.numerics.arrays import Bools


def in_both_directions(streams: Bools) -> Bools:
    """Returns what is true of both directions of a link, shape (links, …) from (2 x links, …)."""
    links = len(streams) // 2
    return streams[:links] & streams[links:]


def in_any_direction(streams: Bools) -> Bools:
    """Returns what is true of at least one direction of a link, shape (links, …) from (2 x links, …)."""
    links = len(streams) // 2
    return streams[:links] | streams[links:]


def repeat_for_directions(links: Bools) -> Bools:
    """Returns the same values for both directions of each link, shape (2 x links, …) from (links, …)."""
    return np.concatenate([links, links])


def inbound_mask(streams: int) -> Bools:
    """Returns which streams are inbound, shape (streams,)."""
    return np.arange(streams) < streams // 2
