from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import NAMED, CulpritKind, RootCause
from ml.root_cause.analysis import analyze
from ml.root_cause.evaluation import evaluate_scenario
from ml.root_cause.incidents import draw_healthy_scenario
from ml.root_cause.report import Analysis, Pattern, Request
from ml.simulation.faults import Fault, Variant
from ml.simulation.fleet import Fleet
from ml.simulation.fleet_topology import build_topology
from tests.helpers.incidents import (
    BEGINS,
    DAY_MS,
    FLEET,
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    STEP_MS,
    TOPOLOGY,
    analysis,
    asked,
    fault,
    incident,
    links_of,
    root_cause,
    scoped,
    unmeasured,
)

pytestmark = pytest.mark.xdist_group("root causes")  # trained once, in one process

IB, OB = Direction.IB, Direction.OB
SEEDS = st.integers(0, 2**32 - 1)
AT_MS = START_MS + int(BEGINS * HOUR_MS)
RIG, BRANCH, VESSEL, STRANGER = 5007, 5008, 5009, 5004  # links of networks 101, 102, 103 and 104
KU: dict[str, Any] = {"satellite": "Meridian 2", "transponder": "KU-07"}  # of networks 101 and 103
INTERFERENCE = fault(RootCause.SATELLITE_INTERFERENCE, hours=5, direction=IB, irregularity=3, **KU)
HUB_RECEIVER = fault(RootCause.EQUIPMENT_FAILURE, network=106, variant=Variant.AMPLIFIER)
STORM = fault(RootCause.RAIN_FADE, hours=1.2, site=1002, radius_km=60.0, irregularity=3)


@dataclass(frozen=True)
class Case:
    """A single fault, and who is to blame; steps begin at once, and drifts when somebody may notice."""

    name: str
    broken: Fault
    kind: CulpritKind
    key: int
    steps: bool = True
    seed: int = 0


SITE, NETWORK, LINK, SATELLITE = CulpritKind.SITE, CulpritKind.NETWORK, CulpritKind.LINK, CulpritKind.SATELLITE
CASES = (
    Case("hub transmitter", fault(RootCause.EQUIPMENT_FAILURE, network=105), NETWORK, 105),
    Case("hub transmitter off", fault(RootCause.EQUIPMENT_FAILURE, network=104, variant=Variant.OFF), NETWORK, 104),
    Case("hub amplifier", fault(RootCause.EQUIPMENT_FAILURE, network=102, variant=Variant.AMPLIFIER), NETWORK, 102),
    Case("hub demodulator", fault(RootCause.EQUIPMENT_FAILURE, network=103, variant=Variant.DEMODULATOR), NETWORK, 103),
    Case("hub antenna drifts", fault(RootCause.ANTENNA_ALIGNMENT, hours=20, site=1), SITE, 1, steps=False),
    Case("interference inbound", INTERFERENCE, SATELLITE, 1),
    Case(
        "interference outbound",
        fault(
            RootCause.SATELLITE_INTERFERENCE,
            hours=5,
            direction=OB,
            irregularity=4,
            satellite="Meridian 1",
            transponder="C-12",
        ),
        SATELLITE,
        0,
    ),
    Case("remote antenna", fault(RootCause.ANTENNA_MISALIGNMENT, hours=20, link=RIG), LINK, RIG),
    Case("remote antenna in Ka band", fault(RootCause.ANTENNA_MISALIGNMENT, hours=20, link=BRANCH), LINK, BRANCH),
    Case("rain over a hub", fault(RootCause.RAIN_FADE, hours=1.2, site=4, irregularity=3), SITE, 4),
    Case(
        "sun behind a hub's satellite",
        fault(RootCause.SUN_TRANSIT, hours=0.2, site=2, satellite="Meridian 2", direction=IB),
        SITE,
        2,
    ),
    Case("full carrier", fault(RootCause.CONGESTION, hours=4, network=105, irregularity=5), NETWORK, 105),
    Case("remote transmitter", fault(RootCause.REMOTE_EQUIPMENT, hours=20, link=STRANGER), LINK, STRANGER),
    Case("remote receiver", fault(RootCause.REMOTE_EQUIPMENT, hours=20, link=5005, variant=Variant.LNB), LINK, 5005),
    Case("no electricity", fault(RootCause.POWER_OUTAGE, strength=1.0, site=1010), SITE, 1010),
    Case(
        "no electricity, no word",
        fault(RootCause.POWER_OUTAGE, hours=5, strength=1.0, site=1011, variant=Variant.SILENCE),
        SITE,
        1011,
    ),
    Case("no electricity at a hub", fault(RootCause.POWER_OUTAGE, strength=1.0, site=3), SITE, 3),
    Case("mast in the way", fault(RootCause.BLOCKAGE, hours=4, site=1003, irregularity=6), SITE, 1003),
)


