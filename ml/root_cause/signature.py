"""Signatures: the features of an event, and how a cause shows in them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

import numpy as np

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.root_cause.degradation import Channel

CAP: Final = 6.0  # nats, of one feature against one cause
SECONDARY_DIRECTION: Final = 1.0  # nats against directions that are not the likeliest

DirectionMask = Literal["IB", "OB", "IO"]  # inbound, outbound, or both at once


class Feature(StrEnum):
    """Features of the streams that an event affects; NaN = not known."""

    DEPTH = "DEPTH"  # fall of Es/N0 in the direction affected more, dB
    NOISE_SHARE_IB = "NOISE_SHARE_IB"  # share of the fall that is added noise: 0 = the level fell as much as Es/N0
    NOISE_SHARE_OB = "NOISE_SHARE_OB"
    BALANCE = "BALANCE"  # natural logarithm of outbound over inbound depth, if both are affected
    POWER_IB = "POWER_IB"  # change of the remotes' transmit power, dB
    POWER_OB = "POWER_OB"  # change of the hub's transmit power, dB
    RISE = "RISE"  # minutes from a fifth to four fifths of the depth
    GRADUAL = "GRADUAL"  # 0: a step; 1: it rose for a fifth of its time, or for long; NaN: too short to tell
    ROUND = "ROUND"  # nats by which a half-sine pulse fits better than a flat top; NaN: too short to tell
    MINUTES = "MINUTES"  # duration of the strongest run
    LASTS = "LASTS"  # 1: it lasts at the window's end
    RUNS = "RUNS"  # how often it occurred
    TOTAL = "TOTAL"  # minutes of all runs together
    DAILY = "DAILY"  # 1: it recurs at the same time of the day; NaN without recurrence
    COMPACT = "COMPACT"  # chance that an affected site is nearer to the centre than an unaffected one
    SPREAD = "SPREAD"  # median distance of the affected sites from the centre, km
    LEVEL_RISE = "LEVEL_RISE"  # rise of the level relative to that of added noise; 0: the level stayed
    SCATTER = "SCATTER"  # standard deviation over mean of the links' depths
    LAG = "LAG"  # robust standard deviation of the links' onsets, minutes
    LINKS = "LINKS"  # number of affected links
    MOBILE = "MOBILE"  # share of mobile sites
    NEIGHBOURS = "NEIGHBOURS"  # share of streams nearby that are affected as well; NaN without any


@dataclass(frozen=True)
class Interval:
    """The values that a cause expects of a feature. Beyond them, a distance of `soft` costs as one sigma does.

    low, high, soft: in the feature's unit. cap: nats that the feature costs at most.
    """

    low: float
    high: float
    soft: float
    cap: float = CAP

    def against(self, value: float) -> float:
        """Returns nats against the cause, 0 within the interval and for NaN."""
        beyond = max(self.low - value, value - self.high, 0.0) / self.soft
        return 0.0 if np.isnan(value) else float(min(self.cap, 0.5 * beyond * beyond))


def at_least(low: float, soft: float, cap: float = CAP) -> Interval:
    return Interval(low, np.inf, soft, cap)


def at_most(high: float, soft: float, cap: float = CAP) -> Interval:
    return Interval(-np.inf, high, soft, cap)


@dataclass(frozen=True)
class Signature:
    """One form in which a cause shows: the culprit's kind, the directions, and the features of what it affects.

    direction_masks: the directions that it can affect, the likeliest first; with `equal_directions` equally likely.
    channels: in which it can show. expects: the features' intervals. rarity: nats against it a priori.
    at_hub: for rain, that it falls on the hub and affects all its links. healthy_member_weight: the weight of a healthy
    member as counter-evidence, less than 1 if the cause may spare some. usual_minutes: after which it is usually over,
    or off for the first time; that it still lasts says the less before.
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
    usual_minutes: float = np.inf

    def against(self, features: dict[Feature, float]) -> dict[str, float]:
        """Returns nats against the cause by feature. What an event that still lasts may yet reach is not missed."""
        return {feature.value: self._against(feature, features) for feature in self.expects}

    def _against(self, feature: Feature, features: dict[Feature, float]) -> float:
        interval, value = self.expects[feature], features[feature]
        nats = interval.against(value)
        if not features[Feature.LASTS] > 0.5:
            return nats
        if feature in (Feature.MINUTES, Feature.TOTAL) and value < interval.low:
            return 0.0
        if feature is Feature.LASTS or (feature is Feature.RUNS and value < interval.low):
            return nats * float(min(1.0, features[Feature.MINUTES] / self.usual_minutes))
        return nats

    def direction_cost(self, direction_mask: DirectionMask) -> float:
        """Returns nats against it for affecting these directions."""
        return 0.0 if self.equal_directions or direction_mask == self.direction_masks[0] else SECONDARY_DIRECTION
