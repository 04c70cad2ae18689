"""Faults in recorded telemetry become anomalies: one for each fault, however the samples arrive."""

import math
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import Link
from tests.helpers.support import (
    EXTREME,
    LINK_CENTRE,
    LINK_SPREAD,
    MILD,
    QUIET,
    Api,
    Factory,
    ago,
    id_of,
    iso,
    ms,
    record,
    record_levels,
    sql,
)

ANOMALIES = """query ($target: ID) { anomalies(orderBy: OLDEST, filter: { target: $target }) { nodes {
  id status severity score confidence startedAt lastSeenAt endedAt
  direction target { ... on Link { number } ... on Site { number } ... on Network { number } }
  contributions { metric observed expected deviation share } history { action } } } }"""
START = ago(hours=20)


AS_USUAL = 0.5 + math.log(4) / math.log(90)  # these samples are of the past, whose budget is a quarter


@pytest.fixture
async def operator(api: Api) -> Api:
    admin = await api.as_(Role.ADMIN)
    document = "mutation ($value: Float!) { setSensitivity(kind: LINK, value: $value) { __typename } }"
    await admin.run(document, value=AS_USUAL)
    return await api.as_(Role.OPERATOR)


@pytest.fixture
async def link(make: Factory) -> Link:
    """One with a quiet history of a thousand samples."""
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    return link


def levels(*values: float, first: int = 0) -> dict[datetime, float]:
    """One a minute."""
    return {minute(first + index): value for index, value in enumerate(values)}


def recent_levels(*values: float, first: int = 0) -> dict[datetime, float]:
    """One a minute, of the present: subscribers are told of nothing older."""
    return {ago(minutes=10 - first - index): value for index, value in enumerate(values)}


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def shown(at: datetime) -> str:
    return iso(at).replace("+00:00", "Z")


async def anomalies(api: Api, link: Link | None = None) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = (await api.run(ANOMALIES, target=link and id_of(link)))["anomalies"]["nodes"]
    return nodes


# ---------------------------------------------------------------- opening


async def test_an_extreme_sample_opens_an_anomaly_at_once(operator: Api, link: Link) -> None:
    answer = await record_levels(operator, link, levels(QUIET, EXTREME))

    [anomaly] = await anomalies(operator)
    assert [found["id"] for found in answer["anomalies"]] == [anomaly["id"]]
    assert (anomaly["status"], anomaly["direction"], anomaly["target"]) == ("OPEN", "OB", {"number": link.number})
    assert anomaly["startedAt"] == anomaly["lastSeenAt"] == shown(minute(1))
    assert anomaly["endedAt"] is None
    assert anomaly["contributions"][0]["metric"] == "RX_LEVEL_DBM"
    assert (anomaly["contributions"][0]["observed"], anomaly["contributions"][0]["expected"]) == (EXTREME, QUIET)
    assert sum(part["share"] for part in anomaly["contributions"]) == pytest.approx(1, abs=1e-3)


async def test_a_mild_deviation_must_persist(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(MILD, MILD, QUIET, QUIET, QUIET))
    nothing = await anomalies(operator)
    await record_levels(operator, link, levels(MILD, QUIET, MILD, QUIET, QUIET, MILD, first=10))

    [anomaly] = await anomalies(operator)
    assert nothing == []
    assert (anomaly["startedAt"], anomaly["lastSeenAt"]) == (shown(minute(10)), shown(minute(15)))


async def test_the_other_direction_has_its_own_anomaly(operator: Api, link: Link, make: Factory) -> None:
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "IB")
    await record_levels(operator, link, levels(EXTREME), "OB")
    await record_levels(operator, link, levels(EXTREME), "IB")

    assert sorted(anomaly["direction"] for anomaly in await anomalies(operator)) == ["IB", "OB"]


