"""Analyses of root causes that somebody asks for: what they find, what they refuse, how they are seen again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Select, select

from ml.catalogue.root_causes import CulpritKind
from resolvers.base.access import SYSTEM
from resolvers.base.errors import InvalidInput
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.root_causes.analyses import run_analysis
from resolvers.root_causes.analyzer import Limits
from resolvers.store.queries.analysis_scope import Scope
from resolvers.store.tables.analyses import AnalysisScope, CorrelationAnalysis
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import Satellite, Site, SiteRole
from schema.relay import global_id
from tests.helpers.faulted import (
    BROKEN_REMOTE,
    DARK_HUB,
    HUB,
    INTERFERENCE,
    NETWORK,
    NOW_MS,
    SATELLITE,
    TRANSPONDER,
    built,
    numbers,
    recorded,
)
from tests.helpers.support import Api, Factory, ago, codes, id_of, iso

CULPRIT = """culprit { __typename ... on Satellite { satellite: name } ... on Site { number } ... on Network { number }
  ... on Link { number } }"""
ANALYSIS = f"""id scope windowStart windowEnd createdAt correlationScore linksAnalyzed linksCompared durationMs
  modelVersion requestedBy {{ email }} satellite {{ name }}
  target {{ __typename ... on Network {{ number }} ... on Site {{ number }} ... on Link {{ number }} }}
  patterns {{ patternType rootCause description severity confidence startedAt endedAt affectedDirections
    culpritTransponder affectedLinks {{ number network {{ number }} }} {CULPRIT}
    evidence {{ statement supports weight }} hypotheses {{ rootCause probability {CULPRIT} }} }}"""
PROBLEMS = (
    "... on InvalidInput { message path } ... on NotFound { message asked: id } ... on Forbidden { requiredRole }"
)
LIST = """query ($scope: AnalysisScope, $first: Int, $after: String, $last: Int, $before: String) {
  correlationAnalyses(scope: $scope, first: $first, after: $after, last: $last, before: $before) {
    totalCount pageInfo { hasNextPage hasPreviousPage endCursor startCursor } nodes { id scope } } }"""
SCOPES = {
    "analyzeNetwork": "network: ID!",
    "analyzeHubAntenna": "site: ID!",
    "analyzeSatellite": "name: String!",
    "analyzeLinkBidirectional": "link: ID!",
}


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def analyze(api: Api, mutation: str, key: str, selected: str = ANALYSIS, **given: Any) -> dict[str, Any]:
    """What the mutation answers."""
    argument, kind = SCOPES[mutation].split(": ")
    document = f"""mutation ($key: {kind}, $hours: Float = 24, $until: DateTime) {{
      answer: {mutation}({argument}: $key, hoursLookback: $hours, until: $until) {{
        __typename ... on CorrelationAnalysis {{ {selected} }} {PROBLEMS} }} }}"""
    answer: dict[str, Any] = (await api.run(document, key=key, **given))["answer"]
    return answer


async def key_of(api: Api, kind: str, number: int) -> str:
    found = await api.run(f"query ($number: Int!) {{ {kind}(number: $number) {{ id }} }}", number=number)
    key: str = found[kind]["id"]
    return key


async def scope_of(services: Services, kind: AnalysisScope, key: Select[int]) -> Scope:
    async with services.database.read() as session:
        return Scope(kind, (await session.scalars(key)).one())


async def analyze_a_day(services: Services, scope: Scope, limits: Limits) -> CorrelationAnalysis:
    end = datetime.now(UTC)
    return await run_analysis(Context(services, SYSTEM), SYSTEM, scope, end - timedelta(days=1), end, limits)


def affected(pattern: dict[str, Any]) -> set[int]:
    return {link["number"] for link in pattern["affectedLinks"]}


# ---------------------------------------------------------------- what they find


async def test_a_hub_at_fault_is_found_by_its_network_with_all_links_that_it_serves(
    operator: Api, services: Services
) -> None:
    await built(services)
    await recorded(services, [DARK_HUB])

    answer = await analyze(operator, "analyzeNetwork", await key_of(operator, "network", NETWORK))

    assert (answer["scope"], answer["satellite"]) == ("NETWORK", None)
    assert answer["target"] == {"__typename": "Network", "number": NETWORK}
    assert answer["linksAnalyzed"] == len(numbers(number=NETWORK))
    assert answer["linksCompared"] >= 8
    pattern = answer["patterns"][0]
    assert (pattern["patternType"], pattern["rootCause"]) == ("power_outage", "POWER_OUTAGE")
    assert pattern["culprit"] == {"__typename": "Site", "number": HUB}
    assert affected(pattern) == numbers(hub=HUB)
    assert pattern["affectedDirections"] == ["IB", "OB"]
    assert pattern["endedAt"] is None
    began = datetime.fromisoformat(pattern["startedAt"]).timestamp() * 1000
    assert abs(began - DARK_HUB.start_ms) <= 600_000


async def test_interference_is_found_across_hubs_with_its_transponder(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services, [INTERFERENCE])

    answer = await analyze(operator, "analyzeSatellite", SATELLITE)

    assert (answer["scope"], answer["satellite"], answer["target"]) == ("SATELLITE", {"name": SATELLITE}, None)
    [pattern] = [each for each in answer["patterns"] if each["rootCause"] == "SATELLITE_INTERFERENCE"]
    assert pattern["culprit"] == {"__typename": "Satellite", "satellite": SATELLITE}
    assert pattern["culpritTransponder"] == TRANSPONDER
    assert affected(pattern) == numbers(transponder=TRANSPONDER)
    assert 0 < answer["correlationScore"] <= 1


async def test_all_links_of_a_culprit_are_looked_at_though_only_some_were_compared(
    operator: Api, services: Services
) -> None:
    await built(services, remotes=72)
    await recorded(services, [DARK_HUB], hours=10, remotes=72)

    answer = await analyze(operator, "analyzeNetwork", await key_of(operator, "network", NETWORK), hours=6)

    assert affected(answer["patterns"][0]) == numbers(72, hub=HUB)
    assert len(numbers(72, hub=HUB) - numbers(72, number=NETWORK)) == 12, "of which eight were compared at first"


async def test_a_hub_is_analyzed_with_all_that_its_antenna_serves(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services, [DARK_HUB])

    answer = await analyze(operator, "analyzeHubAntenna", await key_of(operator, "site", HUB), hours=12)

    assert (answer["scope"], answer["target"]) == ("HUB_ANTENNA", {"__typename": "Site", "number": HUB})
    assert answer["linksAnalyzed"] == len(numbers(hub=HUB))
    assert answer["patterns"][0]["culprit"] == {"__typename": "Site", "number": HUB}


async def test_one_remote_is_told_from_what_others_suffer(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services, [BROKEN_REMOTE])

    answer = await analyze(operator, "analyzeLinkBidirectional", await key_of(operator, "link", 5001))

    assert (answer["scope"], answer["linksAnalyzed"]) == ("LINK", 1)
    assert answer["linksCompared"] >= 8
    pattern = answer["patterns"][0]
    assert pattern["rootCause"] == "REMOTE_EQUIPMENT"
    assert affected(pattern) == {5001}


async def test_a_pattern_says_how_sure_it_is_and_why(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services, [DARK_HUB])

    answer = await analyze(operator, "analyzeHubAntenna", await key_of(operator, "site", HUB))

    pattern = answer["patterns"][0]
    assert 0 < pattern["severity"] <= 1
    assert 0.5 < pattern["confidence"] <= 1
    assert pattern["description"].endswith(".")
    assert pattern["evidence"]
    assert all(one["statement"] and one["weight"] >= 0 for one in pattern["evidence"])
    named = [one["probability"] for one in pattern["hypotheses"] if one["rootCause"] != "UNKNOWN"]
    assert named == sorted(named, reverse=True)
    assert sum(one["probability"] for one in pattern["hypotheses"]) == pytest.approx(1.0, abs=1e-6)
    assert pattern["hypotheses"][0]["rootCause"] == pattern["rootCause"]
    assert pattern["hypotheses"][0]["culprit"] == pattern["culprit"]


async def test_a_healthy_network_has_no_pattern(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services)

    answer = await analyze(operator, "analyzeNetwork", await key_of(operator, "network", NETWORK))

    assert (answer["patterns"], answer["correlationScore"]) == ([], 0)


async def test_the_window_ends_when_it_is_told_to(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services, [DARK_HUB])
    before = datetime.fromtimestamp(DARK_HUB.start_ms / 1000, UTC)

    answer = await analyze(operator, "analyzeNetwork", await key_of(operator, "network", NETWORK), until=iso(before))

    assert answer["patterns"] == []
    window = [datetime.fromisoformat(answer[name]) for name in ("windowStart", "windowEnd")]
    assert (window[1], window[1] - window[0]) == (before, before - ago(hours=24) - (before - ago()))


async def test_who_asked_and_what_was_asked_is_kept(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services, hours=2)

    answer = await analyze(operator, "analyzeSatellite", SATELLITE, hours=1)

    email = (await operator.run("{ viewer { email } }"))["viewer"]["email"]
    assert answer["requestedBy"] == {"email": email}
    assert answer["durationMs"] > 0
    assert answer["modelVersion"]


# ---------------------------------------------------------------- what they refuse


@pytest.mark.parametrize("hours", [0, -1, 10_000, 3e-35])
async def test_a_lookback_must_be_possible(operator: Api, make: Factory, hours: float) -> None:
    answer = await analyze(operator, "analyzeNetwork", id_of(await make.network()), hours=hours)

    assert answer == {
        "__typename": "InvalidInput",
        "message": f"An analysis looks back more than 0 and at most 2160 hours (90 days), not {hours:g}.",
        "path": ["hoursLookback"],
    }


@pytest.mark.parametrize(
    ("until", "part"), [(ago(hours=-1), "more than 5 minutes in the future"), (ago(days=500), "kept for 400 days")]
)
async def test_the_window_must_lie_where_samples_can_be(
    operator: Api, make: Factory, until: datetime, part: str
) -> None:
    answer = await analyze(operator, "analyzeNetwork", id_of(await make.network()), until=iso(until))

    assert (answer["__typename"], answer["path"]) == ("InvalidInput", ["until"])
    assert part in answer["message"]


async def test_a_remote_is_no_hub(operator: Api, make: Factory) -> None:
    remote = await make.site(SiteRole.REMOTE, name="Alba")

    answer = await analyze(operator, "analyzeHubAntenna", id_of(remote))

    message = "Alba is a remote, not a hub; analyze its link instead."
    assert answer == {"__typename": "InvalidInput", "message": message, "path": ["site"]}


@pytest.mark.parametrize(
    ("mutation", "key", "what"),
    [
        ("analyzeNetwork", global_id("Network", 0), "network"),
        ("analyzeHubAntenna", global_id("Site", 0), "site"),
        ("analyzeLinkBidirectional", global_id("Link", 0), "link"),
        ("analyzeNetwork", "garbage", "network"),
    ],
)
async def test_there_must_be_such_a_thing(operator: Api, mutation: str, key: str, what: str) -> None:
    answer = await analyze(operator, mutation, key)

    assert answer == {"__typename": "NotFound", "message": f"There is no such {what}.", "asked": key}


@pytest.mark.parametrize("name", ["Nowhere", "", "a\0b"])
async def test_there_must_be_such_a_satellite(operator: Api, name: str) -> None:
    answer = await analyze(operator, "analyzeSatellite", name)

    assert answer == {"__typename": "NotFound", "message": "There is no such satellite.", "asked": None}


async def test_there_must_be_links(operator: Api, make: Factory) -> None:
    answer = await analyze(operator, "analyzeNetwork", id_of(await make.network()))

    assert answer == {"__typename": "InvalidInput", "message": "This network has no links to analyze.", "path": []}


async def test_there_must_be_samples(operator: Api, make: Factory) -> None:
    link = await make.link()

    answer = await analyze(operator, "analyzeLinkBidirectional", id_of(link))

    message = "Nothing was measured on this link's links yet."
    assert answer == {"__typename": "InvalidInput", "message": message, "path": ["until"]}


async def test_a_window_without_samples_says_when_the_newest_is(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services, hours=1, ago_minutes=180)
    newest = datetime.fromtimestamp(NOW_MS / 1000 - 180 * 60, UTC)

    answer = await analyze(operator, "analyzeSatellite", SATELLITE, hours=1)

    assert (answer["__typename"], answer["path"]) == ("InvalidInput", ["hoursLookback"])
    assert answer["message"].endswith(f"their newest sample is of {newest:%Y-%m-%d %H:%M:%S} UTC.")


async def test_a_window_with_too_many_samples_says_how_long_it_may_be(services: Services) -> None:
    await built(services)
    await recorded(services, hours=2)
    satellite = await scope_of(services, AnalysisScope.SATELLITE, select(Satellite.id).filter_by(name=SATELLITE))

    with pytest.raises(InvalidInput) as refused:
        await analyze_a_day(services, satellite, Limits(samples=1000))

    assert refused.value.path == ["hoursLookback"]
    beginning = "An analysis goes through at most 1,000 samples; these 12 links, and 4 around them, have some 9,"
    assert refused.value.message.startswith(beginning)
    assert "Ask for at most 2.6" in refused.value.message


async def test_a_long_window_is_read_evenly(services: Services) -> None:
    await built(services)
    await recorded(services, [DARK_HUB])
    hub = await scope_of(services, AnalysisScope.HUB_ANTENNA, select(Site.id).filter_by(number=HUB))

    analysis = await analyze_a_day(services, hub, Limits(read=1500))

    assert analysis.patterns[0].culprit == Culprit(CulpritKind.SITE, hub.key)


async def test_a_viewer_may_not(api: Api, make: Factory) -> None:
    viewer = await api.as_(Role.VIEWER)

    answer = await analyze(viewer, "analyzeNetwork", id_of(await make.network()), hours=0)

    assert answer == {"__typename": "Forbidden", "requiredRole": "OPERATOR"}


async def test_analyses_are_rated(server: Any, make: Factory) -> None:
    network = id_of(await make.network())
    async with server(rate_analyses="1/hour") as api:
        operator = await api.as_(Role.OPERATOR)
        document = f'mutation {{ analyzeNetwork(network: "{network}") {{ __typename }} }}'

        answers = [await codes(operator, document), await codes(operator, document)]

    assert answers == [[], ["RATE_LIMITED"]]


# ---------------------------------------------------------------- how they are seen again


async def stored(services: Services, make: Factory, many: int = 5) -> list[str]:
    """Ids of analyses, of a network or a satellite by turns; oldest first."""
    network, satellite = await make.network(), await make.satellite()
    ids = []
    for number in range(many):
        of_satellite = number % 2
        async with services.database.write() as session:
            row = CorrelationAnalysis(
                scope="SATELLITE" if of_satellite else "NETWORK",
                satellite_id=satellite.id if of_satellite else None,
                target_kind=None if of_satellite else "NETWORK",
                target_id=None if of_satellite else network.id,
                window_start=ago(hours=25),
                window_end=ago(hours=1),
                patterns=(),
                correlation_score=0.0,
                links_analyzed=3,
                links_compared=4,
                duration_ms=12.0,
                model_version="1.0.0",
            )
            session.add(row)
        ids.append(id_of(row))
    return ids


async def test_pages_lead_through_all_analyses_newest_first(api: Api, services: Services, make: Factory) -> None:
    ids = await stored(services, make)
    viewer = await api.as_(Role.VIEWER)

    first = (await viewer.run(LIST, first=2))["correlationAnalyses"]
    second = (await viewer.run(LIST, first=2, after=first["pageInfo"]["endCursor"]))["correlationAnalyses"]
    back = (await viewer.run(LIST, last=2, before=second["pageInfo"]["startCursor"]))["correlationAnalyses"]

    assert [node["id"] for node in first["nodes"] + second["nodes"]] == ids[::-1][:4]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], back["nodes"]) == (5, True, first["nodes"])


async def test_analyses_can_be_listed_by_their_scope(api: Api, services: Services, make: Factory) -> None:
    ids = await stored(services, make)
    viewer = await api.as_(Role.VIEWER)

    found = (await viewer.run(LIST, scope="SATELLITE"))["correlationAnalyses"]

    assert [node["id"] for node in found["nodes"]] == [ids[3], ids[1]]
    assert found["totalCount"] == 2


async def test_an_analysis_is_found_again_as_it_was_answered(operator: Api, services: Services) -> None:
    await built(services)
    await recorded(services, [DARK_HUB])
    answer = await analyze(operator, "analyzeHubAntenna", await key_of(operator, "site", HUB))
    document = f"query ($id: ID!) {{ node(id: $id) {{ __typename ... on CorrelationAnalysis {{ {ANALYSIS} }} }} }}"

    found = (await operator.run(document, id=answer["id"]))["node"]

    assert found == answer


async def test_a_page_of_analyses_takes_as_many_statements_as_one(
    operator: Api, services: Services, statements: list[str]
) -> None:
    await built(services)
    await recorded(services, [DARK_HUB])
    site = await key_of(operator, "site", HUB)
    document = f"{{ correlationAnalyses {{ nodes {{ {ANALYSIS} }} }} }}"
    counts = []
    for _ in range(3):
        await analyze(operator, "analyzeHubAntenna", site)
        statements.clear()
        await operator.run(document)
        counts.append(len(statements))

    assert counts[2] == counts[0] <= 9


async def test_an_analysis_reads_its_links_at_once(operator: Api, services: Services, statements: list[str]) -> None:
    await built(services)
    await recorded(services, hours=3)
    statements.clear()

    await analyze(operator, "analyzeSatellite", SATELLITE, selected="id", hours=2)

    links = [statement for statement in statements if " link" in statement]
    assert len(links) <= 7, links
