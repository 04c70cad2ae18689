from dataclasses import replace

import numpy as np
import pytest

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from ml.catalogue.root_causes import NAMED, RootCause
from ml.simulation.faults import FAULT_MODELS, Fault
from ml.simulation.fleet import demo_fleet
from ml.simulation.random_faults import random_fault
from ml.simulation.simulator import Samples, simulate

FLEET = demo_fleet(seed=2, remotes=24)
STEP = 300_000
START = 1_767_225_600_000
HOUR = 3_600_000
TIMES = START + STEP * np.arange(288)


def changed(fault: Fault, metric: Metric, times: np.ndarray = TIMES) -> tuple[Samples, np.ndarray]:
    """The links' samples under the fault, and by how much it moved the metric."""
    kind = CATALOGUE[TargetKind.LINK]
    hit = simulate(FLEET, times, [fault], seed=3)[TargetKind.LINK]
    healthy = simulate(FLEET, times, [], seed=3)[TargetKind.LINK]
    return hit, (hit.readings - healthy.readings)[:, kind.metrics.index(metric)]


def during(samples: Samples, fault: Fault) -> np.ndarray:
    return (samples.at >= fault.start_ms) & (samples.at < fault.end_ms)


def links_of(*networks: int) -> list[int]:
    return [link.number for link in FLEET.links if link.network in networks]


def test_the_demo_fleet_has_shared_transponders_and_a_hub_with_two_networks() -> None:
    fleet = demo_fleet()

    assert (len(fleet.satellites), len(fleet.networks), len(fleet.links)) == (3, 6, 120)
    assert [site.role for site in fleet.sites].count("HUB") == 4
    hubs = [network.hub for network in fleet.networks]
    assert len(set(hubs)) == 4 < len(hubs)
    transponders = {(one.satellite, one.transponder, one.hub) for one in fleet.networks}
    assert len({which[:2] for which in transponders}) < len(transponders)


def test_names_and_numbers_of_the_demo_fleet_are_unique_and_its_places_exist() -> None:
    fleet = demo_fleet(seed=7, remotes=500)

    for things in (fleet.sites, fleet.networks, fleet.links):
        assert len({one.number for one in things}) == len({one.name for one in things}) == len(things)
    assert all(abs(site.latitude) < 80 and abs(site.longitude) <= 180 for site in fleet.sites)


def test_the_same_seed_and_time_give_the_same_readings_whatever_else_is_asked_for() -> None:
    fault = random_fault(FLEET, np.random.default_rng(1), START, 3 * HOUR)

    whole, part = simulate(FLEET, TIMES, [fault], seed=5), simulate(FLEET, TIMES[7:19:2], [fault], seed=5)

    for kind in TargetKind:
        same = np.isin(whole[kind].at, TIMES[7:19:2])
        assert np.array_equal(whole[kind].readings[same], part[kind].readings, equal_nan=True)
        assert np.array_equal(whole[kind].number[same], part[kind].number)
        assert np.array_equal(whole[kind].faulty[same], part[kind].faulty)


@pytest.mark.parametrize("kind", TargetKind)
def test_a_kind_alone_and_unmarked_has_the_same_readings(kind: TargetKind) -> None:
    fault = random_fault(FLEET, np.random.default_rng(1), START, 3 * HOUR)

    whole = simulate(FLEET, TIMES, [fault], seed=5)[kind]
    marked = simulate(FLEET, TIMES, [fault], seed=5, kinds=(kind,))
    unmarked = simulate(FLEET, TIMES, [fault], seed=5, kinds=(kind,), marked=False)[kind]

    assert [*marked] == [kind]
    assert np.array_equal(whole.readings, marked[kind].readings, equal_nan=True)
    assert np.array_equal(whole.faulty, marked[kind].faulty)
    assert np.array_equal(whole.readings, unmarked.readings, equal_nan=True)
    assert not unmarked.faulty.any()


def test_another_seed_gives_other_readings() -> None:
    one, other = simulate(FLEET, TIMES[:2], [], seed=1), simulate(FLEET, TIMES[:2], [], seed=2)

    assert not np.array_equal(one[TargetKind.LINK].readings[:10], other[TargetKind.LINK].readings[:10])


def test_readings_stay_plausible_even_under_faults() -> None:
    rng = np.random.default_rng(4)
    faults = [random_fault(FLEET, rng, int(rng.integers(START, TIMES[-1])), 2 * HOUR) for _ in range(20)]

    simulated = simulate(FLEET, TIMES, faults, seed=6)

    for kind, samples in simulated.items():
        for spec, column in zip(CATALOGUE[kind].specs, samples.readings.T, strict=True):
            known = column[~np.isnan(column)]
            assert spec.low <= known.min() <= known.max() <= spec.high, spec.metric
            assert not spec.whole or np.array_equal(known, np.round(known)), spec.metric
        assert np.all(np.diff(samples.at) >= 0)
        assert 0 < samples.faulty.mean() < 0.5


def test_about_one_per_cent_of_the_samples_is_missing() -> None:
    arrived = len(simulate(FLEET, TIMES, [], seed=8)[TargetKind.LINK].at)

    assert 1 - arrived / (len(TIMES) * 2 * len(FLEET.links)) == pytest.approx(0.01, abs=0.004)


def test_a_healthy_level_moves_about_as_much_within_an_hour_as_real_links_do() -> None:
    samples = simulate(FLEET, START + 60_000 * np.arange(60), [], seed=9, missing=0)[TargetKind.LINK]

    level = samples.readings[:, CATALOGUE[TargetKind.LINK].metrics.index(Metric.RX_LEVEL_DBM)].reshape(60, -1)

    assert 0.18 < np.median(level.std(axis=0)) < 0.36


