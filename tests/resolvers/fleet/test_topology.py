"""Satellites, sites, networks and links: telling the server of them, finding them, and walking from one to another."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import func, select

from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import AnomalyStatus, Link, Network, Satellite, Site, SiteRole
from tests.helpers.support import Api, Factory, ago, codes, id_of

UPSERT = """mutation ($input: TopologyInput!) { upsertTopology(input: $input) { __typename
  ... on Topology { satellites sites networks links } ... on InvalidInput { message path }
  ... on Forbidden { requiredRole } } }"""
FLEET = """{
  satellites { nodes { name longitude } }
  sites { nodes { number name role latitude longitude antennaDiameterM mobile } }
  networks { nodes { number name hub { number } satellite { name } transponder band symbolRateKsps } }
  links { nodes { number name beam network { number } site { number } } } }"""
WHOLE: dict[str, Any] = {
    "satellites": [{"name": "Astra 1", "longitude": 19.2}],
    "sites": [
        {"number": 1, "name": "Hub", "role": "HUB", "latitude": 49.7, "longitude": 6.3, "antennaDiameterM": 9.0},
        {"number": 2, "name": "Ship", "role": "REMOTE", "mobile": True},
    ],
    "networks": [
        {"number": 10, "name": "North", "hub": 1, "satellite": "Astra 1", "transponder": "1.107", "band": "KA"}
        | {"symbolRateKsps": 45_000.5}
    ],
    "links": [{"number": 100, "name": "To the ship", "beam": "Spot 12", "network": 10, "site": 2}],
}


async def upsert(api: Api, **input: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(UPSERT, input=input))["upsertTopology"]
    return answer


async def counted(services: Services) -> list[int]:
    """How many satellites, sites, networks and links there are."""
    async with services.database.read() as session:
        tables = (Satellite, Site, Network, Link)
        return [await session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


@dataclass
class Turn:
    """The most that the event loop's thread has worked between two looks around."""

    seconds: float = 0.0


@asynccontextmanager
async def longest_turn() -> AsyncIterator[Turn]:
    longest = Turn()

    async def look() -> None:
        while True:
            begin = time.thread_time()
            await asyncio.sleep(0.001)
            longest.seconds = max(longest.seconds, time.thread_time() - begin)

    looking = asyncio.create_task(look())
    yield longest
    looking.cancel()


# ---------------------------------------------------------------- telling


async def test_a_whole_topology_is_created_at_once(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)

    answer = await upsert(admin, **WHOLE)

    assert answer == {"__typename": "Topology", "satellites": 1, "sites": 2, "networks": 1, "links": 1}
    assert await admin.run(FLEET) == {
        "satellites": {"nodes": WHOLE["satellites"]},
        "sites": {
            "nodes": [
                WHOLE["sites"][0] | {"mobile": False},
                WHOLE["sites"][1] | {"latitude": None, "longitude": None, "antennaDiameterM": None},
            ]
        },
        "networks": {
            "nodes": [WHOLE["networks"][0] | {"hub": {"number": 1}, "satellite": {"name": "Astra 1"}}],
        },
        "links": {"nodes": [WHOLE["links"][0] | {"network": {"number": 10}, "site": {"number": 2}}]},
    }


async def test_what_is_there_is_updated_and_keeps_its_id(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)
    await upsert(admin, **WHOLE)
    before = await admin.run("{ link(number: 100) { id } network(number: 10) { id } }")

    await upsert(
        admin,
        satellites=[{"name": "Astra 1", "longitude": 31.5}, {"name": "Astra 2"}],
        sites=[{"number": 3, "name": "Hut", "role": "REMOTE"}],
        networks=[{"number": 10, "name": "South", "hub": 1, "satellite": "Astra 2"}],
        links=[{"number": 100, "name": "To the hut", "network": 10, "site": 3}],
    )

    after = await admin.run(
        """{ link(number: 100) { id name site { number } }
             network(number: 10) { id name satellite { name } transponder band symbolRateKsps }
             satellite(name: "Astra 1") { longitude } }"""
    )
    assert await counted(services) == [2, 3, 1, 1]
    assert after["link"] == before["link"] | {"name": "To the hut", "site": {"number": 3}}
    assert after["network"] == before["network"] | {
        "name": "South",
        "satellite": {"name": "Astra 2"},
        "transponder": None,
        "band": "KU",
        "symbolRateKsps": None,
    }
    assert after["satellite"] == {"longitude": 31.5}


