"""Analyses of any links together, as an incident asks for them: the window fits, the scope is the links."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from ml.catalogue.metrics import Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.simulation.faults import Variant
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.incidents.explanation import explain_links
from resolvers.root_causes.analyzer import analyze_incident
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import AnomalyStatus, Link, Network, Site
from schema.relay import global_id
from tests.helpers.faulted import BROKEN_REMOTE, DARK_HUB, HUB, NETWORK, NOW_MS, built, fault, numbers, recorded
from tests.helpers.support import Api, Factory, ago, iso

ANALYZE = """mutation ($link: ID!, $until: DateTime) { analyzeLinkBidirectional(link: $link, until: $until) {
  ... on CorrelationAnalysis { windowStart windowEnd } ... on InvalidInput { message } } }"""
OVER = {"ended_at": ago(hours=4), "status": AnomalyStatus.RESOLVED}
SILENT_SITE = fault(RootCause.POWER_OUTAGE, minutes_ago=33, minutes=33, site=1001, variant=Variant.SILENCE)
UNTIL = datetime.fromtimestamp(NOW_MS / 1000 + 1, UTC)


def start_of(fault_ms: int) -> datetime:
    return datetime.fromtimestamp(fault_ms / 1000, UTC)


async def keys_of(services: Services, links: set[int]) -> list[int]:
    async with services.database.read() as session:
        return list(await session.scalars(select(Link.id).where(Link.number.in_(links)).order_by(Link.id)))


async def test_links_of_two_networks_lead_to_their_hub_and_to_all_that_it_serves(services: Services) -> None:
    await built(services)
    await recorded(services, [DARK_HUB])
    two = {min(numbers(number=NETWORK)), min(numbers(hub=HUB) - numbers(number=NETWORK))}

    result = await analyze_incident(services, await keys_of(services, two), start_of(DARK_HUB.start_ms), UNTIL)

    async with services.database.read() as session:
        hub = (await session.scalars(select(Site.id).filter_by(number=HUB))).one()
    assert (result.patterns[0].cause, result.patterns[0].culprit) == (
        RootCause.POWER_OUTAGE,
        Culprit(CulpritKind.SITE, hub),
    )
    assert set(result.patterns[0].links) == set(await keys_of(services, numbers(hub=HUB)))
    assert result.links == 2
    assert result.compared >= 8


async def test_a_site_that_is_silent_is_looked_at_up_to_what_its_neighbours_report(services: Services) -> None:
    await built(services)
    await recorded(services, [SILENT_SITE])
    silent = await keys_of(services, {5001})
    now = replace(services, clock=lambda: UNTIL)

    result = await explain_links(Context(now, SYSTEM), silent, start_of(SILENT_SITE.start_ms))

    assert result is not None
    assert [one.cause for one in result.patterns] == [RootCause.POWER_OUTAGE]


async def test_the_window_begins_a_margin_before_the_incident_and_ends_when_told(services: Services) -> None:
    await built(services)
    await recorded(services, [BROKEN_REMOTE])
    started = start_of(BROKEN_REMOTE.start_ms)

    result = await analyze_incident(services, await keys_of(services, {5001}), started, UNTIL)

    assert result.end == UNTIL
    assert result.start == started - timedelta(minutes=100), "20 samples of 5 minutes"
    assert result.patterns[0].cause is RootCause.REMOTE_EQUIPMENT
    assert result.patterns[0].ended_at is None


async def test_a_fault_of_two_minutes_shows_though_samples_came_every_five_minutes_until_lately(
    services: Services,
) -> None:
    young = fault(RootCause.EQUIPMENT_FAILURE, minutes_ago=2, minutes=5, network=NETWORK)
    await built(services)
    await recorded(services, hours=10, ago_minutes=15)
    await recorded(services, [young], hours=0.24, step_ms=10_000)

    result = await analyze_incident(services, await keys_of(services, {5001}), start_of(young.start_ms), UNTIL)

    async with services.database.read() as session:
        network = (await session.scalars(select(Network.id).filter_by(number=NETWORK))).one()
    assert (result.patterns[0].cause, result.patterns[0].culprit) == (
        RootCause.EQUIPMENT_FAILURE,
        Culprit(CulpritKind.NETWORK, network),
    )
    assert set(result.patterns[0].links) == set(await keys_of(services, numbers(number=NETWORK)))
    assert result.start == start_of(young.start_ms) - timedelta(minutes=15)


async def test_links_that_nobody_measured_and_links_that_are_gone_have_no_patterns(services: Services) -> None:
    await built(services)
    started = start_of(DARK_HUB.start_ms)

    unmeasured = await analyze_incident(services, await keys_of(services, {5001, 5002}), started, UNTIL)
    gone = await analyze_incident(services, [999_999_999], started, UNTIL)

    assert (unmeasured.patterns, unmeasured.links) == (gone.patterns, gone.links) == ((), 0)


# ---------------------------------------------------------------- how far back


async def test_without_a_lookback_the_window_begins_before_the_oldest_open_anomaly_there(
    api: Api, services: Services, make: Factory
) -> None:
    await built(services)
    await recorded(services, hours=10)
    (link,) = await keys_of(services, {5001})
    started, until = ago(hours=3), ago()
    await make.anomaly(kind=TargetKind.LINK, target_id=link, started_at=started)
    await make.anomaly(kind=TargetKind.LINK, target_id=link, direction=Direction.IB, started_at=ago(hours=2))

    window = await window_of(api, link, until)

    assert window == (started - timedelta(minutes=100), until)


async def test_without_a_lookback_and_without_an_open_anomaly_the_window_is_a_day(
    api: Api, services: Services, make: Factory
) -> None:
    await built(services)
    await recorded(services, hours=10)
    link, other = await keys_of(services, {5001, 5002})
    until = ago()
    await make.anomaly(kind=TargetKind.LINK, target_id=other, started_at=ago(hours=3))
    await make.anomaly(
        kind=TargetKind.LINK, target_id=link, started_at=ago(hours=5), ended_at=ago(hours=4), status="RESOLVED"
    )

    assert await window_of(api, link, until) == (until - timedelta(hours=24), until)


async def test_what_was_open_then_counts_for_a_window_of_the_past(api: Api, services: Services, make: Factory) -> None:
    await built(services)
    await recorded(services, hours=10)
    (link,) = await keys_of(services, {5001})
    started, until = ago(hours=5), ago(hours=4.5)
    await make.anomaly(
        kind=TargetKind.LINK, target_id=link, started_at=started, ended_at=ago(hours=4), status="RESOLVED"
    )

    assert await window_of(api, link, until) == (started - timedelta(minutes=100), until)


async def window_of(api: Api, link: int, until: datetime) -> tuple[datetime, datetime]:
    """What the analysis of a link says its window is."""
    operator = await api.as_(Role.OPERATOR)
    answer = (await operator.run(ANALYZE, link=global_id("Link", link), until=iso(until)))["analyzeLinkBidirectional"]
    return datetime.fromisoformat(answer["windowStart"]), datetime.fromisoformat(answer["windowEnd"])
