"""The catalogue of signatures: what each cause does to signal, noise, power and time, as soft intervals.

They follow from physics. Pointing loss is 12 (offset / beam width)^2 dB and so grows with the square of the frequency
(Maral and Bousquet, "Satellite Communications Systems"); rain of A dB adds 275 (1 - 10^(-A/10)) K of noise (ITU-R
P.618); uplink power control raises the transmit power. Limits are tuned on simulated incidents.
"""

from typing import Final

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.root_cause.degradation import Channel
from ml.root_cause.signature import Feature, Interval, Signature, at_least, at_most

QUICK: Final = at_most(12.0, 8.0)
QUICK_OR_WEARS: Final = at_most(12.0, 8.0, 3.5)
ALIKE: Final = at_most(0.35, 0.15)
STAYS: Final = at_least(1.0, 0.6)
SUDDEN: Final = at_most(0.4, 0.3, 3.5)
NO_MORE_POWER: Final = at_most(0.8, 0.6, 2.5)
SAME_LEVEL: Final = at_least(0.65, 0.14)
BOTH_FALL: Final = at_most(0.22, 0.12)
ROUND: Final = at_least(0.0, 3.0, 3.5)
FLAT: Final = at_most(0.0, 3.0, 3.5)
RATHER_FLAT: Final = at_most(0.0, 3.0, 1.5)

