"""The same samples give the same anomalies, however they are cut and in whatever order they come."""

import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

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
    ms,
    record,
    record_levels,
)

ANOMALIES = """query ($target: ID) { anomalies(orderBy: OLDEST, filter: { target: $target }) { nodes {
  id status severity startedAt lastSeenAt endedAt score } } }"""
BY_ID = """query ($id: ID!) { node(id: $id) { ... on Anomaly {
  status endedAt withdrawnAt mergedInto { id } history { action details note } } } }"""
AS_USUAL = 0.5 + math.log(4) / math.log(90)  # these samples are of the past, whose budget is a quarter
START = ago(hours=20)

Row = tuple[datetime, float]


@pytest.fixture
async def operator(api: Api) -> Api:
    admin = await api.as_(Role.ADMIN)
    document = "mutation ($value: Float!) { setSensitivity(kind: LINK, value: $value) { __typename } }"
    await admin.run(document, value=AS_USUAL)
    return await api.as_(Role.OPERATOR)


@pytest.fixture
async def link(make: Factory) -> Link:
    return await known_link(make)


async def known_link(make: Factory) -> Link:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    return link


def course(*values: float, start: datetime = START, every: float = 60.0) -> list[Row]:
    return [(start + timedelta(seconds=every * number), value) for number, value in enumerate(values)]


async def send(api: Api, link: Link, *batches: Sequence[Row]) -> None:
    for batch in batches:
        await record_levels(api, link, dict(batch))


async def send_singly(api: Api, link: Link, rows: Sequence[Row]) -> None:
    await send(api, link, *[[row] for row in rows])


async def found(api: Api, link: Link) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = (await api.run(ANOMALIES, target=id_of(link)))["anomalies"]["nodes"]
    return nodes


async def told(api: Api, link: Link) -> list[tuple[str, str, str, str | None, str]]:
    """What "the same" covers: number, status, start, newest alarm, end and severity."""
    keys = ("status", "startedAt", "lastSeenAt", "endedAt", "severity")
    return [tuple(anomaly[key] for key in keys) for anomaly in await found(api, link)]  # type: ignore[misc]