async def test_telling_the_same_twice_changes_nothing(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)

    await upsert(admin, **WHOLE)
    first = await admin.run(FLEET)
    await upsert(admin, **WHOLE)

    assert await admin.run(FLEET) == first
    assert await counted(services) == [1, 2, 1, 1]


async def test_references_may_name_what_is_stored(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)
    await upsert(admin, satellites=WHOLE["satellites"], sites=WHOLE["sites"])

    answer = await upsert(admin, networks=WHOLE["networks"], links=WHOLE["links"])

    assert answer["__typename"] == "Topology"
    assert await counted(services) == [1, 2, 1, 1]


async def test_nothing_at_all_is_fine(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)

    answers = [await upsert(admin), await upsert(admin, satellites=None, sites=[], networks=None, links=None)]

    assert [answer["__typename"] for answer in answers] == ["Topology", "Topology"]


def _with(kind: str, **changes: Any) -> dict[str, Any]:
    """The whole topology, its last entry of a kind changed."""
    *others, last = WHOLE[kind]
    return WHOLE | {kind: [*others, last | changes]}


def _twice(kind: str) -> dict[str, Any]:
    return WHOLE | {kind: [*WHOLE[kind], WHOLE[kind][-1]]}


BAD: list[tuple[str, dict[str, Any]]] = [
    ("networks.0.hub", _with("networks", hub=99)),
    ("networks.0.hub", _with("networks", hub=2)),
    ("networks.0.hub", _with("networks", hub=-1)),
    ("networks.0.satellite", _with("networks", satellite="Astra 9")),
    ("networks.0.satellite", _with("networks", satellite="astra 1")),
    ("networks.0.satellite", _with("networks", satellite="nul\0")),
    ("networks.0.transponder", _with("networks", transponder="x" * 101)),
    ("networks.0.transponder", _with("networks", transponder="nul\0")),
    ("links.0.network", _with("links", network=99)),
    ("links.0.site", _with("links", site=99)),
    ("links.0.site", _with("links", site=1)),
    ("satellites.1.name", _twice("satellites")),
    ("sites.2.number", _twice("sites")),
    ("networks.1.number", _twice("networks")),
    ("links.1.number", _twice("links")),
    ("satellites.0.name", _with("satellites", name=" ")),
    ("satellites.0.name", _with("satellites", name="nul\0")),
    ("satellites.0.longitude", _with("satellites", longitude=360.5)),
    ("sites.1.name", _with("sites", name="")),
    ("sites.1.name", _with("sites", name="x" * 201)),
    ("sites.1.name", _with("sites", name="x" * 200 + "\n" * 9)),
    ("sites.1.number", _with("sites", number=-1)),
    ("sites.1.latitude", _with("sites", latitude=90.1)),
    ("sites.1.latitude", _with("sites", latitude=-1e300)),
    ("sites.1.longitude", _with("sites", longitude=-180.1)),
    ("sites.1.antennaDiameterM", _with("sites", antennaDiameterM=0)),
    ("sites.1.antennaDiameterM", _with("sites", antennaDiameterM=101)),
    ("networks.0.number", _with("networks", number=-5)),
    ("networks.0.name", _with("networks", name="")),
    ("links.0.number", _with("links", number=-5)),
    ("links.0.name", _with("links", name="\t")),
    ("links.0.beam", _with("links", beam="x" * 101)),
    ("networks.0.symbolRateKsps", _with("networks", symbolRateKsps=0)),
]


