"""Young incidents: faults of minutes to hours, seen while they are going on, in samples of seconds to minutes."""

from dataclasses import replace
from typing import Final

import numpy as np

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.catalogue.root_causes import NAMED, RootCause
from ml.catalogue.topology import Topology
from ml.catalogue.units import DAY_MS, HOUR_MS, MINUTE_MS
from ml.numerics.arrays import Integers
from ml.root_cause.report import READ, Request
from ml.root_cause.scenario import Scenario, simulate_samples
from ml.root_cause.truths import compute_truths, culprit_of, measure_effect
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet, demo_fleet
from ml.simulation.fleet_topology import build_topology
from ml.simulation.random_faults import random_lasting_fault
from ml.simulation.random_fleet import random_fleet
from ml.simulation.simulator import simulate
from ml.simulation.telemetry import draw_characteristics

START_MS: Final = 1_767_225_600_000  # 2026-01-01, an arbitrary day
STEPS_SECONDS: Final = (10, 60, 300)
LASTS_MINUTES: Final = (5.0, 180.0)  # uniform in the logarithm
MARGIN_MINUTES, MARGIN_SAMPLES = 15.0, 20  # at least, before the fault begins: as an incident's window
HISTORY_SAMPLES: Final = 360  # of the history at most
SECOND: Final = 0.05  # share of incidents with another fault at the same time
DEMO: Final = 0.6  # share of incidents in the demo's fleet; the others are in random ones
LARGEST: Final = 24  # links of a network
ATTEMPTS: Final = 60  # faults that are drawn in a fleet, until one shows
FLEETS: Final = 3  # that are drawn, until one shows the cause
VISIBLE_DB: Final = 1.0
REFERENCE_TIMES, REFERENCE_STEP_MS = 60, 2_700_000  # of the samples that streams learned their centres from


def draw_young_scenario(
    seed: int, cause: RootCause, step_seconds: int, demo: float = DEMO, visible_db: float = VISIBLE_DB
) -> Scenario:
    """Returns an incident up to the end of its fault, which comes first.

    demo: the chance of the demo's fleet. visible_db: that the fault costs a link at least, see `find_visible`. Raises
    ValueError if the cause shows in no fleet.
    """
    rng = np.random.default_rng([seed, 911, NAMED.index(cause), step_seconds])
    for _ in range(FLEETS):
        if (scenario := _draw_visible(rng, seed, cause, step_seconds, demo, visible_db)) is not None:
            return scenario
    raise ValueError(f"In {FLEETS} fleets, {ATTEMPTS} faults of {cause} each, none cost a link {visible_db:g} dB.")


def _draw_visible(
    rng: np.random.Generator, seed: int, cause: RootCause, step_seconds: int, demo: float, visible_db: float
) -> Scenario | None:
    """Returns an incident in a random fleet, None if its faults do not show there."""
    fleet = demo_fleet(seed=1 + int(rng.integers(5))) if rng.random() < demo else _draw_fleet(rng, cause)
    step_ms = 1000 * step_seconds
    onset = START_MS + int(rng.integers(0, 365 * DAY_MS // step_ms)) * step_ms + 3 * HOUR_MS
    margin = max(int(MARGIN_MINUTES * MINUTE_MS), MARGIN_SAMPLES * step_ms)
    history_hours = min(12.0, max(1.0, HISTORY_SAMPLES * step_seconds / 3600))
    calm = Scenario(fleet, onset - margin, onset + step_ms, step_ms, (), seed, history_hours)
    return _with_faults(rng, calm, onset + int(rng.integers(step_ms)), cause, visible_db)


def _draw_fleet(rng: np.random.Generator, cause: RootCause) -> Fleet:
    for _ in range(ATTEMPTS):
        fleet = random_fleet(rng, LARGEST)
        if cause is not RootCause.BLOCKAGE or any(site.mobile for site in fleet.sites):
            break
    return fleet


def _with_faults(
    rng: np.random.Generator, calm: Scenario, onset: int, cause: RootCause, visible_db: float
) -> Scenario | None:
    """Returns the scenario with a visible fault, seldom two, up to the first one's end; None if no fault is visible."""
    for _ in range(ATTEMPTS):
        fault = _draw_fault(rng, calm.fleet, onset, cause)
        scenario = replace(calm, end_ms=fault.end_ms + 3 * calm.step_ms, faults=(fault,))
        if find_visible(scenario, fault, visible_db) is not None:
            break
    else:
        return None
    if rng.random() < SECOND:
        others = (_draw_fault(rng, calm.fleet, onset, None) for _ in range(ATTEMPTS))
        culprit = culprit_of(calm.fleet, fault)
        scenario = replace(scenario, faults=(fault, next(o for o in others if culprit_of(calm.fleet, o) != culprit)))
    return scenario


def _draw_fault(rng: np.random.Generator, fleet: Fleet, onset: int, cause: RootCause | None) -> Fault:
    return random_lasting_fault(fleet, rng, onset, LASTS_MINUTES, cause)


def draw_early_scenario(seed: int, cause: RootCause) -> Scenario:
    """Returns a young incident up to a random moment while its fault goes on, at a random cadence."""
    rng = np.random.default_rng([seed, 912, NAMED.index(cause)])
    scenario = draw_young_scenario(seed, cause, int(rng.choice(STEPS_SECONDS)))
    fault = scenario.faults[0]
    visible = find_visible(scenario, fault)
    assert visible is not None  # noqa: S101  it was drawn so
    least, most = 2 * scenario.step_ms, max(3 * scenario.step_ms, fault.end_ms - visible)
    return replace(scenario, end_ms=visible + int(np.exp(rng.uniform(*np.log([least, most])))))


def build_alarmed_request(scenario: Scenario) -> tuple[Request, Topology]:
    """Returns the request and the topology of an incident's analysis, which knows which links misbehave.

    In scope is what the first fault has degraded notably so far. Reference levels are of the days before.
    """
    topology = build_topology(scenario.fleet)
    at = scenario.start_ms - REFERENCE_STEP_MS * np.arange(REFERENCE_TIMES, 0, -1, dtype=np.int64)
    calm = simulate(scenario.fleet, at, (), scenario.seed, missing=0.0, kinds=(TargetKind.LINK,))[TargetKind.LINK]
    columns = [CATALOGUE[TargetKind.LINK].metrics.index(metric) for metric in READ]
    reference = np.median(calm.readings[:, columns].reshape(len(at), -1, len(READ)), axis=0)
    frame = simulate_samples(scenario)
    request = Request(frame, scenario.start_ms, scenario.end_ms, reference, scenario.step_ms, alarmed=True)
    affected = compute_truths(scenario)[0].links
    return request, topology.scoped(np.isin(topology.links, list(affected)))


def find_visible(scenario: Scenario, fault: Fault, least_db: float = VISIBLE_DB) -> int | None:
    """Returns when the fault first costs a stream so many dB, silences it, or fills it; epoch ms, None if never."""
    during = _select_times(scenario, fault)
    traits = draw_characteristics(scenario.fleet, scenario.times[:1], scenario.seed)
    visible = measure_effect(scenario.fleet, fault, traits, during, least_db).any(axis=1)
    return int(during[visible.argmax()]) if visible.any() else None


def _select_times(scenario: Scenario, fault: Fault) -> Integers:
    times = scenario.times
    return times[(times >= fault.start_ms) & (times < fault.end_ms)]