async def test_networks_and_sites_have_anomalies_too(operator: Api, make: Factory) -> None:
    network, site, at = await make.network(), await make.site(), [ms(START)]
    await make.baseline(network, [100, 0.2, 620, 0.002, 20], [10, 0.1, 10, 0.001, 0.5])
    await make.baseline(site, [640, 0.003, 100, 35, 50, 400, 1], [20, 0.002, 0.5, 5, 3, 50, 2])

    of_network = await record(
        operator, TargetKind.NETWORK, network=[network.number], at=at, packetLossPct=[100.0], connections=[0.0]
    )
    of_site = await record(
        operator, TargetKind.SITE, site=[site.number], at=at, uptimePct=[0.0], errorRate=[1.0], cpuPct=[100.0]
    )

    assert len(of_network["anomalies"]) == len(of_site["anomalies"]) == 1
    found = await anomalies(operator)
    assert {anomaly["direction"] for anomaly in found} == {None}
    assert {anomaly["target"]["number"] for anomaly in found} == {network.number, site.number}


# ---------------------------------------------------------------- resolved while it lasts

RESOLVE = "UPDATE anomalies SET status = 'RESOLVED', ended_at = last_seen_at"  # as with its incident


async def test_what_was_resolved_while_it_lasts_does_not_come_back(
    operator: Api, link: Link, services: Services
) -> None:
    await record_levels(operator, link, levels(QUIET, EXTREME, EXTREME))
    [before] = await anomalies(operator)
    await sql(services, RESOLVE)

    await record_levels(operator, link, levels(EXTREME, MILD, QUIET, EXTREME, first=3))
    await record_levels(operator, link, levels(EXTREME, first=60))
    later = await record_levels(operator, link, levels(EXTREME, first=110))
    [after] = await anomalies(operator)

    assert later["anomalies"] == []
    assert after == {**before, "status": "RESOLVED", "endedAt": before["lastSeenAt"]}


async def test_it_is_new_once_the_resolved_episode_has_ended(operator: Api, link: Link, services: Services) -> None:
    await record_levels(operator, link, levels(EXTREME, EXTREME))
    await sql(services, RESOLVE)

    await record_levels(operator, link, levels(EXTREME, *[QUIET] * 5, first=2))
    [resolved] = await anomalies(operator)
    await record_levels(operator, link, levels(EXTREME, first=9))

    first, second = await anomalies(operator)
    assert first == resolved
    assert (second["status"], second["startedAt"]) == ("OPEN", shown(minute(9)))
    assert [entry["action"] for entry in first["history"]] == ["OPENED"]


async def test_what_clearly_worsens_after_it_was_resolved_is_new(operator: Api, link: Link, services: Services) -> None:
    await record_levels(operator, link, levels(MILD, MILD, MILD))
    await sql(services, RESOLVE)

    await record_levels(operator, link, levels(MILD, first=3))
    [resolved] = await anomalies(operator)
    await record_levels(operator, link, levels(EXTREME, first=4))
    await record_levels(operator, link, levels(EXTREME, first=5))

    first, second = await anomalies(operator)
    assert first == resolved
    assert (second["status"], second["startedAt"], second["lastSeenAt"]) == ("OPEN", shown(minute(4)), shown(minute(5)))


async def test_late_samples_leave_what_was_resolved_alone(operator: Api, link: Link, services: Services) -> None:
    await record_levels(operator, link, {minute(0): EXTREME, minute(4): EXTREME})
    await sql(services, RESOLVE)
    [before] = await anomalies(operator)

    await record_levels(operator, link, levels(EXTREME, EXTREME, first=1))

    assert await anomalies(operator) == [before]


# ---------------------------------------------------------------- going on


async def test_a_fault_in_many_batches_is_one_anomaly_that_grows(operator: Api, link: Link) -> None:
    course = [EXTREME, EXTREME - 20, MILD, QUIET, EXTREME - 10]
    seen = []

    for number, level in enumerate(course):
        await record_levels(operator, link, levels(level, first=number))
        [anomaly] = await anomalies(operator)
        seen.append((anomaly["lastSeenAt"], anomaly["score"], anomaly["contributions"][0]["observed"]))

    times, scores, observed = zip(*seen, strict=True)
    assert list(times) == [shown(minute(number)) for number in (0, 1, 2, 2, 4)]
    assert scores[0] < scores[1] == scores[2] == scores[3] == scores[4]
    assert set(observed[1:]) == {EXTREME - 20}
    assert (anomaly["status"], anomaly["startedAt"]) == ("OPEN", shown(minute(0)))