async def test_a_bad_entry_anywhere_is_named_and_leaves_nothing_behind(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)
    for path, input in BAD:
        answer = await upsert(admin, **input)

        assert (answer["__typename"], ".".join(answer.get("path", []))) == ("InvalidInput", f"input.{path}"), answer
    assert await counted(services) == [0, 0, 0, 0]


async def test_what_no_number_can_be_is_refused_before_anything_happens(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)

    answers = [await codes(admin, UPSERT, input=_with("sites", number=number)) for number in (2**31, 1.5, "1")]

    assert answers == [["BAD_USER_INPUT"]] * 3


async def test_a_site_in_use_keeps_its_role(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)
    await upsert(admin, **WHOLE)
    hub, remote = WHOLE["sites"]
    spare = {"number": 3, "name": "Spare", "role": "REMOTE"}

    answers = [
        await upsert(admin, sites=[spare, hub | {"role": "REMOTE"}]),
        await upsert(admin, sites=[spare, remote | {"role": "HUB"}]),
    ]

    assert [answer.get("path") for answer in answers] == [["input", "sites", "1", "role"]] * 2
    assert await counted(services) == [1, 2, 1, 1]


async def test_a_site_that_the_same_input_frees_may_change_its_role(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)
    await upsert(admin, **WHOLE)

    answer = await upsert(
        admin,
        sites=[WHOLE["sites"][0] | {"role": "REMOTE"}, {"number": 3, "name": "New hub", "role": "HUB"}],
        networks=[WHOLE["networks"][0] | {"hub": 3}],
    )

    assert answer["__typename"] == "Topology"


async def test_two_changes_at_once_in_opposite_orders_both_happen(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)
    sites = [{"number": number, "name": f"Site {number}", "role": "REMOTE"} for number in range(300)]

    answers = await asyncio.gather(*(upsert(admin, sites=sites[:: (-1) ** turn]) for turn in range(6)))

    assert {answer["__typename"] for answer in answers} == {"Topology"}
    assert await counted(services) == [0, 300, 0, 0]


async def test_thousands_of_sites_are_told_at_once(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)
    sites = [{"number": number, "name": f"Site {number}", "role": "REMOTE"} for number in range(3000)]

    answer = await upsert(admin, sites=sites)

    assert answer["sites"] == 3000
    assert await counted(services) == [0, 3000, 0, 0]


async def test_a_whole_fleet_holds_nobody_else_up(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)
    sites = [
        {"number": number, "name": f"Site {number}", "role": "REMOTE", "latitude": 1.5} for number in range(20_000)
    ]

    async with longest_turn() as turn:
        answer = await upsert(admin, sites=sites)

    assert answer["sites"] == 20_000
    assert turn.seconds < 0.3  # of this thread's own work


async def test_too_many_at_once_are_refused(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)

    answer = await admin.execute(UPSERT, input={"satellites": [{"name": f"S{number}"} for number in range(20_001)]})

    assert answer["errors"][0]["message"] == "`input.satellites` has 20001 entries; at most 20000 are allowed."


async def test_only_admins_change_the_topology(api: Api, services: Services) -> None:
    operator = await api.as_(Role.OPERATOR)

    answer = await upsert(operator, **WHOLE)

    assert answer == {"__typename": "Forbidden", "requiredRole": "ADMIN"}
    assert await counted(services) == [0, 0, 0, 0]


# ---------------------------------------------------------------- finding


async def test_an_entity_is_found_by_its_number_or_name(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)
    await upsert(admin, **WHOLE)

    found = await admin.run(
        """{ satellite(name: "Astra 1") { name } site(number: 2) { number } network(number: 10) { number }
             link(number: 100) { number } }"""
    )
    missing = await admin.run(
        """query ($nul: String!) { satellite(name: $nul) { name } site(number: -1) { number }
             network(number: 2147483647) { number } link(number: 0) { number } }""",
        nul="nul\0",
    )

    assert found == {
        "satellite": {"name": "Astra 1"},
        "site": {"number": 2},
        "network": {"number": 10},
        "link": {"number": 100},
    }
    assert set(missing.values()) == {None}


