"""Anomalies: found by what one looks for, acted upon, and told of live."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from ml.catalogue.metrics import Direction
from ml.detection.episodes import Severity
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.detection import anomalies
from resolvers.store.tables.core import Anomaly, AnomalyStatus, SiteRole, Verdict
from schema.relay import global_id
from tests.helpers.support import (
    EXTREME,
    LINK_CENTRE,
    LINK_SPREAD,
    MILD,
    QUIET,
    Api,
    Factory,
    GraphQLFailed,
    Socket,
    ago,
    codes,
    id_of,
    iso,
    record_levels,
    sql,
)

LIST = """query ($filter: AnomalyFilter, $orderBy: AnomalyOrder) {
  anomalies(filter: $filter, orderBy: $orderBy) { totalCount nodes { id } } }"""
SHOW = """query ($id: ID!) { node(id: $id) { ... on Anomaly { status severity score startedAt lastSeenAt endedAt
  feedback acknowledgedBy { email } history { at by { email } action note } } } }"""
WATCH = """subscription ($filter: AnomalyFilter, $changes: [AnomalyChange!], $after: String) {
  anomalyDetected(filter: $filter, changes: $changes, after: $after) { cursor change anomaly { id status } } }"""
ALL = ["OPENED", "UPDATED", "ACKNOWLEDGED", "RESOLVED", "JUDGED"]


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def ids(api: Api, order: str = "NEWEST", **filter: Any) -> list[str]:
    anomalies = (await api.run(LIST, filter=filter, orderBy=order))["anomalies"]
    found = [node["id"] for node in anomalies["nodes"]]
    assert anomalies["totalCount"] == len(found)
    return found


async def show(api: Api, anomaly: Anomaly | str) -> dict[str, Any]:
    id = anomaly if isinstance(anomaly, str) else id_of(anomaly)
    node: dict[str, Any] = (await api.run(SHOW, id=id))["node"]
    return node


async def act(api: Api, action: str, anomaly: Anomaly | str, **given: Any) -> dict[str, Any]:
    id = anomaly if isinstance(anomaly, str) else id_of(anomaly)
    given = {"note": None, **given}
    verdict, pass_verdict = ("$verdict: Verdict!,", "verdict: $verdict,") if action == "judge" else ("", "")
    document = f"""mutation ($id: ID!, {verdict} $note: String) {{
      {action}Anomaly(id: $id, {pass_verdict} note: $note) {{ __typename
      ... on Anomaly {{ status feedback acknowledgedBy {{ email }} }} ... on Conflict {{ message }}
      ... on NotFound {{ message id }} ... on Forbidden {{ message requiredRole }} }} }}"""
    answer: dict[str, Any] = (await api.run(document, id=id, **given))[f"{action}Anomaly"]
    return answer


def shown(at: Any) -> str:
    return iso(at).replace("+00:00", "Z")


# ---------------------------------------------------------------- looking for some


async def test_each_filter_finds_its_own(operator: Api, make: Factory) -> None:
    site, link = await make.site(), await make.link()
    network = await make.network()
    old = await make.anomaly(network, started_at=ago(days=3), last_seen_at=ago(days=2), status=AnomalyStatus.RESOLVED)
    mild = await make.anomaly(site, severity=Severity.LOW, confidence=0.3, started_at=ago(hours=2))
    grave = await make.anomaly(link, severity=Severity.CRITICAL, confidence=0.95, status=AnomalyStatus.ACKNOWLEDGED)
    old_id, mild_id, grave_id = id_of(old), id_of(mild), id_of(grave)

    assert await ids(operator) == [grave_id, mild_id, old_id]
    assert await ids(operator, kind="SITE") == [mild_id]
    assert await ids(operator, statuses=["OPEN"]) == [mild_id]
    assert await ids(operator, statuses=["RESOLVED", "ACKNOWLEDGED"]) == [grave_id, old_id]
    assert await ids(operator, statuses=[]) == []
    assert await ids(operator, minSeverity="MEDIUM") == [grave_id, old_id]
    assert await ids(operator, minSeverity="LOW") == [grave_id, mild_id, old_id]
    assert await ids(operator, minConfidence=0.95) == [grave_id]
    assert await ids(operator, target=id_of(network)) == [old_id]
    assert await ids(operator, startedAfter=iso(mild.started_at)) == [grave_id, mild_id]
    assert await ids(operator, startedBefore=iso(mild.started_at)) == [old_id]
    assert await ids(operator, kind="LINK", minSeverity="HIGH", minConfidence=0.9, target=id_of(link)) == [grave_id]
    assert await ids(operator, kind="SITE", minSeverity="HIGH") == []


async def test_a_target_is_told_by_its_kind_and_not_only_by_its_number(operator: Api, make: Factory) -> None:
    await make.anomaly(await make.site())

    assert await ids(operator, target=global_id("Site", 1)) != []
    assert await ids(operator, target=global_id("Network", 1)) == []


async def test_a_satellite_finds_all_that_depends_on_it(operator: Api, make: Factory) -> None:
    above, elsewhere = await make.satellite("Above"), await make.satellite("Elsewhere")
    hub, remote, other = await make.site(SiteRole.HUB), await make.site(), await make.site()
    network, second = await make.network(hub=hub, satellite=above), await make.network(satellite=elsewhere)
    link, far = await make.link(network=network, site=remote), await make.link(network=second, site=other)
    dependent = {id_of(await make.anomaly(target)) for target in (network, hub, remote, link)}
    independent = {id_of(await make.anomaly(target)) for target in (second, other, far)}
    await make.anomaly(await make.site())

    assert set(await ids(operator, satellite="Above")) == dependent
    assert set(await ids(operator, satellite="Elsewhere")) == independent
    assert await ids(operator, satellite="Nowhere") == []
    assert set(await ids(operator, satellite="Above", kind="SITE")) < dependent


async def test_text_that_the_database_cannot_hold_is_said_to_be_bad_input(operator: Api) -> None:
    with pytest.raises(GraphQLFailed) as failed:
        await ids(operator, satellite="\x00")

    assert failed.value.codes == ["BAD_USER_INPUT"]


async def test_a_hub_of_two_satellites_is_found_by_either_and_once(operator: Api, make: Factory) -> None:
    hub = await make.site(SiteRole.HUB)
    for name in ("East", "West"):
        satellite = await make.satellite(name)
        for _ in range(2):
            await make.network(hub=hub, satellite=satellite)
    anomaly = id_of(await make.anomaly(hub))

    assert await ids(operator, satellite="East") == await ids(operator, satellite="West") == [anomaly]


async def test_the_worst_come_first_when_asked_by_severity(operator: Api, make: Factory) -> None:
    severities = [Severity.LOW, Severity.CRITICAL, Severity.MEDIUM, Severity.CRITICAL]
    made = [
        id_of(await make.anomaly(severity=severity, started_at=ago(minutes=20 - number)))
        for number, severity in enumerate(severities)
    ]

    assert await ids(operator, "SEVERITY") == [made[3], made[1], made[2], made[0]]
    assert await ids(operator, "OLDEST") == made
    assert await ids(operator, "NEWEST") == made[::-1]


async def test_what_is_no_target_is_refused(operator: Api, make: Factory) -> None:
    user = await make.user()

    for id in (id_of(user), "nonsense", "", "TGluazp4", global_id("Link", 2**31), global_id("Link", -1)):
        with pytest.raises(GraphQLFailed) as failure:
            await ids(operator, target=id)

        assert failure.value.codes == ["BAD_USER_INPUT"]
        assert failure.value.errors[0]["message"] == "The target must be the id of a network, a site or a link."


async def test_anomalies_of_a_target_are_its_own(operator: Api, make: Factory) -> None:
    one, other = await make.link(), await make.link()
    anomaly = id_of(await make.anomaly(one))
    await make.anomaly(other)
    await make.anomaly(one, status=AnomalyStatus.RESOLVED, direction=Direction.IB)
    document = "query ($n: Int!) { link(number: $n) { anomalies(filter: { statuses: [OPEN] }) { nodes { id } } } }"

    data = await operator.run(document, n=one.number)

    assert data["link"]["anomalies"]["nodes"] == [{"id": anomaly}]


async def test_nobody_sees_anomalies_without_signing_in(api: Api) -> None:
    assert await codes(api, LIST) == ["UNAUTHENTICATED"]


# ---------------------------------------------------------------- acting


async def test_acknowledging_is_remembered_with_who_and_why(api: Api, make: Factory) -> None:
    user, anomaly = await make.user(Role.OPERATOR), await make.anomaly()
    operator = await api.of(user)

    answer = await act(operator, "acknowledge", anomaly, note="Rain over Lisbon ☂")

    kept = await show(operator, anomaly)
    [entry] = kept["history"]
    assert answer["status"] == kept["status"] == "ACKNOWLEDGED"
    assert answer["acknowledgedBy"] == kept["acknowledgedBy"] == {"email": user.email}
    assert (entry["action"], entry["note"], entry["by"]) == (
        "ACKNOWLEDGED",
        "Rain over Lisbon ☂",
        {"email": user.email},
    )
    assert entry["at"] >= shown(ago(minutes=1))
    assert kept["endedAt"] is None


async def test_resolving_by_hand_ends_it(operator: Api, make: Factory) -> None:
    anomaly = await make.anomaly()

    answer = await act(operator, "resolve", anomaly, note="")

    kept = await show(operator, anomaly)
    assert answer["status"] == kept["status"] == "RESOLVED"
    assert kept["endedAt"] > kept["lastSeenAt"]
    assert [(entry["action"], entry["note"]) for entry in kept["history"]] == [("RESOLVED", "")]


async def test_an_anomaly_ahead_of_the_clock_never_ends_before_it_began(operator: Api, make: Factory) -> None:
    ahead = operator.services.clock().replace(microsecond=0) + timedelta(minutes=4)
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    await record_levels(operator, link, {ahead: EXTREME})
    [anomaly] = await ids(operator)

    await act(operator, "resolve", anomaly)

    kept = await show(operator, anomaly)
    assert kept["startedAt"] == kept["lastSeenAt"] == kept["endedAt"] == shown(ahead)


async def test_a_verdict_is_kept_and_may_be_changed_even_afterwards(operator: Api, make: Factory) -> None:
    anomaly = await make.anomaly(status=AnomalyStatus.RESOLVED)

    first = await act(operator, "judge", anomaly, verdict=Verdict.TRUE_ALARM)
    second = await act(operator, "judge", anomaly, verdict=Verdict.FALSE_ALARM, note="A test carrier.")

    kept = await show(operator, anomaly)
    assert (first["feedback"], second["feedback"], kept["feedback"]) == ("TRUE_ALARM", "FALSE_ALARM", "FALSE_ALARM")
    assert (kept["status"], first["status"]) == ("RESOLVED", "RESOLVED")
    assert [(entry["action"], entry["note"]) for entry in kept["history"]] == [
        ("JUDGED: TRUE_ALARM", None),
        ("JUDGED: FALSE_ALARM", "A test carrier."),
    ]


async def test_history_is_in_order(operator: Api, make: Factory) -> None:
    anomaly = await make.anomaly()
    await act(operator, "acknowledge", anomaly)
    await act(operator, "judge", anomaly, verdict="TRUE_ALARM")
    await act(operator, "resolve", anomaly)

    history = (await show(operator, anomaly))["history"]

    assert [entry["action"] for entry in history] == ["ACKNOWLEDGED", "JUDGED: TRUE_ALARM", "RESOLVED"]
    assert [entry["at"] for entry in history] == sorted(entry["at"] for entry in history)


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("acknowledge", AnomalyStatus.ACKNOWLEDGED),
        ("acknowledge", AnomalyStatus.RESOLVED),
        ("resolve", AnomalyStatus.RESOLVED),
    ],
)
async def test_acting_twice_is_a_conflict(operator: Api, make: Factory, action: str, status: AnomalyStatus) -> None:
    anomaly = await make.anomaly(status=status)

    answer = await act(operator, action, anomaly)

    assert answer == {"__typename": "Conflict", "message": f"This anomaly is already {status.lower()}."}
    assert (await show(operator, anomaly))["history"] == []


async def test_of_many_who_acknowledge_at_once_one_succeeds(operator: Api, make: Factory) -> None:
    anomaly = await make.anomaly()

    answers = await asyncio.gather(*(act(operator, "acknowledge", anomaly) for _ in range(5)))

    assert sorted(answer["__typename"] for answer in answers) == ["Anomaly", *["Conflict"] * 4]
    assert len((await show(operator, anomaly))["history"]) == 1


@pytest.mark.parametrize("action", ["acknowledge", "resolve", "judge"])
async def test_acting_on_what_is_no_anomaly_is_not_found(operator: Api, make: Factory, action: str) -> None:
    link = await make.link()

    for id in (global_id("Anomaly", "018f0000-0000-7000-8000-000000000000"), id_of(link), "nonsense"):
        answer = (
            await act(operator, action, id, verdict="TRUE_ALARM")
            if action == "judge"
            else await act(operator, action, id)
        )

        assert (answer["__typename"], answer["message"]) == ("NotFound", "There is no such anomaly.")


@pytest.mark.parametrize("action", ["acknowledge", "resolve", "judge"])
async def test_a_note_is_text_of_at_most_four_thousand_characters(operator: Api, make: Factory, action: str) -> None:
    anomaly, given = await make.anomaly(), {"verdict": "TRUE_ALARM"} if action == "judge" else {}

    for note in ("x" * 4001, "nothing \x00 here"):
        with pytest.raises(GraphQLFailed) as failure:
            await act(operator, action, anomaly, note=note, **given)

        assert failure.value.codes == ["BAD_USER_INPUT"]
    answer = await act(operator, action, anomaly, note="x" * 4000, **given)

    assert answer["__typename"] == "Anomaly"


@pytest.mark.parametrize("action", ["acknowledge", "resolve", "judge"])
async def test_a_viewer_may_not_act(api: Api, make: Factory, action: str) -> None:
    anomaly, given = await make.anomaly(), {"verdict": "TRUE_ALARM"} if action == "judge" else {}

    answer = await act(await api.as_(Role.VIEWER), action, anomaly, **given)
    with pytest.raises(GraphQLFailed) as failure:
        await act(api, action, anomaly, **given)

    assert (answer["__typename"], answer["requiredRole"]) == ("Forbidden", "OPERATOR")
    assert failure.value.codes == ["UNAUTHENTICATED"]


# ---------------------------------------------------------------- acting on what is still recorded


async def test_after_resolving_by_hand_another_fault_opens_another_anomaly(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    [first] = (await record_levels(operator, link, {ago(minutes=9): EXTREME}))["anomalies"]

    await act(operator, "resolve", first["id"])
    quiet = await record_levels(operator, link, {ago(minutes=8): QUIET})
    [second] = (await record_levels(operator, link, {ago(minutes=7): EXTREME}))["anomalies"]

    assert quiet["anomalies"] == []
    assert second["id"] != first["id"]
    assert (await show(operator, first["id"]))["lastSeenAt"] == shown(ago(minutes=9))


async def test_an_acknowledged_anomaly_goes_on_and_ends(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    [anomaly] = (await record_levels(operator, link, {ago(minutes=9): EXTREME}))["anomalies"]
    await act(operator, "acknowledge", anomaly["id"])

    [extended] = (await record_levels(operator, link, {ago(minutes=8): EXTREME}))["anomalies"]
    between = await show(operator, anomaly["id"])
    await record_levels(operator, link, {ago(minutes=minute): QUIET for minute in range(7, 2, -1)})

    ended = await show(operator, anomaly["id"])
    assert extended == anomaly
    assert (between["status"], between["lastSeenAt"]) == ("ACKNOWLEDGED", shown(ago(minutes=8)))
    assert (ended["status"], ended["endedAt"]) == ("RESOLVED", shown(ago(minutes=8)))
    assert [entry["action"] for entry in ended["history"]] == ["OPENED", "ACKNOWLEDGED", "RESOLVED"]
    assert [entry["by"] is None for entry in ended["history"]] == [True, False, True]


async def test_recording_and_resolving_at_once_leave_at_most_one_open(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    levels = {ago(minutes=13): QUIET, ago(minutes=12): EXTREME}  # of the present
    [first] = (await record_levels(operator, link, levels))["anomalies"]

    answers = await asyncio.gather(
        *(record_levels(operator, link, {ago(minutes=minute): EXTREME}) for minute in range(10)),
        act(operator, "resolve", first["id"]),
        act(operator, "acknowledge", first["id"]),
    )

    assert all(answer["accepted"] == 1 for answer in answers[:10])
    assert answers[10]["status"] == "RESOLVED"
    assert len(await ids(operator, statuses=["OPEN", "ACKNOWLEDGED"])) <= 1


# ---------------------------------------------------------------- live


async def opened(make: Factory, operator: Api, level: float = EXTREME, **given: Any) -> str:
    """An anomaly that a fault on a new link opens, by its id."""
    link = await make.link(**given)
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    levels = {ago(minutes=9 - minute): level for minute in range(3)}
    [anomaly] = (await record_levels(operator, link, levels))["anomalies"]
    id: str = anomaly["id"]
    return id


async def send_subscribe(socket: Socket, id: str = "1", **variables: Any) -> None:
    """Subscribe where events may come at once."""
    await socket.send(type="subscribe", id=id, payload={"query": WATCH, "variables": variables})


async def test_a_subscription_hears_of_openings_unless_told_otherwise(operator: Api, make: Factory) -> None:
    async with operator.socket() as socket:
        await socket.subscribe(WATCH.replace(", $changes: [AnomalyChange!]", "").replace(" changes: $changes,", ""))
        first = await opened(make, operator)
        await act(operator, "resolve", first)
        second = await opened(make, operator)

        events = [(await socket.next())["anomalyDetected"] for _ in range(2)]
        assert [(event["change"], event["anomaly"]["id"]) for event in events] == [
            ("OPENED", first),
            ("OPENED", second),
        ]
        assert await socket.silent(0.2)


async def test_every_change_is_told_in_order(operator: Api, make: Factory) -> None:
    async with operator.socket() as socket:
        await socket.subscribe(WATCH, changes=ALL)
        anomaly = await opened(make, operator)
        await act(operator, "acknowledge", anomaly)
        await act(operator, "judge", anomaly, verdict="TRUE_ALARM")
        await act(operator, "resolve", anomaly)

        events = [(await socket.next())["anomalyDetected"] for _ in range(4)]

    cursors = [int(event["cursor"]) for event in events]
    assert [event["change"] for event in events] == ["OPENED", "ACKNOWLEDGED", "JUDGED", "RESOLVED"]
    assert cursors == sorted(set(cursors))


async def test_only_the_changes_asked_for_are_told(operator: Api, make: Factory) -> None:
    async with operator.socket() as socket:
        await socket.subscribe(WATCH, changes=["RESOLVED", "JUDGED"])
        anomaly = await opened(make, operator)
        await act(operator, "acknowledge", anomaly)
        await act(operator, "resolve", anomaly)
        event = (await socket.next())["anomalyDetected"]

    assert (event["change"], event["anomaly"]["status"]) == ("RESOLVED", "RESOLVED")


async def test_each_filter_lets_through_its_own(operator: Api, make: Factory) -> None:
    satellite = await make.satellite("Above")
    network = await make.network(satellite=satellite)
    link = await make.link(network=network)
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    filters: list[tuple[dict[str, Any], bool]] = [
        ({"kind": "LINK"}, True),
        ({"kind": "SITE"}, False),
        ({"minSeverity": "HIGH"}, True),
        ({"minSeverity": "CRITICAL"}, False),
        ({"satellite": "Above"}, True),
        ({"satellite": "Elsewhere"}, False),
        ({"target": id_of(link)}, True),
        ({"target": id_of(network)}, False),
        ({"statuses": ["OPEN"]}, True),
        ({"statuses": ["RESOLVED"]}, False),
        ({"minConfidence": 0.9}, True),
        ({"minConfidence": 1.1}, False),
        ({"startedAfter": iso(ago(minutes=1))}, True),
        ({"startedBefore": iso(ago(minutes=1))}, False),
        ({"kind": "LINK", "satellite": "Above", "minSeverity": "LOW"}, True),
    ]

    async with operator.socket() as socket:
        for number, (filter, _) in enumerate(filters):
            await socket.send(
                type="subscribe", id=f"{number}", payload={"query": WATCH, "variables": {"filter": filter}}
            )
        await socket.subscribe(WATCH, id="last")
        await record_levels(operator, link, {ago(minutes=1): QUIET, ago(): EXTREME})
        expected = {f"{number}" for number, (_, passes) in enumerate(filters) if passes} | {"last"}
        heard = {(await socket.receive())["id"] for _ in expected}

        assert heard == expected
        assert await socket.silent(0.2)


async def test_a_subscriber_who_comes_back_misses_nothing_and_hears_nothing_twice(operator: Api, make: Factory) -> None:
    async with operator.socket() as socket:
        await socket.subscribe(WATCH, changes=ALL)
        first = await opened(make, operator)
        seen = (await socket.next())["anomalyDetected"]

    second = await opened(make, operator)
    await act(operator, "acknowledge", first)

    async with operator.socket() as socket:
        await send_subscribe(socket, changes=ALL, after=seen["cursor"])
        missed = [(await socket.next())["anomalyDetected"] for _ in range(2)]
        third = await opened(make, operator)
        live = (await socket.next())["anomalyDetected"]

        events = [(event["change"], event["anomaly"]["id"]) for event in (seen, *missed, live)]
        assert events == [("OPENED", first), ("OPENED", second), ("ACKNOWLEDGED", first), ("OPENED", third)]
        assert await socket.silent(0.2)


async def test_a_subscriber_who_joins_amid_a_storm_hears_everything_once(operator: Api, make: Factory) -> None:
    anomalies = [await make.anomaly() for _ in range(30)]

    async def storm() -> None:
        for anomaly in anomalies:
            await act(operator, "acknowledge", anomaly)

    async with operator.socket() as socket:
        running = asyncio.create_task(storm())
        await send_subscribe(socket, changes=ALL, after="0")
        events = [(await socket.next())["anomalyDetected"] for _ in anomalies]
        await running

        assert [event["anomaly"]["id"] for event in events] == [id_of(anomaly) for anomaly in anomalies]
        assert await socket.silent(0.2)


async def test_a_bad_cursor_ends_its_own_operation_only(operator: Api, make: Factory) -> None:
    async with operator.socket() as socket:
        await socket.subscribe(WATCH, id="good")
        for cursor in ("yesterday", "-1", "9" * 30, "", "1.5"):
            await socket.send(type="subscribe", id="bad", payload={"query": WATCH, "variables": {"after": cursor}})
            refusal = await socket.receive()

            assert (refusal["type"], refusal["id"]) == ("error", "bad")
            assert refusal["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        anomaly = await opened(make, operator)
        assert (await socket.next())["anomalyDetected"]["anomaly"]["id"] == anomaly


async def test_a_bad_filter_ends_its_own_operation_only(operator: Api, make: Factory) -> None:
    async with operator.socket() as socket:
        await socket.subscribe(WATCH, id="good")
        await socket.send(
            type="subscribe", id="bad", payload={"query": WATCH, "variables": {"filter": {"target": "nobody"}}}
        )
        refusal = await socket.receive()
        anomaly = await opened(make, operator)

        assert (refusal["type"], refusal["id"]) == ("error", "bad")
        assert refusal["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert (await socket.next())["anomalyDetected"]["anomaly"]["id"] == anomaly


async def test_a_viewer_may_follow_and_somebody_anonymous_may_not(api: Api, operator: Api, make: Factory) -> None:
    viewer = await api.as_(Role.VIEWER)

    async with viewer.socket() as socket, api.socket() as anonymous:
        await socket.subscribe(WATCH)
        await anonymous.send(type="subscribe", id="1", payload={"query": WATCH})
        refusal = await anonymous.receive()
        anomaly = await opened(make, operator)
        event = (await socket.next())["anomalyDetected"]

    assert (refusal["type"], refusal["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")
    assert event["anomaly"]["id"] == anomaly


async def test_each_event_shows_the_anomaly_and_its_surroundings_as_they_are_now(
    operator: Api, make: Factory, services: Services
) -> None:
    document = """subscription { anomalyDetected(changes: [OPENED, ACKNOWLEDGED, RESOLVED]) { anomaly {
      status history { action } target { ... on Link { name series(direction: OB) { times } } } } } }"""

    async with operator.socket() as socket:
        await socket.subscribe(document)
        anomaly = await opened(make, operator, number=7)
        first = (await socket.next())["anomalyDetected"]["anomaly"]
        await sql(services, "UPDATE links SET name = 'Renamed' WHERE number = 7")
        await act(operator, "acknowledge", anomaly)
        second = (await socket.next())["anomalyDetected"]["anomaly"]
        await act(operator, "resolve", anomaly)
        third = (await socket.next())["anomalyDetected"]["anomaly"]

    assert [seen["status"] for seen in (first, second, third)] == ["OPEN", "ACKNOWLEDGED", "RESOLVED"]
    assert [seen["target"]["name"] for seen in (first, second, third)] == ["Link 7", "Renamed", "Renamed"]
    assert [len(seen["history"]) for seen in (first, second, third)] == [1, 2, 3]
    assert len(first["target"]["series"]["times"]) == 3


async def test_what_is_rolled_back_is_not_told_of(operator: Api, make: Factory, services: Services) -> None:
    anomaly = await make.anomaly()
    await sql(
        services,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$",
        "CREATE CONSTRAINT TRIGGER refusing AFTER UPDATE ON anomalies DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()",
    )

    async with operator.socket() as socket:
        await socket.subscribe(WATCH, changes=ALL)
        with capture_logs(), pytest.raises(GraphQLFailed):
            await act(operator, "acknowledge", anomaly)
        await sql(services, "DROP TRIGGER refusing ON anomalies")
        await act(operator, "resolve", anomaly)
        event = (await socket.next())["anomalyDetected"]

    assert event["change"] == "RESOLVED"


async def test_a_mild_fault_is_told_of_when_it_has_persisted(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")

    async with operator.socket() as socket:
        await socket.subscribe(WATCH)
        for minute in (9, 8):
            await record_levels(operator, link, {ago(minutes=minute): MILD})
        quiet_before = await socket.silent(0.2)
        await record_levels(operator, link, {ago() - timedelta(minutes=7): MILD})
        event = (await socket.next())["anomalyDetected"]

    assert quiet_before
    assert event["change"] == "OPENED"


async def test_mutations_of_one_operation_see_what_the_ones_before_them_did(api: Api, make: Factory) -> None:
    anomaly = await make.anomaly()
    operator = await api.as_(Role.OPERATOR)
    document = """mutation ($id: ID!) {
      first: acknowledgeAnomaly(id: $id) { ... on Anomaly { history { action } } }
      second: resolveAnomaly(id: $id) { ... on Anomaly { history { action } } } }"""

    data = await operator.run(document, id=id_of(anomaly))

    assert [entry["action"] for entry in data["first"]["history"]] == ["ACKNOWLEDGED"]
    assert [entry["action"] for entry in data["second"]["history"]] == ["ACKNOWLEDGED", "RESOLVED"]


async def test_what_the_server_itself_does_has_no_author(services: Services, make: Factory, operator: Api) -> None:
    anomaly = await make.anomaly(await make.link())
    context = Context(services, SYSTEM)

    await anomalies.acknowledge(context, anomaly.id, None)
    await anomalies.judge(context, anomaly.id, Verdict.TRUE_ALARM, None)
    await anomalies.resolve(context, anomaly.id, None)

    shown = await show(operator, anomaly)
    assert shown["status"] == "RESOLVED"
    assert shown["acknowledgedBy"] is None
    assert [entry["by"] for entry in shown["history"]] == [None] * 3
