"""Symptoms: the features of what an event hit, and how a cause shows in them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

import numpy as np

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.root_cause.degradation import Channel

CAP: Final = 6.0  # nats, of one feature against one cause
SECONDARY_DIRECTION: Final = 1.0  # nats, of a way that is not the usual one

DirectionMask = Literal["IB", "OB", "IO"]  # inbound, outbound, or both at once


class Feature(StrEnum):
    """Of the link directions that an event hit; NaN = not known."""

    DEPTH = "DEPTH"  # dB of Es/N0 at the worst, of the direction hit most
    NOISE_SHARE_IB = "NOISE_SHARE_IB"  # of what Es/N0 fell by: 0 = the level fell as much, 1 = the level stayed
    NOISE_SHARE_OB = "NOISE_SHARE_OB"
    BALANCE = "BALANCE"  # natural logarithm of outbound over inbound depth, where both are hit
    POWER_IB = "POWER_IB"  # dB of the remotes' transmit power
    POWER_OB = "POWER_OB"  # dB of the hub's
    RISE = "RISE"  # minutes from a fifth to four fifths of the depth
    MINUTES = "MINUTES"  # from beginning to end
    LASTS = "LASTS"  # 1: until the window's end
    RUNS = "RUNS"  # how often it came
    TOTAL = "TOTAL"  # minutes that it was there
    DAILY = "DAILY"  # 1: always at the same time of the day; NaN where it came once
    COMPACT = "COMPACT"  # the chance that a site hit is nearer to the middle of them than one that is not
    LEVEL_RISE = "LEVEL_RISE"  # of what the level would rise by, were noise added; 0: it stayed
    SCATTER = "SCATTER"  # between the links' depths: standard deviation over mean
    LAG = "LAG"  # minutes, robust standard deviation of the links' onsets
    LINKS = "LINKS"  # hit
    MOBILE = "MOBILE"  # share of mobile sites
    NEIGHBOURS = "NEIGHBOURS"  # share of the sites nearby that are hit as well; NaN where there are none


@dataclass(frozen=True)
class Interval:
    """A feature within says nothing against the cause; beyond, every `soft` costs as a normal deviate would.

    low, high, soft: in the feature's unit; cap: nats that it costs at most.
    """

    low: float
    high: float
    soft: float
    cap: float = CAP

    def against(self, value: float) -> float:
        """Nats against the cause; 0 within the interval and where nothing is known."""
        beyond = max(self.low - value, value - self.high, 0.0) / self.soft
        return 0.0 if np.isnan(value) else float(min(self.cap, 0.5 * beyond * beyond))


def at_least(low: float, soft: float, cap: float = CAP) -> Interval:
    return Interval(low, np.inf, soft, cap)


def at_most(high: float, soft: float, cap: float = CAP) -> Interval:
    return Interval(-np.inf, high, soft, cap)


@dataclass(frozen=True)
class Signature:
    """One way in which a cause shows: whose fault it is, where, and what the features of those hit are like.

    direction_masks: the directions that it can hit, the likeliest first; with `equal_directions` all are as likely.
    channels: what it can show in. rarity: nats against it before anything is seen. at_hub: of rain alone, that it falls
    on the hub and hits all its links. healthy_member_weight: the share of its full weight with which a healthy member
    speaks against it, less than 1 where the cause may spare some.
    """

    cause: RootCause
    culprit: CulpritKind
    direction_masks: tuple[DirectionMask, ...]
    channels: tuple[Channel, ...] = (Channel.SIGNAL,)
    expects: dict[Feature, Interval] = field(default_factory=dict)
    rarity: float = 0.0
    at_hub: bool = False
    equal_directions: bool = False
    healthy_member_weight: float = 1.0

    def direction_cost(self, direction_mask: DirectionMask) -> float:
        """Nats against it, for hitting in this way."""
        return 0.0 if self.equal_directions or direction_mask == self.direction_masks[0] else SECONDARY_DIRECTION