@pytest.mark.parametrize("field", ["sites", "networks", "links"])
async def test_search_finds_part_of_the_name_or_the_beginning_of_the_number(
    api: Api, services: Services, field: str
) -> None:
    admin = await api.as_(Role.ADMIN)
    names = {12: "Nord_see", 123: "100% Ost", 312: "NORDEN", 4: "a\\b/c", 5: "nördlich"}
    await upsert(
        admin,
        satellites=[{"name": "Astra"}],
        sites=[{"number": 0, "name": "Hub", "role": "HUB"}]
        + [{"number": number, "name": name, "role": "REMOTE"} for number, name in names.items()],
        networks=[{"number": n, "name": name, "hub": 0, "satellite": "Astra"} for n, name in names.items()],
        links=[{"number": n, "name": name, "network": n, "site": n} for n, name in names.items()],
    )
    document = f"query ($s: String) {{ {field}(search: $s) {{ totalCount nodes {{ number }} }} }}"
    wanted = {
        "nord": [12, 312],
        "ORD": [12, 312],
        "NÖRD": [5],
        "12": [12, 123],
        "3": [312],
        "%": [123],
        "_": [12],
        "0% o": [123],
        "\\": [4],
        "/": [4],
        "nothing like it": [],
        "nul\0": [],
        "'; DROP TABLE links --": [],
    }

    answers = {search: (await admin.run(document, s=search))[field] for search in wanted}
    everything = [(await admin.run(document, s=search))[field]["totalCount"] for search in ("", None)]

    assert {search: [node["number"] for node in answer["nodes"]] for search, answer in answers.items()} == wanted
    assert {search: answer["totalCount"] for search, answer in answers.items()} == {
        search: len(numbers) for search, numbers in wanted.items()
    }
    assert everything == [6, 6] if field == "sites" else [5, 5]


async def test_sites_are_filtered_by_role(api: Api, make: Factory) -> None:
    await make.site(SiteRole.HUB, number=1)
    await make.site(SiteRole.REMOTE, number=2)
    viewer = await api.as_(Role.VIEWER)

    answer = await viewer.run("{ hubs: sites(role: HUB) { nodes { number } } all: sites(role: null) { totalCount } }")

    assert answer == {"hubs": {"nodes": [{"number": 1}]}, "all": {"totalCount": 2}}


# ---------------------------------------------------------------- walking


async def _two_networks(make: Factory) -> None:
    """Hub 1 serves networks 10 (links 100, 101) and 20 (link 200); site 2 is on links 100 and 200, site 3 on 101."""
    satellite, hub = await make.satellite("Astra"), await make.site(SiteRole.HUB, number=1)
    two, three = await make.site(number=2), await make.site(number=3)
    north = await make.network(10, hub=hub, satellite=satellite)
    south = await make.network(20, hub=hub, satellite=satellite)
    await make.link(100, network=north, site=two)
    await make.link(101, network=north, site=three)
    await make.link(200, network=south, site=two)


def numbers(connection: dict[str, Any]) -> list[int]:
    return [node["number"] for node in connection["nodes"]]


async def test_a_satellite_leads_to_its_networks_links_and_sites(api: Api, make: Factory) -> None:
    await _two_networks(make)
    viewer = await api.as_(Role.VIEWER)

    answer = await viewer.run(
        """{ satellites { totalCount nodes { networks { totalCount nodes { number
             links { totalCount nodes { number site { number } } } } } } } }"""
    )

    [satellite] = answer["satellites"]["nodes"]
    north, south = satellite["networks"]["nodes"]
    assert satellite["networks"]["totalCount"] == 2
    assert (north["number"], north["links"]["totalCount"], south["links"]["totalCount"]) == (10, 2, 1)
    assert north["links"]["nodes"] == [
        {"number": 100, "site": {"number": 2}},
        {"number": 101, "site": {"number": 3}},
    ]
    assert south["links"]["nodes"] == [{"number": 200, "site": {"number": 2}}]


