"""Incidents that are one fault are merged, one that is several is split: by people, and as the server does it."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.recommendation.case import FaultCase, Priority, TrackRecord
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import AnomalyStatus
from resolvers.store.tables.incidents import Incident, IncidentStatus
from resolvers.store.tables.recommendations import Recommendation
from schema.relay import global_id
from tests.helpers.support import Api, Factory, Socket, ago, codes, id_of
from tests.resolvers.incidents.acts import act, merge, split
from tests.resolvers.incidents.test_summary import links_of, pattern_of, refresh

SHOW = """query ($id: ID!) { node(id: $id) { ... on Incident { title status severity
  affectedLinkCount mergedInto { title } startedAt endedAt anomalies { totalCount nodes { id } }
  recommendations { nodes { title } }
  timeline { action note details } } } }"""
WATCH = "subscription { incidentChanged { change incident { id } } }"
SPLIT = "mutation ($id: ID!, $anomalies: [ID!]!) { splitIncident(id: $id, anomalies: $anomalies) { __typename } }"


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def show(api: Api, incident: Any) -> dict[str, Any]:
    node: dict[str, Any] = (await api.run(SHOW, id=id_of(incident)))["node"]
    return node


async def with_anomalies(make: Factory, services: Services, number: int, **given: Any) -> tuple[Incident, list[str]]:
    """An incident of as many links, each with an anomaly, and the ids of these."""
    incident = await make.incident(**given)
    anomalies = [id_of(await make.anomaly(incident_id=incident.id)) for _ in range(number)]
    return await refresh(services, incident), anomalies


async def told(socket: Socket, number: int) -> list[tuple[str, str]]:
    events = [(await socket.next())["incidentChanged"] for _ in range(number)]
    return sorted((event["change"], event["incident"]["id"]) for event in events)


# ---------------------------------------------------------------- merging


async def test_merging_moves_all_to_the_survivor(operator: Api, make: Factory, services: Services) -> None:
    first, of_first = await with_anomalies(make, services, 2, title="First", started_at=ago(hours=2))
    second, of_second = await with_anomalies(make, services, 1, title="Second")
    worst = await make.anomaly(incident_id=second.id, severity=Severity.CRITICAL, started_at=ago(hours=9))
    third, _ = await with_anomalies(make, services, 1, title="Third")

    answer = await merge(operator, first, second, third, note="The same storm")
    gone = await show(operator, second)

    assert (answer["id"], answer["severity"], answer["affectedLinkCount"]) == (id_of(first), "CRITICAL", 5)
    ids = {anomaly["id"] for anomaly in answer["anomalies"]["nodes"]}
    assert ids > {*of_first, *of_second, id_of(worst)}
    assert len(ids) == 5
    assert (gone["status"], gone["mergedInto"], gone["affectedLinkCount"]) == ("RESOLVED", {"title": "First"}, 0)
    assert gone["anomalies"]["totalCount"] == 0
    assert gone["endedAt"] is not None
    [entry] = answer["timeline"]
    assert (entry["action"], entry["note"], entry["details"]) == ("MERGED", "The same storm", "Of “Second”, “Third”.")
    assert gone["timeline"] == [{"action": "MERGED", "note": "The same storm", "details": "Into “First”."}]
    assert await links_of(services, second.id) == set()


async def test_the_title_counts_the_links_after_merging_and_splitting(
    operator: Api, make: Factory, services: Services
) -> None:
    network = await make.network()
    usual = {"root_cause": RootCause.CONGESTION, "title": "Congestion (2 links)"}
    first, second = [await make.incident(**usual) for _ in range(2)]
    anomalies = [
        id_of(await make.anomaly(await make.link(network=network), incident_id=incident.id))
        for incident in (first, first, second, second)
    ]
    for incident in (first, second):
        await refresh(services, incident)

    merged = await merge(operator, first, second)
    await split(operator, first, anomalies[0])

    assert (merged["affectedLinkCount"], merged["title"]) == (4, "Congestion (4 links)")
    assert (await show(operator, first))["title"] == "Congestion (3 links)"


async def test_both_sides_of_a_merger_are_told(operator: Api, make: Factory) -> None:
    first, second = await make.incident(), await make.incident()
    async with operator.socket() as socket:
        await socket.subscribe(WATCH)

        await merge(operator, first, second)

        assert await told(socket, 2) == sorted([("MERGED", id_of(first)), ("MERGED", id_of(second))])


async def test_those_merged_before_lead_to_the_last_survivor(operator: Api, make: Factory, services: Services) -> None:
    rows = [await make.incident(title=str(number)) for number in range(4)]
    for number in range(3):
        await merge(operator, rows[number + 1], rows[number])

    async with services.database.read() as session:
        merged = [(await session.get_one(Incident, row.id)).merged_into_id for row in rows]

    assert merged == [rows[3].id] * 3 + [None]
    again = [await merge(operator, rows[3], row) for row in rows[:3]]
    assert [answer["instead"] for answer in again] == [id_of(rows[3])] * 3


async def test_a_pattern_of_the_survivor_keeps_its_links(operator: Api, make: Factory, services: Services) -> None:
    link, other = await make.link(), await make.link()
    first = await make.incident(pattern=pattern_of(link))
    second = await make.incident(pattern=pattern_of(other))

    await merge(operator, first, second)

    assert await links_of(services, first.id) == {link.id}
    assert await links_of(services, second.id) == set()


async def test_recommendations_move_and_of_the_same_one_stays(operator: Api, make: Factory, services: Services) -> None:
    first, second, third = [await make.incident() for _ in range(3)]
    await _recommend(services, first.id, "restart", 0.3)
    await _recommend(services, second.id, "restart", 0.9)
    await _recommend(services, second.id, "repoint", 0.2)
    await _recommend(services, third.id, "repoint", 0.4)

    await merge(operator, first, second, third)
    node = await show(operator, first)

    assert [one["title"] for one in node["recommendations"]["nodes"]] == ["repoint 0.4", "restart 0.3"]
    async with services.database.read() as session:
        rows = list(await session.scalars(select(Recommendation)))
    assert {(row.incident_id, row.subject_id) for row in rows} == {(first.id, first.id)}
    assert {row.title for row in rows if row.superseded_at} == {"restart 0.9", "repoint 0.2"}


async def _recommend(services: Services, incident: UUID, action: str, score: float) -> None:
    """A recommendation for an incident, about its culprit."""
    async with services.database.write() as session:
        row = Recommendation(
            subject_id=incident,
            incident_id=incident,
            action=action,
            root_cause=RootCause.REMOTE_EQUIPMENT,
            target_kind=CulpritKind.LINK,
            target_id=1,
            title=f"{action} {score}",
            description="",
            tags=[],
            priority=Priority.LOW,
            rank_score=score,
            model_version="1.0.0",
            situation=FaultCase(CulpritKind.LINK, 0.5, 0.5),
            past=TrackRecord(),
            basis=b"",
        )
        session.add(row)


@pytest.mark.parametrize("status", [IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED, IncidentStatus.MITIGATED])
async def test_an_incident_is_never_merged_into_itself(operator: Api, make: Factory, status: IncidentStatus) -> None:
    incident, other = await make.incident(status=status), await make.incident()

    answer = await merge(operator, incident, other, incident)

    assert (answer["__typename"], answer["path"]) == ("InvalidInput", ["ids", "1"])
    assert (await show(operator, other))["mergedInto"] is None


async def test_what_is_resolved_or_merged_or_unknown_is_not_merged(operator: Api, make: Factory) -> None:
    first, second, third = [await make.incident(title=title) for title in ("First", "Second", "Third")]
    over = await make.incident(status=IncidentStatus.RESOLVED)
    anomaly = await make.anomaly()
    await merge(operator, first, second)

    again = await merge(operator, third, second)
    circle = await merge(operator, second, first)
    ended = [await merge(operator, third, over), await merge(operator, over, third)]
    unknown = [await merge(operator, third, id) for id in (global_id("Incident", uuid7()), id_of(anomaly), "garbage")]
    into_nothing = [await merge(operator, id, third) for id in (global_id("Incident", uuid7()), id_of(anomaly))]
    nothing = await merge(operator, third)

    assert again["instead"] == circle["instead"] == id_of(first)
    assert {answer["message"] for answer in ended} == {"This incident is already resolved. Reopen it first."}
    assert [answer["path"] for answer in unknown] == [["ids", "0"]] * 3
    assert {answer["__typename"] for answer in into_nothing} == {"NotFound"}
    assert into_nothing[1]["missing"] == id_of(anomaly)
    assert (nothing["__typename"], nothing["path"]) == ("InvalidInput", ["ids"])
    assert (await show(operator, third))["timeline"] == []


async def test_naming_one_twice_merges_it_once(operator: Api, make: Factory) -> None:
    first, second = await make.incident(title="First"), await make.incident(title="Second")

    answer = await merge(operator, first, second, second)

    assert [entry["details"] for entry in answer["timeline"]] == ["Of “Second”."]


# ---------------------------------------------------------------- splitting


async def test_splitting_makes_another_incident_of_some_anomalies(
    operator: Api, make: Factory, services: Services
) -> None:
    incident, anomalies = await with_anomalies(make, services, 3, title="Both")
    early = await make.anomaly(incident_id=incident.id, started_at=ago(hours=5), severity=Severity.LOW)
    over = {"status": AnomalyStatus.RESOLVED, "last_seen_at": ago(hours=4)}
    late = await make.anomaly(incident_id=incident.id, started_at=ago(hours=6), severity=Severity.CRITICAL, **over)

    answer = await split(operator, incident, early, late, note="Another fault")
    before = await show(operator, incident)

    assert answer["id"] != id_of(incident)
    assert {anomaly["id"] for anomaly in answer["anomalies"]["nodes"]} == {id_of(early), id_of(late)}
    assert (answer["status"], answer["severity"], answer["affectedLinkCount"]) == ("OPEN", "HIGH", 2)
    assert answer["title"] == "2 targets split from “Both”"
    assert {anomaly["id"] for anomaly in before["anomalies"]["nodes"]} == set(anomalies)
    assert (before["severity"], before["affectedLinkCount"]) == ("CRITICAL", 3)  # each of a network of its own
    [entry] = before["timeline"]
    assert (entry["action"], entry["note"]) == ("SPLIT", "Another fault")
    assert entry["details"] == "Into this and “2 targets split from “Both””."
    assert [(one["action"], one["note"], one["details"]) for one in answer["timeline"]] == [
        ("OPENED", None, None),
        ("SPLIT", "Another fault", "From “Both”."),
    ]


async def test_both_sides_of_a_split_are_told(operator: Api, make: Factory, services: Services) -> None:
    incident, anomalies = await with_anomalies(make, services, 2)
    async with operator.socket() as socket:
        await socket.subscribe(WATCH)

        new = (await split(operator, incident, anomalies[0]))["id"]

        assert await told(socket, 3) == sorted([("OPENED", new), ("SPLIT", new), ("SPLIT", id_of(incident))])


async def test_at_least_one_anomaly_stays(operator: Api, make: Factory, services: Services) -> None:
    incident, anomalies = await with_anomalies(make, services, 2)

    all_of_them = await split(operator, incident, *anomalies)
    twice = await split(operator, incident, *anomalies, anomalies[0])
    none = await split(operator, incident)

    assert [answer["path"] for answer in (all_of_them, twice, none)] == [["anomalies"]] * 3
    assert (await show(operator, incident))["anomalies"]["totalCount"] == 2


async def test_only_its_own_anomalies_are_split_off(operator: Api, make: Factory, services: Services) -> None:
    incident, anomalies = await with_anomalies(make, services, 2)
    _, foreign = await with_anomalies(make, services, 2)
    unknown = [foreign[0], id_of(await make.anomaly()), global_id("Anomaly", uuid7()), id_of(incident), "garbage"]

    answers = [await split(operator, incident, anomalies[0], id) for id in unknown]

    assert [(answer["__typename"], answer["path"]) for answer in answers] == [("InvalidInput", ["anomalies", "1"])] * 5
    assert (await show(operator, incident))["timeline"] == []


async def test_more_ids_than_a_list_may_have_are_bad_input(operator: Api, make: Factory) -> None:
    incident = await make.incident()

    answer = await codes(operator, SPLIT, id=id_of(incident), anomalies=[id_of(incident)] * 1001)

    assert answer == ["BAD_USER_INPUT"]


async def test_what_is_resolved_or_merged_is_not_split(operator: Api, make: Factory, services: Services) -> None:
    incident, anomalies = await with_anomalies(make, services, 2)
    survivor = await make.incident()
    await act(operator, "resolve", incident)
    resolved = await split(operator, incident, anomalies[0])
    await act(operator, "reopen", incident)
    await merge(operator, survivor, incident)

    merged = await split(operator, incident, anomalies[0])
    unknown = await split(operator, global_id("Incident", uuid7()), anomalies[0])

    assert (resolved["__typename"], merged["instead"]) == ("Conflict", id_of(survivor))
    assert unknown["__typename"] == "NotFound"


async def test_what_people_regrouped_is_not_analysed_again_for_what_it_has(
    operator: Api, make: Factory, services: Services
) -> None:
    first, anomalies = await with_anomalies(make, services, 2, due_at=ago(minutes=1))
    second, _ = await with_anomalies(make, services, 1, due_at=ago(minutes=1))
    await merge(operator, first, second)
    await split(operator, first, anomalies[0])

    async with services.database.read() as session:
        due = list(await session.scalars(select(Incident.due_at)))

    assert due == [None, None, None]
