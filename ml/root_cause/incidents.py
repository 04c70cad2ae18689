"""Incidents with known causes, to train and judge root-cause analysis on: moderate and weak ones, some at once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, Direction, TargetKind
from ml.catalogue.root_causes import NAMED, CulpritKind, RootCause
from ml.catalogue.units import DAY_MS, HOUR_MS, MINUTE_MS
from ml.numerics.arrays import Bools, Floats, Integers
from ml.root_cause.report import HISTORY_HOURS, READ
from ml.simulation.faults import Fault, Variant, compute_impairments
from ml.simulation.fleet import Fleet
from ml.simulation.footprints import distances_km
from ml.simulation.impairments import Impairments
from ml.simulation.link_budget import compute_reception
from ml.simulation.random_faults import random_fault
from ml.simulation.random_fleet import random_fleet
from ml.simulation.simulator import simulate
from ml.simulation.telemetry import LinkCharacteristics, diurnal_demand, draw_characteristics

START_MS: Final = 1_767_225_600_000  # 2026-01-01: any day would do
HISTORY_STRIDE: Final = 3  # samples of the history: every so many of the window's steps
WINDOWS_HOURS: Final = (24, 6, 12, 48, 72)
WINDOWS_CHANCE: Final = (0.6, 0.12, 0.12, 0.08, 0.08)
STEPS_MINUTES: Final = (5, 5, 5, 2, 1)  # short windows only: long ones are at 5
SECOND: Final = 0.25  # of incidents come with something unrelated
THIRD: Final = 0.10  # with two
STORM: Final = 0.4  # of what is unrelated is a storm
STORM_SHARE: Final = 0.25  # of links that it reaches at most
NOTABLE_DB: Final = 0.5
CONGESTED_PCT: Final = (10.0, 80.0)  # of utilisation: by how much it must rise, and to what
LARGEST: Final = 30  # links of a network
ATTEMPTS: Final = 60
KINDS: Final = len(NAMED) + 1  # of scenarios with the same seed, none of which share their noise
# How long each lasts, minutes (uniform in the logarithm), and how strong it is.
LASTS_MINUTES: Final = {
    RootCause.EQUIPMENT_FAILURE: (60.0, 1500.0),
    RootCause.ANTENNA_ALIGNMENT: (360.0, 2400.0),
    RootCause.SATELLITE_INTERFERENCE: (60.0, 900.0),
    RootCause.ANTENNA_MISALIGNMENT: (180.0, 3000.0),
    RootCause.RAIN_FADE: (25.0, 120.0),
    RootCause.SUN_TRANSIT: (12.0, 20.0),
    RootCause.CONGESTION: (90.0, 600.0),
    RootCause.REMOTE_EQUIPMENT: (120.0, 3000.0),
    RootCause.POWER_OUTAGE: (20.0, 500.0),
    RootCause.BLOCKAGE: (90.0, 720.0),
}
STRENGTHS: Final = {
    RootCause.EQUIPMENT_FAILURE: (0.25, 0.9),
    RootCause.ANTENNA_ALIGNMENT: (0.25, 0.9),
    RootCause.SATELLITE_INTERFERENCE: (0.15, 0.85),
    RootCause.ANTENNA_MISALIGNMENT: (0.2, 0.8),
    RootCause.RAIN_FADE: (0.25, 1.0),
    RootCause.SUN_TRANSIT: (0.1, 1.0),
    RootCause.CONGESTION: (0.15, 1.0),
    RootCause.REMOTE_EQUIPMENT: (0.25, 0.9),
    RootCause.POWER_OUTAGE: (1.0, 1.0),
    RootCause.BLOCKAGE: (0.1, 1.0),
}


@dataclass(frozen=True)
class Scenario:
    """A fleet in a window of time; `history_ms` is when the samples begin that tell what is usual."""

    fleet: Fleet
    start_ms: int
    end_ms: int
    step_ms: int
    faults: tuple[Fault, ...]
    seed: int

    @property
    def history_ms(self) -> int:
        return self.start_ms - int(HISTORY_HOURS * HOUR_MS)

    @cached_property
    def times(self) -> Integers:
        """Of the window."""
        return np.arange(self.start_ms, self.end_ms, self.step_ms, dtype=np.int64)

    @property
    def history(self) -> Integers:
        return np.arange(self.history_ms, self.start_ms, HISTORY_STRIDE * self.step_ms, dtype=np.int64)


@dataclass(frozen=True)
class Truth:
    """What one fault really did. culprit: its number, or a satellite's place in the fleet.

    hit: link numbers and directions that it alone, without any noise, takes notably down at its worst in the window.
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