async def test_a_hub_leads_to_what_it_serves_and_a_remote_to_what_it_takes_part_in(api: Api, make: Factory) -> None:
    await _two_networks(make)
    await make.link(999)
    viewer = await api.as_(Role.VIEWER)
    part = "networks { totalCount nodes { number } } links { totalCount nodes { number } }"

    answer = await viewer.run(
        f"{{ hub: site(number: 1) {{ {part} }} two: site(number: 2) {{ {part} }} three: site(number: 3) {{ {part} }} }}"
    )

    found = {name: (numbers(site["networks"]), numbers(site["links"])) for name, site in answer.items()}
    assert found == {
        "hub": ([10, 20], [100, 101, 200]),
        "two": ([10, 20], [100, 200]),
        "three": ([10], [101]),
    }
    assert [answer["hub"][part]["totalCount"] for part in ("networks", "links")] == [2, 3]


async def test_pages_inside_several_parents_are_each_parent_s_own(api: Api, make: Factory) -> None:
    networks = [await make.network(number) for number in (1, 2, 3)]
    for network in networks[:2]:
        for number in range(3):
            await make.link(network.number * 10 + number, network=network)
    viewer = await api.as_(Role.VIEWER)
    document = """query ($after: String) { networks { nodes { links(first: 2, after: $after) {
      totalCount edges { cursor node { number } } nodes { number }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }"""

    first = [node["links"] for node in (await viewer.run(document))["networks"]["nodes"]]
    after = first[0]["pageInfo"]["endCursor"]
    second = [node["links"] for node in (await viewer.run(document, after=after))["networks"]["nodes"]]

    assert [numbers(page) for page in first] == [[10, 11], [20, 21], []]
    assert [numbers(page) for page in second] == [[12], [20, 21], []]
    assert [page["pageInfo"]["hasNextPage"] for page in first + second] == [True, True, False, False, True, False]
    assert [page["totalCount"] for page in first + second] == [3, 3, 0] * 2
    assert [edge["node"]["number"] for edge in first[0]["edges"]] == [10, 11]
    assert [edge["cursor"] for edge in first[0]["edges"]] == [
        first[0]["pageInfo"]["startCursor"],
        first[0]["pageInfo"]["endCursor"],
    ]
    assert (first[2]["pageInfo"]["startCursor"], first[2]["pageInfo"]["endCursor"]) == (None, None)


async def test_a_bad_page_inside_one_parent_spoils_no_other(api: Api, make: Factory) -> None:
    await make.link(100, network=await make.network(10))
    viewer = await api.as_(Role.VIEWER)

    response = await viewer.execute(
        """{ bad: network(number: 10) { links(first: -1) { totalCount } }
             worse: network(number: 10) { links(after: "garbage") { totalCount } }
             good: network(number: 10) { links(first: 1) { nodes { number } } } }"""
    )

    assert response["data"] == {"bad": None, "worse": None, "good": {"links": {"nodes": [{"number": 100}]}}}
    assert [error["extensions"]["code"] for error in response["errors"]] == ["BAD_USER_INPUT"] * 2
    assert sorted(error["path"][0] for error in response["errors"]) == ["bad", "worse"]


