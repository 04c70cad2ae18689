"""What users of other products reported about incidents, tried on ours. Each test names the report.

The reports are public issues on GitHub; only what they describe is taken from them.
"""

import asyncio
from datetime import timedelta

import pytest

from ml.catalogue.root_causes import CulpritKind
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.incidents.correlator import correlate
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import AnomalyStatus, Link, Network
from resolvers.store.tables.incidents import IncidentStatus
from tests.helpers.support import NOW, Api, Factory, ago, id_of, iso, sql
from tests.resolvers.incidents.acts import act, merge
from tests.resolvers.incidents.test_correlator import Explanations, at, changes, incidents, pattern

SNOOZED = "query ($snoozed: Boolean) { incidents(filter: { snoozed: $snoozed }) { totalCount } }"
END_ALL = "UPDATE anomalies SET status = 'RESOLVED', ended_at = last_seen_at WHERE ended_at IS NULL"


@pytest.fixture
async def network(make: Factory) -> Network:
    return await make.network()


@pytest.fixture
async def links(make: Factory, network: Network) -> list[Link]:
    return [await make.link(network=network) for _ in range(4)]


async def test_what_somebody_resolved_is_not_resolved_again(api: Api, services: Services, make: Factory) -> None:
    """rajnandan1/kener#370: resolved by hand, then once more when the monitor is up again."""
    await make.anomaly(detected_at=NOW)
    await correlate(at(services, seconds=30), Explanations())
    await act(await api.as_(Role.OPERATOR), "resolve", (await incidents(services))[0])

    await correlate(at(services, minutes=10), Explanations())

    assert await changes(services) == ["OPENED", "RESOLVED"]


async def test_a_flapping_fault_makes_one_incident(services: Services, make: Factory, links: list[Link]) -> None:
    """roxy-wi/IncidentRelay#84: a flapping alert makes a huge number of incidents."""
    for minutes in range(0, 60, 10):
        begin = NOW + timedelta(minutes=minutes)
        times = {"started_at": begin, "last_seen_at": begin + timedelta(minutes=1), "detected_at": begin}
        await make.anomaly(links[0], **times)
        await correlate(at(services, minutes=minutes + 2), Explanations())
        await sql(services, END_ALL)
        await correlate(at(services, minutes=minutes + 6), Explanations())

    [incident] = await incidents(services)
    assert (incident.status, incident.reopened_count) == (IncidentStatus.RESOLVED, 5)


async def test_what_becomes_less_severe_is_not_over(services: Services, make: Factory, links: list[Link]) -> None:
    """getsentry/sentry#27161: "resolved" is sent when it falls from critical to warning, and again when it ends."""
    worse = await make.anomaly(links[0], severity=Severity.CRITICAL, detected_at=NOW)
    await make.anomaly(links[0], direction="IB", severity=Severity.LOW, detected_at=NOW)
    await correlate(at(services, seconds=30), Explanations())
    await sql(services, f"{END_ALL} AND id = '{worse.id}'")

    await correlate(at(services, minutes=10), Explanations())
    between = await changes(services)
    await sql(services, END_ALL)
    await correlate(at(services, minutes=20), Explanations())

    assert between.count("RESOLVED") == 0
    assert (await changes(services)).count("RESOLVED") == 1


async def test_it_lasts_until_the_last_of_its_links_is_well(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    """alertmixer/amixr#7: the first of several grouped alerts that resolves, resolves all."""
    explain = Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id)))
    hit = [await make.anomaly(link, detected_at=NOW) for link in links]
    await correlate(at(services, seconds=30), explain)

    seen = []
    for number, anomaly in enumerate(hit):
        await sql(services, f"{END_ALL} AND id = '{anomaly.id}'")
        await correlate(at(services, minutes=10 + 5 * number), explain)
        seen.append((await incidents(services))[0].status)

    assert seen == [IncidentStatus.OPEN] * 3 + [IncidentStatus.RESOLVED]


