"""What late samples do to anomalies, their incidents follow."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from resolvers.context import Services
from resolvers.incidents.correlator import correlate, explain_nothing
from resolvers.store.tables.core import Anomaly, AnomalyStatus, Event, Link
from resolvers.store.tables.incidents import Incident, IncidentStatus
from tests.helpers.support import Factory, ago, sql

RESOLVED = {"status": AnomalyStatus.RESOLVED, "last_seen_at": ago(minutes=8), "ended_at": ago(minutes=8)}
OVER = {"status": IncidentStatus.RESOLVED, "ended_at": ago(minutes=8)}


@pytest.fixture
async def link(make: Factory) -> Link:
    return await make.link()


async def incidents(services: Services) -> dict[UUID, Incident]:
    async with services.database.read() as session:
        return {row.id: row for row in await session.scalars(select(Incident))}


async def incident_of(services: Services, anomaly: Anomaly) -> UUID | None:
    async with services.database.read() as session:
        row: Any = await session.get_one(Anomaly, anomaly.id)
        return row.incident_id  # type: ignore[no-any-return]


async def changes(services: Services) -> list[tuple[str, str]]:
    async with services.database.read() as session:
        events = await session.scalars(select(Event).where(Event.topic == "incident").order_by(Event.id))
        return [(event.change, event.subject) for event in events]


async def join(services: Services, other: Anomaly, first: Anomaly) -> None:
    await sql(
        services,
        f"UPDATE anomalies SET merged_into_id = '{first.id}', status = 'RESOLVED', ended_at = last_seen_at"
        f" WHERE id = '{other.id}'",
    )


async def test_the_incident_of_a_merged_anomaly_is_merged_too(services: Services, make: Factory, link: Link) -> None:
    one, two = await make.incident(link), await make.incident(link)
    first = await make.anomaly(link, incident_id=one.id, started_at=ago(minutes=20))
    other = await make.anomaly(link, incident_id=two.id, **RESOLVED)
    await join(services, other, first)

    await correlate(services, explain_nothing)

    rows = await incidents(services)
    assert (rows[two.id].merged_into_id, rows[one.id].merged_into_id) == (one.id, None)
    assert await incident_of(services, other) == one.id
    assert {("MERGED", str(one.id)), ("MERGED", str(two.id))} <= set(await changes(services))


async def test_the_incident_that_people_work_on_goes_on(services: Services, make: Factory, link: Link) -> None:
    over, live = await make.incident(link, **OVER), await make.incident(link)
    first = await make.anomaly(link, incident_id=over.id, started_at=ago(minutes=20))
    other = await make.anomaly(link, incident_id=live.id, **RESOLVED)
    await join(services, other, first)

    await correlate(services, explain_nothing)

    rows = await incidents(services)
    assert (rows[over.id].merged_into_id, rows[live.id].merged_into_id) == (live.id, None)
    assert await incident_of(services, first) == live.id
    assert (rows[live.id].status, rows[live.id].ended_at) == (IncidentStatus.OPEN, None)


async def test_an_incident_with_other_anomalies_only_loses_the_merged_one(
    services: Services, make: Factory, link: Link
) -> None:
    one, two, neighbour = await make.incident(link), await make.incident(link), await make.link()
    first = await make.anomaly(link, incident_id=one.id, started_at=ago(minutes=20))
    other = await make.anomaly(link, incident_id=two.id, **RESOLVED)
    stays = await make.anomaly(neighbour, incident_id=two.id)
    await join(services, other, first)

    await correlate(services, explain_nothing)

    assert await incident_of(services, other) == one.id
    assert await incident_of(services, stays) == two.id
    assert (await incidents(services))[two.id].merged_into_id is None


async def test_an_incident_whose_anomaly_went_on_after_all_is_reopened(
    services: Services, make: Factory, link: Link
) -> None:
    over = await make.incident(link, **OVER)
    await make.anomaly(link, incident_id=over.id, started_at=ago(minutes=20))

    await correlate(services, explain_nothing)
    await correlate(services, explain_nothing)

    row = (await incidents(services))[over.id]
    assert (row.status, row.ended_at, row.reopened_count) == (IncidentStatus.OPEN, None, 1)
    assert [change for change in await changes(services) if change[0] == "REOPENED"] == [("REOPENED", str(over.id))]


async def test_what_was_merged_or_withdrawn_before_it_had_an_incident_gets_none_of_its_own(
    services: Services, make: Factory, link: Link
) -> None:
    first = await make.anomaly(link, started_at=ago(minutes=20), detected_at=ago(minutes=20))
    await make.anomaly(link, merged_into_id=first.id, **RESOLVED, detected_at=ago(minutes=20))
    await make.anomaly(link, withdrawn_at=ago(minutes=1), **RESOLVED, detected_at=ago(minutes=20))

    await correlate(services, explain_nothing)
    await correlate(services, explain_nothing)

    assert len(await incidents(services)) == 1