async def test_every_target_leads_to_its_own_anomalies_newest_first(api: Api, make: Factory) -> None:
    link = await make.link(100)
    viewer = await api.as_(Role.VIEWER)
    network, site = await make.network(1), await make.site(number=2)
    old = await make.anomaly(link, status=AnomalyStatus.RESOLVED, started_at=ago(hours=2), severity=Severity.CRITICAL)
    new = await make.anomaly(link, started_at=ago(hours=1), severity=Severity.LOW)
    others = [await make.anomaly(network), await make.anomaly(site)]
    document = """query ($filter: AnomalyFilter) {
      link(number: 100) { anomalies(filter: $filter) { totalCount nodes { id } } }
      network(number: 1) { anomalies(filter: $filter) { totalCount nodes { id } } }
      site(number: 2) { anomalies(filter: $filter) { totalCount nodes { id } } } }"""

    async def ids(**filter: Any) -> list[list[str]]:
        answer = await viewer.run(document, filter=filter or None)
        lists = [answer[kind]["anomalies"] for kind in ("link", "network", "site")]
        assert [found["totalCount"] for found in lists] == [len(found["nodes"]) for found in lists]
        return [[node["id"] for node in found["nodes"]] for found in lists]

    assert await ids() == [[id_of(new), id_of(old)], [id_of(others[0])], [id_of(others[1])]]
    assert await ids(statuses=["RESOLVED"]) == [[id_of(old)], [], []]
    assert await ids(minSeverity="HIGH") == [[id_of(old)], [], []]
    assert await ids(target=id_of(network)) == [[], [id_of(others[0])], []]
    assert await ids(kind="SITE") == [[], [], [id_of(others[1])]]


# ---------------------------------------------------------------- the cost of it

PAGE = """query ($first: Int) { links(first: $first) { nodes { number
  network { number hub { number } satellite { name } } site { number }
  inbound: grade(direction: IB) outbound: grade(direction: OB)
  anomalies(first: 5) { nodes { severity } totalCount } } } }"""


async def test_a_page_of_links_costs_the_same_number_of_statements_however_long(
    api: Api, make: Factory, statements: list[str]
) -> None:
    networks = [await make.network() for _ in range(3)]
    for number in range(50):
        link = await make.link(number + 1, network=networks[number % 3])
        if number % 10 == 0:
            await make.anomaly(link)
    viewer = await api.as_(Role.VIEWER)
    cost: dict[int, int] = {}
    for size in (5, 50):
        statements.clear()

        answer = await viewer.run(PAGE, first=size)

        cost[size] = len(statements)
        assert len(answer["links"]["nodes"]) == size
    assert cost[5] == cost[50] <= 9  # who asks; links, networks, sites, hubs, satellites, grades, anomalies, counts


async def test_counting_costs_a_statement_only_where_it_is_asked_for(
    api: Api, make: Factory, statements: list[str]
) -> None:
    await make.link()
    viewer = await api.as_(Role.VIEWER)
    cost = {}
    for asked in ("nodes { number }", "nodes { number } totalCount"):
        for document in (f"{{ links {{ {asked} }} }}", f"{{ networks {{ nodes {{ links {{ {asked} }} }} }} }}"):
            statements.clear()

            await viewer.run(document)

            cost[document] = len(statements)
    assert list(cost.values()) == [2, 3, 3, 4]


async def test_a_search_reads_indexes_where_the_database_has_trigrams(services: Services) -> None:
    """Of a few rows a whole table is read sooner, so that is forbidden here."""
    async with services.database.driver() as connection:
        has_trigrams = await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'")
        await connection.execute("SET enable_seqscan = off")
        for table in ("sites", "networks", "links"):
            condition = r"(lower(name) LIKE '%' || lower('Ber') || '%' ESCAPE '/') OR CAST(number AS VARCHAR) LIKE '1%'"
            rows = await connection.fetch(f"EXPLAIN SELECT * FROM {table} WHERE {condition}")
            plan = "\n".join(row[0] for row in rows)
            assert (f"ix_search_{table}_name" in plan) == bool(has_trigrams), plan
            assert (f"ix_search_{table}_number" in plan) == bool(has_trigrams), plan
        await connection.execute("RESET enable_seqscan")
