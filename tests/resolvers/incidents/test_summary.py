"""What an incident says of its anomalies."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import RootCause
from ml.detection.episodes import Severity
from resolvers.context import Services
from resolvers.incidents.summary import refresh_summaries
from resolvers.store.tables.analysis_documents import Pattern
from resolvers.store.tables.core import AnomalyStatus, Link, Site, SiteRole
from resolvers.store.tables.incidents import Incident, IncidentLink
from tests.helpers.support import Factory, ago


async def refresh(services: Services, incident: Incident) -> Incident:
    async with services.database.write() as session:
        row = await session.get_one(Incident, incident.id, with_for_update=True)
        await refresh_summaries(session, [row])
    return row


async def links_of(services: Services, incident: UUID) -> set[int]:
    async with services.database.read() as session:
        return {*await session.scalars(select(IncidentLink.link_id).where(IncidentLink.incident_id == incident))}


def pattern_of(*links: Link, **given: Any) -> Pattern:
    usual: dict[str, Any] = {
        "cause": RootCause.RAIN_FADE,
        "culprit": None,
        "description": "Rain",
        "severity": 0.5,
        "confidence": 0.8,
        "started_at": ago(hours=1),
        "ended_at": None,
        "directions": (Direction.OB,),
        "evidence": (),
        "hypotheses": (),
    }
    return Pattern(**{**usual, "links": tuple(link.id for link in links), **given})


async def links_of_wide_network(make: Factory) -> list[Link]:
    """Two links of a network of twelve: too small a share to make an incident worse."""
    network = await make.network()
    return [await make.link(network=network) for _ in range(12)][:2]


async def test_it_lasts_from_the_first_start_as_long_as_any_anomaly_does(services: Services, make: Factory) -> None:
    incident, (first, second) = await make.incident(severity=Severity.LOW), await links_of_wide_network(make)
    over = {"status": AnomalyStatus.RESOLVED, "incident_id": incident.id}
    await make.anomaly(first, started_at=ago(minutes=50), last_seen_at=ago(minutes=40), severity=Severity.HIGH, **over)
    await make.anomaly(second, started_at=ago(minutes=30), severity=Severity.MEDIUM, incident_id=incident.id)

    row = await refresh(services, incident)

    assert (row.started_at, row.ended_at, row.severity) == (ago(minutes=50), None, Severity.MEDIUM)


async def test_once_over_it_ended_with_the_last_and_was_as_severe_as_the_worst(
    services: Services, make: Factory
) -> None:
    incident, (first, second) = await make.incident(severity=Severity.LOW), await links_of_wide_network(make)
    over = {"status": AnomalyStatus.RESOLVED, "incident_id": incident.id}
    await make.anomaly(first, started_at=ago(hours=3), last_seen_at=ago(hours=2), severity=Severity.HIGH, **over)
    await make.anomaly(second, started_at=ago(hours=2), last_seen_at=ago(hours=1), severity=Severity.LOW, **over)

    row = await refresh(services, incident)

    assert (row.started_at, row.ended_at, row.severity) == (ago(hours=3), ago(hours=1), Severity.HIGH)


async def test_it_is_worse_the_more_of_its_network_it_affects(services: Services, make: Factory) -> None:
    network, incident = await make.network(), await make.incident(severity=Severity.LOW)
    for link in [await make.link(network=network) for _ in range(2)]:
        await make.anomaly(link, severity=Severity.MEDIUM, incident_id=incident.id)

    row = await refresh(services, incident)

    assert row.severity is Severity.CRITICAL


async def test_a_network_s_own_figures_stand_for_its_links_only_where_nothing_names_them(
    services: Services, make: Factory
) -> None:
    network = await make.network()
    one, other = await make.link(network=network), await make.link(network=network)
    named, unnamed = await make.incident(), await make.incident()
    for target, incident in ((network, named), (one, named), (network.hub_id, unnamed)):
        on = target if not isinstance(target, int) else await _site(services, target)
        await make.anomaly(on, incident_id=incident.id)

    rows = [await refresh(services, incident) for incident in (named, unnamed)]

    assert [await links_of(services, row.id) for row in rows] == [{one.id}, {one.id, other.id}]


async def _site(services: Services, id: int) -> Site:
    async with services.database.read() as session:
        return await session.get_one(Site, id)


async def test_it_affects_the_links_of_its_anomalies_and_of_its_pattern_each_once(
    services: Services, make: Factory
) -> None:
    hub, remote = await make.site(SiteRole.HUB), await make.site()
    under_hub, network = await make.network(hub=hub), await make.network()
    links = [await make.link(network=under_hub), await make.link(network=network), await make.link(site=remote)]
    alone, unrelated, former = await make.link(), await make.link(), await make.link()
    incident = await make.incident(former, pattern=pattern_of(alone, links[0]))
    for target in (hub, network, remote, links[0], links[1]):
        await make.anomaly(target, incident_id=incident.id)

    row = await refresh(services, incident)

    affected = await links_of(services, row.id)
    assert affected == {link.id for link in (*links, alone)}
    assert row.affected_link_count == 4
    assert unrelated.id not in affected


async def test_several_are_refreshed_apart_and_one_without_anomalies_keeps_its_times(
    services: Services, make: Factory
) -> None:
    first, second, empty = [await make.incident(severity=Severity.HIGH) for _ in range(3)]
    link = await make.link()
    await make.anomaly(link, started_at=ago(hours=5), incident_id=first.id, severity=Severity.HIGH)
    await make.anomaly(started_at=ago(hours=6), incident_id=second.id, severity=Severity.CRITICAL)

    async with services.database.write() as session:
        rows = [await session.get_one(Incident, row.id) for row in (first, second, empty)]
        await refresh_summaries(session, rows)

    assert [row.started_at for row in rows] == [ago(hours=5), ago(hours=6), empty.started_at]
    assert [row.severity for row in rows] == [Severity.HIGH, Severity.CRITICAL, Severity.HIGH]
    assert [row.affected_link_count for row in rows] == [1, 1, 0]
    assert await links_of(services, first.id) == {link.id}