async def test_it_closes_by_itself_after_five_quiet_samples(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(EXTREME, EXTREME, QUIET, QUIET, QUIET, QUIET))
    [still_open] = await anomalies(operator)
    answer = await record_levels(operator, link, levels(QUIET, first=6))

    [anomaly] = await anomalies(operator)
    assert still_open["status"] == "OPEN"
    assert [found["id"] for found in answer["anomalies"]] == [anomaly["id"]]
    assert (anomaly["status"], anomaly["endedAt"]) == ("RESOLVED", shown(minute(1)))
    assert anomaly["endedAt"] == anomaly["lastSeenAt"]
    assert [entry["action"] for entry in anomaly["history"]] == ["OPENED", "RESOLVED"]


async def test_a_fault_within_one_batch_has_its_history_in_order(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(EXTREME, *[QUIET] * 5, EXTREME, *[QUIET] * 5, EXTREME))

    found = await anomalies(operator)
    assert [anomaly["status"] for anomaly in found] == ["RESOLVED", "RESOLVED", "OPEN"]
    assert [[entry["action"] for entry in anomaly["history"]] for anomaly in found] == [
        ["OPENED", "RESOLVED"],
        ["OPENED", "RESOLVED"],
        ["OPENED"],
    ]


async def test_a_batch_may_end_one_anomaly_and_open_the_next(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(EXTREME))

    answer = await record_levels(operator, link, levels(*[QUIET] * 5, EXTREME, first=1))

    found = await anomalies(operator)
    assert len(answer["anomalies"]) == 2
    assert [(anomaly["status"], anomaly["startedAt"]) for anomaly in found] == [
        ("RESOLVED", shown(minute(0))),
        ("OPEN", shown(minute(6))),
    ]


async def test_after_an_hour_of_silence_a_fault_is_another_one(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(EXTREME))
    await record_levels(operator, link, levels(EXTREME, first=62))

    assert [anomaly["status"] for anomaly in await anomalies(operator)] == ["RESOLVED", "OPEN"]


async def test_a_rising_severity_is_told_of(operator: Api, link: Link) -> None:
    await record_levels(operator, link, recent_levels(MILD, MILD, MILD))

    async with operator.socket() as socket:
        await socket.subscribe(
            "subscription { anomalyDetected(changes: [UPDATED, RESOLVED]) { change anomaly { severity } } }"
        )
        await record_levels(operator, link, recent_levels(MILD, EXTREME, first=3))
        event = (await socket.next())["anomalyDetected"]

        assert event == {"change": "UPDATED", "anomaly": {"severity": "HIGH"}}
        assert await socket.silent(0.2)
    [anomaly] = (await operator.run("{ anomalies { nodes { history { action } } } }"))["anomalies"]["nodes"]
    assert [entry["action"] for entry in anomaly["history"]] == ["OPENED", "UPDATED: HIGH"]


async def test_a_long_fault_is_more_severe_even_when_it_fades(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(MILD + 0.2, MILD, MILD))
    [before] = await anomalies(operator)
    for number in range(5, 66, 5):
        await record_levels(operator, link, levels(MILD, first=number))

    [anomaly] = await anomalies(operator)
    assert (before["severity"], anomaly["severity"]) == ("LOW", "MEDIUM")
    assert anomaly["score"] == before["score"]


async def test_a_dead_link_is_critical(operator: Api, link: Link) -> None:
    dead = {"uptimePct": [0.0], "packetLossPct": [100.0], "grade": [0.0]}
    key = {"link": [link.number], "direction": ["OB"], "at": [ms(START)]}

    await record(operator, TargetKind.LINK, **key, **dead)

    [anomaly] = await anomalies(operator)
    assert anomaly["severity"] == "CRITICAL"


