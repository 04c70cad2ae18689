"""Faults that happen to come at the same time, and what hides what; situations of fleets that others simulated."""

from dataclasses import replace

import polars as pl
import pytest

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.root_cause.report import Analysis, Request
from ml.simulation.faults import Variant
from tests.helpers.incidents import DAY_MS, START_MS, analysis, asked, fault, links_of, scoped

pytestmark = pytest.mark.xdist_group("root causes")  # trained once, in one process

RIG, BRANCH, VESSEL, STRANGER = 5007, 5008, 5009, 5004  # links of networks 101, 102, 103 and 104


def first(found: Analysis) -> tuple[RootCause, CulpritKind | None, int | None]:
    pattern = found.patterns[0]
    culprit = pattern.culprit
    return pattern.cause, culprit.kind if culprit else None, culprit.key if culprit else None


def lose_lock(request: Request, below_db: float) -> Request:
    """Receivers below this report no Es/N0, as others' do: 0 Mbit/s, all packets lost, the level goes on."""
    frame, is_lost = request.frame, pl.col("esno_db") < below_db
    changes = {"esno_db": None, "throughput_mbps": 0.0, "packet_loss_pct": 100.0}
    columns = [pl.when(is_lost).then(value).otherwise(pl.col(name)).alias(name) for name, value in changes.items()]
    return replace(request, frame=frame.with_columns(columns))


def without_power_control(request: Request) -> Request:
    """The same, from hubs that transmit with the same power whatever the weather."""
    usual = pl.col("tx_power_dbm").median().over("link", "direction")
    more = pl.when(pl.col("direction") == "OB").then((pl.col("tx_power_dbm") - usual).clip(0.0)).otherwise(0.0)
    columns = [(pl.col(name) - more).alias(name) for name in ("esno_db", "rx_level_dbm", "tx_power_dbm")]
    return replace(request, frame=request.frame.with_columns(columns))


# ---------------------------------------------------------------- two at once


@pytest.mark.parametrize("seed", range(3))
def test_two_terminals_that_fail_at_the_same_minute_are_two_faults(seed: int) -> None:
    transmitter = fault(RootCause.REMOTE_EQUIPMENT, hours=13, link=STRANGER)
    pointing = fault(RootCause.ANTENNA_MISALIGNMENT, hours=13, link=RIG)
    request = asked(transmitter, pointing, seed=seed)

    assert first(analysis(request, scoped(STRANGER))) == (RootCause.REMOTE_EQUIPMENT, CulpritKind.LINK, STRANGER)
    assert first(analysis(request, scoped(RIG))) == (RootCause.ANTENNA_MISALIGNMENT, CulpritKind.LINK, RIG)


def test_what_fails_together_for_one_reason_is_one_fault() -> None:
    found = analysis(asked(fault(RootCause.EQUIPMENT_FAILURE, network=106, variant=Variant.AMPLIFIER)))

    assert [set(one.links) for one in found.patterns] == [links_of(106)]


def test_faults_elsewhere_leave_room_for_the_one_that_is_asked_about() -> None:
    """However many links they affect: at most three are told at a time, but of those that touch the question."""
    networks = {102: 4.0, 104: 5.0, 105: 6.0, 106: 7.0}  # and the hours at which they begin to fail
    greater = [fault(RootCause.EQUIPMENT_FAILURE, begin, 20, network=network) for network, begin in networks.items()]
    pointing = fault(RootCause.ANTENNA_MISALIGNMENT, begins=11, hours=13, link=RIG)

    found = analysis(asked(*greater, pointing), scoped(RIG))

    assert first(found) == (RootCause.ANTENNA_MISALIGNMENT, CulpritKind.LINK, RIG)


# ---------------------------------------------------------------- receivers without lock


@pytest.mark.parametrize("seed", range(3))
def test_rain_over_a_hub_that_costs_the_lock_is_no_antenna_that_drifts(seed: int) -> None:
    rain = fault(RootCause.RAIN_FADE, hours=2.0, strength=1.0, site=4, irregularity=3)

    found = analysis(lose_lock(without_power_control(asked(rain, seed=seed)), 5.0))

    assert first(found) == (RootCause.RAIN_FADE, CulpritKind.SITE, 4)


def test_what_has_recovered_at_the_end_of_the_window_is_over() -> None:
    rain = fault(RootCause.RAIN_FADE, begins=20.5, hours=3.0, strength=1.0, site=4, irregularity=3)

    found = analysis(asked(rain))

    assert found.patterns[0].ended_ms is not None
    assert found.patterns[0].ended_ms < START_MS + DAY_MS
