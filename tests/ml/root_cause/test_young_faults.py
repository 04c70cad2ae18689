"""Faults that have just begun, in samples of seconds: what is said about them, and in which order."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.root_cause.evaluation import build_request
from ml.root_cause.report import Pattern, Request
from ml.root_cause.scenario import Scenario, simulate_samples
from ml.root_cause.timing import measure_roundness
from ml.root_cause.young_incidents import build_alarmed_request, draw_young_scenario, find_visible
from ml.simulation.faults import Fault, Variant
from ml.simulation.fleet import demo_fleet
from ml.simulation.fleet_topology import build_topology
from tests.helpers.incidents import (
    FLEET,
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    STEP_MS,
    analysis,
    asked,
    fault,
    links_of,
    scoped,
)

SECOND_MS = 1000
NOW_MS = START_MS + 30 * HOUR_MS
DRIZZLE = fault(RootCause.RAIN_FADE, begins=4.0, hours=1.0, strength=0.6, site=1012, radius_km=15.0, irregularity=3)
HUB_FAILS = fault(RootCause.EQUIPMENT_FAILURE, begins=23.5, hours=3.0, network=106, variant=Variant.AMPLIFIER)


def find_blame(pattern: Pattern) -> tuple[RootCause, CulpritKind | None, int | None]:
    culprit = pattern.culprit
    return pattern.cause, culprit.kind if culprit else None, culprit.key if culprit else None


def young(cause: RootCause, seconds: int, **said: object) -> Fault:
    """One that began so many seconds ago and goes on."""
    return Fault(cause, NOW_MS - seconds * SECOND_MS, NOW_MS + HOUR_MS, 0.8, **said)  # type: ignore[arg-type]


def simulate_request(*faults: Fault, hours: float = 0.5, step_seconds: int = 10, seed: int = 0) -> Request:
    """Samples every few seconds up to now, after an hour's history."""
    step_ms = step_seconds * SECOND_MS
    return build_request(Scenario(FLEET, NOW_MS - int(hours * HOUR_MS), NOW_MS, step_ms, faults, seed, 1.0))


def as_the_demo_does(*faults: Fault) -> Request:
    """A day of samples every 5 minutes, and every 10 seconds since 20 minutes."""
    live = simulate_samples(Scenario(FLEET, NOW_MS - 20 * MINUTE_MS, NOW_MS, 10 * SECOND_MS, faults, 0, 1.0))
    since = NOW_MS - 20 * MINUTE_MS
    day = simulate_samples(Scenario(FLEET, since - 24 * HOUR_MS, since, STEP_MS, faults, 0))
    frame = pl.concat([day, live.filter(pl.col("at") >= since)])
    return Request(frame, NOW_MS - 24 * HOUR_MS, NOW_MS)


# ---------------------------------------------------------------- in which order


def test_what_goes_on_now_is_told_before_the_drizzle_of_yesterday() -> None:
    found = analysis(asked(DRIZZLE, HUB_FAILS))

    assert [one.cause for one in found.patterns] == [RootCause.EQUIPMENT_FAILURE, RootCause.RAIN_FADE]
    assert [one.ended_ms is None for one in found.patterns] == [True, False]


def test_of_two_that_go_on_the_greater_comes_first_though_the_other_is_more_certain() -> None:
    remote = fault(RootCause.REMOTE_EQUIPMENT, begins=10.0, hours=20.0, link=5004)

    found = analysis(asked(remote, HUB_FAILS))

    lasting = [one for one in found.patterns if one.ended_ms is None]
    assert [one.cause for one in lasting] == [RootCause.EQUIPMENT_FAILURE, RootCause.REMOTE_EQUIPMENT]
    assert lasting[0].impact > lasting[1].impact > 0.0


def test_only_what_the_scope_suffers_counts() -> None:
    remote = fault(RootCause.REMOTE_EQUIPMENT, begins=10.0, hours=20.0, link=5004)
    sharing_little = scoped(5004, min(links_of(106)))

    found = analysis(asked(remote, replace(HUB_FAILS, strength=0.3)), sharing_little)

    assert found.patterns[0].cause is RootCause.REMOTE_EQUIPMENT


def test_impacts_are_shares_of_what_lasts_and_of_what_ended() -> None:
    found = analysis(asked(DRIZZLE, HUB_FAILS))

    assert all(0.0 < one.impact <= one.confidence for one in found.patterns)


# ---------------------------------------------------------------- two resolutions


def test_a_fault_of_100_seconds_shows_in_a_day_of_five_minute_samples() -> None:
    found = analysis(as_the_demo_does(young(RootCause.EQUIPMENT_FAILURE, 100, network=106, variant=Variant.AMPLIFIER)))

    assert find_blame(found.patterns[0]) == (RootCause.EQUIPMENT_FAILURE, CulpritKind.NETWORK, 106)
    assert abs(found.patterns[0].started_ms - (NOW_MS - 100 * SECOND_MS)) <= 20 * SECOND_MS
    assert set(found.patterns[0].links) == links_of(106)