@pytest.mark.parametrize(("level", "severity"), [(QUIET - 3.0, "LOW"), (EXTREME, "MEDIUM")])
async def test_an_odd_reading_of_a_link_in_good_service_is_not_severe(
    operator: Api, link: Link, level: float, severity: str
) -> None:
    healthy = {"uptimePct": [100.0] * 4, "packetLossPct": [0.0] * 4, "grade": [9.6] * 4, "esnoDb": [9.2] * 4}
    times = [ms(minute(number)) for number in range(4)]
    key = {"link": [link.number] * 4, "direction": ["OB"] * 4, "at": times}

    await record(operator, TargetKind.LINK, **key, **healthy, rxLevelDbm=[QUIET, level, level, level])

    [anomaly] = await anomalies(operator)
    assert anomaly["severity"] == severity


# ---------------------------------------------------------------- late samples


async def test_late_quiet_samples_change_nothing(operator: Api, link: Link) -> None:
    await record_levels(operator, link, {minute(0): QUIET, minute(10): EXTREME})
    [before] = await anomalies(operator)

    answer = await record_levels(operator, link, levels(*[QUIET] * 9, first=1))

    assert answer["accepted"] == 9
    assert await anomalies(operator) == [before]


async def test_a_late_alarm_just_before_an_open_anomaly_belongs_to_it(operator: Api, link: Link) -> None:
    await record_levels(operator, link, {minute(10): EXTREME})

    await record_levels(operator, link, {minute(8): EXTREME - 5})

    [anomaly] = await anomalies(operator)
    assert (anomaly["startedAt"], anomaly["lastSeenAt"]) == (shown(minute(8)), shown(minute(10)))
    assert anomaly["contributions"][0]["observed"] == EXTREME - 5


async def test_a_late_fault_long_before_the_open_anomaly_is_another_one_and_over(operator: Api, link: Link) -> None:
    await record_levels(operator, link, {minute(300): EXTREME})

    await record_levels(operator, link, levels(EXTREME, EXTREME))

    found = await anomalies(operator)
    assert [(anomaly["status"], anomaly["startedAt"], anomaly["endedAt"]) for anomaly in found] == [
        ("RESOLVED", shown(minute(0)), shown(minute(1))),
        ("OPEN", shown(minute(300)), None),
    ]


async def test_a_late_alarm_never_sets_the_clock_back(operator: Api, link: Link) -> None:
    await record_levels(operator, link, {minute(0): EXTREME, minute(4): EXTREME})

    await record_levels(operator, link, {minute(2): EXTREME})

    [anomaly] = await anomalies(operator)
    assert (anomaly["startedAt"], anomaly["lastSeenAt"]) == (shown(minute(0)), shown(minute(4)))


# ---------------------------------------------------------------- learning


async def test_a_fade_after_a_quiet_history_is_an_anomaly_with_the_signal_leading(operator: Api, make: Factory) -> None:
    link = await make.link()
    history = [minute(number) for number in range(60)]
    noise = [0.1 * ((number * 7) % 5 - 2) for number in range(60)]
    await _signal(operator, link, history, [12 + n for n in noise], [-45 + n for n in noise])

    fading = [minute(60 + number) for number in range(5)]
    answer = await _signal(operator, link, fading, [8.0] * 5, [-60.0] * 5)

    [anomaly] = await anomalies(operator)
    parts = {part["metric"]: part for part in anomaly["contributions"]}
    assert len(answer["anomalies"]) == 1
    assert set(parts) == {"RX_LEVEL_DBM", "ESNO_DB", "GRADE"}  # the grade follows from Es/N0
    assert next(iter(parts)) == "RX_LEVEL_DBM"
    assert parts["ESNO_DB"]["expected"] == pytest.approx(12, abs=0.2)
    assert parts["RX_LEVEL_DBM"]["expected"] == pytest.approx(-45, abs=0.2)
    assert all(part["deviation"] < -2 for part in parts.values())
    assert anomaly["startedAt"] == shown(minute(60))


