"""The catalogue of signatures: what each cause does to signal, noise, power and time, as soft intervals.

A feature within its interval says nothing against the cause; beyond it every `soft` costs as a normal deviate would,
at most `CAP`. Sources are the domain's physics: pointing loss 12 (offset / beam width)^2 dB goes with the square of the
frequency; rain of A dB adds 275 (1 - 10^(-A/10)) K of noise; uplink power control raises the transmitter's power.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from ml.causes import CulpritKind, RootCause

LESS_USUAL: Final = 1.0  # nats, of a way that is not the usual one
CAP: Final = 6.0  # nats, of one feature against one cause
BANDS: Final = {"C": 2.4, "KU": 1.5, "KA": 2.2}  # square of uplink over downlink frequency


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
    MOBILE = "MOBILE"  # share of mobile sites
    NEIGHBOURS = "NEIGHBOURS"  # share of the sites nearby that are hit as well; NaN where there are none


@dataclass(frozen=True)
class Interval:
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
    """One way in which a cause shows. `ways`: the directions that it can hit, IB, OB or both ('IO')."""

    cause: RootCause
    culprit: CulpritKind
    ways: tuple[str, ...]
    channels: tuple[str, ...] = ("SIGNAL",)
    expects: dict[Feature, Interval] = field(default_factory=dict)
    rarity: float = 0.0  # nats against it before anything is seen
    at_hub: bool = False  # it rains there: on every link of the hub
    equal_ways: bool = False
    misses: float = 1.0  # how much a healthy member says against it; less where the cause may spare some

    def way_cost(self, way: str) -> float:
        """The first way is the usual one; where several are as usual, `equal`."""
        return 0.0 if self.equal_ways or way == self.ways[0] else LESS_USUAL


F, C, K = Feature, RootCause, CulpritKind
QUICK: Final = at_most(12.0, 8.0)
QUICK_OR_WEARS: Final = at_most(12.0, 8.0, 3.5)
ALIKE: Final = at_most(0.35, 0.15)
STAYS: Final = at_least(1.0, 0.6)
SAME_LEVEL: Final = at_least(0.65, 0.14)
BOTH_FALL: Final = at_most(0.22, 0.12)

SIGNATURES: Final[tuple[Signature, ...]] = (
    # the hub's transmitter, its low-noise amplifier, its demodulators
    Signature(
        C.EQUIPMENT_FAILURE,
        K.NETWORK,
        ("OB", "IO"),
        expects={F.NOISE_SHARE_OB: BOTH_FALL, F.RISE: QUICK_OR_WEARS, F.SCATTER: ALIKE, F.LAG: at_most(6, 5, 3.0), F.LASTS: STAYS, F.RUNS: at_most(1, 1), F.MINUTES: at_least(30, 15)},
    ),
    Signature(
        C.EQUIPMENT_FAILURE,
        K.NETWORK,
        ("IB",),
        expects={F.RISE: QUICK_OR_WEARS, F.SCATTER: ALIKE, F.LAG: at_most(6, 5, 3.0), F.LASTS: STAYS, F.RUNS: at_most(1, 0.7), F.MINUTES: at_least(30, 15), F.POWER_IB: at_least(-0.5, 0.7), F.LEVEL_RISE: at_most(0.35, 0.35, 2.5)},
    ),
    Signature(
        C.EQUIPMENT_FAILURE,
        K.NETWORK,
        ("OB", "IB", "IO"),
        ("DARK",),
        expects={F.RISE: QUICK, F.LAG: at_most(6, 5), F.RUNS: at_most(1, 1)},
        rarity=1.5,
    ),
    Signature(
        C.ANTENNA_ALIGNMENT,
        K.SITE,
        ("IO", "OB"),
        expects={F.NOISE_SHARE_IB: BOTH_FALL, F.NOISE_SHARE_OB: BOTH_FALL, F.RISE: at_least(45, 15), F.MINUTES: at_least(120, 45), F.SCATTER: ALIKE, F.POWER_IB: at_most(1.0, 0.8)},
    ),
    Signature(
        C.SATELLITE_INTERFERENCE,
        K.SATELLITE,
        ("IB", "OB", "IO"),
        expects={F.NOISE_SHARE_IB: SAME_LEVEL, F.NOISE_SHARE_OB: SAME_LEVEL, F.RISE: at_most(25, 15), F.TOTAL: at_least(30, 10), F.DEPTH: at_most(9.0, 2.0), F.RUNS: at_least(2, 0.7), F.DAILY: at_most(0, 0.5), F.LEVEL_RISE: at_least(0.5, 0.35, 2.5)},
        equal_ways=True,
        misses=0.25,
    ),
    Signature(
        C.ANTENNA_MISALIGNMENT,
        K.LINK,
        ("IO", "OB"),
        expects={F.NOISE_SHARE_IB: BOTH_FALL, F.NOISE_SHARE_OB: BOTH_FALL, F.LASTS: STAYS, F.RUNS: at_most(1, 1), F.MINUTES: at_least(60, 30), F.POWER_IB: at_least(-0.7, 0.6)},
    ),
    # over a remote and its neighbours: noise at the remotes' receivers, power control in the remotes' transmitters
    Signature(
        C.RAIN_FADE,
        K.SITE,
        ("IO", "OB"),
        expects={F.NOISE_SHARE_OB: Interval(0.15, 0.65, 0.1), F.NOISE_SHARE_IB: at_most(0.3, 0.15), F.MINUTES: Interval(10, 420, 120), F.LASTS: at_most(0.0, 0.7), F.RISE: Interval(4, 90, 20), F.POWER_IB: at_least(0.0, 0.4), F.COMPACT: at_least(0.9, 0.1), F.SCATTER: at_least(0.15, 0.1)},
        misses=0.4,
    ),
    # over a hub: noise at its receivers, power control in its transmitter
    Signature(
        C.RAIN_FADE,
        K.SITE,
        ("IO", "IB"),
        expects={F.NOISE_SHARE_IB: Interval(0.15, 0.65, 0.1), F.NOISE_SHARE_OB: at_most(0.3, 0.15), F.MINUTES: Interval(10, 420, 120), F.LASTS: at_most(0.0, 0.7), F.RISE: Interval(4, 90, 20), F.POWER_OB: at_least(0.0, 0.4), F.SCATTER: ALIKE},
        at_hub=True,
    ),
    Signature(
        C.SUN_TRANSIT,
        K.SITE,
        ("IB", "OB"),
        expects={F.NOISE_SHARE_IB: SAME_LEVEL, F.NOISE_SHARE_OB: SAME_LEVEL, F.MINUTES: at_most(16, 4), F.LASTS: at_most(0.0, 0.7), F.DEPTH: Interval(2.0, 12.0, 2.0), F.DAILY: at_least(1.0, 0.4)},
        equal_ways=True,
    ),
    Signature(C.CONGESTION, K.NETWORK, ("IB", "OB", "IO"), ("QUEUE",), expects={F.MINUTES: at_least(50, 8)}, equal_ways=True, misses=0.4),
    Signature(C.CONGESTION, K.LINK, ("IB", "OB", "IO"), ("QUEUE",), equal_ways=True),
    # the remote's transmitter, whose power falls, or its receiver
    Signature(
        C.REMOTE_EQUIPMENT,
        K.LINK,
        ("IB",),
        expects={F.NOISE_SHARE_IB: at_most(0.3, 0.15), F.POWER_IB: at_most(-0.7, 0.35), F.LASTS: STAYS, F.RISE: QUICK, F.RUNS: at_most(1, 1), F.MINUTES: at_least(30, 15)},
    ),
    Signature(
        C.REMOTE_EQUIPMENT,
        K.LINK,
        ("OB",),
        expects={F.LASTS: STAYS, F.RISE: QUICK, F.RUNS: at_most(1, 1), F.MINUTES: at_least(30, 15), F.POWER_IB: Interval(-0.6, 0.6, 0.5), F.NEIGHBOURS: at_most(0.3, 0.25)},
    ),
    Signature(C.REMOTE_EQUIPMENT, K.LINK, ("IB", "OB"), ("DARK",), expects={F.RUNS: at_most(1, 1)}, rarity=0.5, equal_ways=True),
    Signature(C.POWER_OUTAGE, K.SITE, ("IO",), ("DARK",), expects={F.RUNS: at_most(1, 1)}),
    Signature(
        C.BLOCKAGE,
        K.SITE,
        ("IO",),
        ("SIGNAL", "DARK"),
        expects={F.MOBILE: at_least(1.0, 0.25), F.DEPTH: at_least(8.0, 2.0), F.RISE: QUICK, F.RUNS: at_least(2, 0.7), F.LASTS: at_most(0, 0.6), F.NOISE_SHARE_OB: at_most(0.35, 0.15)},
    ),
)