def test_a_fault_older_than_the_fine_stretch_is_told_once_with_its_own_onset() -> None:
    began = young(RootCause.EQUIPMENT_FAILURE, 6 * 3600, network=106, variant=Variant.AMPLIFIER)

    found = analysis(as_the_demo_does(began))

    assert [find_blame(one) for one in found.patterns] == [(RootCause.EQUIPMENT_FAILURE, CulpritKind.NETWORK, 106)]
    assert abs(found.patterns[0].started_ms - began.start_ms) <= 2 * STEP_MS


def test_a_healthy_day_with_a_faster_end_has_no_pattern() -> None:
    assert analysis(as_the_demo_does()).patterns == ()


# ---------------------------------------------------------------- signatures while they last


def test_all_links_of_a_network_that_fall_in_one_batch_are_a_pattern_at_once() -> None:
    found = analysis(simulate_request(young(RootCause.EQUIPMENT_FAILURE, 10, network=101)))

    assert find_blame(found.patterns[0]) == (RootCause.EQUIPMENT_FAILURE, CulpritKind.NETWORK, 101)


@pytest.mark.parametrize("seconds", [120, 600])
def test_a_hub_antenna_that_drifts_for_minutes_is_no_rain(seconds: int) -> None:
    drifting = Fault(
        RootCause.ANTENNA_ALIGNMENT, NOW_MS - seconds * SECOND_MS, NOW_MS + seconds * SECOND_MS, 0.9, site=1
    )

    found = analysis(simulate_request(drifting))

    assert find_blame(found.patterns[0]) == (RootCause.ANTENNA_ALIGNMENT, CulpritKind.SITE, 1)


def test_interference_in_its_first_minutes_need_not_have_come_twice() -> None:
    jammed = young(
        RootCause.SATELLITE_INTERFERENCE, 240, satellite="Meridian 2", transponder="KU-07", direction=Direction.IB
    )

    found = analysis(simulate_request(jammed))

    assert find_blame(found.patterns[0]) == (RootCause.SATELLITE_INTERFERENCE, CulpritKind.SATELLITE, 1)


def test_a_site_that_is_silent_for_two_minutes_of_ten_second_samples_has_no_electricity() -> None:
    dark = young(RootCause.POWER_OUTAGE, 120, site=1011, variant=Variant.SILENCE)

    found = analysis(simulate_request(dark))

    assert find_blame(found.patterns[0]) == (RootCause.POWER_OUTAGE, CulpritKind.SITE, 1011)