async def test_a_link_that_reports_only_its_receive_level_is_watched(operator: Api, make: Factory) -> None:
    link = await make.link()
    await record_levels(operator, link, levels(*[-60 + 0.1 * (number % 3) for number in range(60)]))

    answer = await record_levels(operator, link, levels(*[-90.0] * 5, first=60))

    [anomaly] = await anomalies(operator)
    assert len(answer["anomalies"]) == 1
    assert [part["metric"] for part in anomaly["contributions"]] == ["RX_LEVEL_DBM"]


async def test_a_constant_series_never_alarms(operator: Api, make: Factory) -> None:
    link = await make.link()
    times = [minute(number) for number in range(300)]

    for part in range(0, 300, 50):
        answer = await _signal(operator, link, times[part : part + 50], [11.0] * 50, [-47.0] * 50)
        assert answer["anomalies"] == []

    assert await anomalies(operator) == []


async def test_a_young_stream_learns_beside_an_old_one(operator: Api, make: Factory) -> None:
    old, young = await make.link(), await make.link()
    await record_levels(operator, old, {START - timedelta(seconds=n): -45.0 + n % 3 for n in range(3999)})
    both = [young] * 60 + [old]
    times = [ms(minute(number)) for number in range(60)] + [ms(minute(0)) + 1]
    await record(
        operator,
        TargetKind.LINK,
        link=[link.number for link in both],
        direction=["OB"] * 61,
        at=times,
        rxLevelDbm=[-70.0 + number % 3 for number in range(61)],
    )

    answer = await record_levels(operator, young, levels(*[-100.0] * 3, first=60))

    assert len(answer["anomalies"]) == 1


async def _signal(api: Api, link: Link, times: list[datetime], esno: list[float], level: list[float]) -> dict[str, Any]:
    columns = {"link": [link.number] * len(times), "direction": ["OB"] * len(times), "at": [ms(at) for at in times]}
    return await record(api, TargetKind.LINK, **columns, esnoDb=esno, rxLevelDbm=level)


# ---------------------------------------------------------------- however it is cut


COURSE = st.lists(st.sampled_from([QUIET, QUIET, QUIET, QUIET - 2.0, MILD, MILD + 1, EXTREME]), min_size=1, max_size=40)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(course=COURSE, cuts=st.sets(st.integers(1, 39), max_size=12), gap_at=st.integers(0, 60))
async def test_any_way_of_cutting_a_series_into_batches_gives_the_same_anomalies(
    operator: Api, make: Factory, course: list[float], cuts: set[int], gap_at: int
) -> None:
    whole, cut = await make.link(), await make.link()
    for link in (whole, cut):
        await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    times = [minute(number + (70 if number >= gap_at else 0)) for number in range(len(course))]
    rows = list(zip(times, course, strict=True))
    borders = [0, *sorted(border for border in cuts if border < len(rows)), len(rows)]

    await record_levels(operator, whole, dict(rows))
    for first, end in pairwise(borders):
        await record_levels(operator, cut, dict(rows[first:end]))

    assert await _of(operator, cut) == _but_for_rounding(await _of(operator, whole))


def _but_for_rounding(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With numbers that may differ in their last digits: sums of another number of rows are added up otherwise."""
    numbers = ("score", "confidence")
    return [anomaly | {name: pytest.approx(anomaly[name], rel=1e-12) for name in numbers} for anomaly in found]


async def _of(api: Api, link: Link) -> list[dict[str, Any]]:
    """Without what each batch by itself must differ in: ids, and what it was told to have worsened."""
    found = await anomalies(api, link)
    for anomaly in found:
        anomaly["history"] = [one for one in anomaly["history"] if not one["action"].startswith("UPDATED")]
    return [{name: value for name, value in anomaly.items() if name not in ("id", "target")} for anomaly in found]