def shown(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


# ---------------------------------------------------------------- in any order

OUTAGE = course(*[QUIET] * 10, *[EXTREME] * 12, *[QUIET] * 10)
MILD_FAULT = course(*[QUIET] * 10, *[MILD] * 12, *[QUIET] * 10)


@pytest.mark.parametrize("rows", [OUTAGE, MILD_FAULT], ids=["outage", "mild"])
@pytest.mark.parametrize("order", ["newest first", "late and singly", "shuffled", "every third first"])
async def test_twelve_minutes_are_one_anomaly_in_whatever_order_they_come(
    operator: Api, make: Factory, rows: list[Row], order: str
) -> None:
    whole, link = await known_link(make), await known_link(make)
    await send(operator, whole, rows)

    if order == "newest first":
        await send_singly(operator, link, rows[::-1])
    elif order == "late and singly":
        await send(operator, link, rows[:10] + rows[22:])
        await send_singly(operator, link, rows[10:22])
    elif order == "shuffled":
        await send_singly(operator, link, random.Random(3).sample(rows, len(rows)))
    else:
        await send(operator, link, rows[::3], rows[1::3], rows[2::3])

    [anomaly] = await told(operator, link)
    assert anomaly[:4] == ("RESOLVED", shown(rows[10][0]), shown(rows[21][0]), shown(rows[21][0]))
    assert [anomaly] == await told(operator, whole)


async def test_an_outage_that_lasts_is_open_in_whatever_order_it_comes(operator: Api, link: Link) -> None:
    rows = course(*[QUIET] * 5, *[EXTREME] * 10)

    await send_singly(operator, link, rows[::-1])

    [anomaly] = await told(operator, link)
    assert anomaly[:3] == ("OPEN", shown(rows[5][0]), shown(rows[14][0]))


async def test_a_sample_ahead_of_time_hides_no_outage(operator: Api, link: Link) -> None:
    now = ago(minutes=9)
    await send(operator, link, course(*[QUIET] * 4, start=now))
    await send(operator, link, [(now + timedelta(minutes=8.5), QUIET)])  # the sender's clock jumped, and went back
    outage = course(EXTREME, EXTREME, EXTREME, EXTREME, start=now + timedelta(minutes=4))

    seen = []
    for row in outage:
        await send(operator, link, [row])
        seen.append([(status, start) for status, start, *_ in await told(operator, link)])

    assert seen == [[("OPEN", shown(outage[0][0]))]] * 4


async def test_late_samples_between_two_anomalies_of_one_outage_join_them(operator: Api, link: Link) -> None:
    rows = course(EXTREME, *[QUIET] * 6, EXTREME, every=300)
    gap = course(*[EXTREME] * 40, start=START + timedelta(seconds=10), every=50)
    await send(operator, link, rows)
    first, second = await found(operator, link)

    await send(operator, link, gap)

    [anomaly] = await found(operator, link)
    assert anomaly["id"] == first["id"]
    assert (anomaly["status"], anomaly["startedAt"], anomaly["lastSeenAt"]) == (
        "OPEN",
        shown(rows[0][0]),
        shown(rows[-1][0]),
    )
    merged = (await operator.run(BY_ID, id=second["id"]))["node"]
    assert (merged["status"], merged["mergedInto"]) == ("RESOLVED", {"id": first["id"]})
    assert [entry["action"] for entry in merged["history"]] == ["OPENED", "MERGED"]
    kept = (await operator.run(BY_ID, id=first["id"]))["node"]
    assert [entry["action"] for entry in kept["history"]][:2] == ["OPENED", "RESOLVED"]
    assert {"MERGED", "UPDATED: REOPENED"} <= {entry["action"] for entry in kept["history"]}
    assert {entry["note"] for entry in kept["history"] + merged["history"]} == {None}


async def test_what_people_did_to_a_merged_anomaly_is_told_of_the_other(operator: Api, link: Link) -> None:
    await send(operator, link, course(EXTREME, *[QUIET] * 6, EXTREME, every=300))
    first, second = await found(operator, link)
    acknowledge = 'mutation ($id: ID!) { acknowledgeAnomaly(id: $id, note: "mine") { __typename } }'
    await operator.run(acknowledge, id=second["id"])

    await send(operator, link, course(*[EXTREME] * 40, start=START + timedelta(seconds=10), every=50))

    [anomaly] = await found(operator, link)
    history = (await operator.run(BY_ID, id=first["id"]))["node"]["history"]
    assert (anomaly["id"], anomaly["status"]) == (first["id"], "ACKNOWLEDGED")
    assert ("ACKNOWLEDGED", "mine") in [(entry["action"], entry["note"]) for entry in history]


async def test_followers_are_told_of_a_merge(operator: Api, link: Link) -> None:
    start = ago(minutes=10)
    await send(operator, link, course(EXTREME, *[QUIET] * 15, EXTREME, start=start, every=30))
    first, second = await found(operator, link)

    async with operator.socket() as socket:
        await socket.subscribe("subscription { anomalyDetected(changes: [MERGED]) { change anomaly { id } } }")
        await send(operator, link, course(*[EXTREME] * 15, start=start + timedelta(seconds=11), every=30))
        events = [(await socket.next())["anomalyDetected"]["anomaly"]["id"] for _ in range(2)]

    assert events == [first["id"], second["id"]]


async def test_an_anomaly_that_late_samples_disprove_is_withdrawn(operator: Api, link: Link) -> None:
    mild = [row for row in course(*[MILD] * 9) if row[0].minute % 4 == START.minute % 4]
    await send(operator, link, mild)
    [anomaly] = await found(operator, link)

    await send(operator, link, [row for row in course(*[QUIET] * 9) if row[0] not in dict(mild)])

    withdrawn = (await operator.run(BY_ID, id=anomaly["id"]))["node"]
    assert await found(operator, link) == []
    assert (withdrawn["status"], withdrawn["withdrawnAt"] is None) == ("RESOLVED", False)
    assert [entry["action"] for entry in withdrawn["history"]] == ["OPENED", "WITHDRAWN"]


async def test_an_anomaly_that_people_acted_on_is_not_withdrawn(operator: Api, link: Link) -> None:
    mild = [row for row in course(*[MILD] * 9) if row[0].minute % 4 == START.minute % 4]
    await send(operator, link, mild)
    [anomaly] = await found(operator, link)
    comment = 'mutation ($id: ID!) { commentAnomaly(id: $id, note: "seen on site") { __typename } }'
    await operator.run(comment, id=anomaly["id"])

    await send(operator, link, [row for row in course(*[QUIET] * 9) if row[0] not in dict(mild)])

    assert [one["id"] for one in await found(operator, link)] == [anomaly["id"]]


async def test_late_samples_leave_what_people_resolved_alone(operator: Api, link: Link) -> None:
    await send(operator, link, course(QUIET, EXTREME, EXTREME, QUIET, EXTREME))
    [anomaly] = await found(operator, link)
    resolve = "mutation ($id: ID!) { resolveAnomaly(id: $id) { __typename } }"
    await operator.run(resolve, id=anomaly["id"])
    [before] = await found(operator, link)

    await send(operator, link, course(*[EXTREME] * 3, start=START + timedelta(seconds=90)))

    assert await found(operator, link) == [before]


# ---------------------------------------------------------------- at any cadence


CADENCES = [(1, 0), (10, 0), (60, 0), (3540, 5), (3600, 5), (7200, 0), (7200, 5), (86_400, 5)]


def outage_at(every: int, jitter: int) -> list[Row]:
    """Twelve samples of an outage, and as many behind it as end it."""
    shake, values = random.Random(every), [EXTREME] * 12 + [QUIET] * (6 if every > 60 else 310 // every)
    rows = course(*values, start=ago(seconds=every * len(values)), every=every)
    return [(at + timedelta(seconds=shake.randint(-jitter, jitter)), value) for at, value in rows]


@pytest.mark.parametrize(("every", "jitter"), CADENCES)
async def test_one_outage_is_one_anomaly_at_any_cadence(operator: Api, link: Link, every: int, jitter: int) -> None:
    """The link came each minute until then."""
    rows = outage_at(every, jitter)
    await send(operator, link, course(*[QUIET] * 30, start=rows[0][0] - timedelta(minutes=30, seconds=every)))

    if every == 7200:
        await send_singly(operator, link, rows)
    else:
        await send(operator, link, rows)

    [anomaly] = await told(operator, link)
    assert anomaly[:4] == ("RESOLVED", shown(rows[0][0]), shown(rows[11][0]), shown(rows[11][0]))


@pytest.mark.parametrize(("every", "jitter"), [CADENCES[4], CADENCES[6], CADENCES[7]])
async def test_an_outage_that_is_all_a_link_ever_reported_is_one_anomaly(
    operator: Api, make: Factory, every: int, jitter: int
) -> None:
    link, rows = await make.link(), outage_at(every, jitter)[:12]
    key = {"link": [link.number], "direction": ["OB"]}

    for at, _ in rows:
        dead = {"uptimePct": [0.0], "packetLossPct": [100.0], "grade": [0.0]}
        await record(operator, TargetKind.LINK, **key, at=[ms(at)], **dead)

    [anomaly] = await told(operator, link)
    assert anomaly[:3] == ("OPEN", shown(rows[0][0]), shown(rows[11][0]))


async def test_an_outage_of_hourly_samples_that_come_late_is_one_anomaly(operator: Api, make: Factory) -> None:
    link = await known_link(make)
    rows = course(*[QUIET] * 8, *[EXTREME] * 6, *[QUIET] * 8, start=ago(hours=60), every=7200)
    await send(operator, link, [rows[-1]])

    await send_singly(operator, link, random.Random(1).sample(rows, len(rows)))

    assert [anomaly[1:3] for anomaly in await told(operator, link)] == [(shown(rows[8][0]), shown(rows[13][0]))]


# ---------------------------------------------------------------- clocks and counters


async def test_a_clock_that_is_set_back_makes_no_second_anomaly(operator: Api, link: Link) -> None:
    """The hour that local time has twice in autumn, from a sender that writes it as if it were UTC."""
    first = course(*[QUIET] * 20, *[EXTREME] * 25, start=START)
    again = course(*[EXTREME] * 15, *[QUIET] * 50, start=START + timedelta(minutes=25, seconds=20))

    await send_singly(operator, link, first[18:])
    await send(operator, link, again)

    anomalies = await told(operator, link)
    assert [start for _, start, *_ in anomalies] == [shown(first[20][0])]
    assert all(start != seen for _, start, seen, *_ in anomalies)


async def test_times_with_offsets_are_continuous_through_the_change_to_summer_time(operator: Api, link: Link) -> None:
    document = """mutation ($samples: [LinkSampleInput!]!) { recordLinkMetrics(samples: $samples) {
      ... on RecordedMetrics { accepted } } }"""
    hour = START.replace(minute=0, second=0, microsecond=0)
    before = [(hour + timedelta(minutes=number)).isoformat() for number in range(50, 60)]
    after = [(hour + timedelta(minutes=number)).isoformat() for number in range(60, 70)]
    local = [f"{(hour + timedelta(minutes=60 + n)).replace(tzinfo=None).isoformat()}+01:00" for n in range(50, 60)]
    summer = [f"{(hour + timedelta(minutes=120 + n)).replace(tzinfo=None).isoformat()}+02:00" for n in range(60, 70)]
    samples = [{"link": link.number, "direction": "OB", "at": at, "rxLevelDbm": EXTREME} for at in local + summer]

    answer = await operator.run(document, samples=samples)

    [anomaly] = await told(operator, link)
    assert answer["recordLinkMetrics"]["accepted"] == 20
    assert anomaly[1:3] == (before[0].replace("+00:00", "Z"), after[-1].replace("+00:00", "Z"))


async def test_the_same_moment_twice_changes_nothing(operator: Api, link: Link) -> None:
    rows = course(QUIET, EXTREME, EXTREME, QUIET)
    await send(operator, link, rows)
    before = await found(operator, link)

    await send(operator, link, [(at, QUIET) for at, _ in rows], [(at, EXTREME - 20) for at, _ in rows])

    assert await found(operator, link) == before


async def test_a_gauge_that_never_moves_and_comes_late_never_alarms(operator: Api, make: Factory) -> None:
    link = await make.link()
    rows = course(*[-47.0] * 120)

    await send(operator, link, rows[60:], rows[:30], rows[30:60])

    assert await told(operator, link) == []


# ---------------------------------------------------------------- far and wide


async def test_a_late_fault_of_long_ago_is_judged_and_leaves_the_present_alone(
    operator: Api, link: Link, services: Services
) -> None:
    await send(operator, link, course(*[QUIET] * 20, EXTREME))
    [lasting] = await found(operator, link)
    old = course(*[QUIET] * 10, *[EXTREME] * 5, *[QUIET] * 10, start=START - timedelta(days=9))

    await send(operator, link, old[::2], old[1::2])

    first, second = await found(operator, link)
    assert (first["status"], first["startedAt"], first["endedAt"]) == ("RESOLVED", shown(old[10][0]), shown(old[14][0]))
    assert second == lasting


# ---------------------------------------------------------------- any cut, any order


COURSES = st.lists(
    st.tuples(
        st.sampled_from([QUIET, QUIET, QUIET, MILD, EXTREME]), st.integers(1, 12), st.sampled_from([1, 1, 1, 1, 15])
    ),
    min_size=1,
    max_size=5,
)


def lay_out(parts: list[tuple[float, int, int]], every: int) -> list[Row]:
    """Some quiet samples, then runs of one level each, with gaps of so many samples before them."""
    at = START - timedelta(seconds=120 * every)
    rows = course(*[QUIET] * 12, start=at, every=every)
    at = rows[-1][0]
    for value, count, gap in parts:
        at += timedelta(seconds=every * (gap - 1))
        for _ in range(count):
            at += timedelta(seconds=every)
            rows.append((at, value))
    return rows


async def hold_any_order(api: Api, make: Factory, parts: list[tuple[float, int, int]], every: int, seed: int) -> None:
    whole, link, shuffle = await known_link(make), await known_link(make), random.Random(seed)
    rows = lay_out(parts, every)
    order = shuffle.sample(rows, len(rows))
    cuts = sorted({0, len(order), *(shuffle.randrange(len(order) + 1) for _ in range(4))})

    await send(api, whole, rows)
    await send(api, link, *[order[first:end] for first, end in pairwise(cuts)])

    assert await told(api, link) == await told(api, whole)


LIMITS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}


@settings(max_examples=5, **LIMITS)
@given(parts=COURSES, every=st.sampled_from([10, 60, 300, 3600, 7200]), seed=st.integers(0, 1_000_000))
async def test_any_cut_and_any_order_give_the_same_anomalies(
    operator: Api, make: Factory, parts: list[tuple[float, int, int]], every: int, seed: int
) -> None:
    await hold_any_order(operator, make, parts, every, seed)


@pytest.mark.slow
@settings(max_examples=150, **LIMITS)
@given(parts=COURSES, every=st.sampled_from([10, 60, 300, 3600, 7200]), seed=st.integers(0, 1_000_000))
async def test_many_cuts_and_orders_give_the_same_anomalies(
    operator: Api, make: Factory, parts: list[tuple[float, int, int]], every: int, seed: int
) -> None:
    await hold_any_order(operator, make, parts, every, seed)


async def test_two_stretches_of_one_batch_that_see_the_same_outage_make_one_anomaly(operator: Api, link: Link) -> None:
    rows = course(*[QUIET] * 6, *[EXTREME] * 20, start=START - timedelta(days=3), every=7200)
    await send(operator, link, rows[-1:])

    await send(operator, link, [row for number, row in enumerate(rows[:-1]) if number < 8 or number > 14])
    await send(operator, link, rows[8:10] + rows[13:15], rows[10:13])

    assert [anomaly[:3] for anomaly in await told(operator, link)] == [("OPEN", shown(rows[6][0]), shown(rows[-1][0]))]


# ---------------------------------------------------------------- what it may cost


def count_late(result: str) -> float:
    return REGISTRY.get_sample_value("bcom_late_samples_total", {"kind": "link", "result": result}) or 0.0


async def test_late_samples_with_too_many_stored_ones_between_are_counted_as_not_judged(
    operator: Api, link: Link
) -> None:
    await send(operator, link, course(*[QUIET] * 4300, every=5))
    unjudged, judged = count_late("unjudged"), count_late("judged_again")

    await send(operator, link, [(START + timedelta(seconds=3), EXTREME), (START + timedelta(seconds=21_003), EXTREME)])

    assert count_late("unjudged") - unjudged == 1
    assert 0 < count_late("judged_again") - judged <= 2003
    assert [start for _, start, *_ in await told(operator, link)] == [shown(START + timedelta(seconds=3))]