def test_a_large_network_that_falls_silent_is_no_collector_that_is_down_while_a_small_one_speaks() -> None:
    many = demo_fleet(remotes=150)
    large = [link for link in many.links if link.network == 101]
    fleet = replace(many, links=(*large, next(link for link in many.links if link.network == 102)))
    dark = young(RootCause.POWER_OUTAGE, 120, network=101, variant=Variant.SILENCE)

    found = analysis(
        build_request(Scenario(fleet, NOW_MS - HOUR_MS // 2, NOW_MS, 10 * SECOND_MS, (dark,), 0, 1.0)),
        build_topology(fleet),
    )

    assert set(found.patterns[0].links) == {link.number for link in large}


def test_a_vessel_behind_its_mast_still_measures_a_level_and_so_has_electricity() -> None:
    hidden = young(RootCause.BLOCKAGE, 120, site=1003, irregularity=6)

    found = analysis(simulate_request(hidden))

    assert find_blame(found.patterns[0]) == (RootCause.BLOCKAGE, CulpritKind.SITE, 1003)


def test_a_network_that_suddenly_carries_much_more_is_congested_though_only_few_links_queue_yet() -> None:
    full = young(RootCause.CONGESTION, 180, network=104, direction=Direction.IB)

    found = analysis(simulate_request(full))

    assert find_blame(found.patterns[0]) == (RootCause.CONGESTION, CulpritKind.NETWORK, 104)


def test_a_sun_transit_rises_where_interference_steps_on() -> None:
    sun = Fault(
        RootCause.SUN_TRANSIT,
        NOW_MS - 4 * MINUTE_MS,
        NOW_MS + 8 * MINUTE_MS,
        0.8,
        site=4,
        satellite="Meridian 3",
        direction=Direction.IB,
    )

    found = analysis(simulate_request(sun))

    assert find_blame(found.patterns[0]) == (RootCause.SUN_TRANSIT, CulpritKind.SITE, 4)
    assert found.patterns[0].hypotheses[1].cause is RootCause.SATELLITE_INTERFERENCE


@pytest.mark.parametrize("minutes", [3, 5, 8, 11])
@pytest.mark.parametrize("seed", range(2))
def test_the_sun_swells_and_interference_is_flat_from_the_first(minutes: int, seed: int) -> None:
    begins = NOW_MS - minutes * MINUTE_MS + 20 * SECOND_MS
    behind = {"satellite": "Meridian 3", "direction": Direction.IB}
    sun = Fault(RootCause.SUN_TRANSIT, begins, begins + 12 * MINUTE_MS, 0.8, site=4, **behind)  # type: ignore[arg-type]
    jammed = Fault(RootCause.SATELLITE_INTERFERENCE, begins, NOW_MS + HOUR_MS, 0.8, transponder="KU-15", **behind)  # type: ignore[arg-type]

    first, second = (analysis(simulate_request(one, step_seconds=60, seed=seed)).patterns[0] for one in (sun, jammed))

    assert find_blame(first) == (RootCause.SUN_TRANSIT, CulpritKind.SITE, 4)
    assert find_blame(second) == (RootCause.SATELLITE_INTERFERENCE, CulpritKind.SATELLITE, 2)
    assert first.confidence > 0.6
    assert second.confidence > 0.6


def test_a_blockage_that_is_over_was_no_shower() -> None:
    profile = np.zeros(45, dtype=np.float32)
    profile[20:38] = 14.0

    assert measure_roundness(profile, slice(18, 44), 0.3) < -3.0


def test_what_is_too_short_has_no_shape() -> None:
    assert np.isnan(measure_roundness(np.full(20, 5.0, dtype=np.float32), slice(10, 12), 0.1))


@pytest.mark.parametrize("seed", range(3))
def test_a_link_that_fades_beside_one_that_has_faded_for_long_has_a_fault_of_its_own(seed: int) -> None:
    before = young(RootCause.ANTENNA_MISALIGNMENT, 2 * 3600, link=5007, irregularity=2)
    now = young(RootCause.ANTENNA_MISALIGNMENT, 1500, link=5020, irregularity=2)

    scenario = Scenario(FLEET, NOW_MS - 45 * MINUTE_MS, NOW_MS, MINUTE_MS, (now, before), seed, 1.0)
    found = analysis(*build_alarmed_request(scenario))

    assert sorted(one.links for one in found.patterns if one.ended_ms is None) == [(5020,)]


def test_of_a_link_that_is_known_to_be_silent_three_missing_samples_are_an_outage() -> None:
    dark = young(RootCause.POWER_OUTAGE, 200, site=1011, variant=Variant.SILENCE)
    request = simulate_request(dark, step_seconds=60)

    unknown, known = (analysis(replace(request, alarmed=alarmed), scoped(5011)) for alarmed in (False, True))

    assert unknown.patterns == ()
    assert find_blame(known.patterns[0]) == (RootCause.POWER_OUTAGE, CulpritKind.SITE, 1011)


def test_less_of_a_fade_is_needed_of_a_link_that_is_known_to_misbehave() -> None:
    weak = replace(young(RootCause.ANTENNA_MISALIGNMENT, 60, link=5007, irregularity=2), strength=0.16)
    request = simulate_request(weak)

    unknown, known = (analysis(replace(request, alarmed=alarmed), scoped(5007)) for alarmed in (False, True))

    assert unknown.patterns == ()
    assert [one.links for one in known.patterns] == [(5007,)]


@pytest.mark.parametrize("seed", range(4))
def test_half_an_hour_of_ten_second_samples_without_a_fault_has_no_pattern(seed: int) -> None:
    assert analysis(simulate_request(seed=seed)).patterns == ()


# ---------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("step_seconds", [10, 300])
@pytest.mark.parametrize("cause", [RootCause.RAIN_FADE, RootCause.BLOCKAGE, RootCause.CONGESTION])
def test_a_young_incident_is_visible_and_lasts_minutes_to_hours(cause: RootCause, step_seconds: int) -> None:
    drawn = draw_young_scenario(5, cause, step_seconds)

    broken = drawn.faults[0]
    visible = find_visible(drawn, broken)
    assert visible is not None
    assert broken.start_ms <= visible < broken.end_ms <= drawn.end_ms
    assert 4.9 <= broken.minutes <= 180.1
    assert drawn.start_ms <= broken.start_ms - 15 * MINUTE_MS
    assert draw_young_scenario(5, cause, step_seconds) == drawn


def test_a_cause_that_shows_in_no_fleet_is_told_of() -> None:
    with pytest.raises(ValueError, match="SATELLITE_INTERFERENCE each, none cost a link 500 dB"):
        draw_young_scenario(5, RootCause.SATELLITE_INTERFERENCE, 300, visible_db=500.0)
