import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import NAMED, CulpritKind, RootCause
from ml.root_cause.incidents import draw_healthy_scenario, draw_scenario
from ml.root_cause.report import HISTORY_HOURS, READ
from ml.root_cause.scenario import HISTORY_STRIDE, simulate_samples
from ml.root_cause.truths import compute_truths
from ml.simulation.fleet_topology import build_topology
from ml.simulation.random_fleet import random_fleet

SEEDS = st.integers(0, 10_000)
CAUSES = pytest.mark.parametrize("cause", NAMED)
BOTH = {Direction.IB, Direction.OB}
CULPRITS = {
    RootCause.EQUIPMENT_FAILURE: {CulpritKind.NETWORK},
    RootCause.ANTENNA_ALIGNMENT: {CulpritKind.SITE},
    RootCause.SATELLITE_INTERFERENCE: {CulpritKind.SATELLITE},
    RootCause.ANTENNA_MISALIGNMENT: {CulpritKind.LINK},
    RootCause.RAIN_FADE: {CulpritKind.SITE},
    RootCause.SUN_TRANSIT: {CulpritKind.SITE, CulpritKind.SATELLITE},
    RootCause.CONGESTION: {CulpritKind.NETWORK},
    RootCause.REMOTE_EQUIPMENT: {CulpritKind.LINK},
    RootCause.POWER_OUTAGE: {CulpritKind.SITE},
    RootCause.BLOCKAGE: {CulpritKind.SITE},
}


@given(SEEDS)
def test_random_fleets_are_whole_and_of_the_sizes_promised(seed: int) -> None:
    fleet = random_fleet(np.random.default_rng(seed))

    topology = build_topology(fleet)
    assert 2 <= len(fleet.satellites) <= 4
    assert 2 <= [site.role for site in fleet.sites].count("HUB") <= 5
    assert 4 <= len(fleet.networks) <= 10
    assert set(np.bincount(topology.network).tolist()) <= set(range(4, 31))
    assert len({link.name for link in fleet.links}) == len(fleet.links)
    assert np.abs(topology.sites.latitude).max() <= 80.0
    assert np.abs(topology.sites.longitude).max() <= 180.0


def test_among_random_fleets_transponders_are_shared_across_hubs_and_hubs_use_several() -> None:
    fleets = [random_fleet(np.random.default_rng(seed)) for seed in range(40)]

    for one, other in (("hub", "transponder"), ("transponder", "hub"), ("hub", "satellite")):
        pairs = [{(getattr(net, one), getattr(net, other)) for net in fleet.networks} for fleet in fleets]
        crossing = [len(pair) > len({first for first, _ in pair}) for pair in pairs]
        assert np.mean(crossing) > 0.5, (one, other)


@CAUSES
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_an_incident_begins_in_its_window_and_its_main_fault_hits_something(cause: RootCause, seed: int) -> None:
    incident = draw_scenario(seed, cause)

    found = compute_truths(incident)
    assert found[0].cause is cause
    assert found[0].culprit[0] in CULPRITS[cause]
    assert len(found) == len(incident.faults) <= 3
    window = incident.end_ms - incident.start_ms
    for truth in found:
        assert truth.affected
        assert incident.start_ms + window // 10 <= truth.onset_ms < incident.end_ms
        assert truth.onset_ms < truth.end_ms


@CAUSES
def test_culprits_are_what_a_plant_of_the_fleet_can_name(cause: RootCause) -> None:
    incident = draw_scenario(5, cause)
    topology = build_topology(incident.fleet)

    kind, key = compute_truths(incident)[0].culprit

    sizes = {CulpritKind.SATELLITE: topology.satellites, CulpritKind.SITE: topology.sites.keys}
    sizes |= {CulpritKind.NETWORK: topology.networks.keys, CulpritKind.LINK: topology.links}
    assert key in {topology.key(kind, index) for index in range(len(sizes[kind]))}


@pytest.mark.parametrize("cause", [RootCause.ANTENNA_MISALIGNMENT, RootCause.BLOCKAGE, RootCause.POWER_OUTAGE])
def test_one_links_troubles_stay_its_own(cause: RootCause) -> None:
    assert [len(compute_truths(draw_scenario(seed, cause))[0].links) for seed in range(5)] == [1] * 5


def test_interference_hits_networks_of_several_hubs_now_and_then() -> None:
    hubs = []
    for seed in range(30):
        incident = draw_scenario(seed, RootCause.SATELLITE_INTERFERENCE)
        struck = compute_truths(incident)[0].links
        owners = zip(incident.fleet.links, incident.fleet.link_networks, strict=True)
        hubs.append(len({network.hub for link, network in owners if link.number in struck}))

    assert 0.2 < np.mean(np.array(hubs) > 1) < 0.95


def test_about_a_third_of_incidents_has_company() -> None:
    counts = np.array([len(draw_scenario(seed).faults) for seed in range(300)])

    assert np.mean(counts == 2) == pytest.approx(0.25, abs=0.08)
    assert np.mean(counts == 3) == pytest.approx(0.10, abs=0.06)


def test_some_incidents_last_to_the_end_of_their_window_and_some_do_not() -> None:
    lasting = [draw_scenario(seed).faults[0].end_ms >= draw_scenario(seed).end_ms for seed in range(60)]

    assert 0.15 < np.mean(lasting) < 0.75


def test_samples_are_what_an_analysis_takes() -> None:
    incident = draw_scenario(3, RootCause.RAIN_FADE)

    frame = simulate_samples(incident)

    assert set(frame.columns) == {"link", "direction", "at"} | {metric.column for metric in READ}
    assert set(frame["link"].unique()) == {link.number for link in incident.fleet.links}
    assert not any(frame[metric.column].is_nan().any() for metric in READ)
    before = frame.filter(pl.col("at") < incident.start_ms)["at"].unique().sort()
    assert before.min() == incident.history_ms == incident.start_ms - HISTORY_HOURS * 3_600_000
    assert set(before.diff().drop_nulls()) == {HISTORY_STRIDE * incident.step_ms}
    assert frame["at"].max() == incident.times[-1]


def test_nothing_is_wrong_in_a_healthy_scenario() -> None:
    calm = draw_healthy_scenario(4)

    frame = simulate_samples(calm)

    assert calm.faults == compute_truths(calm) == ()
    assert frame["uptime_pct"].quantile(0.001) > 99.0


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_the_same_seed_gives_the_same_incident(seed: int) -> None:
    incident = draw_scenario(seed)

    assert draw_scenario(seed) == incident == draw_scenario(seed, RootCause(incident.faults[0].cause))


def test_the_same_seed_gives_the_same_samples() -> None:
    assert simulate_samples(draw_scenario(9)).equals(simulate_samples(draw_scenario(9)))


def test_a_days_incident_takes_well_below_a_second() -> None:
    scenarios = map(draw_scenario, range(99))
    incident = next(one for one in scenarios if len(one.fleet.links) > 130 and len(one.times) == 288)

    began = time.process_time()
    simulate_samples(incident)
    compute_truths(incident)

    assert time.process_time() - began < 1.0
