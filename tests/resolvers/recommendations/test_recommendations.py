"""Recommendations: what to do about a fault, told for the case, once, and better with every outcome recorded."""

import asyncio
import re
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from ml.catalogue.metrics import Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.recommendation.case import Outcome
from ml.root_cause.report import Evidence
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables import analysis_documents
from resolvers.store.tables.analyses import AnalysisScope, CorrelationAnalysis
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry, Detection, Link, SiteRole
from resolvers.store.tables.recommendations import Recommendation
from schema.relay import global_id
from tests.helpers.support import LINK_CENTRE, LINK_SPREAD, Api, Factory, ago, codes, id_of, sql

FIELDS = """id title description priority rankScore tags rootCause outcome outcomeNote modelVersion createdAt
  supersededAt successRate sampleSize requestedBy { email } anomaly { id } analysis { id } culprit { __typename }
  history { at action note by { email } }"""
RECOMMEND = f"""mutation ($for: RecommendFor!) {{ recommend(for: $for) {{ __typename
  ... on Recommendations {{ recommendations {{ {FIELDS} }} }} ... on InvalidInput {{ message path }}
  ... on NotFound {{ message asked: id }} ... on Forbidden {{ message requiredRole }} }} }}"""
RECORD = """mutation ($id: ID!, $outcome: Outcome!, $note: String) {
  recordOutcome(recommendation: $id, outcome: $outcome, note: $note) { __typename
  ... on Recommendation { id outcome outcomeNote successRate sampleSize history { action note by { email } } }
  ... on InvalidInput { message path } ... on NotFound { message asked: id } ... on Forbidden { message requiredRole }
  ... on Conflict { message } } }"""
LIST = """query ($filter: RecommendationFilter, $first: Int, $after: String) {
  recommendations(filter: $filter, first: $first, after: $after) {
    totalCount nodes { id title outcome } pageInfo { hasNextPage endCursor } } }"""
WATCH = """subscription ($after: String) { recommendationCreated(after: $after) { cursor
  recommendation { id title anomaly { id } } } }"""
FADE = [
    {"metric": "ESNO_DB", "observed": 4.1, "expected": 11.8, "deviation": -20.0, "share": 0.6},
    {"metric": "PACKET_LOSS_PCT", "observed": 3.2, "expected": 0.2, "deviation": 15.0, "share": 0.3},
    {"metric": "LATENCY_MS", "observed": 640.0, "expected": 620.0, "deviation": 1.0, "share": 0.02},
]


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def faded(make: Factory, link: Link | None = None, **given: Any) -> Anomaly:
    """An anomaly whose readings show a fade."""
    return await make.anomaly(link, **{"contributions": FADE, "severity": Severity.HIGH, **given})


async def ask(api: Api, **subject: Any) -> dict[str, Any]:
    named = {of: row if isinstance(row, str) else id_of(row) for of, row in subject.items()}
    answer: dict[str, Any] = (await api.run(RECOMMEND, **{"for": named}))["recommend"]
    return answer


async def recommended(api: Api, **subject: Any) -> list[dict[str, Any]]:
    answer = await ask(api, **subject)
    assert answer["__typename"] == "Recommendations", answer
    found: list[dict[str, Any]] = answer["recommendations"]
    return found


async def record(api: Api, id: str, outcome: str, note: str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(RECORD, id=id, outcome=outcome, note=note))["recordOutcome"]
    return answer


async def listed(api: Api, **filter: Any) -> list[str]:
    found = (await api.run(LIST, filter=filter, first=100))["recommendations"]
    assert found["totalCount"] == len(found["nodes"])
    return [node["id"] for node in found["nodes"]]


def ids(recommendations: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in recommendations]


def pattern(
    cause: RootCause, culprit: analysis_documents.Culprit | None, hit: list[Link], **given: Any
) -> analysis_documents.Pattern:
    """That explains an hour of both directions of these links, quite surely."""
    second = analysis_documents.Hypothesis(RootCause.RAIN_FADE, None, 0.2)
    values: dict[str, Any] = {
        "cause": cause,
        "culprit": culprit,
        "description": f"{len(hit)} links lost up to 5.2 dB of Es/N0 outbound.",
        "severity": 0.7,
        "confidence": 0.9,
        "started_at": ago(hours=1),
        "ended_at": None,
        "links": tuple(link.id for link in hit),
        "directions": (Direction.OB,),
        "evidence": (Evidence("The levels fell as much.", supports=True, weight=2.0),),
        "hypotheses": (analysis_documents.Hypothesis(cause, culprit, 0.8), second),
        **given,
    }
    return analysis_documents.Pattern(**values)


