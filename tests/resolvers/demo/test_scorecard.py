"""The scorecard on rows made by hand: each figure, and what counts as right."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from resolvers.demo.observations import Alarm, Culprit, Fault, Pace, Statement, Target, Told, Watch
from resolvers.demo.report import describe
from resolvers.demo.scorecard import Scorecard, score

T0 = datetime(2026, 3, 2, 12, tzinfo=UTC)
HUB, NETWORK = Culprit(CulpritKind.SITE, 1), Culprit(CulpritKind.NETWORK, 10)
WATCH = Watch(days=2.0, budget_per_day=4.0)
LINKS = [(TargetKind.LINK, number) for number in (1, 2, 3)]
FAULT = Fault(
    0,
    RootCause.EQUIPMENT_FAILURE,
    (NETWORK, HUB),
    T0,
    T0 + timedelta(minutes=30),
    frozenset([*LINKS, (TargetKind.NETWORK, 10)]),
)
ONE, TWO = UUID(int=1), UUID(int=2)


def minutes(number: float) -> datetime:
    return T0 + timedelta(minutes=number)


def alarm(target: Target = LINKS[0], at: float = 1.0, incident: UUID | None = ONE) -> Alarm:
    return Alarm(target, minutes(at), minutes(at + 5), minutes(at), incident)


def says(
    at: float = 2.0,
    cause: RootCause | None = RootCause.EQUIPMENT_FAILURE,
    culprit: Culprit | None = NETWORK,
    confidence: float | None = 0.9,
    anomalies: int = 1,
) -> Statement:
    return Statement(minutes(at), cause, culprit, confidence, anomalies, "swap_hpa", cause, culprit)


def told(*statements: Statement, id: UUID = ONE, at: float = 1.25) -> Told:
    return Told(id, minutes(at), statements or (says(),))


def judge(
    *incidents: Told, alarms: tuple[Alarm, ...] = (alarm(),), faults: tuple[Fault, ...] = (FAULT,), now: float = 60
) -> Scorecard:
    return score(faults, alarms, incidents, WATCH, minutes(now))


def test_a_fault_that_is_told_rightly_is_right_in_all() -> None:
    card = judge(told())

    assert (card.faults, card.noticed, card.exactly_one_incident, card.right_in_time, card.right) == (1, 1, 1, 1, 1)
    assert (card.advice_right, card.incidents_per_fault, card.false_incidents) == (1, 1.0, 0)
    assert card.noticed_after_seconds == 60.0
    assert card.told_after_seconds == 15.0


def test_a_fault_that_nobody_notices_is_wrong_in_all() -> None:
    card = judge(alarms=())

    assert (card.faults, card.noticed, card.exactly_one_incident, card.right, card.advice_right) == (1, 0, 0, 0, 0)


def test_an_anomaly_that_was_open_before_does_not_notice_a_fault_at_once() -> None:
    card = judge(told(), alarms=(replace(alarm(at=-3.0), last_seen_at=minutes(9)), alarm(LINKS[1], at=4.0)))

    assert card.noticed_after_seconds == 240.0


def test_a_fault_that_goes_on_is_not_judged_yet() -> None:
    card = judge(told(), now=20)

    assert (card.faults, card.ongoing, card.false_incidents) == (0, 1, 0)


def test_two_incidents_of_a_fault_are_not_one() -> None:
    card = judge(told(), told(id=TWO), alarms=(alarm(), alarm(LINKS[1], incident=TWO)))

    assert card.exactly_one_incident == 0
    assert card.incidents_per_fault == 2.0


def test_what_was_not_announced_is_no_incident() -> None:
    card = judge(alarms=(alarm(incident=TWO),))

    assert (card.noticed, card.exactly_one_incident, card.incidents) == (1, 0, 0)


def test_one_incident_for_two_faults_is_about_one_of_them() -> None:
    other = replace(FAULT, number=1, targets=frozenset([(TargetKind.LINK, 7)]))
    alarms = (alarm(), alarm(LINKS[1]), alarm((TargetKind.LINK, 7)))

    card = judge(told(), alarms=alarms, faults=(FAULT, other))

    assert [one.incidents for one in card.each] == [1, 0]


@pytest.mark.parametrize("culprit", [NETWORK, HUB])
def test_a_culprit_with_the_same_links_is_right(culprit: Culprit) -> None:
    assert judge(told(says(culprit=culprit))).right == 1


def test_another_culprit_is_wrong_and_so_is_advice_about_it() -> None:
    card = judge(told(says(culprit=Culprit(CulpritKind.NETWORK, 11))))

    assert (card.cause_right, card.culprit_right, card.right, card.advice_right) == (1, 0, 0, 0)


def test_a_cause_that_is_known_too_late_is_right_at_the_end_only() -> None:
    """Too late: 60 s after the last anomaly joined, at minute 4."""
    unknown = says(at=2.0, cause=None, culprit=None, confidence=None)
    joined = says(at=4.0, cause=None, culprit=None, confidence=None, anomalies=2)

    early, late = (
        judge(told(unknown, joined, says(at=4.9, anomalies=2))),
        judge(told(unknown, joined, says(at=5.1, anomalies=2))),
    )

    assert (early.right_in_time, early.right) == (1, 1)
    assert (late.right_in_time, late.right) == (0, 1)


def test_in_time_is_meant_in_real_seconds() -> None:
    unknown = says(at=2.0, cause=None, culprit=None, confidence=None)
    incident = told(unknown, says(at=12.0))

    fast = score([FAULT], [alarm()], [incident], replace(WATCH, speeds=(Pace(T0, minutes(60), 30.0),)), minutes(60))

    assert fast.right_in_time == 1  # 10 minutes of the fleet are 20 s
    assert judge(incident).right_in_time == 0
    assert fast.told_after_seconds == 15.0
    assert fast.told_after_real_seconds == 0.5


def test_told_counts_from_the_second_anomaly_on() -> None:
    card = judge(told(at=3.0), alarms=(alarm(), alarm(LINKS[1], at=2.5), alarm(LINKS[2], at=2.9)))

    assert card.told_after_seconds == 30.0


def test_an_incident_that_shows_no_fault_is_false() -> None:
    elsewhere, before = alarm((TargetKind.LINK, 9), incident=TWO), alarm(at=-20.0, incident=UUID(int=3))

    card = judge(told(), told(id=TWO), told(id=UUID(int=3)), alarms=(alarm(), elsewhere, before))

    assert (card.incidents, card.false_incidents, card.false_alarms) == (3, 2, 2)
    assert card.false_incidents_per_day == 1.0
    assert card.false_incidents_to_budget == 0.25


def test_what_the_recovery_shows_is_no_false_incident() -> None:
    assert judge(told(), alarms=(alarm(at=40.0),)).false_incidents == 0
    assert judge(told(), alarms=(alarm(at=46.0),)).false_incidents == 1


def test_confidence_is_calibrated_over_all_incidents_that_name_a_cause() -> None:
    wrong = told(says(confidence=0.9), id=TWO)

    card = judge(told(says(confidence=0.9)), wrong, alarms=(alarm(), alarm((TargetKind.LINK, 9), incident=TWO)))

    assert card.calibrated_over == 2
    assert card.calibration_error == pytest.approx(0.4)  # it said .9 twice, and was right once


def test_the_scorecard_reads_as_lines() -> None:
    text = "\n".join(describe(judge(told())))

    assert "exactly one incident                 1/1 = 1.00" in text
    assert "EQUIPMENT_FAILURE" in text
