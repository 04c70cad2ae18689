"""Analyses of any links together, as an incident asks for them: the window fits, the scope is the links."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from ml.catalogue.root_causes import CulpritKind, RootCause
from resolvers.context import Services
from resolvers.root_causes.analyzer import analyze_incident
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import Link, Site
from tests.helpers.faulted import BROKEN_REMOTE, DARK_HUB, HUB, NETWORK, NOW_MS, built, numbers, recorded

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


async def test_the_window_begins_a_margin_before_the_incident_and_ends_when_told(services: Services) -> None:
    await built(services)
    await recorded(services, [BROKEN_REMOTE])
    started = start_of(BROKEN_REMOTE.start_ms)

    result = await analyze_incident(services, await keys_of(services, {5001}), started, UNTIL)

    assert result.end == UNTIL
    assert result.start == started - timedelta(minutes=100), "20 samples of 5 minutes"
    assert result.patterns[0].cause is RootCause.REMOTE_EQUIPMENT
    assert result.patterns[0].ended_at is None


async def test_links_that_nobody_measured_and_links_that_are_gone_have_no_patterns(services: Services) -> None:
    await built(services)
    started = start_of(DARK_HUB.start_ms)

    unmeasured = await analyze_incident(services, await keys_of(services, {5001, 5002}), started, UNTIL)
    gone = await analyze_incident(services, [999_999_999], started, UNTIL)

    assert (unmeasured.patterns, unmeasured.links) == (gone.patterns, gone.links) == ((), 0)