async def test_what_is_behind_the_culprit_is_one_row(services: Services, make: Factory, network: Network) -> None:
    """OneUptime/oneuptime#3021: a router is offline, and thirteen rows say so."""
    behind = [await make.link(network=network) for _ in range(12)]
    for target in (network, *behind):
        await make.anomaly(target, detected_at=NOW)

    explain = Explanations(pattern(behind, Culprit(CulpritKind.NETWORK, network.id)))
    await correlate(at(services, seconds=30), explain)

    [incident] = await incidents(services)
    assert incident.affected_link_count == 12


async def test_two_monitors_of_one_device_are_one_incident(services: Services, make: Factory) -> None:
    """OneUptime/oneuptime#3022: the ping and the API check of a device alert independently."""
    remote = await make.site()
    link = await make.link(site=remote)
    for target in (link, remote):
        await make.anomaly(target, detected_at=NOW)

    await correlate(at(services, seconds=30), Explanations())

    assert len(await incidents(services)) == 1


async def test_what_shares_nothing_is_never_grouped(services: Services, make: Factory) -> None:
    """2i2c-org/infrastructure#6340: alerts of several namespaces are grouped where they should not be."""
    for _ in range(3):
        await make.anomaly(await make.link(), detected_at=NOW)

    await correlate(at(services, seconds=30), Explanations())

    assert len(await incidents(services)) == 3


async def test_two_callers_at_once_make_no_second_group(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    """catapult-project/catapult#3567: grouping is not transactional, alerts of a short window make new groups."""
    explain = Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id)))

    async def alarm_and_correlate(link: Link) -> None:
        await make.anomaly(link, detected_at=NOW)
        await correlate(at(services, seconds=30), explain)

    await asyncio.gather(*map(alarm_and_correlate, links))
    await correlate(at(services, seconds=60), explain)

    assert [incident.affected_link_count for incident in await incidents(services)] == [4]


async def test_what_follows_while_it_is_open_is_told(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    """2i2c-org/infrastructure#7520: while an alert is open, further events are silenced."""
    explain = Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id)))
    for minutes, link in enumerate(links):
        await make.anomaly(link, detected_at=NOW + timedelta(minutes=minutes))
        await correlate(at(services, minutes=minutes, seconds=30), explain)

    assert await changes(services) == ["OPENED", "UPDATED", "UPDATED", "UPDATED"]


async def test_what_nobody_acknowledged_can_be_snoozed(api: Api, make: Factory) -> None:
    """mbovo/pdh#14: snoozing an incident that is not acknowledged does not work."""
    answer = await act(await api.as_(Role.OPERATOR), "snooze", await make.incident(), until=iso(ago(hours=-1)))

    assert (answer["__typename"], answer["status"]) == ("Incident", "OPEN")


async def test_a_snooze_ends_by_itself(api: Api, make: Factory) -> None:
    """getsentry/sentry#116651: a mute has no end, is forgotten, and stays off silently."""
    await make.incident(snoozed_until=ago(hours=-1))
    await make.incident(snoozed_until=ago(seconds=1))
    viewer = await api.as_(Role.VIEWER)

    counts = [(await viewer.run(SNOOZED, snoozed=snoozed))["incidents"]["totalCount"] for snoozed in (True, False)]

    assert counts == [1, 1]


async def test_what_was_merged_by_mistake_is_split_again(
    api: Api, services: Services, make: Factory, links: list[Link]
) -> None:
    """2i2c-org/infrastructure#6340: "It looks like you cannot unmerge them afterwards"."""
    operator = await api.as_(Role.OPERATOR)
    first, second = await make.incident(), await make.incident()
    await make.anomaly(links[0], incident_id=first.id)
    stray = await make.anomaly(links[1], incident_id=second.id, status=AnomalyStatus.OPEN)
    await merge(operator, first, second)

    document = """mutation ($id: ID!, $anomalies: [ID!]!) { splitIncident(id: $id, anomalies: $anomalies) {
      ... on Incident { status anomalies { nodes { id } } } } }"""
    answer = await operator.run(document, id=id_of(first), anomalies=[id_of(stray)])

    assert answer["splitIncident"] == {"status": "OPEN", "anomalies": {"nodes": [{"id": id_of(stray)}]}}
