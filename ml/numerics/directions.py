"""Streams are the directions of links: every link inbound, then every link outbound."""

import numpy as np

from ml.numerics.arrays import Bools


def in_both_directions(streams: Bools) -> Bools:
    """(links, …) from (streams, …): true in both directions."""
    links = len(streams) // 2
    return streams[:links] & streams[links:]


def in_any_direction(streams: Bools) -> Bools:
    """(links, …) from (streams, …): true in one direction at least."""
    links = len(streams) // 2
    return streams[:links] | streams[links:]


def repeat_for_directions(links: Bools) -> Bools:
    """(streams, …) from (links, …): the same in both directions."""
    return np.concatenate([links, links])


def inbound_mask(streams: int) -> Bools:
    """(streams,)"""
    return np.arange(streams) < streams // 2
