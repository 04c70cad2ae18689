"""Analyses that run by themselves: one for each fault, when anomalies open together, and never in the ingest's way."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from ml.catalogue.metrics import Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.root_causes.worker import analyze_due
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.tables import analysis_documents
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.core import Anomaly, Link, Network, Site, SiteRole
from tests.helpers.faulted import HUB, HUB_FAILURE, built, numbers, recorded
from tests.helpers.support import Api, Factory, ago, id_of, sql

ANOMALIES = """{ anomalies(first: 100) { nodes { status analysis { id } history { action }
  target { ... on Link { number } } } } }"""


async def anomalies(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.run(ANOMALIES))["anomalies"]["nodes"]
    return found


async def analyses(services: Services) -> list[CorrelationAnalysis]:
    async with services.database.read() as session:
        return list(await session.scalars(select(CorrelationAnalysis).order_by(CorrelationAnalysis.id)))


async def failing_hub(services: Services) -> None:
    """Half a day, of which the last hour and a half is one fault of a hub."""
    await built(services)
    await recorded(services, [HUB_FAILURE])


async def test_anomalies_that_open_together_are_analyzed_once(api: Api, services: Services) -> None:
    await failing_hub(services)

    made = [await analyze_due(services), await analyze_due(services)]

    assert made == [1, 0]
    [analysis] = await analyses(services)
    assert analysis.requested_by_id is None
    assert analysis.window_end - analysis.window_start == timedelta(hours=24)
    ongoing = [
        one for one in await anomalies(await api.as_(Role.VIEWER)) if one["target"]["number"] in numbers(hub=HUB)
    ]
    explained = {one["analysis"]["id"] for one in ongoing if one["analysis"]}
    assert explained == {id_of(analysis)}
    assert all(one["analysis"] for one in ongoing if one["status"] == "OPEN")
    assert all("UPDATED: EXPLAINED" in {e["action"] for e in one["history"]} for one in ongoing if one["analysis"])


async def test_the_scope_is_what_the_links_share(services: Services) -> None:
    await failing_hub(services)

    await analyze_due(services)

    [analysis] = await analyses(services)
    async with services.database.read() as session:
        hub = await session.scalar(select(Site.id).where(Site.number == HUB))
    assert (analysis.scope, analysis.target_kind, analysis.target_id) == ("HUB_ANTENNA", "SITE", hub)


async def blamed(services: Services, kind: CulpritKind, key: int, scope: str, **also: Any) -> CorrelationAnalysis:
    """An analysis that ran by itself a minute ago, and found this culprit."""
    culprit = analysis_documents.Culprit(kind, key, also.pop("transponder", None))
    during = (ago(hours=2), also.pop("ended_at", None))
    pattern = analysis_documents.Pattern(
        RootCause.UNKNOWN, culprit, "Something.", 0.5, 0.9, *during, (), (Direction.OB,), (), ()
    )
    about = {"target_kind": also.pop("target", None), "target_id": key, "satellite_id": None, **also}
    async with services.database.write() as session:
        row = CorrelationAnalysis(
            scope=scope,
            window_start=ago(hours=24),
            window_end=ago(),
            created_at=ago(minutes=1),
            patterns=(pattern,),
            correlation_score=0.9,
            links_analyzed=3,
            links_compared=4,
            duration_ms=12.0,
            model_version="1.0.0",
            **about,
        )
        session.add(row)
    return row


async def explanations(services: Services, rows: list[Anomaly]) -> list[Any]:
    async with services.database.read() as session:
        query = select(Anomaly.analysis_id).where(Anomaly.id.in_([one.id for one in rows])).order_by(Anomaly.id)
        return list(await session.scalars(query))


async def test_later_anomalies_of_the_fault_belong_to_its_analysis(services: Services, make: Factory) -> None:
    hub = await make.site(SiteRole.HUB)
    network, elsewhere = await make.network(hub=hub), await make.network()
    analysis = await blamed(services, CulpritKind.SITE, hub.id, "HUB_ANTENNA", target=TargetKind.SITE)
    targets = [await make.link(network=network), await make.link(network=network), network, hub, elsewhere]
    later = [await make.anomaly(target) for target in targets]

    made = await analyze_due(services)

    assert made == 0
    assert await explanations(services, later) == [analysis.id] * 4 + [None]


async def test_a_transponder_s_fault_is_not_that_of_the_satellite_s_others(services: Services, make: Factory) -> None:
    satellite = await make.satellite()
    networks = [await make.network(satellite=satellite) for _ in range(2)]
    await sql(services, f"UPDATE networks SET transponder = 'KU-01' WHERE id = {networks[0].id}")
    of = {"transponder": "KU-01", "target_id": None, "satellite_id": satellite.id}
    analysis = await blamed(services, CulpritKind.SATELLITE, satellite.id, "SATELLITE", **of)
    later = [await make.anomaly(await make.link(network=network)) for network in networks]

    await analyze_due(services)

    assert await explanations(services, later) == [analysis.id, None]


async def test_what_was_over_before_explains_nothing(services: Services, make: Factory) -> None:
    network = await make.network()
    await blamed(services, CulpritKind.NETWORK, network.id, "NETWORK", target=TargetKind.NETWORK, ended_at=ago(hours=1))
    later = await make.anomaly(await make.link(network=network))

    await analyze_due(services)

    assert await explanations(services, [later]) == [None]


async def test_after_half_an_hour_it_is_another_fault(services: Services, make: Factory) -> None:
    network = await make.network()
    await blamed(services, CulpritKind.NETWORK, network.id, "NETWORK", target=TargetKind.NETWORK)
    await sql(services, "UPDATE correlation_analyses SET created_at = now() - interval '31 minutes'")
    later = await make.anomaly(await make.link(network=network))

    await analyze_due(services)

    assert await explanations(services, [later]) == [None]


async def test_an_analysis_that_somebody_asked_for_is_not_attached(services: Services, make: Factory) -> None:
    network, operator = await make.network(), await make.user(Role.OPERATOR)
    target = {"target": TargetKind.NETWORK, "requested_by_id": operator.id}
    await blamed(services, CulpritKind.NETWORK, network.id, "NETWORK", **target)
    later = await make.anomaly(await make.link(network=network))

    await analyze_due(services)

    assert await explanations(services, [later]) == [None]


async def test_a_single_link_is_not_analyzed(services: Services, make: Factory) -> None:
    await built(services)
    await recorded(services, hours=3)
    await sql(services, "DELETE FROM anomalies")
    async with services.database.read() as session:
        link = await session.scalar(select(Link).limit(1))
    await make.anomaly(link)

    assert await analyze_due(services) == 0


async def test_what_began_long_ago_or_opened_long_ago_is_let_be(services: Services, make: Factory) -> None:
    network = await make.network()
    for when in ({"started_at": ago(hours=5)}, {"detected_at": ago(minutes=20)}):
        for _ in range(3):
            await make.anomaly(await make.link(network=network), **when)

    assert await analyze_due(services) == 0


async def test_links_without_samples_are_no_reason_to_fail(services: Services, make: Factory) -> None:
    network = await make.network()
    for _ in range(3):
        await make.anomaly(await make.link(network=network))

    assert await analyze_due(services) == 0
    assert await analyses(services) == []


async def test_an_analysis_that_finds_nothing_is_not_attached_nor_made_again_at_once(
    api: Api, services: Services, make: Factory
) -> None:
    await built(services)
    await recorded(services)
    await sql(services, "UPDATE streams SET anomaly_id = NULL", "DELETE FROM anomalies")
    async with services.database.read() as session:
        links = list(await session.scalars(select(Link).join(Network).where(Network.number == 101)))
    for link in links[:3]:
        await make.anomaly(link)

    made = [await analyze_due(services), await analyze_due(services)]

    [analysis] = await analyses(services)
    assert (made, analysis.scope, analysis.patterns) == ([1, 0], "NETWORK", ())
    assert {one["analysis"] for one in await anomalies(await api.as_(Role.VIEWER))} == {None}


@pytest.mark.parametrize(
    ("shared", "links", "scope"),
    [
        ("network", 2, "NETWORK"),
        ("hub", 2, "HUB_ANTENNA"),
        ("satellite", 3, "SATELLITE"),
        ("satellite", 2, None),
        ("nothing", 5, None),
    ],
)
async def test_what_is_related(services: Services, make: Factory, shared: str, links: int, scope: str | None) -> None:
    asked: list[str] = []

    async def run(_context: Any, wanted: Any) -> None:
        asked.append(wanted.kind)

    network, hub, satellite = await make.network(), await make.site(SiteRole.HUB), await make.satellite()
    for number in range(links):
        own = {
            "network": lambda: network,
            "hub": lambda: make.network(hub=hub),
            "satellite": lambda: make.network(satellite=satellite),
            "nothing": make.network,
        }[shared]()
        on = own if isinstance(own, Network) else await own
        await sql(services, f"UPDATE networks SET transponder = 'T{number}' WHERE id = {on.id}")
        await make.anomaly(await make.link(network=on))

    await analyze_due(services, run)

    assert asked == ([scope] if scope else [])


async def test_two_links_on_a_transponder_are_related_whatever_their_hubs(services: Services, make: Factory) -> None:
    asked: list[Any] = []

    async def run(_context: Any, wanted: Any) -> None:
        asked.append(wanted)

    satellite = await make.satellite()
    for _ in range(2):
        network = await make.network(satellite=satellite)
        await sql(services, f"UPDATE networks SET transponder = 'KU-01' WHERE id = {network.id}")
        await make.anomaly(await make.link(network=network))

    await analyze_due(services, run)

    assert [(scope.kind, scope.key) for scope in asked] == [("SATELLITE", satellite.id)]


async def test_who_follows_anomalies_hears_of_the_analysis(api: Api, services: Services) -> None:
    await failing_hub(services)
    viewer = await api.as_(Role.VIEWER)
    document = "subscription { anomalyDetected(changes: [UPDATED]) { anomaly { analysis { scope } } } }"
    async with viewer.socket() as socket:
        await socket.subscribe(document)

        await analyze_due(services)

        assert (await socket.next())["anomalyDetected"]["anomaly"] == {"analysis": {"scope": "HUB_ANTENNA"}}


async def test_only_one_process_analyzes_at_a_time(services: Services) -> None:
    await failing_hub(services)
    async with services.database.connection() as other:
        await other.execute(select(func.pg_advisory_lock(int(AdvisoryLock.AUTOMATIC_ANALYSES))))

        refused = await analyze_due(services)
        await other.execute(select(func.pg_advisory_unlock(int(AdvisoryLock.AUTOMATIC_ANALYSES))))

    assert (refused, await analyze_due(services)) == (0, 1)


async def test_samples_are_recorded_while_it_analyzes(services: Services) -> None:
    await failing_hub(services)

    made, again = await asyncio.gather(analyze_due(services), recorded(services, [HUB_FAILURE], hours=1, seed=2))

    assert (made, again.rejected_count) == (1, 0)


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_server_does_it_unless_told_otherwise(
    server: Any, services: Services, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    monkeypatch.setattr("resolvers.root_causes.worker.SETTLE_SECONDS", 0.05)
    await built(services)
    async with server(automatic_analyses=wanted) as api:
        await recorded(services, [HUB_FAILURE])
        made: list[CorrelationAnalysis] = []
        deadline = asyncio.get_running_loop().time() + (10 if wanted else 1)
        while not made and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
            made = await analyses(api.services)

    assert bool(made) is wanted
