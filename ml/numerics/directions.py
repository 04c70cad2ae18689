"""Streams are the directions of links: every link inbound, then every link outbound."""

import numpy as np

from ml.numerics.arrays import Bools


def both_ways(streams: Bools) -> Bools:
    """(links, …) from (streams, …): true in both directions."""
    links = len(streams) // 2
    return streams[:links] & streams[links:]


def either_way(streams: Bools) -> Bools:
    """(links, …) from (streams, …): true in one direction at least."""
    links = len(streams) // 2
    return streams[:links] | streams[links:]


def in_both(links: Bools) -> Bools:
    """(streams, …) from (links, …): the same in both directions."""
    return np.concatenate([links, links])


def are_inbound(streams: int) -> Bools:
    """(streams,)"""
    return np.arange(streams) < streams // 2
