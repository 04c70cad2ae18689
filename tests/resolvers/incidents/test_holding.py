"""A young network's own figures are often odd: nobody is told before that lasts, or more is odd."""

from typing import Any

import pytest
from sqlalchemy import select

from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.incidents.correlator import correlate, explain_nothing
from resolvers.incidents.holding import NEVER_TOLD
from resolvers.store.tables.core import AnomalyCategory, AuditEntry, Link, Network
from tests.helpers.support import NOW, Api, Factory, ago, sql
from tests.resolvers.incidents.test_correlator import at, changes, incidents

LISTED = "{ incidents { totalCount } }"
DAYS = 86_400.0


@pytest.fixture
async def network(services: Services, make: Factory) -> Network:
    """Of which the server has learned for a day, with a sample each minute."""
    network = await make.network()
    await make.baseline(network, [0.0], [1.0], "")
    await record_learning(services, days=1.0)
    return network


async def record_learning(services: Services, days: float) -> None:
    await sql(services, f"UPDATE streams SET learned_samples = {days} * 1440, learned_seconds = {days * DAYS}")


async def odd(make: Factory, target: Network | Link, **given: Any) -> None:
    times = {"started_at": ago(minutes=10), "last_seen_at": ago(minutes=1), "detected_at": ago(minutes=5)}
    await make.anomaly(target, **(times | given))


async def look(services: Services, minutes: float) -> None:
    await correlate(at(services, minutes=minutes), explain_nothing)


async def test_nobody_is_told_of_what_a_young_network_finds_mildly_odd_of_itself_and_that_ends(
    services: Services, api: Api, make: Factory, network: Network
) -> None:
    await odd(make, network)
    never_told = NEVER_TOLD._value.get()

    await look(services, 0)
    await sql(services, "UPDATE anomalies SET status = 'RESOLVED', ended_at = last_seen_at")
    await look(services, 5)

    [incident] = await incidents(services)
    assert (incident.announced_at, incident.status) == (None, "RESOLVED")
    assert await changes(services) == []
    assert (await (await api.as_(Role.VIEWER)).run(LISTED))["incidents"]["totalCount"] == 0
    assert NEVER_TOLD._value.get() == never_told + 1


async def test_what_lasts_for_an_hour_is_told_as_opened_once(
    services: Services, api: Api, make: Factory, network: Network
) -> None:
    await odd(make, network)

    for minutes in (0, 20, 40):
        await look(services, minutes)
    early = await changes(services)
    for minutes in (51, 52):
        await look(services, minutes)

    assert (early, await changes(services)) == ([], ["OPENED"])
    assert (await (await api.as_(Role.VIEWER)).run(LISTED))["incidents"]["totalCount"] == 1
    async with services.database.read() as session:
        told = list(await session.scalars(select(AuditEntry.details).where(AuditEntry.details.is_not(None))))
    assert [details.split(":")[0].split(",")[0] for details in told] == ["Nobody is told yet", "Told from now on"]


async def test_a_link_of_it_that_joins_is_told_at_once(services: Services, make: Factory, network: Network) -> None:
    link = await make.link(network=network)
    await odd(make, network)
    await look(services, 0)

    await odd(make, link, detected_at=NOW)
    await look(services, 1)

    [incident] = await incidents(services)
    assert incident.announced_at is not None
    assert await changes(services) == ["OPENED"]


@pytest.mark.parametrize(
    "given",
    [{"severity": Severity.HIGH}, {"category": AnomalyCategory.SILENCE}, {"started_at": ago(minutes=70)}],
    ids=["severe", "silent", "lasting"],
)
async def test_what_is_more_than_mild_is_told_at_once(
    services: Services, make: Factory, network: Network, given: dict[str, Any]
) -> None:
    await odd(make, network, **given)

    await look(services, 0)

    assert await changes(services) == ["OPENED"]


async def test_a_network_that_has_learned_for_days_is_told_of_at_once(
    services: Services, make: Factory, network: Network
) -> None:
    await record_learning(services, days=3.0)
    await odd(make, network)

    await look(services, 0)

    assert await changes(services) == ["OPENED"]


async def test_one_that_gets_worse_is_told_then(services: Services, make: Factory, network: Network) -> None:
    await odd(make, network)
    await look(services, 0)

    await sql(services, f"UPDATE anomalies SET severity = {Severity.HIGH.rank}")
    await look(services, 1)

    assert await changes(services) == ["OPENED"]
