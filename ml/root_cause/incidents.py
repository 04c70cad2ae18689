"""Simulated incidents with known causes, to train and evaluate analyses on: moderate and weak, some concurrent."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from ml.catalogue.root_causes import NAMED, CulpritKind, RootCause
from ml.catalogue.units import DAY_MS, HOUR_MS, MINUTE_MS
from ml.root_cause.scenario import Scenario
from ml.root_cause.truths import affected_streams, culprit_of
from ml.simulation.faults import Fault, Variant
from ml.simulation.footprints import distances_km
from ml.simulation.random_faults import random_fault
from ml.simulation.random_fleet import random_fleet
from ml.simulation.telemetry import draw_characteristics

START_MS: Final = 1_767_225_600_000  # 2026-01-01, an arbitrary day
WINDOWS_HOURS: Final = (24, 6, 12, 48, 72)
WINDOWS_CHANCE: Final = (0.6, 0.12, 0.12, 0.08, 0.08)
STEPS_MINUTES: Final = (5, 5, 5, 2, 1)  # of short windows; long ones have steps of 5
SECOND: Final = 0.25  # share of incidents with one unrelated fault
THIRD: Final = 0.10  # share of incidents with two
STORM: Final = 0.4  # share of unrelated faults that are storms
STORM_SHARE: Final = 0.25  # of links that a storm affects at most
LARGEST: Final = 30  # links of a network
ATTEMPTS: Final = 60
KINDS: Final = len(NAMED) + 1  # of scenarios of a seed: each has its own noise
# Ranges of the duration in minutes (uniform in the logarithm), and of the strength.
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


def draw_scenario(
    seed: int, cause: RootCause | None = None, largest: int = LARGEST, longest_hours: int = max(WINDOWS_HOURS)
) -> Scenario:
    """Returns an incident of this cause, or of a random one. Each of its faults affects some link notably.

    The main fault comes first. largest: links of a network. longest_hours: of a window.
    """
    cause = cause or NAMED[int(np.random.default_rng([seed, 909]).integers(len(NAMED)))]
    rng = np.random.default_rng([seed, 910, NAMED.index(cause)])
    calm = _draw_calm(rng, seed * KINDS + NAMED.index(cause), largest, mobile=cause is RootCause.BLOCKAGE)
    if calm.end_ms - calm.start_ms > longest_hours * HOUR_MS:
        calm = replace(calm, end_ms=calm.start_ms + longest_hours * HOUR_MS)
    faults = [_draw_visible(calm, lambda: _draw_fault(rng, calm, cause))]
    chance = rng.random()
    for _ in range(2 if chance < THIRD else 1 if chance < THIRD + SECOND else 0):
        faults.append(_draw_unrelated(rng, calm, {culprit_of(calm.fleet, fault) for fault in faults}))
    return replace(calm, faults=tuple(faults))


def draw_healthy_scenario(seed: int, largest: int = LARGEST) -> Scenario:
    """Returns a scenario without faults. largest: links of a network."""
    return _draw_calm(np.random.default_rng([seed, 808]), seed * KINDS + len(NAMED), largest)


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
    """Draws until a fault affects a link notably in the window, and at most this share of the links."""
    traits = draw_characteristics(calm.fleet, calm.times[:1], calm.seed)
    for _ in range(ATTEMPTS):
        fault = draw()
        share = affected_streams(calm, fault, traits).reshape(2, -1).any(axis=0).mean()
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
    """Returns a storm, or a fault of another culprit than the known ones."""
    if rng.random() < STORM:
        return _draw_visible(calm, lambda: _draw_storm(rng, calm), STORM_SHARE)
    causes = [cause for cause in NAMED if cause is not RootCause.BLOCKAGE]
    for _ in range(ATTEMPTS):
        fault = _draw_visible(calm, lambda: _draw_fault(rng, calm, causes[int(rng.integers(len(causes)))]))
        if culprit_of(calm.fleet, fault) not in known:
            break
    return fault


def _draw_storm(rng: np.random.Generator, calm: Scenario) -> Fault:
    fault = _draw_fault(rng, calm, RootCause.RAIN_FADE)
    centre = calm.fleet.site_of[calm.fleet.links[int(rng.integers(len(calm.fleet.links)))].site]
    distances = distances_km(calm.fleet, centre)
    radius = float(np.clip(np.quantile(distances, rng.uniform(0.03, 0.2)), 20.0, 400.0))
    return replace(fault, site=centre.number, radius_km=round(radius, 1), end_ms=fault.end_ms + 60 * MINUTE_MS)