SIGNATURES: Final[tuple[Signature, ...]] = (
    # The hub's transmitter; then its low-noise amplifier or demodulators; then the loss of the whole chain.
    Signature(
        RootCause.EQUIPMENT_FAILURE,
        CulpritKind.NETWORK,
        ("OB", "IO"),
        expects={
            Feature.ROUND: RATHER_FLAT,
            Feature.NOISE_SHARE_OB: BOTH_FALL,
            Feature.RISE: QUICK_OR_WEARS,
            Feature.GRADUAL: SUDDEN,
            Feature.POWER_OB: NO_MORE_POWER,
            Feature.SCATTER: ALIKE,
            Feature.LAG: at_most(6, 5, 3.0),
            Feature.LASTS: STAYS,
            Feature.RUNS: at_most(1, 1),
            Feature.MINUTES: at_least(30, 15),
        },
    ),
    Signature(
        RootCause.EQUIPMENT_FAILURE,
        CulpritKind.NETWORK,
        ("IB",),
        expects={
            Feature.ROUND: RATHER_FLAT,
            Feature.RISE: QUICK_OR_WEARS,
            Feature.GRADUAL: SUDDEN,
            Feature.SCATTER: ALIKE,
            Feature.LAG: at_most(6, 5, 3.0),
            Feature.LASTS: STAYS,
            Feature.RUNS: at_most(1, 0.7),
            Feature.MINUTES: at_least(30, 15),
            Feature.POWER_IB: at_least(-0.5, 0.7),
            Feature.POWER_OB: NO_MORE_POWER,
            Feature.LEVEL_RISE: at_most(0.35, 0.35, 2.5),
        },
        healthy_member_weight=0.5,  # a demodulator bank serves part of a network
    ),
    Signature(
        RootCause.EQUIPMENT_FAILURE,
        CulpritKind.NETWORK,
        ("OB", "IB", "IO"),
        (Channel.OUTAGE,),
        expects={
            Feature.RISE: QUICK,
            Feature.LAG: at_most(6, 5),
            Feature.RUNS: at_most(1, 1),
        },
        rarity=1.5,
    ),
    Signature(
        RootCause.ANTENNA_ALIGNMENT,
        CulpritKind.SITE,
        ("IO", "OB"),
        expects={
            Feature.NOISE_SHARE_IB: at_most(0.15, 0.1),
            Feature.NOISE_SHARE_OB: BOTH_FALL,
            Feature.GRADUAL: at_least(1.0, 0.33),
            Feature.MINUTES: at_least(120, 45),
            Feature.SCATTER: ALIKE,
            Feature.POWER_IB: at_most(1.0, 0.8),
            Feature.POWER_OB: NO_MORE_POWER,
            Feature.BALANCE: at_least(0.15, 0.25),
        },
    ),
    Signature(
        RootCause.SATELLITE_INTERFERENCE,
        CulpritKind.SATELLITE,
        ("IB", "OB", "IO"),
        expects={
            Feature.ROUND: FLAT,
            Feature.NOISE_SHARE_IB: SAME_LEVEL,
            Feature.NOISE_SHARE_OB: SAME_LEVEL,
            Feature.RISE: at_most(25, 15),
            Feature.GRADUAL: at_most(0.4, 0.3, 2.5),
            Feature.TOTAL: at_least(30, 10),
            Feature.DEPTH: at_most(9.0, 2.0),
            Feature.RUNS: at_least(2, 0.7),
            Feature.DAILY: at_most(0, 0.5),
            Feature.LEVEL_RISE: at_least(0.5, 0.35, 2.5),
        },
        equal_directions=True,
        healthy_member_weight=0.25,
        usual_minutes=45.0,
    ),
    Signature(
        RootCause.ANTENNA_MISALIGNMENT,
        CulpritKind.LINK,
        ("IO", "OB"),
        expects={
            Feature.NOISE_SHARE_IB: BOTH_FALL,
            Feature.NOISE_SHARE_OB: BOTH_FALL,
            Feature.LASTS: STAYS,
            Feature.RUNS: at_most(1, 1),
            Feature.MINUTES: at_least(60, 30),
            Feature.POWER_IB: at_least(-0.7, 0.6),
            Feature.BALANCE: at_most(0.5, 0.3),
            Feature.DEPTH: at_most(10.0, 1.2),
        },
    ),
    # Over a remote and its neighbours: noise at the remotes' receivers, power control at their transmitters.
    Signature(
        RootCause.RAIN_FADE,
        CulpritKind.SITE,
        ("IO", "OB"),
        expects={
            Feature.ROUND: ROUND,
            Feature.NOISE_SHARE_OB: Interval(0.15, 0.65, 0.1),
            Feature.NOISE_SHARE_IB: at_most(0.3, 0.15),
            Feature.MINUTES: Interval(10, 420, 120),
            Feature.LASTS: at_most(0.0, 0.7),
            Feature.RISE: Interval(4, 90, 20),
            Feature.GRADUAL: at_least(0.4, 0.3, 3.0),
            Feature.POWER_IB: at_least(0.0, 0.4),
            Feature.BALANCE: at_least(-0.15, 0.25, 3.0),
            Feature.COMPACT: at_least(0.9, 0.1),
            Feature.SPREAD: at_most(200, 100, 4.0),  # km: a cell has tens, a front some hundred
            Feature.SCATTER: at_least(0.15, 0.1),
        },
        healthy_member_weight=0.4,
        usual_minutes=60.0,
    ),
    # Over a hub: noise at its receivers, power control at its transmitter.
    Signature(
        RootCause.RAIN_FADE,
        CulpritKind.SITE,
        ("IO", "IB"),
        expects={
            Feature.ROUND: ROUND,
            Feature.NOISE_SHARE_IB: Interval(0.15, 0.65, 0.1),
            Feature.NOISE_SHARE_OB: at_most(0.3, 0.15),
            Feature.MINUTES: Interval(10, 420, 120),
            Feature.LASTS: at_most(0.0, 0.7),
            Feature.RISE: Interval(4, 90, 20),
            Feature.GRADUAL: at_least(0.4, 0.3, 3.0),
            Feature.POWER_OB: at_least(0.0, 0.4),
            Feature.BALANCE: at_most(0.1, 0.25, 3.0),
            Feature.SCATTER: ALIKE,
        },
        at_hub=True,
        usual_minutes=60.0,
    ),
    # Over a hub without uplink power control, or beyond what it can do.
    Signature(
        RootCause.RAIN_FADE,
        CulpritKind.SITE,
        ("IO",),
        expects={
            Feature.ROUND: ROUND,
            Feature.NOISE_SHARE_IB: Interval(0.15, 0.65, 0.1),
            Feature.NOISE_SHARE_OB: at_most(0.15, 0.15),
            Feature.MINUTES: Interval(10, 420, 120),
            Feature.LASTS: at_most(0.0, 0.7),
            Feature.RISE: Interval(4, 90, 20),
            Feature.GRADUAL: at_least(0.4, 0.3, 3.0),
            Feature.POWER_OB: at_most(0.4, 0.3),
            Feature.SCATTER: ALIKE,
        },
        rarity=0.7,
        at_hub=True,
        usual_minutes=60.0,
    ),
    Signature(
        RootCause.SUN_TRANSIT,
        CulpritKind.SITE,
        ("IB", "OB"),
        expects={
            Feature.ROUND: ROUND,
            Feature.NOISE_SHARE_IB: SAME_LEVEL,
            Feature.NOISE_SHARE_OB: SAME_LEVEL,
            Feature.MINUTES: at_most(16, 4),
            Feature.LASTS: at_most(0.0, 0.7),
            Feature.DEPTH: Interval(2.0, 12.0, 2.0),
            Feature.DAILY: at_least(1.0, 0.4),
            Feature.GRADUAL: at_least(0.5, 0.3, 1.5),
            Feature.POWER_IB: at_most(0.4, 0.4, 4.0),
            Feature.POWER_OB: at_most(0.4, 0.4, 4.0),
        },
        equal_directions=True,
        usual_minutes=12.0,
    ),
    Signature(
        RootCause.CONGESTION,
        CulpritKind.NETWORK,
        ("IB", "OB", "IO"),
        (Channel.CONGESTION,),
        expects={
            Feature.MINUTES: at_least(50, 8),
            Feature.LINKS: at_least(3, 0.5, 3.0),
        },
        equal_directions=True,
        healthy_member_weight=0.4,
    ),
    Signature(RootCause.CONGESTION, CulpritKind.LINK, ("IB", "OB", "IO"), (Channel.CONGESTION,), equal_directions=True),
    # The remote's transmitter, whose power falls; then its receiver; then the loss of either.
    Signature(
        RootCause.REMOTE_EQUIPMENT,
        CulpritKind.LINK,
        ("IB",),
        expects={
            Feature.ROUND: RATHER_FLAT,
            Feature.NOISE_SHARE_IB: at_most(0.3, 0.15),
            Feature.POWER_IB: at_most(-0.7, 0.35),
            Feature.LASTS: STAYS,
            Feature.RISE: QUICK,
            Feature.RUNS: at_most(1, 1),
            Feature.MINUTES: at_least(30, 15),
        },
    ),
    Signature(
        RootCause.REMOTE_EQUIPMENT,
        CulpritKind.LINK,
        ("OB",),
        expects={
            Feature.ROUND: RATHER_FLAT,
            Feature.LASTS: STAYS,
            Feature.RISE: QUICK,
            Feature.RUNS: at_most(1, 1),
            Feature.MINUTES: at_least(30, 15),
            Feature.POWER_IB: Interval(-0.6, 0.6, 0.5),
            Feature.LEVEL_RISE: at_most(0.35, 0.35, 2.5),
            Feature.GRADUAL: SUDDEN,
            Feature.NEIGHBOURS: at_most(0.3, 0.25),
        },
    ),
    Signature(
        RootCause.REMOTE_EQUIPMENT,
        CulpritKind.LINK,
        ("IB", "OB"),
        (Channel.OUTAGE,),
        expects={
            Feature.RUNS: at_most(1, 1),
        },
        rarity=0.5,
        equal_directions=True,
    ),
    Signature(
        RootCause.POWER_OUTAGE,
        CulpritKind.SITE,
        ("IO",),
        (Channel.OUTAGE,),
        expects={
            Feature.RUNS: at_most(1, 1),
        },
    ),
    Signature(
        RootCause.BLOCKAGE,
        CulpritKind.SITE,
        ("IO",),
        (Channel.SIGNAL, Channel.OUTAGE),
        expects={
            Feature.ROUND: RATHER_FLAT,
            Feature.MOBILE: at_least(1.0, 0.25),
            Feature.DEPTH: at_least(8.0, 2.0),
            Feature.RISE: QUICK,
            Feature.RUNS: at_least(2, 0.7),
            Feature.LASTS: at_most(0, 0.6),
            Feature.NOISE_SHARE_OB: at_most(0.35, 0.15),
        },
        usual_minutes=40.0,
    ),
)
