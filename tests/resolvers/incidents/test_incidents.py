"""Incidents: found by what one looks for, in pages, counted, and told of live."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.root_cause.report import Evidence
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.incidents.changes import IncidentChange, publish_changes, record_change
from resolvers.incidents.filters import IncidentFilter
from resolvers.incidents.incidents import IncidentOrder, build_listing, build_listing_of
from resolvers.lists.pagination import Window, fetch_page, fetch_pages
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.analysis_documents import Culprit, Hypothesis
from resolvers.store.tables.core import SiteRole
from resolvers.store.tables.incidents import Incident, IncidentKind, IncidentStatus
from schema.relay import global_id
from tests.helpers.support import NOW, Api, Factory, Socket, ago, codes, id_of, iso
from tests.resolvers.incidents.test_summary import pattern_of

LIST = """query ($filter: IncidentFilter, $orderBy: IncidentOrder) {
  incidents(filter: $filter, orderBy: $orderBy) { totalCount nodes { id } }
  incidentCounts(filter: $filter) { total unowned bySeverity { severity count } } }"""
SHOW = """query ($id: ID!) { node(id: $id) { __typename ... on Incident {
  kind status severity title rootCause culprit { ... on Network { name } ... on Satellite { name } } culpritTransponder
  confidence hypotheses { rootCause probability culprit { ... on Network { name } } }
  evidence { statement supports weight } startedAt detectedAt lastChangedAt endedAt owner { email } snoozedUntil
  affectedLinkCount affectedLinks { totalCount nodes { number } edges { cursor } }
  anomalies { totalCount nodes { id incident { title } } } recommendations { nodes { title } } reopenedCount historical
  analysis { id } mergedInto { title } timeline { at action note by { email } } } } }"""
WATCH = """subscription ($filter: IncidentFilter, $changes: [IncidentChange!], $after: String) {
  incidentChanged(filter: $filter, changes: $changes, after: $after) { cursor change incident { id status } } }"""
ON_TARGET = """query ($id: ID!) { node(id: $id) { ... on Satellite { incidents { nodes { id } } }
  ... on Site { incidents { nodes { id } } } ... on Network { incidents { nodes { id } } }
  ... on Link { incidents(first: 5) { totalCount nodes { id } } } } }"""
OF_ANOMALIES = """query { anomalies { nodes { category lastSampleAt incident { title } comments { note } } } }"""


@pytest.fixture
async def viewer(api: Api) -> Api:
    return await api.as_(Role.VIEWER)


async def ids(api: Api, order: str = "NEWEST", **filter: Any) -> list[str]:
    data = await api.run(LIST, filter=filter, orderBy=order)
    found = [node["id"] for node in data["incidents"]["nodes"]]
    assert data["incidents"]["totalCount"] == data["incidentCounts"]["total"] == len(found)
    return found


# ---------------------------------------------------------------- looking for some


async def test_each_filter_finds_its_own(viewer: Api, make: Factory) -> None:
    owner = await make.user(Role.OPERATOR)
    network = await make.network()
    quiet = await make.incident(
        kind=IncidentKind.NO_TELEMETRY, severity=Severity.LOW, started_at=ago(hours=1), snoozed_until=ago(hours=-1)
    )
    rain = await make.incident(
        status=IncidentStatus.ACKNOWLEDGED,
        owner_id=owner.id,
        root_cause=RootCause.RAIN_FADE,
        culprit_kind=CulpritKind.NETWORK,
        culprit_id=network.id,
        severity=Severity.CRITICAL,
        started_at=ago(hours=2),
        snoozed_until=ago(minutes=1),
    )
    over = await make.incident(
        status=IncidentStatus.RESOLVED, started_at=ago(hours=3), ended_at=ago(hours=2), last_changed_at=ago(hours=2)
    )
    quiet_id, rain_id, over_id = map(id_of, (quiet, rain, over))

    assert await ids(viewer) == [quiet_id, rain_id, over_id]
    assert await ids(viewer, statuses=["OPEN"]) == [quiet_id]
    assert await ids(viewer, statuses=["ACKNOWLEDGED", "RESOLVED"]) == [rain_id, over_id]
    assert await ids(viewer, statuses=[]) == []
    assert await ids(viewer, severities=["LOW", "CRITICAL"]) == [quiet_id, rain_id]
    assert await ids(viewer, kinds=["NO_TELEMETRY"]) == [quiet_id]
    assert await ids(viewer, rootCauses=["RAIN_FADE", "CONGESTION"]) == [rain_id]
    assert await ids(viewer, culprit=id_of(network)) == await ids(viewer, within=id_of(network)) == [rain_id]
    assert await ids(viewer, owner=id_of(owner)) == await ids(viewer, unowned=False) == [rain_id]
    assert await ids(viewer, unowned=True) == [quiet_id, over_id]
    assert await ids(viewer, snoozed=True) == [quiet_id]
    assert await ids(viewer, snoozed=False) == [rain_id, over_id]
    assert await ids(viewer, startedAfter=iso(rain.started_at)) == [quiet_id, rain_id]
    assert await ids(viewer, startedBefore=iso(rain.started_at)) == [over_id]
    assert await ids(viewer, endedAfter=iso(ago(hours=2))) == [over_id]
    assert await ids(viewer, endedAfter=iso(ago(hours=1))) == []
    assert await ids(viewer, changedAfter=iso(ago(hours=1))) == [quiet_id, rain_id]
    assert await ids(viewer, severities=["CRITICAL"], unowned=True) == []


async def test_within_finds_everything_below(viewer: Api, make: Factory) -> None:
    above, elsewhere = await make.satellite(), await make.satellite()
    hub, remote, lonely = await make.site(SiteRole.HUB), await make.site(), await make.site()
    network, second = await make.network(hub=hub, satellite=above), await make.network(satellite=elsewhere)
    link, far = await make.link(network=network, site=remote), await make.link(network=second)
    hit = id_of(await make.incident(link, started_at=ago(minutes=5)))
    away = id_of(await make.incident(far, started_at=ago(minutes=4)))
    whole = id_of(
        await make.incident(started_at=ago(minutes=3), culprit_kind=CulpritKind.SATELLITE, culprit_id=above.id)
    )
    down = await make.incident(started_at=ago(minutes=2))
    await make.anomaly(lonely, incident_id=down.id)
    empty = await make.network(hub=hub, satellite=elsewhere)
    chain = await make.incident(started_at=ago(minutes=1))
    await make.anomaly(empty, incident_id=chain.id)

    assert await ids(viewer, within=id_of(above)) == [whole, hit]
    assert await ids(viewer, within=id_of(elsewhere)) == [id_of(chain), away]
    assert await ids(viewer, within=id_of(hub)) == [id_of(chain), hit]
    assert await ids(viewer, within=id_of(network)) == await ids(viewer, within=id_of(remote)) == [hit]
    assert await ids(viewer, within=id_of(link)) == [hit]
    assert await ids(viewer, within=id_of(lonely)) == [id_of(down)]
    assert await ids(viewer, within=id_of(empty)) == [id_of(chain)]
    assert await ids(viewer, within=global_id("Link", 2_000_000_000)) == []


async def test_targets_list_what_affects_them(viewer: Api, make: Factory) -> None:
    link = await make.link()
    incident, other = await make.incident(link), await make.incident(await make.link())
    await make.incident(link, announced_at=None)
    network_id = global_id("Network", link.network_id)
    own = await make.incident(started_at=ago(minutes=1), culprit_kind=CulpritKind.NETWORK, culprit_id=link.network_id)

    of_link, of_site, of_network, of_satellite = [
        [one["id"] for one in (await viewer.run(ON_TARGET, id=id))["node"]["incidents"]["nodes"]]
        for id in (id_of(link), global_id("Site", link.site_id), network_id, global_id("Satellite", 1))
    ]

    assert of_link == of_site == of_satellite == [id_of(incident)]
    assert of_network == [id_of(own), id_of(incident)]
    assert id_of(other) not in of_network


async def test_what_nobody_was_told_of_is_not_listed_but_found_by_its_id(viewer: Api, make: Factory) -> None:
    told, gathered = await make.incident(), await make.incident(announced_at=None)
    imported = await make.incident(
        announced_at=None, is_historical=True, status=IncidentStatus.RESOLVED, started_at=ago(days=9)
    )

    assert await ids(viewer) == [id_of(told), id_of(imported)]
    assert await ids(viewer, historical=True) == [id_of(imported)]
    assert await ids(viewer, historical=False) == [id_of(told)]
    assert (await viewer.run(SHOW, id=id_of(gathered)))["node"]["title"] == gathered.title


async def test_merged_incidents_are_listed_only_when_asked_for(viewer: Api, make: Factory) -> None:
    survivor = await make.incident()
    merged = await make.incident(status=IncidentStatus.RESOLVED, merged_into_id=survivor.id, started_at=ago(hours=1))

    assert await ids(viewer) == await ids(viewer, merged=False) == [id_of(survivor)]
    assert await ids(viewer, merged=True) == [id_of(survivor), id_of(merged)]


@pytest.mark.parametrize("name", ["within", "culprit"])
@pytest.mark.parametrize("id", [global_id("Anomaly", UUID(int=7)), "garbage", "", global_id("Network", "x")])
async def test_ids_of_other_things_are_bad_input(viewer: Api, name: str, id: str) -> None:
    answer = await viewer.execute(LIST, filter={name: id})

    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert answer["errors"][0]["extensions"]["inputPath"] == ["filter", name]


async def test_nobody_reads_incidents_without_signing_in(api: Api) -> None:
    assert set(await codes(api, LIST)) == {"UNAUTHENTICATED"}


async def test_counts_are_by_severity_and_of_those_that_nobody_owns(viewer: Api, make: Factory) -> None:
    owner = await make.user()
    for severity, owned in ((Severity.CRITICAL, True), (Severity.CRITICAL, False), (Severity.LOW, False)):
        await make.incident(severity=severity, owner_id=owner.id if owned else None)

    counts = (await viewer.run(LIST))["incidentCounts"]

    by_severity = {"CRITICAL": 2, "HIGH": 0, "MEDIUM": 0, "LOW": 1}
    expected = [{"severity": severity, "count": count} for severity, count in by_severity.items()]
    assert counts == {"total": 3, "unowned": 2, "bySeverity": expected}


async def test_counting_takes_one_query(viewer: Api, make: Factory, statements: list[str]) -> None:
    await make.incident()
    statements.clear()

    await viewer.run("{ incidentCounts { total unowned bySeverity { severity count } } }")

    assert len(statements) == 2  # who asks, and the counts


# ---------------------------------------------------------------- what each says


async def test_an_incident_says_everything(viewer: Api, make: Factory, services: Services) -> None:
    owner = await make.user(Role.OPERATOR, email="ada@example.com")
    link = await make.link(7)
    at_fault = Culprit(CulpritKind.NETWORK, link.network_id)
    hypotheses = (Hypothesis(RootCause.RAIN_FADE, at_fault, 0.8), Hypothesis(RootCause.CONGESTION, None, 0.2))
    pattern = pattern_of(link, hypotheses=hypotheses, evidence=(Evidence("It rains.", supports=True, weight=2.0),))
    incident = await make.incident(
        link,
        title="Rain over one network",
        root_cause=RootCause.RAIN_FADE,
        culprit_kind=CulpritKind.NETWORK,
        culprit_id=link.network_id,
        confidence=0.8,
        pattern=pattern,
        owner_id=owner.id,
    )
    anomaly = await make.anomaly(link, incident_id=incident.id)
    async with services.database.write() as session:
        row = await session.get_one(Incident, incident.id)
        record_change(session, row, IncidentChange.COMMENTED, NOW, owner.id, "Umbrella")

    node = (await viewer.run(SHOW, id=id_of(incident)))["node"]

    masked = {"email": "a…@example.com"}
    name = {"name": f"Network {(await _network_number(services, link.network_id))}"}
    assert (node["title"], node["rootCause"], node["culprit"]) == ("Rain over one network", "RAIN_FADE", name)
    assert node["hypotheses"] == [
        {"rootCause": "RAIN_FADE", "probability": 0.8, "culprit": name},
        {"rootCause": "CONGESTION", "probability": 0.2, "culprit": None},
    ]
    assert node["evidence"] == [{"statement": "It rains.", "supports": True, "weight": 2.0}]
    assert node["affectedLinks"]["nodes"] == [{"number": 7}]
    assert node["anomalies"]["nodes"] == [{"id": id_of(anomaly), "incident": {"title": "Rain over one network"}}]
    assert node["timeline"] == [
        {"at": iso(NOW).replace("+00:00", "Z"), "action": "COMMENTED", "note": "Umbrella", "by": masked}
    ]
    assert (node["owner"], node["historical"], node["reopenedCount"]) == (masked, False, 0)


async def _network_number(services: Services, network: int) -> int:
    from resolvers.store.tables.core import Network

    async with services.database.read() as session:
        return (await session.get_one(Network, network)).number


async def test_what_is_not_known_is_null_or_empty(viewer: Api, make: Factory) -> None:
    node = (await viewer.run(SHOW, id=id_of(await make.incident())))["node"]

    nothing = ("rootCause", "culprit", "confidence", "endedAt", "owner", "snoozedUntil", "analysis", "mergedInto")
    assert [node[name] for name in nothing] == [None] * len(nothing)
    assert node["hypotheses"] == node["evidence"] == node["timeline"] == node["recommendations"]["nodes"] == []


async def test_a_page_takes_one_query_for_each_relation(viewer: Api, make: Factory, statements: list[str]) -> None:
    owner = await make.user()
    for _ in range(10):
        link = await make.link()
        incident = await make.incident(
            link, owner_id=owner.id, culprit_kind=CulpritKind.LINK, culprit_id=link.id, root_cause=RootCause.BLOCKAGE
        )
        await make.anomaly(link, incident_id=incident.id)
    statements.clear()

    data = await viewer.run("""{ incidents { nodes { title severity culprit { ... on Link { name } } owner { email }
      affectedLinks { totalCount nodes { number } } anomalies { nodes { lastSampleAt incident { id } } }
      recommendations { nodes { title } } timeline { action } } } }""")

    assert [len(node["affectedLinks"]["nodes"]) for node in data["incidents"]["nodes"]] == [1] * 10
    # Who asks; incidents, culprits, owners, links, their numbers, anomalies, samples, recommendations, histories, ids.
    assert len(statements) == 11


async def test_anomalies_say_their_incident_and_when_they_were_last_measured(
    viewer: Api, make: Factory, services: Services
) -> None:
    link, unheard = await make.link(), await make.link()
    incident = await make.incident(link)
    for direction, at in (("OB", ago(minutes=3)), ("IB", ago(minutes=1))):
        stream = await make.baseline(link, [], [], direction)
        async with services.database.write() as session:
            (await session.merge(stream)).last_at = at
    await make.anomaly(link, incident_id=incident.id, direction=Direction.OB, started_at=ago(minutes=3))
    await make.anomaly(link, direction=None, started_at=ago(minutes=2))
    await make.anomaly(unheard, started_at=ago(minutes=1))

    nodes = (await viewer.run(OF_ANOMALIES))["anomalies"]["nodes"]

    times = [None, *(iso(ago(minutes=minutes)).replace("+00:00", "Z") for minutes in (1, 3))]
    assert [node["lastSampleAt"] for node in nodes] == times
    assert [node["incident"] for node in nodes] == [None, None, {"title": incident.title}]
    assert [(node["category"], node["comments"]) for node in nodes] == [("DEVIATION", [])] * 3


# ---------------------------------------------------------------- in pages

Key = tuple[Severity, int, int, int]
SORTED: dict[IncidentOrder, Callable[[Incident], Any]] = {
    IncidentOrder.WORST: lambda row: (-row.severity.rank, -row.affected_link_count, row.started_at, row.id),
    IncidentOrder.NEWEST: lambda row: (-row.started_at.timestamp(), -row.id.int),
    IncidentOrder.OLDEST: lambda row: (row.started_at, row.id),
    IncidentOrder.LAST_CHANGED: lambda row: (-row.last_changed_at.timestamp(), -row.id.int),
}


def incident_of(severity: Severity, links: int, minutes: int, changed: int) -> Incident:
    times = {"started_at": ago(minutes=minutes), "last_changed_at": ago(minutes=changed), "announced_at": NOW}
    return Incident(id=uuid7(), severity=severity, title="", affected_link_count=links, **times)


@given(
    keys=st.lists(
        st.tuples(st.sampled_from(Severity), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=12
    ),
    order=st.sampled_from(IncidentOrder),
    sizes=st.lists(st.integers(1, 5), min_size=13, max_size=13),
    back=st.booleans(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_pages_of_any_sizes_in_any_order_are_the_whole_list(
    services: Services, keys: list[Key], order: IncidentOrder, sizes: list[int], *, back: bool
) -> None:
    rows = [incident_of(*key) for key in keys]
    whole = [row.id for row in sorted(rows, key=SORTED[order])]
    async with services.database.write() as session:
        await session.execute(delete(Incident))
        session.add_all(rows)
    listing = build_listing(Context(services, SYSTEM), IncidentFilter(), order)
    found: list[UUID] = []
    here: str | None = None
    for size in sizes:
        window = Window(last=size, before=here) if back else Window(first=size, after=here)

        page = await fetch_page(services.database, listing, window)

        found = [row.id for row in page.rows] + found if back else found + [row.id for row in page.rows]
        more = page.has_previous if back else page.has_next
        assert more == (len(found) < len(whole))
        if not more:
            break
        here = page.cursors[0] if back else page.cursors[-1]
    assert found == whole


async def test_a_list_of_mixed_order_may_be_cut_at_both_ends(services: Services) -> None:
    rows = [incident_of(list(Severity)[number % 3], number % 2, number % 4, 0) for number in range(12)]
    async with services.database.write() as session:
        session.add_all(rows)
    listing = build_listing(Context(services, SYSTEM), IncidentFilter(), IncidentOrder.WORST)
    whole = await fetch_page(services.database, listing, Window(first=20))
    after, before = whole.cursors[2], whole.cursors[9]

    forth = await fetch_page(services.database, listing, Window(first=4, after=after, before=before))
    back = await fetch_page(services.database, listing, Window(last=4, after=after, before=before))

    assert [row.id for row in forth.rows] == [row.id for row in whole.rows[3:7]]
    assert [row.id for row in back.rows] == [row.id for row in whole.rows[5:9]]


async def test_the_incidents_of_many_links_come_in_pages(services: Services, make: Factory) -> None:
    first, second = await make.link(), await make.link()
    rows = [await make.incident(first, second, started_at=ago(minutes=number)) for number in range(5)]
    listing = build_listing_of(CulpritKind.LINK)

    pages = await fetch_pages(services.database, listing, Window(first=2), [first.id, second.id])
    after = pages[0].cursors[-1]
    rest = await fetch_pages(services.database, listing, Window(first=9, after=after), [first.id, second.id])

    assert [[row.id for row in page.rows] for page in pages] == [[row.id for row in rows[:2]]] * 2
    assert [[row.id for row in page.rows] for page in rest] == [[row.id for row in rows[2:]]] * 2


# ---------------------------------------------------------------- following


async def change(services: Services, incident: Incident, *changes: IncidentChange, **columns: Any) -> None:
    """What the server does when something happens to an incident."""
    for one in changes:
        async with services.database.write() as session:
            row = await session.get_one(Incident, incident.id, with_for_update=True)
            for name, value in columns.items():
                setattr(row, name, value)
            record_change(session, row, one, NOW)
            await session.flush()
            await publish_changes(session, [(one, row)])


async def told(socket: Socket) -> tuple[str, str, str]:
    event = (await socket.next())["incidentChanged"]
    return event["change"], event["incident"]["id"], event["cursor"]


async def test_changes_are_told_and_resumed_behind_a_cursor(viewer: Api, make: Factory, services: Services) -> None:
    incident = await make.incident()
    async with viewer.socket() as socket:
        await socket.subscribe(WATCH)
        await change(services, incident, IncidentChange.OPENED, IncidentChange.COMMENTED)
        first, second = await told(socket), await told(socket)
    await change(services, incident, IncidentChange.MITIGATED)

    async with viewer.socket() as socket:
        await socket.subscribe(WATCH, after=first[2])
        again, third = await told(socket), await told(socket)

    assert [one[:2] for one in (first, second, third)] == [
        (name, id_of(incident)) for name in ("OPENED", "COMMENTED", "MITIGATED")
    ]
    assert again == second


async def test_a_subscriber_hears_of_what_passes_the_filter_as_it_was_then(
    viewer: Api, make: Factory, services: Services
) -> None:
    owner, link = await make.user(), await make.link()
    network, satellite = global_id("Network", link.network_id), global_id("Satellite", 1)
    incident = await make.incident(link, severity=Severity.HIGH, snoozed_until=ago(hours=-1))
    passing: list[dict[str, Any]] = [
        {},
        {"severities": ["HIGH"], "statuses": ["OPEN"], "kinds": ["FAULT"]},
        {"within": id_of(link)},
        {"within": network},
        {"within": global_id("Site", link.site_id)},
        {"within": satellite},
        {"unowned": True},
        {"snoozed": True},
        {"startedAfter": iso(incident.started_at), "startedBefore": iso(NOW)},
        {"changedAfter": iso(NOW)},
    ]
    failing = [
        {"severities": ["LOW"]},
        {"statuses": ["RESOLVED"]},
        {"kinds": ["FORECAST"]},
        {"rootCauses": ["RAIN_FADE"]},
        {"within": global_id("Link", 99)},
        {"culprit": network},
        {"owner": id_of(owner)},
        {"unowned": False},
        {"snoozed": False},
        {"startedBefore": iso(incident.started_at)},
        {"endedAfter": iso(ago(days=1))},
        {"historical": True},
    ]
    async with viewer.socket() as socket:
        for number, filter in enumerate([*passing, *failing]):
            await socket.send(
                type="subscribe",
                id=str(number),
                payload={"query": WATCH, "variables": {"filter": filter, "changes": ["COMMENTED"], "after": "0"}},
            )
        await change(services, incident, IncidentChange.UPDATED, IncidentChange.COMMENTED)
        later = {"owner_id": owner.id, "status": IncidentStatus.ACKNOWLEDGED}
        await change(services, incident, IncidentChange.ACKNOWLEDGED, **later)

        heard = [int((await socket.receive())["id"]) for _ in passing]

        assert sorted(heard) == [*range(len(passing))]
        assert await socket.silent()


async def test_nobody_hears_of_what_is_not_announced_or_historical(
    viewer: Api, make: Factory, services: Services
) -> None:
    gathered = await make.incident(announced_at=None)
    imported = await make.incident(is_historical=True)
    async with viewer.socket() as socket:
        await socket.subscribe(WATCH)

        await change(services, gathered, IncidentChange.UPDATED)
        await change(services, imported, IncidentChange.UPDATED)
        await change(services, gathered, IncidentChange.OPENED, announced_at=NOW)

        assert (await told(socket))[:2] == ("OPENED", id_of(gathered))
        assert await socket.silent()
