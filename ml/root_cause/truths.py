"""The truth about a scenario: whom each fault really affects, and since when."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.arrays import Bools, Floats, Integers
from ml.root_cause.scenario import Scenario
from ml.simulation.faults import Fault, compute_impairments
from ml.simulation.fleet import Fleet
from ml.simulation.impairments import Impairments
from ml.simulation.link_budget import compute_reception
from ml.simulation.telemetry import LinkCharacteristics, diurnal_demand, draw_characteristics

NOTABLE_DB: Final = 0.5
CONGESTED_PCT: Final = (10.0, 80.0)  # utilisation's least rise, and its least value


@dataclass(frozen=True)
class Truth:
    """What a fault really did.

    culprit: its kind with its number, or with a satellite's place in the fleet. affected: link numbers and directions
    that the fault alone, without noise, degrades notably at its worst in the window.
    """

    cause: RootCause
    culprit: tuple[CulpritKind, int]
    affected: frozenset[tuple[int, Direction]]
    onset_ms: int
    end_ms: int

    @property
    def links(self) -> frozenset[int]:
        return frozenset(link for link, _ in self.affected)

    @property
    def directions(self) -> frozenset[Direction]:
        return frozenset(direction for _, direction in self.affected)


def compute_truths(scenario: Scenario) -> tuple[Truth, ...]:
    """Returns the truth of each fault, in order."""
    traits = draw_characteristics(scenario.fleet, scenario.times[:1], scenario.seed)
    return tuple(_truth(scenario, fault, traits) for fault in scenario.faults)


def _truth(scenario: Scenario, fault: Fault, traits: LinkCharacteristics) -> Truth:
    affected = affected_streams(scenario, fault, traits)
    numbers = [link.number for link in scenario.fleet.links]
    streams = [(number, direction) for direction in (Direction.IB, Direction.OB) for number in numbers]
    notable = frozenset(stream for stream, degraded in zip(streams, affected.tolist(), strict=True) if degraded)
    return Truth(RootCause(fault.cause), culprit_of(scenario.fleet, fault), notable, fault.start_ms, fault.end_ms)


def affected_streams(scenario: Scenario, fault: Fault, traits: LinkCharacteristics) -> Bools:
    """Returns which streams the fault degrades notably, shape (2 x links,)."""
    during = scenario.times[(scenario.times >= fault.start_ms) & (scenario.times < fault.end_ms)]
    affected: Bools = np.logical_or.reduce(measure_effect(scenario.fleet, fault, traits, during, NOTABLE_DB), axis=0)
    return affected


def measure_effect(fleet: Fleet, fault: Fault, traits: LinkCharacteristics, times: Integers, least_db: float) -> Bools:
    """Returns at which times the fault costs a stream so many dB, silences or congests it, shape (times, streams)."""
    return compute_effect(fleet, fault, traits, times).find_notable(least_db)


@dataclass(frozen=True)
class Effect:
    """What a fault alone does to streams, without noise; shapes (times, streams).

    fall_db: of Es/N0. is_lost: silenced or congested.
    """

    fall_db: Floats
    is_lost: Bools

    def find_notable(self, least_db: float) -> Bools:
        """Returns when streams lose so many dB, or are lost."""
        return (self.fall_db >= least_db) | self.is_lost


def compute_effect(fleet: Fleet, fault: Fault, traits: LinkCharacteristics, times: Integers) -> Effect:
    """Returns what the fault does at these times."""
    if not len(times):
        none = np.zeros((0, 2 * len(fleet.links)), dtype=bool)
        return Effect(none.astype(np.float64), none)
    impairments = compute_impairments(fleet, [fault], times)
    radio = compute_reception(traits.budget, impairments, np.zeros_like(impairments.uplink))
    fall: Floats = traits.budget.esno - radio.esno
    outage: Bools = impairments.outage > 0.5
    return Effect(fall, outage | _find_congestion(traits, impairments, times))


def _find_congestion(traits: LinkCharacteristics, impairments: Impairments, during: Integers) -> Bools:
    """Returns when streams are congested by added load, shape (times, 2 x links)."""
    demand = traits.demand * diurnal_demand(during, traits.longitude)
    healthy: Floats = np.minimum(100.0, 100.0 * demand / traits.capacity)
    used = np.minimum(100.0, healthy * (1.0 + impairments.load))
    least_rise, least = CONGESTED_PCT
    result: Bools = (used - healthy >= least_rise) & (used >= least)
    return result


def culprit_of(fleet: Fleet, fault: Fault) -> tuple[CulpritKind, int]:
    """Returns who is at fault. For an outbound sun transit this is the satellite, not the remote in its middle."""
    transit = fault.cause == RootCause.SUN_TRANSIT and fault.direction is Direction.OB
    if fault.satellite is not None and (fault.site is None or transit):
        return CulpritKind.SATELLITE, [one.name for one in fleet.satellites].index(fault.satellite)
    if fault.site is not None:
        return CulpritKind.SITE, fault.site
    if fault.network is not None:
        return CulpritKind.NETWORK, fault.network
    return CulpritKind.LINK, fault.link or 0