def blamed(pattern: Pattern) -> tuple[RootCause, CulpritKind | None, int | None]:
    culprit = pattern.culprit
    return pattern.cause, culprit.kind if culprit else None, culprit.key if culprit else None


def told(found: Analysis) -> list[tuple[object, ...]]:
    """What does not depend on the order of sums."""
    return [
        (*blamed(one), one.started_ms, one.ended_ms, frozenset(one.links), one.directions, round(one.confidence, 3))
        for one in found.patterns
    ]


# ---------------------------------------------------------------- one fault


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_clear_fault_is_named_with_its_culprit_its_links_and_its_onset(case: Case) -> None:
    outcome = evaluate_scenario(incident(case.broken, seed=case.seed), root_cause())

    (verdict,), (pattern,) = outcome.diagnoses, outcome.patterns
    assert blamed(pattern) == (RootCause(case.broken.cause), case.kind, case.key)
    assert verdict.right
    assert verdict.culprit_right
    assert verdict.iou >= 0.8
    assert abs(verdict.onset_samples) <= (2 if case.steps else 12)


def test_every_cause_is_among_them() -> None:
    assert {case.broken.cause for case in CASES} == set(NAMED)


@pytest.mark.parametrize("minutes", [1, 2])
def test_a_faster_cadence_tells_the_onset_as_well(minutes: int) -> None:
    drawn = incident(HUB_RECEIVER, step_ms=minutes * MINUTE_MS)

    outcome = evaluate_scenario(replace(drawn, end_ms=START_MS + 14 * HOUR_MS), root_cause())

    assert [blamed(one) for one in outcome.patterns] == [(RootCause.EQUIPMENT_FAILURE, NETWORK, 106)]
    assert abs(outcome.diagnoses[0].onset_samples) <= 2


def test_a_storm_is_known_and_most_of_those_under_it() -> None:
    (verdict,) = evaluate_scenario(incident(STORM), root_cause()).diagnoses

    assert verdict.right
    assert verdict.iou >= 0.6  # at its edge nobody can tell


def test_half_of_a_hubs_links_failing_is_one_pattern() -> None:
    found = analysis(asked(fault(RootCause.EQUIPMENT_FAILURE, network=101), seed=1))

    assert [blamed(one) for one in found.patterns] == [(RootCause.EQUIPMENT_FAILURE, NETWORK, 101)]
    assert abs(found.patterns[0].started_ms - AT_MS) <= 2 * STEP_MS


@pytest.mark.parametrize("seed", range(8))
def test_where_all_is_well_there_is_no_pattern(seed: int) -> None:
    quiet = evaluate_scenario(draw_healthy_scenario(seed, largest=10), root_cause())

    assert quiet.patterns == ()
    assert analysis(asked(seed=seed)).patterns == ()


@pytest.mark.parametrize("seed", [3, 7])
def test_a_busy_evening_of_a_small_network_is_no_pattern(seed: int) -> None:
    assert evaluate_scenario(draw_healthy_scenario(seed, largest=8), root_cause()).patterns == ()


def test_a_fault_that_lasts_has_no_end_and_one_that_is_over_has() -> None:
    over, lasting = (
        analysis(asked(fault(RootCause.REMOTE_EQUIPMENT, hours=hours, link=STRANGER))).patterns[0] for hours in (4, 20)
    )

    assert lasting.ended_ms is None
    assert over.ended_ms is not None
    assert abs(over.ended_ms - (AT_MS + 4 * HOUR_MS)) <= 3 * STEP_MS


def test_the_deeper_a_fade_the_more_severe() -> None:
    severities = [
        analysis(asked(replace(HUB_RECEIVER, strength=strength))).patterns[0].severity for strength in (0.3, 0.6, 0.9)
    ]

    assert severities == sorted(severities)
    assert 0.0 < severities[0] < 0.5 < severities[-1] <= 1.0


# ---------------------------------------------------------------- several


