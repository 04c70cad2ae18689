"""What people do about incidents: from taking one to solving it, alone, at the same time, and many at once."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.incidents.correlator import correlate, explain_nothing
from resolvers.incidents.workflow import LARGEST_BULK
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import AnomalyCategory, AnomalyStatus, AuditEntry, Link, User
from resolvers.store.tables.incidents import Incident, IncidentStatus
from schema.relay import global_id
from tests.helpers.support import (
    EXTREME,
    LINK_CENTRE,
    LINK_SPREAD,
    MILD,
    NOW,
    QUIET,
    Api,
    Factory,
    ago,
    codes,
    id_of,
    iso,
    record_levels,
    sql,
)
from tests.resolvers.incidents.acts import RESULT, act, merge

BULK = f"""mutation Bulk($ids: [ID!]!, $owner: ID, $until: DateTime, $note: String, $text: String = "",
    $acknowledge: Boolean = false, $assign: Boolean = false, $comment: Boolean = false, $snooze: Boolean = false,
    $mitigate: Boolean = false, $resolve: Boolean = false, $reopen: Boolean = false) {{
  acknowledge: acknowledgeIncidents(ids: $ids, note: $note) @include(if: $acknowledge) {{ ...All }}
  assign: assignIncidents(ids: $ids, owner: $owner, note: $note) @include(if: $assign) {{ ...All }}
  comment: commentIncidents(ids: $ids, note: $text) @include(if: $comment) {{ ...All }}
  snooze: snoozeIncidents(ids: $ids, until: $until, note: $note) @include(if: $snooze) {{ ...All }}
  mitigate: mitigateIncidents(ids: $ids, note: $note) @include(if: $mitigate) {{ ...All }}
  resolve: resolveIncidents(ids: $ids, note: $note) @include(if: $resolve) {{ ...All }}
  reopen: reopenIncidents(ids: $ids, note: $note) @include(if: $reopen) {{ ...All }} }}
