"""Faults to simulate: who is hit, how hard, how long, and what that does to the links."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import RootCause
from ml.catalogue.units import DAY_MINUTES, MINUTE_MS
from ml.numerics.arrays import Floats
from ml.simulation import effects
from ml.simulation import envelopes as shapes
from ml.simulation import footprints as reach
from ml.simulation.effects import Effect, End
from ml.simulation.envelopes import Envelope
from ml.simulation.fleet import Fleet
from ml.simulation.impairments import Impairments


class Variant(StrEnum):
    """What exactly is broken, where a cause comes in several kinds; the first of each is what is meant by default."""

    TRANSMITTER = "TRANSMITTER"  # EQUIPMENT_FAILURE: the hub's amplifier or modulator is weak, and its meter says so
    WAVEGUIDE = "WAVEGUIDE"  # behind that meter
    OFF = "OFF"  # the hub's transmitter is lost altogether
    AMPLIFIER = "AMPLIFIER"  # the hub's low-noise amplifier; default if the fault's direction is inbound
    DEMODULATOR = "DEMODULATOR"
    DRIFT = "DRIFT"  # ANTENNA_ALIGNMENT
    WAVES = "WAVES"
    BUC = "BUC"  # REMOTE_EQUIPMENT: block upconverter, the remote's transmitter
    LNB = "LNB"  # low-noise block, the remote's receiver; default if the fault's direction is outbound
    REPORTED = "REPORTED"  # POWER_OUTAGE: uptime 0, and everything else null
    SILENCE = "SILENCE"  # no samples at all


@dataclass(frozen=True)
class Fault:
    """One true event. The culprit is whichever of network, site, link and (satellite, transponder) is not None.

    A sun transit is over a hub `site` (inbound) or, with direction outbound, over the remotes of `satellite` around
    `site`. `direction` limits a fault to one direction (None: as its cause has it); times are epoch ms, the end
    excluded; strength 0 to 1; `irregularity` seeds its whims (0: none); `radius_km`: of a rain cell over a remote.
    """

    cause: str
    start_ms: int
    end_ms: int
    strength: float
    network: int | None = None
    site: int | None = None
    link: int | None = None
    satellite: str | None = None
    transponder: str | None = None
    direction: Direction | None = None
    variant: Variant | None = None
    irregularity: int = 0
    radius_km: float = 25.0

    @property
    def minutes(self) -> float:
        return (self.end_ms - self.start_ms) / MINUTE_MS


@dataclass(frozen=True)
class FaultModel:
    """How a cause shows; see the table in the domain notes."""

    envelope_of: Envelope
    effect: Callable[[Fault, End], Effect]  # `End`: where the site at fault is
    least_strength: float = 0.0  # of the effect, at strength 0: below that the cause is no cause


def _hub_chain(fault: Fault, end: End) -> Effect:
    inbound = fault.direction is Direction.IB
    return {
        Variant.TRANSMITTER: effects.transmitter(end, 10.0),
        Variant.WAVEGUIDE: effects.transmitter(end, 10.0, metered=False),
        Variant.OFF: effects.transmitter(end, 60.0),
        Variant.AMPLIFIER: effects.amplifier(end, 10.0),
        Variant.DEMODULATOR: effects.demodulator(end, 10.0),
    }[fault.variant or (Variant.AMPLIFIER if inbound else Variant.TRANSMITTER)]


def _remote_chain(fault: Fault, end: End) -> Effect:
    outbound = fault.direction is Direction.OB
    return {Variant.BUC: effects.transmitter(end, 10.0), Variant.LNB: effects.amplifier(end, 9.0)}[
        fault.variant or (Variant.LNB if outbound else Variant.BUC)
    ]


FAULT_MODELS: Final[dict[str, FaultModel]] = {
    RootCause.EQUIPMENT_FAILURE: FaultModel(shapes.step, _hub_chain),
    RootCause.ANTENNA_ALIGNMENT: FaultModel(shapes.drift, lambda _, end: effects.pointing(end, 7.5)),
    RootCause.SATELLITE_INTERFERENCE: FaultModel(
        shapes.interference, lambda fault, _: effects.interference(fault.direction, 8.0)
    ),
    RootCause.ANTENNA_MISALIGNMENT: FaultModel(shapes.quick, lambda _, end: effects.pointing(end, 9.0)),
    RootCause.RAIN_FADE: FaultModel(shapes.bell, lambda _, end: effects.rain(end, 8.0)),
    RootCause.SUN_TRANSIT: FaultModel(
        shapes.step, lambda fault, _: effects.sun(fault.direction or Direction.IB, 10.0), least_strength=0.4
    ),
    RootCause.CONGESTION: FaultModel(
        shapes.busy, lambda fault, _: effects.load(fault.direction, 3.0), least_strength=0.3
    ),
    RootCause.REMOTE_EQUIPMENT: FaultModel(shapes.step, _remote_chain),
    RootCause.POWER_OUTAGE: FaultModel(
        shapes.step, lambda fault, _: effects.outage(reported=fault.variant is not Variant.SILENCE)
    ),
    RootCause.BLOCKAGE: FaultModel(shapes.blockage, lambda _, end: effects.obstruction(end, 30.0), least_strength=0.35),
}
HUB_SIDE: Final = {RootCause.EQUIPMENT_FAILURE, RootCause.ANTENNA_ALIGNMENT}


def compute_impairments(fleet: Fleet, faults: list[Fault], times: NDArray[np.int64]) -> Impairments:
    """The sum of all faults at `times` (epoch ms ascending). Raises KeyError for an unknown cause or site."""
    total = Impairments.none(len(times), len(fleet.links))
    for fault in faults:
        during = slice(*np.searchsorted(times, [fault.start_ms, fault.end_ms]).tolist())
        effect = FAULT_MODELS[fault.cause].effect(fault, _end(fault, fleet))
        if during.start < during.stop:
            minutes = (times[during] - fault.start_ms) / MINUTE_MS
            effect(total.during(during), _strength(fault) * _depth(fault, fleet, minutes), fleet)
    return total


def _strength(fault: Fault) -> float:
    least_strength = FAULT_MODELS[fault.cause].least_strength
    return least_strength + (1.0 - least_strength) * fault.strength


def _end(fault: Fault, fleet: Fleet) -> End:
    at_hub = fault.site is not None and fleet.site_of[fault.site].role == "HUB"
    return End.HUB if at_hub or fault.cause in HUB_SIDE else End.REMOTE


def _depth(fault: Fault, fleet: Fleet, minutes: Floats) -> Floats:
    """(times, links): how much of the fault's strength reaches each link."""
    if fault.cause == RootCause.SUN_TRANSIT:
        return _transit(fault, fleet, minutes)
    envelope_of = shapes.waves if fault.variant is Variant.WAVES else FAULT_MODELS[fault.cause].envelope_of
    envelope = envelope_of(minutes, fault.minutes, fault.irregularity)[:, None]
    if fault.cause == RootCause.RAIN_FADE and fault.site and _end(fault, fleet) is End.REMOTE:
        centre = fleet.site_of[fault.site]
        return envelope * reach.rain_cell(fleet, centre, fault.radius_km, minutes, fault.minutes, fault.irregularity)
    return envelope * _members(fault, fleet)


def _members(fault: Fault, fleet: Fleet) -> Floats:
    return reach.select_links(fleet, fault.network, fault.site, fault.link, fault.satellite, fault.transponder)


def _transit(fault: Fault, fleet: Fleet, minutes: Floats) -> Floats:
    """At the same minutes of every day that the fault lasts."""
    phase = (minutes % DAY_MINUTES) / (fault.minutes % DAY_MINUTES or DAY_MINUTES)
    if fault.direction is Direction.OB and fault.site is not None:
        seen = reach.sun_over_remotes(fleet, fleet.site_of[fault.site], phase)
        return seen * reach.select_links(fleet, None, None, None, fault.satellite, None)
    return reach.half_sine_pulse(phase)[:, None] * _members(fault, fleet)