def draw_scenario(
    seed: int, cause: RootCause | None = None, largest: int = LARGEST, longest_hours: int = max(WINDOWS_HOURS)
) -> Scenario:
    """An incident of this cause, else of any; its main fault comes first. Each of its faults hits some link notably.

    largest: links of a network; longest_hours: of a window.
    """
    cause = cause or NAMED[int(np.random.default_rng([seed, 909]).integers(len(NAMED)))]
    rng = np.random.default_rng([seed, 910, NAMED.index(cause)])
    calm = _draw_calm(rng, seed * KINDS + NAMED.index(cause), largest, mobile=cause is RootCause.BLOCKAGE)
    if calm.end_ms - calm.start_ms > longest_hours * HOUR_MS:
        calm = replace(calm, end_ms=calm.start_ms + longest_hours * HOUR_MS)
    faults = [_draw_visible(calm, lambda: _draw_fault(rng, calm, cause))]
    chance = rng.random()
    for _ in range(2 if chance < THIRD else 1 if chance < THIRD + SECOND else 0):
        faults.append(_draw_unrelated(rng, calm, {_culprit(calm.fleet, fault) for fault in faults}))
    return replace(calm, faults=tuple(faults))


def draw_healthy_scenario(seed: int, largest: int = LARGEST) -> Scenario:
    """Nothing is wrong."""
    return _draw_calm(np.random.default_rng([seed, 808]), seed * KINDS + len(NAMED), largest)


def simulate_samples(scenario: Scenario) -> pl.DataFrame:
    """Links' samples of the window and, thinned, of its history, as `Request.frame` wants them; keys are numbers."""
    at = np.concatenate([scenario.history, scenario.times])
    links = simulate(scenario.fleet, at, scenario.faults, scenario.seed, kinds=(TargetKind.LINK,), marked=False)[
        TargetKind.LINK
    ]
    metrics = CATALOGUE[TargetKind.LINK].metrics
    columns = {metric.column: links.readings[:, metrics.index(metric)] for metric in READ}
    keys = {"link": links.number, "direction": links.direction, "at": links.at}
    return pl.DataFrame({**keys, **columns}).with_columns(pl.col(column).fill_nan(None) for column in columns)


def compute_truths(scenario: Scenario) -> tuple[Truth, ...]:
    """One for each fault, in order."""
    traits = draw_characteristics(scenario.fleet, scenario.times[:1], scenario.seed)
    return tuple(_truth(scenario, fault, traits) for fault in scenario.faults)


def _truth(scenario: Scenario, fault: Fault, traits: LinkCharacteristics) -> Truth:
    affected = _affected(scenario, fault, traits)
    numbers = [link.number for link in scenario.fleet.links]
    ways = [(number, way) for way in (Direction.IB, Direction.OB) for number in numbers]
    notable = frozenset(pair for pair, struck in zip(ways, affected.tolist(), strict=True) if struck)
    return Truth(RootCause(fault.cause), _culprit(scenario.fleet, fault), notable, fault.start_ms, fault.end_ms)


def _affected(scenario: Scenario, fault: Fault, traits: LinkCharacteristics) -> Bools:
    """(2 x links,)"""
    during = scenario.times[(scenario.times >= fault.start_ms) & (scenario.times < fault.end_ms)]
    if not len(during):
        return np.zeros(2 * len(scenario.fleet.links), dtype=bool)
    done = compute_impairments(scenario.fleet, [fault], during)
    radio = compute_reception(traits.budget, done, np.zeros_like(done.uplink))
    fall: Floats = traits.budget.esno - radio.esno.min(axis=0)
    outage: Bools = done.outage.max(axis=0) > 0.5
    return (fall >= NOTABLE_DB) | outage | _congested(traits, done, during)


def _congested(traits: LinkCharacteristics, done: Impairments, during: Integers) -> Bools:
    healthy: Floats = np.minimum(
        100.0, 100.0 * traits.demand * diurnal_demand(during, traits.longitude) / traits.capacity
    )
    used = np.minimum(100.0, healthy * (1.0 + done.load))
    least_rise, least = CONGESTED_PCT
    result: Bools = np.logical_or.reduce((used - healthy >= least_rise) & (used >= least), axis=0)
    return result