def test_a_storm_hides_no_equipment_failure_elsewhere() -> None:
    found = analysis(asked(STORM, HUB_RECEIVER))

    named = {one.cause: one for one in found.patterns}
    assert set(named) >= {RootCause.RAIN_FADE, RootCause.EQUIPMENT_FAILURE}
    assert blamed(named[RootCause.EQUIPMENT_FAILURE])[1:] == (NETWORK, 106)
    assert set(named[RootCause.EQUIPMENT_FAILURE].links) == links_of(106)
    assert not set(named[RootCause.RAIN_FADE].links) & links_of(106)


def test_a_storms_showers_together_explain_its_fades() -> None:
    found = analysis(asked(STORM))

    assert found.correlation > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_at_most_three_are_named_at_a_time(seed: int) -> None:
    causes = (
        fault(RootCause.EQUIPMENT_FAILURE, hours=6, network=106, variant=Variant.AMPLIFIER),
        fault(RootCause.EQUIPMENT_FAILURE, hours=6, network=105, variant=Variant.AMPLIFIER),
        fault(RootCause.ANTENNA_MISALIGNMENT, begins=10.5, hours=13, link=RIG),
        fault(RootCause.REMOTE_EQUIPMENT, begins=11.0, hours=13, link=STRANGER),
        fault(RootCause.POWER_OUTAGE, begins=11.5, hours=6, strength=1.0, site=1009),
    )

    found = analysis(asked(*causes, seed=seed))

    assert len(found.patterns) >= 3
    for four in combinations(found.patterns, 4):
        starts, ends = [one.started_ms for one in four], [one.ended_ms or START_MS + DAY_MS for one in four]
        assert max(starts) > min(ends) - STEP_MS


# ---------------------------------------------------------------- what is asked


@pytest.mark.parametrize("link", [5001, 5003, RIG])
def test_asked_about_one_link_it_names_the_interference_on_its_transponder(link: int) -> None:
    found = analysis(asked(INTERFERENCE), scoped(link))

    assert [blamed(one) for one in found.patterns] == [(RootCause.SATELLITE_INTERFERENCE, SATELLITE, 1)]
    assert link in found.patterns[0].links
    assert set(found.patterns[0].links) == links_of(101, 103)
    assert found.links == 1


def test_what_happens_elsewhere_is_left_out() -> None:
    found = analysis(asked(INTERFERENCE, HUB_RECEIVER), scoped(STRANGER, BRANCH))

    assert found.patterns == ()
    assert found.correlation == 0.0
    assert found.links == 2


def test_of_two_patterns_the_one_that_touches_is_told() -> None:
    found = analysis(asked(INTERFERENCE, HUB_RECEIVER), scoped(*links_of(106)))

    assert [blamed(one) for one in found.patterns] == [(RootCause.EQUIPMENT_FAILURE, NETWORK, 106)]


def test_culprits_go_by_the_callers_keys_and_names() -> None:
    topology = replace(
        TOPOLOGY, networks=replace(TOPOLOGY.networks, keys=TOPOLOGY.networks.keys + 7000), links=TOPOLOGY.links * 3
    )
    request = asked(HUB_RECEIVER)
    renamed = replace(request, frame=request.frame.with_columns(pl.col("link") * 3))

    (pattern,) = analysis(renamed, topology).patterns

    assert pattern.culprit is not None
    assert (pattern.culprit.key, pattern.culprit.index) == (7106, 5)
    assert pattern.culprit.name == "Indian Ocean Maritime"
    assert pattern.culprit.name in pattern.description
    assert set(pattern.links) == {3 * link for link in links_of(106)}


# ---------------------------------------------------------------- why


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hypotheses_share_one_and_evidence_speaks_for_the_first(case: Case) -> None:
    (pattern,) = analysis(asked(case.broken, seed=case.seed)).patterns

    chances = [one.probability for one in pattern.hypotheses]
    assert sum(chances) == pytest.approx(1.0)
    assert chances == sorted(chances, reverse=True)
    assert (pattern.hypotheses[0].cause, pattern.hypotheses[0].culprit) == (pattern.cause, pattern.culprit)
    assert any(one.supports for one in pattern.evidence)
    assert all(one.weight >= 0.0 and one.statement.endswith(".") for one in pattern.evidence)
    assert 0.0 <= pattern.confidence <= 1.0
    assert 0.0 <= pattern.severity <= 1.0


# ---------------------------------------------------------------- what was measured


