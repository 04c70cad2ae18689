from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import RootCause
from ml.root_cause.degradation import Channel
from ml.root_cause.events import Event, detect_events
from ml.root_cause.onset import estimate_onset
from ml.root_cause.report import Request
from ml.root_cause.residuals import compute_residuals
from ml.simulation.faults import Fault, Variant
from tests.helpers.incidents import BEGINS, FLEET, START_MS, STEP_MS, TOPOLOGY, asked, fault, links_of

IB, OB = Direction.IB, Direction.OB
LINKS = len(FLEET.links)
BEGIN = int(BEGINS * 12)  # sample


def found_in(request: Request) -> list[Event]:
    return detect_events(TOPOLOGY, compute_residuals(TOPOLOGY, request))


def streams(links: set[int], *directions: Direction) -> set[int]:
    places = [place for place, link in enumerate(TOPOLOGY.links.tolist()) if link in links]
    return {place + (LINKS if way is OB else 0) for place in places for way in directions}


# ---------------------------------------------------------------- what is one


@pytest.mark.parametrize("seed", range(6))
def test_where_all_is_well_nothing_goes_together(seed: int) -> None:
    assert found_in(asked(seed=seed)) == []


@pytest.mark.parametrize(
    ("broken", "affected"),
    [
        (fault(RootCause.EQUIPMENT_FAILURE, network=106, variant=Variant.AMPLIFIER), streams(links_of(106), IB)),
        (fault(RootCause.EQUIPMENT_FAILURE, network=105, variant=Variant.TRANSMITTER), streams(links_of(105), OB)),
        (fault(RootCause.ANTENNA_MISALIGNMENT, link=5007, hours=20), streams({5007}, IB, OB)),
        (fault(RootCause.REMOTE_EQUIPMENT, link=5004, hours=20, variant=Variant.BUC), streams({5004}, IB)),
    ],
    ids=["amplifier", "transmitter", "remote antenna", "remote transmitter"],
)
def test_a_step_is_one_event_of_exactly_those_it_hits(broken: Fault, affected: set[int]) -> None:
    request = asked(broken)

    events = found_in(request)

    assert [one.channel for one in events] == [Channel.SIGNAL]
    assert set(events[0].affected_streams.tolist()) == affected
    assert events[0].runs == 1
    assert abs(estimate_onset(compute_residuals(TOPOLOGY, request), events[0]) - BEGIN) <= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_half_of_a_hubs_links_are_one_event_too(seed: int) -> None:
    events = found_in(asked(fault(RootCause.EQUIPMENT_FAILURE, network=101), seed=seed))

    assert [set(one.affected_streams.tolist()) for one in events] == [streams(links_of(101), OB)]
    assert np.median(events[0].profile[events[0].active]) == pytest.approx(8.0, abs=1.0)


def test_interference_that_comes_and_goes_is_one_event_with_several_runs() -> None:
    where: dict[str, Any] = {"satellite": "Meridian 1", "transponder": "C-12", "direction": OB}
    request = asked(fault(RootCause.SATELLITE_INTERFERENCE, hours=5, irregularity=4, **where))

    events = found_in(request)

    assert len(events) == 1
    assert events[0].runs >= 3
    assert set(events[0].affected_streams.tolist()) == streams(links_of(104, 105), OB)


@pytest.mark.parametrize("variant", [Variant.REPORTED, Variant.SILENCE])
def test_a_site_without_electricity_is_dark_and_not_fading(variant: Variant) -> None:
    site = FLEET.links[9].site

    events = found_in(asked(fault(RootCause.POWER_OUTAGE, hours=5, strength=1.0, site=site, variant=variant)))

    assert [(one.channel, set(one.affected_streams.tolist())) for one in events] == [
        (Channel.OUTAGE, streams({FLEET.links[9].number}, IB, OB))
    ]


def test_a_full_carrier_shows_in_its_queues_alone() -> None:
    events = found_in(asked(fault(RootCause.CONGESTION, hours=4, network=105, irregularity=5)))

    assert {one.channel for one in events} == {Channel.CONGESTION}
    assert set(events[0].affected_streams.tolist()) <= streams(links_of(105), IB, OB)


def test_two_faults_at_a_time_are_two_events() -> None:
    one = fault(RootCause.EQUIPMENT_FAILURE, network=106, variant=Variant.AMPLIFIER)
    other = fault(RootCause.ANTENNA_MISALIGNMENT, begins=11.0, hours=12, link=5007)

    events = found_in(asked(one, other))

    affected = [set(event.affected_streams.tolist()) for event in events]
    assert affected == [streams(links_of(106), IB), streams({5007}, IB, OB)]


def test_the_stronger_comes_first() -> None:
    weak = fault(RootCause.ANTENNA_MISALIGNMENT, strength=0.4, link=5004)
    strong = fault(RootCause.EQUIPMENT_FAILURE, hours=9, network=106, variant=Variant.AMPLIFIER)

    events = found_in(asked(weak, strong))

    assert len(events[0].affected_streams) == 8
    assert len(events[-1].affected_streams) <= 2


# ---------------------------------------------------------------- what is none


def only(link: int, *samples: int) -> pl.Expr:
    at = [START_MS + STEP_MS * (BEGIN + sample) for sample in samples]
    return (pl.col("link") == link) & pl.col("at").is_in(at)


def test_a_lone_bad_reading_is_no_event() -> None:
    request = asked()
    spoiled = request.frame.with_columns(esno_db=pl.col("esno_db") - pl.when(only(5004, 0)).then(9.0).otherwise(0.0))

    assert found_in(replace(request, frame=spoiled)) == []


def test_samples_that_never_came_are_no_event() -> None:
    request = asked()
    thinned = request.frame.filter(~only(5004, 0, 1, 7, 8, 9))

    assert found_in(replace(request, frame=thinned)) == []


def test_where_nobody_listened_nobody_was_dark() -> None:
    request = asked()
    silent = request.frame.filter(
        ~pl.col("at").is_between(START_MS + BEGIN * STEP_MS, START_MS + (BEGIN + 24) * STEP_MS)
    )

    assert found_in(replace(request, frame=silent)) == []


def test_an_event_is_no_more_certain_than_certain() -> None:
    request = asked(fault(RootCause.RAIN_FADE, hours=1.2, site=FLEET.links[1].site, radius_km=60.0, irregularity=3))

    for one in found_in(request):
        assert ((one.membership >= 0.0) & (one.membership <= 1.0)).all()
        assert one.active.any()
        assert (one.profile[~one.active] == 0.0).all()
        assert one.evidence[one.affected_streams].all()