def _culprit(fleet: Fleet, fault: Fault) -> tuple[CulpritKind, int]:
    """The remote in the middle of an outbound sun transit is not to blame for it: the satellite before the sun is."""
    transit = fault.cause == RootCause.SUN_TRANSIT and fault.direction is Direction.OB
    if fault.satellite is not None and (fault.site is None or transit):
        return CulpritKind.SATELLITE, [one.name for one in fleet.satellites].index(fault.satellite)
    if fault.site is not None:
        return CulpritKind.SITE, fault.site
    if fault.network is not None:
        return CulpritKind.NETWORK, fault.network
    return CulpritKind.LINK, fault.link or 0


# ---------------------------------------------------------------- drawing


def _draw_calm(rng: np.random.Generator, seed: int, largest: int, *, mobile: bool = False) -> Scenario:
    fleet = random_fleet(rng, largest)
    while mobile and not any(site.mobile for site in fleet.sites):
        fleet = random_fleet(rng, largest)
    hours = int(rng.choice(WINDOWS_HOURS, p=WINDOWS_CHANCE))
    step_ms = MINUTE_MS * (int(rng.choice(STEPS_MINUTES)) if hours <= 12 else 5)
    start_ms = START_MS + int(rng.integers(0, 365 * 24 * 12)) * 5 * MINUTE_MS
    return Scenario(fleet, start_ms, start_ms + hours * HOUR_MS, step_ms, (), seed)


def _draw_visible(calm: Scenario, draw: Callable[[], Fault], most: float = 1.0) -> Fault:
    """Drawn until it hits something notably in the window, and no more than this share of the links."""
    traits = draw_characteristics(calm.fleet, calm.times[:1], calm.seed)
    for _ in range(ATTEMPTS):
        fault = draw()
        share = _affected(calm, fault, traits).reshape(2, -1).any(axis=0).mean()
        if 0.0 < share <= most:
            break
    return fault


def _draw_fault(rng: np.random.Generator, calm: Scenario, cause: RootCause) -> Fault:
    window = calm.end_ms - calm.start_ms
    onset = calm.start_ms + int(rng.uniform(0.1, 0.92) * window)
    duration_ms = int(MINUTE_MS * np.exp(rng.uniform(*np.log(LASTS_MINUTES[cause]))))
    fault = random_fault(calm.fleet, rng, onset, duration_ms, cause)
    fault = replace(fault, strength=round(float(rng.uniform(*STRENGTHS[cause])), 3))
    if cause is RootCause.ANTENNA_ALIGNMENT and rng.random() < 0.4:
        fault = replace(fault, variant=Variant.WAVES, end_ms=max(fault.end_ms, calm.end_ms))
    if cause is RootCause.POWER_OUTAGE and rng.random() < 0.5:
        fault = replace(fault, variant=Variant.SILENCE)
    if cause is RootCause.SUN_TRANSIT and rng.random() < 0.5:
        fault = replace(fault, end_ms=fault.end_ms + DAY_MS * int(rng.integers(1, 3)))
    return fault


def _draw_unrelated(rng: np.random.Generator, calm: Scenario, known: set[tuple[CulpritKind, int]]) -> Fault:
    """A storm, or something else with another culprit than those known."""
    if rng.random() < STORM:
        return _draw_visible(calm, lambda: _draw_storm(rng, calm), STORM_SHARE)
    causes = [cause for cause in NAMED if cause is not RootCause.BLOCKAGE]
    for _ in range(ATTEMPTS):
        fault = _draw_visible(calm, lambda: _draw_fault(rng, calm, causes[int(rng.integers(len(causes)))]))
        if _culprit(calm.fleet, fault) not in known:
            break
    return fault


def _draw_storm(rng: np.random.Generator, calm: Scenario) -> Fault:
    fault = _draw_fault(rng, calm, RootCause.RAIN_FADE)
    centre = calm.fleet.site_of[calm.fleet.links[int(rng.integers(len(calm.fleet.links)))].site]
    distances = distances_km(calm.fleet, centre)
    radius = float(np.clip(np.quantile(distances, rng.uniform(0.03, 0.2)), 20.0, 400.0))
    return replace(fault, site=centre.number, radius_km=round(radius, 1), end_ms=fault.end_ms + 60 * MINUTE_MS)