@pytest.mark.parametrize(
    ("broken", "link"),
    [
        (HUB_RECEIVER, 5006),
        (fault(RootCause.ANTENNA_MISALIGNMENT, hours=20, link=RIG), RIG),
        (fault(RootCause.RAIN_FADE, hours=1.2, site=4, irregularity=3), 5006),
    ],
    ids=["hub amplifier", "remote antenna", "rain"],
)
@pytest.mark.parametrize(
    "absent", [("esno_db",), ("esno_db", "rx_level_dbm", "tx_power_dbm")], ids=["level", "traffic"]
)
def test_without_es_n0_what_else_fell_is_a_pattern(broken: Fault, link: int, absent: tuple[str, ...]) -> None:
    found = analysis(unmeasured(asked(broken), *absent))

    assert [one for one in found.patterns if link in one.links and abs(one.started_ms - AT_MS) <= 6 * STEP_MS]


def test_without_a_sample_there_is_neither_a_pattern_nor_a_link() -> None:
    request = asked()

    found = analysis(replace(request, frame=request.frame.clear()))

    assert (found.patterns, found.correlation, found.links) == ((), 0.0, 0)


def test_links_count_that_are_asked_about_and_have_samples() -> None:
    request = asked()
    heard = replace(request, frame=request.frame.filter(pl.col("link").is_in([RIG, BRANCH, VESSEL])))

    found = analysis(heard, scoped(RIG, BRANCH, STRANGER))

    assert found.links == 2


def test_history_alone_is_no_window() -> None:
    request = asked(INTERFERENCE)
    past = replace(request, frame=request.frame.filter(pl.col("at") < request.start_ms))

    assert analysis(past).patterns == ()


# ---------------------------------------------------------------- what must not matter


@settings(max_examples=6)
@given(SEEDS)
def test_the_order_of_links_and_rows_changes_nothing(seed: int) -> None:
    request = asked(INTERFERENCE, HUB_RECEIVER)

    found = mixed(request, seed)

    assert told(found) == told(analysis(request))
    assert found.correlation == pytest.approx(analysis(request).correlation, abs=0.01)


def test_the_order_of_links_changes_nothing_about_a_storm() -> None:
    request = asked(STORM)

    assert all(told(mixed(request, seed)) == told(analysis(request)) for seed in range(5))


def mixed(request: Request, seed: int) -> Analysis:
    """With links and rows in another order."""
    rng = np.random.default_rng(seed)
    links = tuple(FLEET.links[place] for place in rng.permutation(len(FLEET.links)))
    shuffled = request.frame[rng.permutation(len(request.frame))]
    return analysis(replace(request, frame=shuffled), build_topology(replace(FLEET, links=links)))


def part_of(networks: set[int]) -> Fleet:
    kept = tuple(network for network in FLEET.networks if network.number in networks)
    return replace(FLEET, networks=kept, links=tuple(link for link in FLEET.links if link.network in networks))


@settings(max_examples=8)
@given(st.sets(st.sampled_from([102, 104, 105, 106])))
def test_healthy_links_that_have_nothing_to_do_with_it_change_no_verdict(others: set[int]) -> None:
    fleet = part_of({101, 103} | others)

    found = analysis(asked(INTERFERENCE), build_topology(fleet))

    (pattern,) = found.patterns
    assert pattern.cause is RootCause.SATELLITE_INTERFERENCE
    assert pattern.culprit is not None
    assert (pattern.culprit.kind, pattern.culprit.name) == (SATELLITE, "Meridian 2")
    assert set(pattern.links) == links_of(101, 103)
    assert found.links == len(fleet.links)


@settings(max_examples=5)
@given(st.integers(-400, 400))
def test_on_another_day_only_the_times_are_others(days: int) -> None:
    request = asked(HUB_RECEIVER)
    by = days * DAY_MS

    found = analyze(TOPOLOGY, moved(request, by), root_cause())

    (now,), (then,) = analysis(request).patterns, found.patterns
    assert then.started_ms == now.started_ms + by
    assert (then.ended_ms or 0) == (now.ended_ms or 0) + by
    assert replace(then, started_ms=now.started_ms, ended_ms=now.ended_ms, description="") == replace(
        now, description=""
    )


def moved(request: Request, by: int) -> Request:
    later = request.frame.with_columns(pl.col("at") + by)
    return replace(request, frame=later, start_ms=request.start_ms + by, end_ms=request.end_ms + by)


def test_the_same_question_has_the_same_answer() -> None:
    request = asked(INTERFERENCE, HUB_RECEIVER)

    assert analysis(request) == analysis(request)