def test_without_faults_nothing_is_faulty() -> None:
    assert not any(samples.faulty.any() for samples in simulate(FLEET, TIMES[:5], [], seed=1).values())


@pytest.mark.parametrize("cause", FAULT_MODELS)
def test_every_cause_can_be_drawn_and_is_clearly_visible(cause: str) -> None:
    rng = np.random.default_rng(10)
    drawn = (random_fault(FLEET, rng, START, HOUR) for _ in range(500))
    fault = next(one for one in drawn if one.cause == cause)

    samples = simulate(FLEET, TIMES, [fault], seed=11)[TargetKind.LINK]

    assert fault.strength >= 0.5
    assert samples.faulty.any()
    assert not samples.faulty[~during(samples, fault)].any()


def test_a_blockage_needs_something_that_moves() -> None:
    ashore = replace(FLEET, sites=tuple(replace(site, mobile=False) for site in FLEET.sites))
    rng = np.random.default_rng(12)

    causes = {random_fault(ashore, rng, START, HOUR).cause for _ in range(200)}

    assert causes == set(NAMED) - {RootCause.BLOCKAGE}
    with pytest.raises(ValueError, match="no site of the fleet is mobile"):
        random_fault(ashore, rng, START, HOUR, RootCause.BLOCKAGE)


def test_rain_takes_more_from_the_noise_ratio_than_from_the_level() -> None:
    fault = Fault("RAIN_FADE", START + HOUR, START + 2 * HOUR, 0.8, site=1003)

    samples, esno = changed(fault, Metric.ESNO_DB)
    _, level = changed(fault, Metric.RX_LEVEL_DBM)

    hit = during(samples, fault) & (samples.number == 5003) & (samples.direction == "OB")
    assert esno[hit].min() < level[hit].min() - 1.0
    assert level[hit].min() < -3.0


def test_uplink_power_control_hides_a_fade_first() -> None:
    fault = Fault("RAIN_FADE", START + HOUR, START + 2 * HOUR, 0.25, site=1003)

    samples, power = changed(fault, Metric.TX_POWER_DBM)
    _, level = changed(fault, Metric.RX_LEVEL_DBM)

    hit = during(samples, fault) & (samples.number == 5003) & (samples.direction == "IB")
    assert power[hit].max() > 2.0
    assert np.abs(level[hit]).max() < 0.5


def test_interference_crosses_hubs_and_raises_the_level_while_the_noise_ratio_falls() -> None:
    fault = Fault(
        "SATELLITE_INTERFERENCE", START, START + HOUR, 0.8,
        satellite="Meridian 2", transponder="KU-07", direction=Direction.IB,
    )  # fmt: skip

    samples, esno = changed(fault, Metric.ESNO_DB)
    _, level = changed(fault, Metric.RX_LEVEL_DBM)

    hit = esno < -4.0
    assert set(samples.number[hit].tolist()) == set(links_of(101, 103))
    assert set(samples.direction[hit].tolist()) == {"IB"}
    assert level[hit].min() >= 0.0


def test_a_hub_chain_takes_down_its_own_network_only() -> None:
    fault = Fault("EQUIPMENT_FAILURE", START, START + HOUR, 0.5, network=101, direction=Direction.OB)

    samples, level = changed(fault, Metric.RX_LEVEL_DBM)

    assert set(samples.number[level < -3.0].tolist()) == set(links_of(101))
    assert set(samples.direction[level < -3.0].tolist()) == {"OB"}


def test_a_hub_antenna_takes_every_network_of_its_hub_along() -> None:
    fault = Fault("ANTENNA_ALIGNMENT", START, START + HOUR, 0.9, site=1)

    samples, level = changed(fault, Metric.RX_LEVEL_DBM)

    assert set(samples.number[level < -1.0].tolist()) == set(links_of(101, 102))
    assert set(samples.direction[level < -1.0].tolist()) == {"IB", "OB"}


def test_congestion_leaves_the_radio_alone() -> None:
    fault = Fault("CONGESTION", START, START + HOUR, 0.9, network=103)

    samples, level = changed(fault, Metric.RX_LEVEL_DBM)
    _, latency = changed(fault, Metric.LATENCY_MS)

    hit = during(samples, fault) & np.isin(samples.number, links_of(103))
    assert np.abs(level[hit]).max() == 0.0
    assert latency[hit].max() > 100.0


def test_without_electricity_the_uptime_is_zero_and_the_radio_silent() -> None:
    fault = Fault("POWER_OUTAGE", START, START + HOUR, 1.0, site=1003)
    link, site = CATALOGUE[TargetKind.LINK], CATALOGUE[TargetKind.SITE]

    simulated = simulate(FLEET, TIMES, [fault], seed=3)

    outage = during(simulated[TargetKind.LINK], fault) & (simulated[TargetKind.LINK].number == 5003)
    assert np.all(simulated[TargetKind.LINK].readings[outage, link.metrics.index(Metric.UPTIME_PCT)] == 0.0)
    assert np.isnan(simulated[TargetKind.LINK].readings[outage, link.metrics.index(Metric.ESNO_DB)]).all()
    out = during(simulated[TargetKind.SITE], fault) & (simulated[TargetKind.SITE].number == 1003)
    assert np.all(simulated[TargetKind.SITE].readings[out, site.metrics.index(Metric.UPTIME_PCT)] == 0.0)