fragment All on IncidentsResult {{ __typename ... on IncidentResults {{ results {{ {RESULT} }} }}
  ... on InvalidInput {{ message path }} ... on Forbidden {{ requiredRole }} }}"""
ALL = ("acknowledge", "assign", "comment", "snooze", "mitigate", "resolve")
COMMENT = """mutation ($id: ID!, $note: String!) { commentAnomaly(id: $id, note: $note) { __typename
  ... on Anomaly { comments { note by { email } } history { action } } ... on InvalidInput { path }
  ... on NotFound { missing: id } ... on Forbidden { requiredRole } } }"""
WATCH = "subscription { incidentChanged { change incident { id status } } }"
WATCH_ANOMALIES = """subscription { anomalyDetected(changes: [RESOLVED]) {
  anomaly { id status history { details by { email } } } } }"""
OPEN_ANOMALIES = "{ anomalies(filter: { statuses: [OPEN] }) { nodes { id } } }"


@pytest.fixture
async def ada(make: Factory) -> User:
    return await make.user(Role.OPERATOR, email="ada@example.com")


@pytest.fixture
async def operator(api: Api, ada: User) -> Api:
    return await api.of(ada)


@pytest.fixture
async def colleague(api: Api, make: Factory) -> Api:
    return await api.of(await make.user(Role.OPERATOR, email="bob@example.com"))


def given_to(name: str) -> dict[str, Any]:
    """What an act needs besides an incident."""
    return {"comment": {"text": "Umbrella"}, "snooze": {"until": iso(ago(hours=-1))}}.get(name, {})


# ---------------------------------------------------------------- one after the other


async def test_an_incident_is_worked_on_from_the_beginning_to_the_end(operator: Api, make: Factory) -> None:
    incident = await make.incident()

    answers = [await act(operator, name, incident, note=f"My {name}", **given_to(name)) for name in ALL]

    assert [answer["status"] for answer in answers] == [
        "ACKNOWLEDGED",
        "ACKNOWLEDGED",
        "ACKNOWLEDGED",
        "ACKNOWLEDGED",
        "MITIGATED",
        "RESOLVED",
    ]
    by = {"email": "ada@example.com"}
    until = f"Until {ago(hours=-1):%Y-%m-%d %H:%M} UTC."
    assert answers[-1]["timeline"] == [
        {"action": "ACKNOWLEDGED", "note": "My acknowledge", "details": None, "by": by},
        {"action": "ASSIGNED", "note": "My assign", "details": "To nobody.", "by": by},
        {"action": "COMMENTED", "note": "Umbrella", "details": None, "by": by},
        {"action": "SNOOZED", "note": "My snooze", "details": until, "by": by},
        {"action": "MITIGATED", "note": "My mitigate", "details": None, "by": by},
        {"action": "RESOLVED", "note": "My resolve", "details": None, "by": by},
    ]


async def test_acknowledging_makes_one_the_owner(operator: Api, make: Factory) -> None:
    answer = await act(operator, "acknowledge", await make.incident())

    assert (answer["status"], answer["owner"]) == ("ACKNOWLEDGED", {"email": "ada@example.com"})


async def test_anybody_may_take_over_and_hand_over_with_a_note(
    operator: Api, colleague: Api, make: Factory, ada: User
) -> None:
    other = await make.user(Role.ADMIN, email="eve@example.com")
    incident = await make.incident(owner_id=ada.id, status=IncidentStatus.ACKNOWLEDGED)

    taken = await act(colleague, "assign", incident, owner=id_of(other), note="Yours now")
    nobody = await act(operator, "assign", incident)

    assert (taken["owner"], taken["status"]) == ({"email": "e…@example.com"}, "ACKNOWLEDGED")
    assert taken["timeline"][-1]["details"] == "To e…@example.com."
    assert taken["timeline"][-1]["note"] == "Yours now"
    assert nobody["owner"] is None


async def test_only_who_can_work_on_it_is_given_an_incident(operator: Api, make: Factory) -> None:
    incident = await make.incident()
    gone = await make.user(Role.OPERATOR, is_active=False)
    nobodies = [id_of(await make.user()), id_of(gone), global_id("User", 99_999), id_of(incident), "garbage", ""]

    answers = [await act(operator, "assign", incident, owner=owner) for owner in nobodies]

    assert [(answer["__typename"], answer["path"]) for answer in answers] == [("InvalidInput", ["owner"])] * 6
    assert "only reads" in answers[0]["message"]
    assert "deactivated" in answers[1]["message"]
    assert (await act(operator, "comment", incident, text="?"))["owner"] is None


async def test_snoozing_ends_with_null_and_never_begins_in_the_past(operator: Api, make: Factory) -> None:
    incident, later = await make.incident(), iso(ago(hours=-2))

    past = await act(operator, "snooze", incident, until=iso(ago(seconds=1)))
    mistyped = await act(operator, "snooze", incident, until=iso(ago(days=-400)))
    asleep = await act(operator, "snooze", incident, until=later)
    awake = await act(operator, "snooze", incident)

    assert (past["__typename"], past["path"]) == ("InvalidInput", ["until"])
    assert (mistyped["__typename"], mistyped["path"]) == ("InvalidInput", ["until"])
    assert asleep["snoozedUntil"] == later.replace("+00:00", "Z")
    assert awake["snoozedUntil"] is None
    assert [entry["details"] for entry in awake["timeline"]][1:] == ["Woken up."]


@pytest.mark.parametrize("text", ["", "  \n", "\u200b\u2060", "\x07"])
async def test_an_empty_comment_is_bad_input(operator: Api, make: Factory, text: str) -> None:
    incident, anomaly = await make.incident(), await make.anomaly()

    answer = await act(operator, "comment", incident, text=text)
    of_anomaly = (await operator.run(COMMENT, id=id_of(anomaly), note=text))["commentAnomaly"]

    assert (answer["__typename"], answer["path"]) == ("InvalidInput", ["note"])
    assert (of_anomaly["__typename"], of_anomaly["path"]) == ("InvalidInput", ["note"])


async def test_a_comment_of_ten_thousand_characters_is_bad_input(operator: Api, make: Factory) -> None:
    document = "mutation ($id: ID!, $note: String!) { commentIncident(id: $id, note: $note) { __typename } }"
    incident, anomaly = await make.incident(), await make.anomaly()

    longest = await act(operator, "comment", incident, text="x" * 4000)
    too_long = await codes(operator, document, id=id_of(incident), note="x" * 10_000)
    of_anomaly = await codes(operator, COMMENT, id=id_of(anomaly), note="x" * 10_000)
    unstorable = await act(operator, "comment", incident, text="nul\0")

    assert longest["__typename"] == "Incident"
    assert too_long == of_anomaly == ["BAD_USER_INPUT"]
    assert unstorable["__typename"] == "InvalidInput"
    assert len((await act(operator, "comment", incident, text="?"))["timeline"]) == 2


async def test_anomalies_are_commented_too(operator: Api, api: Api, make: Factory) -> None:
    anomaly = id_of(await make.anomaly())
    await operator.run(COMMENT, id=anomaly, note="First")
    await operator.run(f'mutation {{ acknowledgeAnomaly(id: "{anomaly}") {{ __typename }} }}')

    answer = (await operator.run(COMMENT, id=anomaly, note="Second"))["commentAnomaly"]
    unknown = (await operator.run(COMMENT, id=global_id("Anomaly", uuid7()), note="?"))["commentAnomaly"]
    viewer = (await (await api.as_(Role.VIEWER)).run(COMMENT, id=anomaly, note="?"))["commentAnomaly"]

    by = {"email": "ada@example.com"}
    assert answer["comments"] == [{"note": "First", "by": by}, {"note": "Second", "by": by}]
    assert [entry["action"] for entry in answer["history"]] == ["COMMENTED", "ACKNOWLEDGED", "COMMENTED"]
    assert unknown["__typename"] == "NotFound"
    assert viewer == {"__typename": "Forbidden", "requiredRole": "OPERATOR"}


# ---------------------------------------------------------------- what cannot be done


async def test_a_resolved_incident_is_commented_on_without_reopening_it(
    operator: Api, colleague: Api, make: Factory
) -> None:
    """Who was on duty writes the post-mortem when all is over; who resolved it is still known then."""
    incident = await make.incident()
    await act(operator, "resolve", incident)

    answer = await act(colleague, "comment", incident, text="The LNB was wet")
    late = await act(operator, "resolve", incident)

    assert (answer["__typename"], answer["status"]) == ("Incident", "RESOLVED")
    assert [(entry["action"], entry["note"]) for entry in answer["timeline"]][-1] == ("COMMENTED", "The LNB was wet")
    assert late["message"] == "This incident is already resolved by you. Reopen it first."


@pytest.mark.parametrize("name", [name for name in ALL if name != "comment"])
async def test_a_resolved_incident_must_be_reopened_first(
    operator: Api, colleague: Api, make: Factory, name: str
) -> None:
    incident = await make.incident()
    await act(operator, "resolve", incident)

    by_other = await act(colleague, name, incident, **given_to(name))
    by_same = await act(operator, name, incident, **given_to(name))

    message = "This incident is already resolved by {}. Reopen it first."
    assert (by_other["__typename"], by_other["message"]) == ("Conflict", message.format("a…@example.com"))
    assert (by_same["__typename"], by_same["message"]) == ("Conflict", message.format("you"))


@pytest.mark.parametrize("name", [*ALL, "reopen"])
async def test_a_merged_incident_names_its_survivor(operator: Api, make: Factory, name: str) -> None:
    first, second, survivor = [await make.incident(title=title) for title in ("First", "Second", "The one")]
    await merge(operator, second, first)
    await merge(operator, survivor, second)

    answers = [await act(operator, name, incident, **given_to(name)) for incident in (first, second)]

    for answer in answers:
        assert (answer["__typename"], answer["instead"]) == ("Conflict", id_of(survivor))
        assert "“The one”" in answer["message"]
        assert id_of(survivor) in answer["message"]


async def test_mitigating_twice_and_reopening_what_is_open_are_conflicts(operator: Api, make: Factory) -> None:
    incident = await make.incident()

    await act(operator, "mitigate", incident)
    twice = await act(operator, "mitigate", incident)
    late = await act(operator, "acknowledge", incident)
    reopened = await act(operator, "reopen", incident)
    fresh = await act(operator, "reopen", await make.incident())

    assert twice["message"] == late["message"] == "This incident is already mitigated by you."
    assert reopened["message"] == "This incident is already mitigated by you."
    assert fresh["message"] == "This incident is not resolved."


async def test_what_the_server_did_is_nobody_s(operator: Api, make: Factory) -> None:
    incident = await make.incident(status=IncidentStatus.RESOLVED)

    assert (await act(operator, "assign", incident))["message"] == (
        "This incident is already resolved. Reopen it first."
    )


@pytest.mark.parametrize("name", [*ALL, "reopen"])
@pytest.mark.parametrize(
    "id",
    [global_id("Incident", UUID(int=7)), global_id("Anomaly", UUID(int=7)), global_id("Incident", 1), "garbage", ""],
)
async def test_ids_of_nothing_and_of_other_things_are_not_found(operator: Api, name: str, id: str) -> None:
    answer = await act(operator, name, id, **given_to(name))

    assert (answer["__typename"], answer["missing"]) == ("NotFound", id)


async def test_viewers_only_read(api: Api, make: Factory) -> None:
    viewer, incident = await api.as_(Role.VIEWER), await make.incident()

    answers = [await act(viewer, name, incident, **given_to(name)) for name in (*ALL, "reopen")]

    assert {(answer["__typename"], answer["requiredRole"]) for answer in answers} == {("Forbidden", "OPERATOR")}


async def test_who_was_deactivated_does_nothing_more(
    operator: Api, make: Factory, services: Services, ada: User
) -> None:
    incident = await make.incident()
    await sql(services, f"UPDATE users SET is_active = false WHERE id = {ada.id}")

    answer = await codes(operator, f'mutation {{ resolveIncident(id: "{id_of(incident)}") {{ __typename }} }}')

    assert answer == ["UNAUTHENTICATED"]


# ---------------------------------------------------------------- at the same time


async def test_of_two_at_once_the_second_hears_who_was_first(operator: Api, colleague: Api, make: Factory) -> None:
    for name in ("acknowledge", "mitigate", "resolve"):
        incident = await make.incident()

        answers = await asyncio.gather(*(act(api, name, incident) for api in (operator, colleague)))

        [won] = [answer for answer in answers if answer["__typename"] == "Incident"]
        [lost] = [answer for answer in answers if answer["__typename"] == "Conflict"]
        [entry] = won["timeline"]
        first = entry["by"]["email"][0]
        assert f"by {first}…@example.com." in lost["message"]


async def test_merging_each_other_at_once_makes_no_circle(
    operator: Api, colleague: Api, make: Factory, services: Services
) -> None:
    first, second = await make.incident(), await make.incident()

    answers = await asyncio.gather(merge(operator, first, second), merge(colleague, second, first))

    assert sorted(answer["__typename"] for answer in answers) == ["Conflict", "Incident"]
    async with services.database.read() as session:
        rows = [await session.get_one(Incident, row.id) for row in (first, second)]
    assert sorted(row.merged_into_id is None for row in rows) == [False, True]


async def test_every_act_is_told(operator: Api, make: Factory) -> None:
    incident = await make.incident()
    async with operator.socket() as socket:
        await socket.subscribe(WATCH)

        for name in (*ALL, "reopen"):
            await act(operator, name, incident, **given_to(name))
        told = [(await socket.next())["incidentChanged"] for _ in range(len(ALL) + 1)]

    assert [event["change"] for event in told] == [
        "ACKNOWLEDGED",
        "ASSIGNED",
        "COMMENTED",
        "SNOOZED",
        "MITIGATED",
        "RESOLVED",
        "REOPENED",
    ]
    assert {event["incident"]["id"] for event in told} == {id_of(incident)}


# ---------------------------------------------------------------- resolving


@pytest.fixture
async def link(make: Factory) -> Link:
    """One with a quiet history of a thousand samples."""
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    return link


async def record(api: Api, link: Link, first: int, *values: float) -> None:
    """One a minute, an hour ago."""
    start = NOW - timedelta(hours=1)
    await record_levels(api, link, {start + timedelta(minutes=first + n): value for n, value in enumerate(values)})


async def incident_with(services: Services, make: Factory, link: Link) -> Incident:
    """An incident of the open anomalies that there are."""
    incident = await make.incident(link)
    await sql(services, f"UPDATE anomalies SET incident_id = '{incident.id}' WHERE ended_at IS NULL")
    return incident


async def test_what_was_resolved_does_not_come_back_with_the_next_sample(
    operator: Api, make: Factory, services: Services, link: Link
) -> None:
    await record(operator, link, 0, QUIET, EXTREME, EXTREME)
    incident = await incident_with(services, make, link)

    resolved = await act(operator, "resolve", incident)
    await record(operator, link, 3, EXTREME, MILD, QUIET, EXTREME)
    after = (await operator.run(OPEN_ANOMALIES))["anomalies"]["nodes"]
    await record(operator, link, 7, *[QUIET] * 5, EXTREME)
    anew = (await operator.run(OPEN_ANOMALIES))["anomalies"]["nodes"]

    [anomaly] = resolved["anomalies"]["nodes"]
    assert (resolved["status"], anomaly["status"]) == ("RESOLVED", "RESOLVED")
    assert resolved["endedAt"] is not None
    assert after == []
    assert len(anew) == 1
    assert anew[0]["id"] != anomaly["id"]


async def test_reopening_brings_back_what_lasts_and_counts(
    operator: Api, make: Factory, services: Services, link: Link
) -> None:
    over = await make.link()
    await record(operator, link, 0, QUIET, EXTREME, EXTREME)
    ended = await make.anomaly(over)
    incident = await incident_with(services, make, link)
    await act(operator, "resolve", incident)

    reopened = await act(operator, "reopen", incident, note="Not yet")
    await record(operator, link, 3, *[QUIET] * 5)
    later = await act(operator, "comment", incident, text="?")

    by_id = {anomaly["id"]: anomaly["status"] for anomaly in reopened["anomalies"]["nodes"]}
    assert by_id.pop(id_of(ended)) == "RESOLVED"
    assert [*by_id.values()] == ["OPEN"]
    assert (reopened["status"], reopened["endedAt"], reopened["reopenedCount"]) == ("OPEN", None, 1)
    assert {anomaly["status"] for anomaly in later["anomalies"]["nodes"]} == {"RESOLVED"}


async def test_reopening_brings_back_a_silence_that_lasts(operator: Api, make: Factory, services: Services) -> None:
    link, incident = await make.link(), await make.incident()
    silence = await make.anomaly(link, incident_id=incident.id, direction=None, category=AnomalyCategory.SILENCE)
    stream = await make.baseline(link, [], [], "OB")
    async with services.database.write() as session:
        (await session.merge(stream)).silence_id = silence.id
    await act(operator, "resolve", incident)

    answer = await act(operator, "reopen", incident)

    assert answer["anomalies"]["nodes"] == [{"id": id_of(silence), "status": "OPEN"}]
    assert answer["endedAt"] is None


async def test_what_a_person_reopened_is_not_resolved_at_once(operator: Api, make: Factory, services: Services) -> None:
    incident = await make.incident(status=IncidentStatus.RESOLVED, started_at=ago(hours=2), ended_at=ago(hours=1))
    over = {"status": AnomalyStatus.RESOLVED, "last_seen_at": ago(hours=1)}
    await make.anomaly(incident_id=incident.id, started_at=ago(hours=2), **over)

    await act(operator, "reopen", incident)
    await correlate(services, explain_nothing)
    at_once = await act(operator, "comment", incident, text="?")
    later = replace(services, clock=lambda: datetime.now(UTC) + timedelta(minutes=4))
    await correlate(later, explain_nothing)
    in_the_end = await act(operator, "comment", incident, text="?")

    assert (at_once["status"], at_once["reopenedCount"]) == ("OPEN", 1)
    assert in_the_end["status"] == "RESOLVED"


async def test_who_owned_it_has_it_again(operator: Api, make: Factory) -> None:
    incident = await make.incident()
    await act(operator, "acknowledge", incident)
    await act(operator, "resolve", incident)

    answer = await act(operator, "reopen", incident)

    assert (answer["status"], answer["owner"]) == ("ACKNOWLEDGED", {"email": "ada@example.com"})


async def test_resolving_tells_of_its_anomalies_too(operator: Api, make: Factory) -> None:
    incident = await make.incident()
    anomaly = await make.anomaly(incident_id=incident.id)
    async with operator.socket() as socket:
        await socket.subscribe(WATCH_ANOMALIES)

        await act(operator, "resolve", incident)
        event = (await socket.next())["anomalyDetected"]["anomaly"]

    entry = {"details": "With its incident.", "by": {"email": "a…@example.com"}}
    assert event == {"id": id_of(anomaly), "status": "RESOLVED", "history": [entry]}


# ---------------------------------------------------------------- many at once


async def bulk(api: Api, name: str, ids: list[str], **given: Any) -> Any:
    return (await api.run(BULK, ids=ids, **{name: True}, **given))[name]


async def test_each_of_many_succeeds_or_fails_by_itself(operator: Api, make: Factory) -> None:
    first, second = await make.incident(title="First"), await make.incident(title="Second")
    taken = await make.incident(status=IncidentStatus.ACKNOWLEDGED)
    merged = await make.incident(status=IncidentStatus.RESOLVED, merged_into_id=first.id)
    unknown = global_id("Incident", uuid7())
    ids = [id_of(second), id_of(taken), unknown, id_of(first), id_of(merged), id_of(second), "garbage"]

    answer = await bulk(operator, "acknowledge", ids, note="All mine")

    types = ["Incident", "Conflict", "NotFound", "Incident", "Conflict", "Incident", "NotFound"]
    assert [result["__typename"] for result in answer["results"]] == types
    assert [result.get("title") for result in answer["results"]][::5] == ["Second", "Second"]
    assert [answer["results"][number]["missing"] for number in (2, 6)] == [unknown, "garbage"]
    assert answer["results"][4]["instead"] == id_of(first)
    assert [entry["note"] for entry in answer["results"][0]["timeline"]] == ["All mine"]


@pytest.mark.parametrize(
    ("name", "before", "after"), [("mitigate", "OPEN", "MITIGATED"), ("reopen", "RESOLVED", "OPEN")]
)
async def test_many_are_mitigated_or_reopened(operator: Api, make: Factory, name: str, before: str, after: str) -> None:
    ids = [id_of(await make.incident(status=IncidentStatus(before))) for _ in range(2)]

    answer, again = [await bulk(operator, name, ids, note="All") for _ in range(2)]

    assert [(one["status"], one["timeline"][-1]["note"]) for one in answer["results"]] == [(after, "All")] * 2
    assert [one["__typename"] for one in again["results"]] == ["Conflict"] * 2


async def test_many_get_the_same_comment_and_none_an_empty_one(operator: Api, make: Factory) -> None:
    ids = [id_of(await make.incident()) for _ in range(2)]

    answer, empty = [await bulk(operator, "comment", ids, text=text) for text in ("The storm moves east", " ")]

    assert [one["timeline"][-1]["note"] for one in answer["results"]] == ["The storm moves east"] * 2
    assert (empty["__typename"], empty["path"]) == ("InvalidInput", ["note"])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("assign", {}),
        ("comment", {"text": "Same"}),
        ("snooze", {}),
        ("mitigate", {}),
        ("resolve", {}),
        ("acknowledge", {}),
    ],
)
async def test_many_take_as_many_statements_as_few(
    operator: Api, make: Factory, statements: list[str], name: str, given: dict[str, Any]
) -> None:
    counts = []
    for number in (2, 12):
        ids = []
        for _ in range(number):
            incident = await make.incident()
            await make.anomaly(incident_id=incident.id)
            ids.append(id_of(incident))
        statements.clear()
        answer = await bulk(operator, name, ids, **given)
        assert {result["__typename"] for result in answer["results"]} == {"Incident"}
        counts.append(len(statements))

    assert counts[0] == counts[1]


async def test_the_number_of_many_is_bounded(operator: Api, make: Factory) -> None:
    incident = id_of(await make.incident())
    document = "mutation ($ids: [ID!]!) { resolveIncidents(ids: $ids) { __typename } }"
    merging = "mutation ($ids: [ID!]!) { mergeIncidents(into: $into, ids: $ids) { __typename } }"

    too_many = await codes(operator, document, ids=[incident] * (LARGEST_BULK + 1))
    thousand = await codes(operator, merging.replace("$into", f'"{incident}"'), ids=[incident] * 1000)
    none = await operator.run(document, ids=[])

    assert too_many == thousand == ["BAD_USER_INPUT"]
    assert none == {"resolveIncidents": {"__typename": "IncidentResults"}}


async def test_viewers_and_bad_owners_get_nothing_done(operator: Api, api: Api, make: Factory) -> None:
    viewer, incident = await api.as_(Role.VIEWER), id_of(await make.incident())

    refused = [await bulk(viewer, name, [incident]) for name in ("acknowledge", "assign", "snooze", "resolve")]
    nobody = await bulk(operator, "assign", [incident], owner="garbage")
    past = await bulk(operator, "snooze", [incident], until=iso(ago(days=1)))

    assert refused == [{"__typename": "Forbidden", "requiredRole": "OPERATOR"}] * 4
    assert (nobody["__typename"], nobody["path"]) == ("InvalidInput", ["owner"])
    assert (past["__typename"], past["path"]) == ("InvalidInput", ["until"])


async def test_an_incident_of_many_anomalies_is_resolved_as_a_whole(
    operator: Api, make: Factory, services: Services
) -> None:
    incident = await make.incident()
    await sql(
        services,
        "INSERT INTO anomalies (id, kind, target_id, direction, category, status, severity, score, confidence,"
        " contributions, model_version, started_at, last_seen_at, incident_id)"
        " SELECT gen_random_uuid(), 'LINK', number, 'OB', 'DEVIATION', 'OPEN', 1, .5, .5, '[]', '1.0.0', now(), now(),"
        f" '{incident.id}' FROM generate_series(1, 1000) AS number",
    )

    answer = await act(operator, "resolve", incident)

    assert answer["severity"] == Severity.MEDIUM
    async with services.database.read() as session:
        entries = await session.scalar(select(func.count()).select_from(AuditEntry))
    assert entries == 1001
    assert (await operator.run(OPEN_ANOMALIES))["anomalies"]["nodes"] == []
