"""Faults to simulate: culprit, cause, strength and duration, and the impairments that they cause."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import RootCause
from ml.catalogue.units import DAY_MINUTES, MINUTE_MS
from ml.numerics.arrays import Floats, Integers
from ml.simulation import effects, envelopes, footprints
from ml.simulation.effects import Effect, End
from ml.simulation.envelopes import Envelope
from ml.simulation.fleet import Fleet
from ml.simulation.impairments import Impairments


class Variant(StrEnum):
    """What exactly is broken, for causes of several kinds; the first of each cause is its default."""

    TRANSMITTER = "TRANSMITTER"  # EQUIPMENT_FAILURE: the hub's amplifier or modulator is weak, and its meter says so
    WAVEGUIDE = "WAVEGUIDE"  # the loss is behind the power meter
    OFF = "OFF"  # the hub's transmitter is off
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
    """A fault. The culprit is whichever of network, site, link and (satellite, transponder) is not None.

    A sun transit is over a hub `site` (inbound) or, with direction outbound, over the remotes of `satellite` around
    `site`. start_ms, end_ms: epoch ms, end excluded. strength: 0 to 1. direction: limits the fault to one direction,
    None leaves it to the cause. irregularity: seeds its irregularities, 0 for none. radius_km: of a rain cell.
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
    """How a cause impairs links: over time by its envelope, in the link budget by its effect."""

    envelope: Envelope
    effect: Callable[[Fault, End], Effect]  # `End`: the end of the links at which the culprit is
    least_strength: float = 0.0  # the strength of the effect where the fault's is 0


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
    RootCause.EQUIPMENT_FAILURE: FaultModel(envelopes.step, _hub_chain),
    RootCause.ANTENNA_ALIGNMENT: FaultModel(envelopes.drift, lambda _, end: effects.pointing_loss(end, 7.5)),
    RootCause.SATELLITE_INTERFERENCE: FaultModel(
        envelopes.interference, lambda fault, _: effects.interference(fault.direction, 8.0)
    ),
    RootCause.ANTENNA_MISALIGNMENT: FaultModel(envelopes.quick_step, lambda _, end: effects.pointing_loss(end, 9.0)),
    RootCause.RAIN_FADE: FaultModel(envelopes.bell, lambda _, end: effects.rain(end, 8.0)),
    RootCause.SUN_TRANSIT: FaultModel(
        envelopes.step, lambda fault, _: effects.sun(fault.direction or Direction.IB, 10.0), least_strength=0.4
    ),
    RootCause.CONGESTION: FaultModel(
        envelopes.busy_load, lambda fault, _: effects.load(fault.direction, 3.0), least_strength=0.3
    ),
    RootCause.REMOTE_EQUIPMENT: FaultModel(envelopes.step, _remote_chain),
    RootCause.POWER_OUTAGE: FaultModel(
        envelopes.step, lambda fault, _: effects.outage(reported=fault.variant is not Variant.SILENCE)
    ),
    RootCause.BLOCKAGE: FaultModel(
        envelopes.blockage, lambda _, end: effects.obstruction(end, 30.0), least_strength=0.35
    ),
}
HUB_SIDE: Final = {RootCause.EQUIPMENT_FAILURE, RootCause.ANTENNA_ALIGNMENT}


def compute_impairments(fleet: Fleet, faults: list[Fault], times: Integers) -> Impairments:
    """Returns the sum of all faults. Raises KeyError for an unknown cause or site.

    times: epoch ms, ascending, shape (times,).
    """
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
    """Returns how much of the fault's strength reaches each link, shape (times, links)."""
    if fault.cause == RootCause.SUN_TRANSIT:
        return _transit(fault, fleet, minutes)
    unfold = envelopes.waves if fault.variant is Variant.WAVES else FAULT_MODELS[fault.cause].envelope
    envelope = unfold(minutes, fault.minutes, fault.irregularity)[:, None]
    if fault.cause == RootCause.RAIN_FADE and fault.site and _end(fault, fleet) is End.REMOTE:
        centre = fleet.site_of[fault.site]
        return envelope * footprints.rain_cell(
            fleet, centre, fault.radius_km, minutes, fault.minutes, fault.irregularity
        )
    return envelope * _members(fault, fleet)


def _members(fault: Fault, fleet: Fleet) -> Floats:
    return footprints.select_links(fleet, fault.network, fault.site, fault.link, fault.satellite, fault.transponder)


def _transit(fault: Fault, fleet: Fleet, minutes: Floats) -> Floats:
    """Returns the depth of a sun transit, at the same minutes of every day of the fault, shape (times, links)."""
    phase = (minutes % DAY_MINUTES) / (fault.minutes % DAY_MINUTES or DAY_MINUTES)
    if fault.direction is Direction.OB and fault.site is not None:
        seen = footprints.sun_over_remotes(fleet, fleet.site_of[fault.site], phase)
        return seen * footprints.select_links(fleet, None, None, None, fault.satellite, None)
    return footprints.half_sine_pulse(phase)[:, None] * _members(fault, fleet)
