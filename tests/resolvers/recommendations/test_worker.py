"""Recommendations that nobody asked for: one list for each incident, for its culprit, closed with it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.case import Outcome
from ml.recommendation.playbook.actions import Purpose
from ml.recommendation.playbook.loading import default_playbook
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.incidents import changes as incident_changes
from resolvers.incidents.changes import IncidentChange, publish_changes
from resolvers.recommendations.recommendations import propose_for_incident
from resolvers.recommendations.worker import INCIDENT_TOPIC, recommend_due
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.tables.analysis_documents import Culprit, Hypothesis, Pattern
from resolvers.store.tables.core import Anomaly, AnomalyCategory, AuditEntry, Link, Network, SiteRole
from resolvers.store.tables.incidents import Incident, IncidentKind, IncidentStatus
from resolvers.store.tables.recommendations import Recommendation, SupersededReason
from tests.helpers.support import LINK_CENTRE, LINK_SPREAD, Api, Factory, Server, ago, id_of, until
from tests.resolvers.recommendations.test_recommendations import (
    analysis,
    faded,
    ids,
    listed,
    pattern,
    recommended,
    record,
)

OF_ANOMALY = """query ($id: ID!) { node(id: $id) { ... on Anomaly { recommendations { totalCount nodes {
  id title description rootCause purpose } } } } }"""


async def rows_of(services: Services, subject: UUID, *, superseded: bool = False) -> list[Recommendation]:
    """What is recommended for a subject, best first; with `superseded`, what was."""
    query = select(Recommendation).where(Recommendation.subject_id == subject)
    query = query.where(
        Recommendation.superseded_at.is_not(None) if superseded else ~Recommendation.superseded_at.is_not(None)
    )
    async with services.database.read() as session:
        return list(await session.scalars(query.order_by(Recommendation.rank_score.desc(), Recommendation.id)))


async def count_rows(services: Services) -> int:
    async with services.database.read() as session:
        return await session.scalar(select(func.count()).select_from(Recommendation)) or 0


async def change(services: Services, incident: Incident, **values: Any) -> None:
    async with services.database.write() as session:
        row = await session.get_one(Incident, incident.id)
        for name, value in values.items():
            setattr(row, name, value)


async def hub_network(make: Factory, hub: str, network: str, links: int) -> tuple[Network, list[Link]]:
    site = await make.site(SiteRole.HUB, name=hub)
    row = await make.network(hub=site)
    async with make._services.database.write() as session:
        (await session.get_one(Network, row.id)).name = network
    return row, [await make.link(network=row) for _ in range(links)]


def failure_of(network: Network, links: list[Link], **given: Any) -> Pattern:
    return pattern(RootCause.EQUIPMENT_FAILURE, Culprit(CulpritKind.NETWORK, network.id), links, **given)


async def make_explained(make: Factory, links: list[Link], explanation: Pattern | None, **given: Any) -> Incident:
    """An incident of these links, each with an anomaly, explained by a pattern."""
    values: dict[str, Any] = {"pattern": explanation}
    if explanation:
        values |= {"root_cause": explanation.cause, "confidence": explanation.confidence}
        if explanation.culprit:
            values |= {"culprit_kind": explanation.culprit.kind, "culprit_id": explanation.culprit.key}
            values |= {"culprit_transponder": explanation.culprit.transponder}
    incident = await make.incident(*links, **{**values, **given})
    for link in links:
        await faded(make, link, incident_id=incident.id)
    return incident


async def failed_network(make: Factory, links: int = 3, **given: Any) -> Incident:
    network, members = await hub_network(make, "Raisting", "North Sea Energy", links)
    return await make_explained(make, members, failure_of(network, members), **given)


def doubtful(explanation: Pattern, rival: RootCause, culprit: Culprit | None) -> Pattern:
    """The same with a confidence at which nobody should act."""
    hypotheses = (
        Hypothesis(explanation.cause, explanation.culprit, 0.45),
        Hypothesis(rival, culprit, 0.4),
    )
    return replace(explanation, confidence=0.45, hypotheses=hypotheses)


# ---------------------------------------------------------------- one list for each incident


async def test_an_incident_gets_its_list_once_and_nothing_is_made_for_its_anomalies(
    services: Services, make: Factory
) -> None:
    incident = await failed_network(make, links=20)

    done = [await recommend_due(services), await recommend_due(services)]

    rows = await rows_of(services, incident.id)
    assert done == [1, 0]
    assert 3 <= len(rows) <= 7
    assert await count_rows(services) == len(rows), "none for each of the links"
    assert {row.incident_id for row in rows} == {incident.id}
    assert {row.requested_by_id for row in rows} == {None}
    assert {(row.root_cause, row.target_kind, row.target_id) for row in rows} == {
        (RootCause.EQUIPMENT_FAILURE, CulpritKind.NETWORK, incident.culprit_id)
    }


async def test_every_anomaly_of_an_incident_shows_the_incidents_list(
    api: Api, services: Services, make: Factory
) -> None:
    incident = await failed_network(make)
    await recommend_due(services)
    viewer = await api.as_(Role.VIEWER)
    async with services.database.read() as session:
        anomalies = list(await session.scalars(select(Anomaly).filter_by(incident_id=incident.id)))

    shown = [(await viewer.run(OF_ANOMALY, id=id_of(one)))["node"]["recommendations"] for one in anomalies]

    wanted = [id_of(row) for row in await rows_of(services, incident.id)]
    assert len(shown) == 3
    assert all([one["id"] for one in of["nodes"]] == wanted for of in shown)
    assert {of["totalCount"] for of in shown} == {len(wanted)}


async def test_a_storm_costs_as_many_statements_as_one_link(
    services: Services, make: Factory, statements: list[str]
) -> None:
    await failed_network(make)
    await recommend_due(services)  # loads the models
    costs = []
    for links in (2, 60):
        await failed_network(make, links=links)
        statements.clear()
        assert await recommend_due(services) == 1
        costs.append(len(statements))

    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    "state",
    [
        {"announced_at": None},
        {"is_historical": True},
        {"ended_at": ago(minutes=5)},
        {"status": IncidentStatus.RESOLVED},
    ],
    ids=["not announced yet", "historical", "ended", "resolved"],
)
async def test_what_nobody_works_on_gets_none(services: Services, make: Factory, state: dict[str, Any]) -> None:
    await failed_network(make, **state)

    assert (await recommend_due(services), await count_rows(services)) == (0, 0)


async def test_what_did_not_happen_by_itself_is_told_by_no_anomaly(services: Services, make: Factory) -> None:
    await faded(make)

    assert (await recommend_due(services), await count_rows(services)) == (0, 0)


# ---------------------------------------------------------------- the culprit's own names


async def test_the_names_are_the_culprits_and_not_the_worst_links(services: Services, make: Factory) -> None:
    network, own = await hub_network(make, "Raisting", "North Sea Energy", 2)
    other, foreign = await hub_network(make, "Goonhilly", "Atlantic Maritime", 1)
    await make.baseline(own[0], LINK_CENTRE, LINK_SPREAD, "OB")
    incident = await make_explained(make, [*foreign, *own], failure_of(network, [*foreign, *own]))

    await recommend_due(services)

    rows = await rows_of(services, incident.id)
    texts = [f"{row.title} {row.description}" for row in rows]
    assert any("North Sea Energy" in text for text in texts)
    assert any("hub Raisting" in text for text in texts)
    assert any(f"Link {own[0].number}" in text for text in texts), "the worst of those that depend on the culprit"
    wrong = ("Atlantic Maritime", "Goonhilly", f"Link {foreign[0].number}", "the hub ", "the network ")
    assert not [text for text in texts if any(name in text for name in wrong)]
    assert all("It began at 20" in text and "goes on" in text for text in texts)
    assert other.id != network.id


async def test_a_transponder_is_named_with_the_networks_on_it(services: Services, make: Factory) -> None:
    satellite = await make.satellite("SES-9")
    networks = [
        await make.network(hub=await make.site(SiteRole.HUB, name=hub), satellite=satellite)
        for hub in ("Fucino", "Raisting", "Betzdorf")
    ]
    async with services.database.write() as session:
        for row, (name, transponder) in zip(networks, (("A1", "5K"), ("B2", "5K"), ("C3", "7K")), strict=True):
            found = await session.get_one(Network, row.id)
            found.name, found.transponder = name, transponder
    links = [await make.link(network=network) for network in networks[:2]]
    culprit = Culprit(CulpritKind.SATELLITE, satellite.id, "5K")
    incident = await make_explained(make, links, pattern(RootCause.SATELLITE_INTERFERENCE, culprit, links))

    await recommend_due(services)

    texts = " ".join(f"{row.title} {row.description}" for row in await rows_of(services, incident.id))
    assert "satellite SES-9" in texts
    assert "transponder 5K" in texts
    assert "networks A1 and B2" in texts
    assert "C3" not in texts


async def test_a_remote_is_named_with_its_own_link(services: Services, make: Factory) -> None:
    site = await make.site(name="Aurora")
    link = await make.link(site=site)
    misaligned = pattern(RootCause.ANTENNA_MISALIGNMENT, Culprit(CulpritKind.SITE, site.id), [link])
    incident = await make_explained(make, [link], misaligned)

    await recommend_due(services)

    rows = await rows_of(services, incident.id)
    assert any("remote Aurora" in f"{row.title} {row.description}" for row in rows)
    assert {(row.target_kind, row.target_id) for row in rows} == {(CulpritKind.SITE, site.id)}


async def test_a_culprit_that_is_gone_is_no_reason_to_fail(services: Services, make: Factory) -> None:
    links = [await make.link() for _ in range(2)]
    gone = pattern(RootCause.POWER_OUTAGE, Culprit(CulpritKind.SITE, 999_999), links)
    incident = await make_explained(make, links, gone)

    await recommend_due(services)

    assert len(await rows_of(services, incident.id)) >= 3


# ---------------------------------------------------------------- none rather than a guess


async def test_an_uncertain_cause_gets_what_tells_it_from_the_next_one_and_no_repair(
    services: Services, make: Factory
) -> None:
    network, links = await hub_network(make, "Raisting", "North Sea Energy", 3)
    rival = Culprit(CulpritKind.SITE, network.hub_id)
    unsure = doubtful(failure_of(network, links), RootCause.ANTENNA_ALIGNMENT, rival)
    incident = await make_explained(make, links, unsure)

    await recommend_due(services)

    rows = await rows_of(services, incident.id)
    assert 1 <= len(rows) <= 3
    assert {row.purpose for row in rows} == {Purpose.NARROW_DOWN}
    assert {row.action for row in rows} <= {
        remedy.action.key
        for remedy in default_playbook().by_pair[frozenset({RootCause.EQUIPMENT_FAILURE, RootCause.ANTENNA_ALIGNMENT})]
    }
    assert {row.root_cause for row in rows} == {RootCause.EQUIPMENT_FAILURE}
    assert all("perhaps a failure in its hub chain" in row.description for row in rows)
    assert all(
        "a hub antenna that points beside the satellite at hub Raisting (40%)" in row.description for row in rows
    )
    assert all("What it tells: " in row.description for row in rows)


async def test_one_cause_at_two_places_is_narrowed_down_too(services: Services, make: Factory) -> None:
    network, links = await hub_network(make, "Raisting", "North Sea Energy", 2)
    sure = failure_of(network, links, confidence=0.97)
    both = (
        Hypothesis(sure.cause, sure.culprit, 0.5),
        Hypothesis(sure.cause, Culprit(CulpritKind.SITE, network.hub_id), 0.47),
    )
    incident = await make_explained(make, links, replace(sure, hypotheses=both))

    await recommend_due(services)

    rows = await rows_of(services, incident.id)
    assert {row.purpose for row in rows} == {Purpose.NARROW_DOWN}
    assert any("network North Sea Energy" in row.title and "hub Raisting" in row.title for row in rows)


async def test_when_it_becomes_certain_repairs_take_the_place_of_questions(services: Services, make: Factory) -> None:
    network, links = await hub_network(make, "Raisting", "North Sea Energy", 3)
    sure = failure_of(network, links)
    incident = await make_explained(make, links, doubtful(sure, RootCause.RAIN_FADE, None))
    await recommend_due(services)
    asked = await rows_of(services, incident.id)
    await change(services, incident, pattern=sure, confidence=sure.confidence)

    await recommend_due(services)

    assert {row.purpose for row in await rows_of(services, incident.id)} == {Purpose.REPAIR}
    gone = await rows_of(services, incident.id, superseded=True)
    assert {row.id for row in gone} == {row.id for row in asked}
    assert {row.superseded_because for row in gone} == {SupersededReason.CHANGED}


async def test_links_that_nothing_explains_get_questions(services: Services, make: Factory) -> None:
    links = [await make.link() for _ in range(3)]
    incident = await make_explained(make, links, None)

    await recommend_due(services)

    rows = await rows_of(services, incident.id)
    assert {row.purpose for row in rows} == {Purpose.NARROW_DOWN}
    assert {(row.root_cause, row.target_id) for row in rows} == {(RootCause.UNKNOWN, None)}
    assert all("What caused it is not known." in row.description for row in rows)


async def test_a_server_gets_actions_for_its_leading_metric(services: Services, make: Factory) -> None:
    site = await make.site()
    incident = await make.incident()
    cpu = [{"metric": "CPU_PCT", "observed": 99.0, "expected": 20.0, "deviation": 9.0, "share": 1.0}]
    await make.anomaly(site, contributions=cpu, incident_id=incident.id)

    await recommend_due(services)

    rows = await rows_of(services, incident.id)
    remedies = default_playbook().by_metric[
        TargetKind.SITE, default_playbook().actions["stop_runaway_process"].watch[0]
    ]
    assert {row.action for row in rows} <= {remedy.action.key for remedy in remedies}
    assert len(rows) >= 3
    assert {row.root_cause for row in rows} == {None}


async def test_what_fell_silent_is_asked_about_at_once(services: Services, make: Factory) -> None:
    link = await make.link()
    incident = await make.incident(link, kind=IncidentKind.NO_TELEMETRY)
    await make.anomaly(link, category=AnomalyCategory.SILENCE, incident_id=incident.id)

    await recommend_due(services)

    rows = await rows_of(services, incident.id)
    assert rows[0].action == "ask_whether_telemetry_arrives"
    assert {row.purpose for row in rows} == {Purpose.NARROW_DOWN}


# ---------------------------------------------------------------- as the incident changes


async def test_another_explanation_supersedes_what_nobody_took_up(api: Api, services: Services, make: Factory) -> None:
    incident = await failed_network(make)
    await recommend_due(services)
    before = await rows_of(services, incident.id)
    operator = await api.as_(Role.OPERATOR)
    await record(operator, id_of(before[-1]), "ACCEPTED", "Crew on its way.")
    async with services.database.read() as session:
        links = list(await session.scalars(select(Link).filter_by(network_id=incident.culprit_id)))
    rain = pattern(RootCause.RAIN_FADE, Culprit(CulpritKind.SITE, links[0].site_id), links)
    await change(
        services,
        incident,
        pattern=rain,
        root_cause=rain.cause,
        culprit_kind=CulpritKind.SITE,
        culprit_id=links[0].site_id,
    )

    assert await recommend_due(services) == 1

    after = await rows_of(services, incident.id)
    [kept] = [row for row in after if row.id == before[-1].id]
    assert {row.root_cause for row in after if row is not kept} == {RootCause.RAIN_FADE}
    assert (kept.outcome, kept.root_cause) == (Outcome.ACCEPTED, RootCause.EQUIPMENT_FAILURE)
    assert (kept.description, kept.situation) == (before[-1].description, before[-1].situation)
    gone = await rows_of(services, incident.id, superseded=True)
    assert {row.id for row in gone} == {row.id for row in before[:-1]}


async def test_the_same_explanation_by_a_newer_analysis_keeps_the_rows(services: Services, make: Factory) -> None:
    incident = await failed_network(make)
    await recommend_due(services)
    before = await rows_of(services, incident.id)
    await change(services, incident, analysis_id=(await analysis(services)).id)

    assert await recommend_due(services) == 1

    assert [row.id for row in await rows_of(services, incident.id)] == [row.id for row in before]
    assert await rows_of(services, incident.id, superseded=True) == []


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"ended_at": ago(minutes=5)}, SupersededReason.ENDED),
        ({"status": IncidentStatus.RESOLVED, "ended_at": ago()}, SupersededReason.ENDED),
        ({"status": IncidentStatus.RESOLVED, "resolved_by": True}, SupersededReason.RESOLVED),
        ({"status": IncidentStatus.RESOLVED, "merged": True}, SupersededReason.MERGED),
    ],
    ids=["ended", "resolved by the server", "resolved by somebody", "merged"],
)
async def test_with_the_incident_its_list_is_closed_and_told_why(
    api: Api, services: Services, make: Factory, end: dict[str, Any], reason: SupersededReason
) -> None:
    incident = await failed_network(make)
    await recommend_due(services)
    before = await rows_of(services, incident.id)
    operator = await api.as_(Role.OPERATOR)
    await record(operator, id_of(before[0]), "ACCEPTED")
    await change(services, incident, status=end.get("status", incident.status), ended_at=end.get("ended_at"))
    if "merged" in end:
        await change(services, incident, merged_into_id=(await make.incident()).id)
    if "resolved_by" in end:
        user = await make.user(Role.OPERATOR)
        async with services.database.write() as session:
            session.add(AuditEntry(subject_id=incident.id, by_id=user.id, action="RESOLVED", at=ago()))

    await recommend_due(services)
    again = await recommend_due(services)

    assert again == 0
    assert [row.id for row in await rows_of(services, incident.id)] == [before[0].id]
    gone = await rows_of(services, incident.id, superseded=True)
    assert {row.superseded_because for row in gone} == {reason}
    document = """query ($id: ID!) { node(id: $id) { ... on Recommendation {
        supersededBecause history { action note details } } } }"""
    told = (await operator.run(document, id=id_of(gone[0])))["node"]
    assert told["supersededBecause"] == reason
    assert told["history"][-1]["action"] == "SUPERSEDED"
    assert told["history"][-1]["note"] is None
    assert told["history"][-1]["details"].startswith(("The incident was", "The incident ended"))


@pytest.mark.parametrize("status", [IncidentStatus.OPEN, IncidentStatus.RESOLVED])
async def test_an_outcome_can_be_recorded_when_the_incident_is_over(
    api: Api, services: Services, make: Factory, status: IncidentStatus
) -> None:
    """Since only then is known what helped."""
    incident = await failed_network(make)
    await recommend_due(services)
    await change(services, incident, status=status, ended_at=ago(minutes=5))
    await recommend_due(services)
    [first, *_] = await rows_of(services, incident.id, superseded=True)

    told = await record(await api.as_(Role.OPERATOR), id_of(first), "SOLVED", "The standby amplifier did it.")

    assert (told["outcome"], told["sampleSize"]) == ("SOLVED", 1)


async def test_one_that_comes_back_is_recommended_for_anew(services: Services, make: Factory) -> None:
    incident = await failed_network(make)
    await recommend_due(services)
    await change(services, incident, ended_at=ago(minutes=5))
    await recommend_due(services)
    await change(services, incident, ended_at=None)

    assert await recommend_due(services) == 1

    assert len(await rows_of(services, incident.id)) >= 3


async def test_one_that_only_draws_breath_keeps_its_list(services: Services, make: Factory) -> None:
    incident = await failed_network(make)
    await recommend_due(services)
    before = await rows_of(services, incident.id)
    for ended_at in (services.clock() - timedelta(minutes=1), None):
        await change(services, incident, ended_at=ended_at)
        await recommend_due(services)

    assert await rows_of(services, incident.id, superseded=True) == []
    assert [row.id for row in await rows_of(services, incident.id)] == [row.id for row in before]


async def test_another_rival_gets_other_questions(services: Services, make: Factory) -> None:
    network, links = await hub_network(make, "Raisting", "North Sea Energy", 2)
    sure = failure_of(network, links)
    incident = await make_explained(make, links, doubtful(sure, RootCause.RAIN_FADE, None))
    await recommend_due(services)
    await change(services, incident, pattern=doubtful(sure, RootCause.CONGESTION, None))

    assert await recommend_due(services) == 1

    assert {row.action for row in await rows_of(services, incident.id)} == {
        remedy.action.key
        for remedy in default_playbook().by_pair[frozenset({RootCause.EQUIPMENT_FAILURE, RootCause.CONGESTION})]
    }


# ---------------------------------------------------------------- asked by hand


async def test_who_asks_about_an_anomaly_gets_the_incidents_list(api: Api, services: Services, make: Factory) -> None:
    incident = await failed_network(make)
    await recommend_due(services)
    async with services.database.read() as session:
        anomaly = await session.scalar(select(Anomaly).filter_by(incident_id=incident.id).limit(1))

    asked = await recommended(await api.as_(Role.OPERATOR), anomaly=anomaly)

    assert ids(asked) == [id_of(row) for row in await rows_of(services, incident.id)]
    assert await recommend_due(services) == 0


async def test_who_asks_first_makes_the_incidents_list(api: Api, services: Services, make: Factory) -> None:
    incident = await failed_network(make)
    async with services.database.read() as session:
        anomalies = list(await session.scalars(select(Anomaly).filter_by(incident_id=incident.id)))
    operator = await api.as_(Role.OPERATOR)

    answers = await asyncio.gather(*(recommended(operator, anomaly=anomaly) for anomaly in anomalies))

    assert len({tuple(ids(answer)) for answer in answers}) == 1
    assert await recommend_due(services) == 0
    assert sorted(await listed(operator, anomaly=id_of(anomalies[0]))) == sorted(ids(answers[0]))
    assert sorted(await listed(operator)) == sorted(ids(answers[0]))


async def test_what_was_asked_for_an_anomaly_gives_way_to_its_incidents_list(
    api: Api, services: Services, make: Factory
) -> None:
    lone = await faded(make)
    operator = await api.as_(Role.OPERATOR)
    before = await recommended(operator, anomaly=lone)
    incident = await failed_network(make)
    async with services.database.write() as session:
        (await session.get_one(Anomaly, lone.id)).incident_id = incident.id

    await recommend_due(services)

    assert ids(await recommended(operator, anomaly=lone)) == [
        id_of(row) for row in await rows_of(services, incident.id)
    ]
    gone = await rows_of(services, lone.id, superseded=True)
    assert {id_of(row) for row in gone} == set(ids(before))
    assert {row.superseded_because for row in gone} == {SupersededReason.JOINED}


async def test_one_may_ask_about_the_incident_itself_and_of_a_merged_one_gets_the_survivors(
    api: Api, services: Services, make: Factory
) -> None:
    survivor = await failed_network(make)
    merged = await failed_network(make, status=IncidentStatus.RESOLVED, merged_into_id=survivor.id)
    operator = await api.as_(Role.OPERATOR)

    asked = await recommended(operator, incident=survivor)

    assert ids(asked) == [id_of(row) for row in await rows_of(services, survivor.id)] != []
    assert await recommended(operator, incident=merged) == asked
    assert sorted(await listed(operator, incident=id_of(survivor))) == sorted(ids(asked))
    assert await listed(operator, incident=id_of(merged)) == await listed(operator, incident="garbage") == []


async def test_of_an_incident_that_is_over_one_may_still_ask(api: Api, services: Services, make: Factory) -> None:
    incident = await failed_network(make, ended_at=ago(hours=3), is_historical=True)
    async with services.database.read() as session:
        anomaly = await session.scalar(select(Anomaly).filter_by(incident_id=incident.id).limit(1))
    operator = await api.as_(Role.OPERATOR)

    asked = await recommended(operator, anomaly=anomaly)

    assert len(asked) >= 3
    assert {one["priority"] for one in asked} == {"LOW"}, "nothing is urgent any more"
    assert all("ended at" in one["description"] for one in asked)
    await recommend_due(services)
    assert await recommended(operator, anomaly=anomaly) == asked


# ---------------------------------------------------------------- one process, and one that dies


async def test_only_one_process_is_at_it(services: Services, make: Factory) -> None:
    await failed_network(make)

    async with single_runner(services.database, AdvisoryLock.AUTOMATIC_RECOMMENDATIONS) as mine:
        assert mine
        assert await recommend_due(services) == 0

    assert await recommend_due(services) == 1


async def test_many_at_once_get_theirs_whichever_process_is_first(services: Services, make: Factory) -> None:
    network, links = await hub_network(make, "Raisting", "North Sea Energy", 1)
    incidents = [
        await make.incident(pattern=failure_of(network, links), root_cause="EQUIPMENT_FAILURE") for _ in range(110)
    ]

    done = await asyncio.gather(recommend_due(services), recommend_due(services))

    assert sorted(done) == [0, 110]
    async with services.database.read() as session:
        assert await session.scalar(select(func.count(Recommendation.incident_id.distinct()))) == len(incidents)


async def test_what_was_left_when_a_process_died_is_made_by_the_next(services: Services, make: Factory) -> None:
    incidents = [await failed_network(make) for _ in range(3)]
    seen: list[UUID] = []

    async def dies_at_the_second(context: Context, incident_id: UUID, by: int | None) -> object:
        seen.append(incident_id)
        if len(seen) == 2:
            raise asyncio.CancelledError
        return await propose_for_incident(context, incident_id, by)

    with pytest.raises(asyncio.CancelledError):
        await recommend_due(services, dies_at_the_second)
    first = await rows_of(services, seen[0])

    assert await recommend_due(services) == 2
    assert [row.id for row in await rows_of(services, seen[0])] == [row.id for row in first]
    assert [3 <= len(await rows_of(services, incident.id)) <= 7 for incident in incidents] == [True] * 3


# ---------------------------------------------------------------- in a server


@pytest.mark.parametrize("automatic", [True, False])
async def test_an_incident_that_is_announced_is_told_with_what_to_do(
    server: Server, services: Services, make: Factory, automatic: bool
) -> None:
    async with server(automatic_recommendations=automatic):
        incident = await failed_network(make)
        async with services.database.write() as session:
            row = await session.get_one(Incident, incident.id)
            await publish_changes(session, [(IncidentChange.OPENED, row)])

        async def has_some() -> bool:
            return len(await rows_of(services, incident.id)) >= 3

        if automatic:
            await until(has_some, 30)
        else:
            await asyncio.sleep(0.5)
            assert not await has_some()


async def test_what_happened_while_no_server_was_there_is_caught_up_with(
    server: Server, services: Services, make: Factory
) -> None:
    incident = await failed_network(make)

    async with server(automatic_recommendations=True):

        async def has_some() -> bool:
            return len(await rows_of(services, incident.id)) >= 3

        await until(has_some, 30)


def test_the_worker_listens_to_the_topic_that_incidents_publish() -> None:
    assert INCIDENT_TOPIC == incident_changes.TOPIC


async def test_asking_for_no_incident_is_not_found(services: Services) -> None:
    from resolvers.base.errors import NotFound

    with pytest.raises(NotFound):
        await propose_for_incident(Context(services, SYSTEM), UUID(int=7), None)