async def analysis(services: Services, *found: analysis_documents.Pattern, **given: Any) -> CorrelationAnalysis:
    values: dict[str, Any] = {
        "scope": AnalysisScope.HUB_ANTENNA,
        "window_start": ago(hours=24),
        "window_end": ago(),
        "patterns": found,
        "correlation_score": 0.9,
        "links_analyzed": 10,
        "links_compared": 20,
        "duration_ms": 40.0,
        "model_version": "1.0.0",
        **given,
    }
    async with services.database.write() as session:
        row = CorrelationAnalysis(**values)
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def failing_hub(services: Services, make: Factory, links: int = 4) -> tuple[CorrelationAnalysis, list[Link]]:
    hub = await make.site(SiteRole.HUB, name="Fucino")
    network = await make.network(hub=hub)
    members = [await make.link(network=network) for _ in range(links)]
    culprit = analysis_documents.Culprit(CulpritKind.SITE, hub.id)
    return await analysis(services, pattern(RootCause.EQUIPMENT_FAILURE, culprit, members)), members


async def changed(services: Services, row: Anomaly, **values: Any) -> None:
    async with services.database.write() as session:
        found = await session.get_one(Anomaly, row.id)
        for name, value in values.items():
            setattr(found, name, value)


# ---------------------------------------------------------------- asking


async def test_an_anomaly_gets_three_to_seven_different_actions_best_first(operator: Api, make: Factory) -> None:
    found = await recommended(operator, anomaly=await faded(make))

    assert 3 <= len(found) <= 7
    assert len({one["title"] for one in found}) == len(found)
    scores = [one["rankScore"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(one["tags"] and one["priority"] in ("LOW", "MEDIUM", "HIGH") for one in found)
    assert {(one["outcome"], one["successRate"], one["sampleSize"], one["rootCause"]) for one in found} == {
        ("PENDING", None, 0, None)
    }


async def test_the_text_names_the_link_its_hub_and_its_readings(operator: Api, make: Factory) -> None:
    hub = await make.site(SiteRole.HUB, name="Fucino")
    network = await make.network(hub=hub)
    link = await make.link(network=network)
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")

    found = await recommended(operator, anomaly=await faded(make, link))

    texts = [one["title"] + " " + one["description"] for one in found]
    where = f"Link {link.number} ({network.name}, hub Fucino) outbound"
    reading = "Es/N0 at this direction's receiver 4.1 dB (usually 11.8 dB)"
    assert all(f"{where}: {reading}" in text for text in texts)
    assert all("packets lost 3.2 % (usually 0.2 %)" in text and "round trip" not in text for text in texts)
    assert any("its usual 11.8 dB" in text for text in texts), "what is usual now goes before what was learned of it"
    assert not any(re.search(r"[{}]|None|  ", text) for text in texts)


async def test_names_with_braces_stay_names(operator: Api, make: Factory) -> None:
    site = await make.site(SiteRole.HUB, name="{link} {0} %s")
    link = await make.link(network=await make.network(hub=site))

    found = await recommended(operator, anomaly=await faded(make, link))

    assert any("hub {link} {0} %s" in one["description"] for one in found)


@pytest.mark.parametrize("kind", list(TargetKind))
@pytest.mark.parametrize("contributions", [[], FADE[1:]])
async def test_every_kind_of_target_gets_some(
    operator: Api, make: Factory, kind: TargetKind, contributions: list[Any]
) -> None:
    targets = {TargetKind.NETWORK: make.network, TargetKind.SITE: make.site, TargetKind.LINK: make.link}
    if kind is TargetKind.SITE and contributions:
        contributions = [{"metric": "CPU_PCT", "observed": 99.0, "expected": None, "deviation": 9.0, "share": 1.0}]

    found = await recommended(operator, anomaly=await make.anomaly(await targets[kind](), contributions=contributions))

    assert len(found) >= 3
    assert all(one["culprit"]["__typename"].upper() == kind for one in found)


async def test_asking_again_answers_the_same_and_adds_nothing(operator: Api, make: Factory) -> None:
    anomaly = await faded(make)
    first = await recommended(operator, anomaly=anomaly)

    again = await recommended(await operator.as_(Role.ADMIN), anomaly=anomaly)

    assert again == first
    assert sorted(await listed(operator)) == sorted(ids(first))


async def test_asking_at_the_same_time_adds_nothing_either(operator: Api, make: Factory) -> None:
    anomaly = await faded(make)

    answers = await asyncio.gather(*(recommended(operator, anomaly=anomaly) for _ in range(6)))

    assert len({tuple(ids(answer)) for answer in answers}) == 1
    assert sorted(await listed(operator)) == sorted(ids(answers[0]))


async def test_when_the_situation_changes_so_do_the_recommendations(
    operator: Api, make: Factory, services: Services
) -> None:
    anomaly = await faded(make)
    before = await recommended(operator, anomaly=anomaly)
    throughput = [{"metric": "DISCARDS", "observed": 900.0, "expected": 2.0, "deviation": 50.0, "share": 1.0}]
    await changed(services, anomaly, contributions=throughput, severity=Severity.CRITICAL)

    after = await recommended(operator, anomaly=anomaly)

    assert len({one["title"] for one in after}) == len(after) >= 3
    gone = set(ids(before)) - set(ids(after))
    assert gone, "another metric leads: other actions"
    assert sorted(await listed(operator)) == sorted(ids(after))
    assert set(await listed(operator, superseded=True)) == {*ids(before), *ids(after)}
    assert all("Discarded frames" in one["description"] or "discarded frames" in one["description"] for one in after)
    [refusal] = {(await record(operator, id, "SOLVED"))["__typename"] for id in gone}
    assert refusal == "Conflict"


async def test_what_stays_keeps_its_id_and_says_so_in_its_history(
    operator: Api, make: Factory, services: Services
) -> None:
    anomaly = await faded(make)
    before = await recommended(operator, anomaly=anomaly)
    worse = [FADE[0] | {"observed": 2.0}, *FADE[1:]]
    await changed(services, anomaly, severity=Severity.CRITICAL, contributions=worse)

    after = await recommended(operator, anomaly=anomaly)

    stayed = [one for one in after if one["id"] in ids(before)]
    assert stayed
    assert {tuple(entry["action"] for entry in one["history"]) for one in stayed} == {("CREATED", "UPDATED")}
    assert all("Es/N0 at this direction's receiver 2.0 dB" in one["description"] for one in stayed)


async def test_what_did_not_help_is_not_proposed_again_and_others_take_its_place(operator: Api, make: Factory) -> None:
    anomaly = await faded(make)
    first = await recommended(operator, anomaly=anomaly)
    for one in first:
        await record(operator, one["id"], "DID_NOT_HELP")

    then = await recommended(operator, anomaly=anomaly)

    assert not set(ids(then)) & set(ids(first))
    assert not {one["title"] for one in then} & {one["title"] for one in first}
    assert await recommended(operator, anomaly=anomaly) == then


async def test_what_somebody_took_up_stays_when_the_situation_changes(
    operator: Api, make: Factory, services: Services
) -> None:
    anomaly = await faded(make)
    first = await recommended(operator, anomaly=anomaly)
    await record(operator, first[-1]["id"], "ACCEPTED")
    cpu = [{"metric": "THROUGHPUT_MBPS", "observed": 0.0, "expected": 20.0, "deviation": -9.0, "share": 1.0}]
    await changed(services, anomaly, contributions=cpu)

    then = await recommended(operator, anomaly=anomaly)

    assert first[-1]["id"] in ids(then)
    assert await recommended(operator, anomaly=anomaly) == then


async def test_a_new_anomaly_of_the_same_target_gets_its_own(operator: Api, make: Factory) -> None:
    link = await make.link()
    over = await faded(make, link, status=AnomalyStatus.RESOLVED)
    first = await recommended(operator, anomaly=over)

    second = await recommended(operator, anomaly=await faded(make, link))

    assert not set(ids(first)) & set(ids(second))


# ---------------------------------------------------------------- about detections and analyses


async def detection(services: Services, **given: Any) -> Detection:
    values = {
        "kind": TargetKind.LINK,
        "measurements": {},
        "is_anomaly": True,
        "anomaly_score": 0.7,
        "confidence": 0.9,
        "contributions": FADE,
        "model_version": "1.0.0",
        **given,
    }
    async with services.database.write() as session:
        row = Detection(**values)
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def test_a_detection_about_no_target_gets_some_too(operator: Api, services: Services) -> None:
    found = await recommended(operator, detection=await detection(services))

    assert 3 <= len(found) <= 7
    assert {(one["anomaly"], one["culprit"]) for one in found} == {(None, None)}
    assert all("The link: Es/N0" in one["description"] for one in found)


async def test_a_detection_of_an_anomaly_shares_its_recommendations(
    operator: Api, make: Factory, services: Services
) -> None:
    anomaly = await faded(make)
    part = await detection(services, target_id=anomaly.target_id, anomaly_id=anomaly.id)

    assert await recommended(operator, detection=part) == await recommended(operator, anomaly=anomaly)


async def test_there_is_nothing_to_do_about_what_is_ordinary(operator: Api, services: Services) -> None:
    ordinary = await detection(services, is_anomaly=False, anomaly_score=-0.5)
    quiet = await analysis(services)

    assert await recommended(operator, detection=ordinary) == []
    assert await recommended(operator, analysis=quiet) == []


async def test_an_analysis_gets_actions_against_its_causes(operator: Api, make: Factory, services: Services) -> None:
    found, members = await failing_hub(services, make)

    actions = await recommended(operator, analysis=found)

    assert 3 <= len(actions) <= 7
    assert actions[0]["rootCause"] == "EQUIPMENT_FAILURE"
    assert {one["analysis"]["id"] for one in actions} == {id_of(found)}
    likely = [one for one in actions if one["rootCause"] == "EQUIPMENT_FAILURE"]
    assert all("4 links lost up to 5.2 dB of Es/N0 outbound." in one["description"] for one in actions)
    assert all(one["culprit"] == {"__typename": "Site"} for one in likely)
    assert any("hub Fucino" in one["title"] for one in likely)
    assert any(f"Link {members[0].number}" in one["description"] for one in actions)
    assert likely == actions, "nothing for a cause that is less likely"


async def test_what_goes_on_now_is_advised_on_and_not_what_ended_hours_before(
    operator: Api, make: Factory, services: Services
) -> None:
    hub, link = await make.site(SiteRole.HUB, name="Fucino"), await make.link()
    sun = pattern(
        RootCause.SUN_TRANSIT,
        analysis_documents.Culprit(CulpritKind.SITE, link.site_id),
        [link],
        confidence=0.99,
        started_at=ago(hours=14, minutes=10),
        ended_at=ago(hours=14),
    )
    members = [await make.link(network=await make.network(hub=hub)) for _ in range(2)]
    failure = pattern(RootCause.EQUIPMENT_FAILURE, analysis_documents.Culprit(CulpritKind.SITE, hub.id), members)

    both = await recommended(operator, analysis=await analysis(services, sun, failure))
    over = await recommended(operator, analysis=await analysis(services, sun))

    assert {one["rootCause"] for one in both} == {"EQUIPMENT_FAILURE"}
    assert {(one["rootCause"], one["priority"]) for one in over} == {("SUN_TRANSIT", "LOW")}
    assert all("ended at" in one["description"] for one in over)


async def test_what_flickers_is_not_over(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    culprit = analysis_documents.Culprit(CulpritKind.SITE, link.site_id)
    earlier = pattern(RootCause.SUN_TRANSIT, culprit, [link], started_at=ago(hours=4), ended_at=ago(hours=3))
    blocked = pattern(RootCause.BLOCKAGE, culprit, [link], ended_at=ago(minutes=5))

    actions = await recommended(operator, analysis=await analysis(services, earlier, blocked))

    assert {one["rootCause"] for one in actions} == {"BLOCKAGE"}


@pytest.mark.parametrize("ended_hours_ago", [14, None])
async def test_a_pattern_of_another_time_does_not_explain_an_anomaly(
    operator: Api, make: Factory, services: Services, ended_hours_ago: int | None
) -> None:
    """Even if the analysis is attached to the anomaly, and the pattern is the most confident one."""
    link = await make.link()
    culprit = analysis_documents.Culprit(CulpritKind.SITE, link.site_id)
    sun = pattern(
        RootCause.SUN_TRANSIT,
        culprit,
        [link],
        confidence=0.99,
        started_at=ago(hours=15),
        ended_at=ended_hours_ago and ago(hours=ended_hours_ago),
    )
    blocked = pattern(RootCause.BLOCKAGE, culprit, [link])
    found = await analysis(services, sun, blocked)

    actions = await recommended(operator, anomaly=await faded(make, link, analysis_id=found.id))

    assert {one["rootCause"] for one in actions} == {"BLOCKAGE" if ended_hours_ago else "SUN_TRANSIT"}


async def test_an_analysis_shows_what_was_recommended_for_it(operator: Api, make: Factory, services: Services) -> None:
    found, _ = await failing_hub(services, make)
    document = """query ($id: ID!) { node(id: $id) { ... on CorrelationAnalysis { recommendations { id } } } }"""
    before = (await operator.run(document, id=id_of(found)))["node"]["recommendations"]

    actions = await recommended(operator, analysis=found)

    assert before == []
    assert (await operator.run(document, id=id_of(found)))["node"]["recommendations"] == [
        {"id": one["id"]} for one in actions
    ]


async def test_each_pattern_gets_its_own(operator: Api, make: Factory, services: Services) -> None:
    one, other = await make.link(), await make.link()
    remotes = [analysis_documents.Culprit(CulpritKind.SITE, link.site_id) for link in (one, other)]
    both = await analysis(
        services,
        pattern(RootCause.ANTENNA_MISALIGNMENT, remotes[0], [one]),
        pattern(RootCause.ANTENNA_MISALIGNMENT, remotes[1], [other]),
    )

    actions = await recommended(operator, analysis=both)

    described = [action["description"] for action in actions]
    assert any(f"Link {one.number}" in text for text in described)
    assert any(f"Link {other.number}" in text for text in described)
    assert len(actions) <= 7


async def test_an_anomaly_that_an_analysis_explains_gets_actions_against_the_cause(
    operator: Api, make: Factory, services: Services
) -> None:
    found, members = await failing_hub(services, make)
    anomaly = await faded(make, members[1])
    before = await recommended(operator, anomaly=anomaly)
    await changed(services, anomaly, analysis_id=found.id)

    after = await recommended(operator, anomaly=anomaly)

    assert {one["rootCause"] for one in before} == {None}
    assert after[0]["rootCause"] == "EQUIPMENT_FAILURE"
    assert after[0]["analysis"] == {"id": id_of(found)}
    assert f"Link {members[1].number} (" in after[0]["description"]
    assert ") outbound: Es/N0" in after[0]["description"]
    assert "4 links lost up to 5.2 dB" in after[0]["description"]


async def test_a_culprit_that_is_gone_or_unknown_is_no_reason_to_fail(operator: Api, services: Services) -> None:
    nobody = pattern(RootCause.UNKNOWN, None, [], directions=(), hypotheses=())
    gone = pattern(RootCause.BLOCKAGE, analysis_documents.Culprit(CulpritKind.SITE, 999_999), [], links=(888_888,))

    found = await recommended(operator, analysis=await analysis(services, nobody, gone))

    assert 3 <= len(found) <= 7
    assert {one["rootCause"] for one in found} >= {"UNKNOWN", "BLOCKAGE"}


# ---------------------------------------------------------------- asking wrongly


async def test_exactly_one_subject_is_asked_about(operator: Api, make: Factory) -> None:
    anomaly = id_of(await faded(make))
    for nonsense in ({}, {"anomaly": None}, {"anomaly": anomaly, "detection": anomaly}, {"anomaly": 1.5}, None):
        assert await codes(operator, RECOMMEND, **{"for": nonsense}) == ["BAD_USER_INPUT"], nonsense
    for literal in ("{}", f'{{ anomaly: "{anomaly}", analysis: "{anomaly}" }}', "{ anomaly: null }"):
        document = f"mutation {{ recommend(for: {literal}) {{ __typename }} }}"
        assert await codes(operator, document) == ["GRAPHQL_VALIDATION_FAILED"], literal
    nullable = "mutation ($id: ID) { recommend(for: { anomaly: $id }) { __typename } }"
    assert await codes(operator, nullable, id=None) != []
    assert await listed(operator) == []


async def test_the_id_of_something_else_is_not_found(operator: Api, make: Factory) -> None:
    anomaly = await faded(make)
    wrong: list[dict[str, str]] = [
        {"detection": id_of(anomaly)},
        {"analysis": id_of(anomaly)},
        {"anomaly": global_id("Detection", anomaly.id)},
        {"anomaly": global_id("Anomaly", "0" * 32)},
        {"anomaly": global_id("Anomaly", 7)},
        {"anomaly": "garbage"},
        {"anomaly": ""},
    ]

    for subject in wrong:
        [(of, id)] = subject.items()
        answer = await ask(operator, **subject)
        assert answer == {"__typename": "NotFound", "message": f"There is no such {of}.", "asked": id}


async def test_a_viewer_sees_but_does_not_ask_nor_record(api: Api, make: Factory) -> None:
    anomaly = await faded(make)
    operator, viewer = await api.as_(Role.OPERATOR), await api.as_(Role.VIEWER)
    [first, *_] = await recommended(operator, anomaly=anomaly)

    asked, recorded = await ask(viewer, anomaly=anomaly), await record(viewer, first["id"], "SOLVED")

    assert (asked["__typename"], asked["requiredRole"]) == ("Forbidden", "OPERATOR")
    assert (recorded["__typename"], recorded["requiredRole"]) == ("Forbidden", "OPERATOR")
    assert first["id"] in await listed(viewer)


# ---------------------------------------------------------------- what became of it


async def test_an_outcome_is_kept_with_who_said_it_and_why(operator: Api, make: Factory) -> None:
    [one, *_] = await recommended(operator, anomaly=await faded(make))
    user = one["history"][0]["by"]

    accepted = await record(operator, one["id"], "ACCEPTED", "Crew is on its way.")
    solved = await record(operator, one["id"], "SOLVED", "New LNB.")

    assert (accepted["outcome"], accepted["sampleSize"]) == ("ACCEPTED", 0)
    assert (solved["outcome"], solved["outcomeNote"]) == ("SOLVED", "New LNB.")
    assert (solved["successRate"], solved["sampleSize"]) == (1.0, 1)
    assert solved["history"] == [
        {"action": "CREATED", "note": None, "by": user},
        {"action": "ACCEPTED", "note": "Crew is on its way.", "by": user},
        {"action": "SOLVED", "note": "New LNB.", "by": user},
    ]


async def test_a_later_outcome_replaces_an_earlier_one(operator: Api, make: Factory) -> None:
    [one, *_] = await recommended(operator, anomaly=await faded(make))
    await record(operator, one["id"], "SOLVED", "It looked so.")

    corrected = await record(operator, one["id"], "DID_NOT_HELP")

    assert (corrected["outcome"], corrected["outcomeNote"]) == ("DID_NOT_HELP", None)
    assert (corrected["successRate"], corrected["sampleSize"]) == (0.0, 1)
    assert [entry["action"] for entry in corrected["history"]] == ["CREATED", "SOLVED", "DID_NOT_HELP"]


async def test_an_outcome_that_cannot_be_is_refused(operator: Api, make: Factory) -> None:
    [one, *_] = await recommended(operator, anomaly=await faded(make))

    pending = await record(operator, one["id"], "PENDING")
    long = await codes(operator, RECORD, id=one["id"], outcome="SOLVED", note="x" * 4001)
    unknown = await record(operator, global_id("Recommendation", "0" * 32), "SOLVED")
    foreign = await record(operator, one["anomaly"]["id"], "SOLVED")

    assert (pending["__typename"], pending["path"]) == ("InvalidInput", ["outcome"])
    assert long == ["BAD_USER_INPUT"]
    assert (unknown["__typename"], unknown["asked"]) == ("NotFound", global_id("Recommendation", "0" * 32))
    assert foreign["__typename"] == "NotFound"
    assert await codes(operator, RECORD, id=one["id"], outcome="MAYBE") == ["BAD_USER_INPUT"]


async def test_every_recommendation_says_how_often_its_action_solved_its_cause(operator: Api, make: Factory) -> None:
    title = None
    for outcome in ("SOLVED", "SOLVED", "DID_NOT_HELP", "REJECTED", "ACCEPTED"):
        actions = await recommended(operator, anomaly=await faded(make))
        one = next((one for one in actions if title in (None, _without_numbers(one["title"]))), None)
        assert one, "the same anomaly elsewhere gets the same actions"
        title = _without_numbers(one["title"])
        await record(operator, one["id"], outcome)

    actions = await recommended(operator, anomaly=await faded(make))

    tried = {_without_numbers(one["title"]): (one["successRate"], one["sampleSize"]) for one in actions}
    assert tried.pop(str(title)) == (pytest.approx(2 / 3), 3)
    assert set(tried.values()) == {(None, 0)}


def _without_numbers(title: str) -> str:
    return re.sub(r"\d+", "", title)


async def test_what_works_here_comes_first(operator: Api, make: Factory, services: Services) -> None:
    before = await recommended(operator, anomaly=await faded(make))
    async with services.database.read() as session:
        by_id = {id_of(row): row.action for row in await session.scalars(select(Recommendation))}
    last = by_id[before[-1]["id"]]
    await outcomes(services, last, Outcome.SOLVED, 40)
    await outcomes(services, by_id[before[0]["id"]], Outcome.DID_NOT_HELP, 40)

    after = await recommended(operator, anomaly=await faded(make))

    async with services.database.read() as session:
        by_id = {id_of(row): row.action for row in await session.scalars(select(Recommendation))}
    assert by_id[after[0]["id"]] == last
    assert (after[0]["successRate"], after[0]["sampleSize"]) == (1.0, 40)


async def outcomes(services: Services, action: str, outcome: Outcome, many: int) -> None:
    """As if so many other anomalies had shown it."""
    async with services.database.write() as session:
        some = await session.scalar(select(Recommendation).filter_by(action=action).limit(1))
        assert some
        columns = [column.key for column in Recommendation.__table__.columns if column.key != "id"]
        values = {key: getattr(some, key) for key in columns} | {"outcome": outcome, "target_id": None}
        for number in range(many):
            at = ago(minutes=number)
            session.add(Recommendation(**values | {"outcome_at": at, "created_at": at, "superseded_at": at}))


# ---------------------------------------------------------------- looking for some


async def test_each_filter_finds_its_own_recommendations(operator: Api, make: Factory, services: Services) -> None:
    anomaly = await faded(make)
    readings = await recommended(operator, anomaly=anomaly)
    hub, _ = await failing_hub(services, make)
    causes = await recommended(operator, analysis=hub)
    await record(operator, causes[0]["id"], "SOLVED")
    everything = [*readings, *causes]

    def having(key: str, *values: Any) -> set[str]:
        return {one["id"] for one in everything if one[key] in values}

    assert set(await listed(operator)) == set(ids(everything))
    assert set(await listed(operator, anomaly=id_of(anomaly))) == set(ids(readings))
    assert set(await listed(operator, rootCause="EQUIPMENT_FAILURE")) == having("rootCause", "EQUIPMENT_FAILURE")
    assert await listed(operator, outcomes=["SOLVED", "REJECTED"]) == [causes[0]["id"]]
    assert len(await listed(operator, outcomes=["PENDING"])) == len(everything) - 1
    assert set(await listed(operator, priorities=["LOW", "HIGH"])) == having("priority", "LOW", "HIGH")
    assert set(await listed(operator, tags=["rf", "weather"])) == {
        one["id"] for one in everything if {"rf", "weather"} & set(one["tags"])
    }
    assert await listed(operator, tags=["nonsense"]) == await listed(operator, tags=[]) == []
    assert set(await listed(operator, createdAfter=causes[0]["createdAt"])) == set(ids(causes))
    assert await listed(operator, anomaly=id_of(anomaly), outcomes=["SOLVED"]) == []
    assert await listed(operator, anomaly="garbage") == []


async def test_they_come_newest_first_in_pages(operator: Api, make: Factory) -> None:
    old = await recommended(operator, anomaly=await faded(make))
    new = await recommended(operator, anomaly=await faded(make))

    first = (await operator.run(LIST, first=len(new)))["recommendations"]
    rest = (await operator.run(LIST, first=50, after=first["pageInfo"]["endCursor"]))["recommendations"]

    assert [node["id"] for node in first["nodes"]] == ids(new)
    assert [node["id"] for node in rest["nodes"]] == ids(old)


async def test_a_page_costs_a_fixed_number_of_statements(
    operator: Api, make: Factory, services: Services, statements: list[str]
) -> None:
    document = f"{{ recommendations(first: 50) {{ nodes {{ {FIELDS} }} }} }}"
    nested = """{ anomalies(first: 50) { nodes { recommendations(first: 3) { totalCount nodes { successRate } } } } }"""
    found, _ = await failing_hub(services, make)
    await recommended(operator, analysis=found)
    costs = []
    for _ in range(2):
        await recommended(operator, anomaly=await faded(make))
        statements.clear()
        await operator.run(document)
        of_list = len(statements)
        await operator.run(nested)
        costs.append((of_list, len(statements)))

    assert costs[0] == costs[1]


# ---------------------------------------------------------------- following


async def test_new_ones_are_told_live_and_again_to_who_comes_back(operator: Api, make: Factory) -> None:
    async with operator.socket() as socket:
        await socket.subscribe(WATCH)
        first = await recommended(operator, anomaly=await faded(make))
        seen = [(await socket.next())["recommendationCreated"] for _ in first]
    await record(operator, first[0]["id"], "SOLVED")
    second = await recommended(operator, anomaly=await faded(make))

    async with operator.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": WATCH, "variables": {"after": seen[1]["cursor"]}})
        told = [(await socket.next())["recommendationCreated"] for _ in [*first[2:], *second]]

        assert [one["recommendation"]["id"] for one in seen] == ids(first)
        assert [one["recommendation"]["id"] for one in told] == [*ids(first)[2:], *ids(second)]
        assert await socket.silent(0.2), "outcomes are no new recommendations"


async def test_a_bad_cursor_is_refused(operator: Api) -> None:
    async with operator.socket() as socket:
        await socket.send(type="subscribe", id="bad", payload={"query": WATCH, "variables": {"after": "yesterday"}})
        refusal = await socket.receive()

        assert refusal["type"] == "error"
        assert refusal["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"


# ---------------------------------------------------------------- the history


async def test_a_history_outlives_the_deactivation_of_its_people(api: Api, make: Factory, services: Services) -> None:
    crew = await make.user(Role.OPERATOR, email="crew@example.com")
    operator = await api.of(crew)
    anomaly = await faded(make)
    [one, *_] = await recommended(operator, anomaly=anomaly)
    await record(operator, one["id"], "SOLVED", "Done.")
    await sql(services, f"UPDATE users SET is_active = false WHERE id = {crew.id}")

    document = f"query ($id: ID!) {{ node(id: $id) {{ ... on Recommendation {{ {FIELDS} }} }} }}"
    node = (await (await api.as_(Role.ADMIN)).run(document, id=one["id"]))["node"]

    assert [entry["by"] for entry in node["history"]] == [{"email": "crew@example.com"}] * 2
    assert node["requestedBy"] == {"email": "crew@example.com"}


@pytest.mark.parametrize(
    "change", ["UPDATE audit_entries SET note = 'forged'", "DELETE FROM audit_entries", "TRUNCATE audit_entries"]
)
async def test_nobody_can_change_a_history(operator: Api, make: Factory, services: Services, change: str) -> None:
    await recommended(operator, anomaly=await faded(make))

    with pytest.raises(DBAPIError, match="only ever added"):
        await sql(services, change)

    async with services.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(AuditEntry))
