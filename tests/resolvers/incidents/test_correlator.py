"""One incident per fault: whatever the number of its anomalies, of processes, and of rounds that fail."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.detection.silence import CollectorKind
from resolvers.base.access import SYSTEM
from resolvers.context import Context, Services
from resolvers.incidents.correlator import FAILED_ANALYSES, correlate
from resolvers.incidents.evidence import load_members, load_new
from resolvers.incidents.keeping import apply_plan, close_ended, file_historical
from resolvers.incidents.plan import Change, LiveIncident, Plan
from resolvers.root_causes.analyzer import AnalysisResult
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.core import Anomaly, AnomalyCategory, AnomalyStatus, AuditEntry, Event, Link, Network, Site
from resolvers.store.tables.incidents import Incident, IncidentLink, IncidentStatus
from tests.helpers.faulted import HUB, HUB_FAILURE, built, numbers, recorded
from tests.helpers.support import NOW, Factory, ago, sql


class Explanations:
    """Stands in for the analysis: says what a test wants to be found, and counts how often it was asked."""

    def __init__(self, *patterns: Pattern) -> None:
        self.patterns, self.asked = patterns, list[list[int]]()

    async def __call__(self, context: Context, links: Sequence[int], started_at: datetime) -> AnalysisResult:
        self.asked.append(list(links))
        return AnalysisResult(self.patterns, 0.9, len(links), 3, "1.0.0", started_at, context.now)


def pattern(links: Sequence[Link], culprit: Culprit, **given: Any) -> Pattern:
    values = {
        "cause": RootCause.EQUIPMENT_FAILURE,
        "culprit": culprit,
        "description": "Something.",
        "severity": 0.8,
        "confidence": 0.9,
        "started_at": ago(minutes=10),
        "ended_at": None,
        "links": tuple(link.id for link in links),
        "directions": (Direction.OB,),
        "evidence": (),
        "hypotheses": (),
    }
    return Pattern(**(values | given))


def at(services: Services, **later: float) -> Services:
    """The same services, so much later."""
    return replace(services, clock=lambda: NOW + timedelta(**later))


async def incidents(services: Services) -> list[Incident]:
    async with services.database.read() as session:
        return list(await session.scalars(select(Incident).order_by(Incident.id)))


async def members(services: Services) -> dict[Any, list[int]]:
    """The links with anomalies, by incident."""
    async with services.database.read() as session:
        rows = await session.execute(select(Anomaly.incident_id, Anomaly.target_id).order_by(Anomaly.target_id))
        found: dict[Any, list[int]] = {}
        for incident, target in rows:
            found.setdefault(incident, []).append(target)
        return found


async def changes(services: Services) -> list[str]:
    async with services.database.read() as session:
        return list(await session.scalars(select(Event.change).where(Event.topic == "incident").order_by(Event.id)))


@pytest.fixture
async def network(make: Factory) -> Network:
    return await make.network()


@pytest.fixture
async def links(make: Factory, network: Network) -> list[Link]:
    return [await make.link(network=network) for _ in range(4)]


async def test_a_hub_failure_is_one_incident_with_cause_and_culprit(services: Services) -> None:
    await built(services)
    await recorded(services, [HUB_FAILURE])
    await sql(services, "UPDATE anomalies SET is_historical = false")

    await correlate(services)

    async with services.database.read() as session:
        hit = select(Link.id).where(Link.number.in_(numbers(hub=HUB)))
        of_fault = select(Anomaly.incident_id).where(Anomaly.target_id.in_(hit), Anomaly.started_at >= ago(minutes=95))
        counted = of_fault.group_by(Anomaly.incident_id).order_by(func.count().desc()).limit(1)
        incident = await session.get_one(Incident, await session.scalar(counted))
        affected = await session.scalar(select(func.count()).where(IncidentLink.incident_id == incident.id))
    assert incident.root_cause is RootCause.EQUIPMENT_FAILURE
    assert incident.culprit_kind in {CulpritKind.SITE, CulpritKind.NETWORK}
    assert (incident.status, incident.ended_at, incident.analysis_id is None) == ("OPEN", None, False)
    assert incident.affected_link_count == affected == len(numbers(hub=HUB))
    assert incident.title.startswith("Hub chain failure: ")


async def test_related_anomalies_are_gathered_before_anybody_is_told(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    for link in links:  # all around report, but have not yet since it began
        await make.baseline(link, [0.0], [1.0], "OB")
    await sql(services, f"UPDATE streams SET last_at = '{ago(minutes=30)}'")
    await make.anomaly(links[0], started_at=ago(minutes=1), detected_at=NOW)
    explain = Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id)))

    early = [await correlate(at(services, seconds=5), explain)]
    await make.anomaly(links[1], started_at=ago(minutes=1), detected_at=NOW + timedelta(seconds=6))
    late = [await correlate(at(services, seconds=seconds), explain) for seconds in (10, 21)]

    assert (early, late) == ([0], [0, 2])
    assert len(await incidents(services)) == 1
    assert await changes(services) == ["OPENED"]


async def test_a_lone_target_s_incident_is_told_at_once(services: Services, make: Factory, links: list[Link]) -> None:
    for link in links:
        await make.baseline(link, [0.0], [1.0], "OB")
    await sql(services, f"UPDATE streams SET last_at = '{NOW}'")
    await make.anomaly(links[0], last_seen_at=ago(seconds=30), detected_at=NOW)

    done = await correlate(at(services, seconds=1), Explanations())

    [incident] = await incidents(services)
    assert (done, incident.root_cause, incident.affected_link_count) == (1, None, 1)
    assert links[0].name in incident.title


async def test_late_anomalies_of_the_fault_join(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    explain = Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id)))
    await make.anomaly(links[0], detected_at=NOW)
    await correlate(at(services, seconds=30), explain)
    await make.anomaly(links[1], detected_at=NOW + timedelta(minutes=4))

    await correlate(at(services, minutes=5), explain)

    assert list((await members(services)).values()) == [[links[0].id, links[1].id]]
    assert await changes(services) == ["OPENED", "UPDATED"]


async def test_an_analysis_for_a_late_anomaly_begins_before_the_fault(
    services: Services, make: Factory, links: list[Link]
) -> None:
    since = list[datetime]()

    async def explain(context: Context, links: Sequence[int], started_at: datetime) -> AnalysisResult | None:
        since.append(started_at)
        return None

    await make.anomaly(links[0], started_at=ago(minutes=50), detected_at=ago(minutes=49))
    await correlate(at(services, minutes=-48), explain)
    await make.anomaly(links[1], started_at=ago(minutes=1), detected_at=ago(minutes=1))
    await correlate(services, explain)

    assert since == [ago(minutes=50), ago(minutes=50)]


async def test_an_incident_is_looked_at_four_times_within_its_first_minute(
    services: Services, make: Factory, links: list[Link]
) -> None:
    explain = Explanations()
    await make.anomaly(links[0], detected_at=ago(minutes=1))

    for seconds in range(0, 62, 2):
        await correlate(at(services, seconds=seconds), explain)

    assert len(explain.asked) == 4


async def test_two_incidents_that_turn_out_to_be_one_fault_are_merged(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    for link in links[:2]:
        await make.anomaly(link, detected_at=NOW)
    await correlate(at(services, seconds=30), Explanations())
    assert len(await incidents(services)) == 2

    await correlate(at(services, minutes=1), Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id))))

    first, second = await incidents(services)
    survivor, loser = (first, second) if second.merged_into_id else (second, first)
    assert (loser.merged_into_id, loser.status) == (survivor.id, IncidentStatus.RESOLVED)
    assert await members(services) == {survivor.id: [links[0].id, links[1].id]}
    assert (await changes(services)).count("MERGED") == 2  # each of them tells of it


async def test_an_incident_ends_with_its_anomalies_and_reopens_when_they_come_back(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    explain = Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id)))
    ended = {"status": AnomalyStatus.RESOLVED, "last_seen_at": ago(minutes=1), "ended_at": ago(minutes=1)}
    await make.anomaly(links[0], detected_at=ago(minutes=5), **ended)
    await correlate(at(services, seconds=1), explain)
    assert [one.status for one in await incidents(services)] == [IncidentStatus.OPEN]  # it may only draw breath
    await correlate(at(services, minutes=3), explain)
    assert [one.status for one in await incidents(services)] == [IncidentStatus.RESOLVED]
    await make.anomaly(links[0], started_at=NOW + timedelta(minutes=9), detected_at=NOW + timedelta(minutes=9))

    await correlate(at(services, minutes=10), explain)

    [incident] = await incidents(services)
    assert (incident.status, incident.ended_at, incident.reopened_count) == (IncidentStatus.OPEN, None, 1)
    assert (await changes(services))[-2:] == ["RESOLVED", "REOPENED"]


async def test_ending_many_incidents_takes_as_many_statements_as_ending_one(
    services: Services, make: Factory, statements: list[str]
) -> None:
    context, counts = Context(at(services, minutes=10), SYSTEM), list[int]()
    for number in (1, 6):
        for _ in range(number):
            incident = await make.incident()
            await make.anomaly(incident_id=incident.id, status=AnomalyStatus.RESOLVED, ended_at=NOW)
        statements.clear()

        assert await close_ended(context) == number

        counts.append(len(statements))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("cause", "number"), [(RootCause.BLOCKAGE, 1), (RootCause.REMOTE_EQUIPMENT, 2)])
async def test_what_comes_and_goes_by_its_nature_may_take_longer_to_come_back(
    services: Services, make: Factory, links: list[Link], cause: RootCause, number: int
) -> None:
    hidden = pattern(links[:1], Culprit(CulpritKind.SITE, links[0].site_id), cause=cause, started_at=ago(minutes=60))
    ended = {"ended_at": ago(minutes=50), "status": AnomalyStatus.RESOLVED}
    await make.anomaly(links[0], started_at=ago(minutes=60), detected_at=ago(minutes=60), **ended)
    await correlate(at(services, minutes=-45), Explanations(hidden))
    await correlate(at(services, minutes=-40), Explanations(hidden))
    await make.anomaly(links[0], started_at=ago(minutes=15), detected_at=ago(minutes=15))

    await correlate(at(services, minutes=-14), Explanations(replace(hidden, started_at=ago(minutes=15))))

    assert len(await incidents(services)) == number


async def test_long_after_its_end_it_is_another_incident(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    explain = Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id)))
    await make.anomaly(links[0], status=AnomalyStatus.RESOLVED, detected_at=ago(minutes=5))
    await correlate(services, explain)
    await correlate(at(services, minutes=5), explain)
    later = NOW + timedelta(minutes=25)
    await make.anomaly(links[0], started_at=later, last_seen_at=later, detected_at=later)

    await correlate(at(services, minutes=26), explain)

    assert len(await incidents(services)) == 2


async def test_severity_rises_with_its_anomalies(services: Services, make: Factory, links: list[Link]) -> None:
    await make.anomaly(links[0], severity=Severity.LOW, detected_at=NOW)
    await correlate(at(services, seconds=30), Explanations())
    await sql(services, f"UPDATE anomalies SET severity = {Severity.CRITICAL.rank}")

    await correlate(at(services, seconds=31), Explanations())

    [incident] = await incidents(services)
    assert incident.severity is Severity.CRITICAL
    assert await changes(services) == ["OPENED", "UPDATED"]


async def test_what_gets_worse_is_no_longer_snoozed(services: Services, make: Factory, links: list[Link]) -> None:
    await make.anomaly(links[0], severity=Severity.LOW, detected_at=NOW)
    await make.anomaly(links[1], severity=Severity.HIGH, detected_at=NOW)
    await correlate(at(services, seconds=30), Explanations())
    await sql(services, f"UPDATE incidents SET snoozed_until = '{NOW + timedelta(hours=2)}'")
    await sql(services, f"UPDATE anomalies SET severity = {Severity.CRITICAL.rank} WHERE severity = 0")
    ended = f"status = 'RESOLVED', ended_at = '{NOW}', last_seen_at = '{NOW}'"
    await sql(services, f"UPDATE anomalies SET {ended} WHERE severity = {Severity.HIGH.rank}")

    await correlate(at(services, seconds=31), Explanations())

    worse, over = await incidents(services)
    assert (worse.severity, worse.snoozed_until) == (Severity.CRITICAL, None)
    assert over.snoozed_until is not None
    async with services.database.read() as session:
        details = await session.scalars(select(AuditEntry.details).where(AuditEntry.subject_id == worse.id))
    assert "It became more severe, and is no longer snoozed." in list(details)


async def test_a_doubtful_explanation_names_nobody(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    doubtful = pattern(links, Culprit(CulpritKind.NETWORK, network.id), confidence=0.2)
    await make.anomaly(links[0], detected_at=NOW)

    await correlate(at(services, seconds=30), Explanations(doubtful))

    [incident] = await incidents(services)
    assert (incident.root_cause, incident.culprit_id, incident.confidence) == (None, None, 0.2)


async def test_imported_history_becomes_closed_incidents_of_which_nobody_is_told(
    services: Services, make: Factory, links: list[Link]
) -> None:
    over = {"status": AnomalyStatus.RESOLVED, "is_historical": True}
    for hours in (50, 40):
        for link in links[:2]:
            begin, end = ago(hours=hours), ago(hours=hours - 1)
            await make.anomaly(link, started_at=begin, last_seen_at=end, ended_at=end, **over)

    await correlate(services, Explanations())

    found = await incidents(services)
    assert [(one.status, one.is_historical, one.affected_link_count) for one in found] == [("RESOLVED", True, 2)] * 2
    assert [one.announced_at for one in found] == [None, None]
    assert await changes(services) == []


async def test_what_a_hub_measured_of_itself_in_history_is_no_incident_of_its_own(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    async with services.database.read() as session:
        hub = await session.get_one(Site, network.hub_id)
    over = {"status": AnomalyStatus.RESOLVED, "is_historical": True, "started_at": ago(hours=9)}
    for target in (*links, hub):
        await make.anomaly(target, last_seen_at=ago(hours=8), ended_at=ago(hours=8), **over)

    await correlate(services, Explanations())

    [incident] = await incidents(services)
    assert incident.title == f"4 links of {network.name} degraded, cause not known"


async def test_a_round_that_fails_leaves_nothing_half_done(
    services: Services, make: Factory, links: list[Link]
) -> None:
    async def stop(_context: Context, _links: Sequence[int], _started_at: datetime) -> AnalysisResult | None:
        raise asyncio.CancelledError

    await make.anomaly(links[0], detected_at=NOW)
    with pytest.raises(asyncio.CancelledError):
        await correlate(at(services, seconds=30), stop)
    before = await incidents(services)

    await correlate(at(services, seconds=31), Explanations())

    assert (before, len(await incidents(services))) == ([], 1)


async def test_people_are_told_though_the_analysis_fails(services: Services, make: Factory, links: list[Link]) -> None:
    async def fail(_context: Context, _links: Sequence[int], _started_at: datetime) -> AnalysisResult | None:
        raise ValueError("operands could not be broadcast together")

    await make.anomaly(links[0], detected_at=NOW)
    failed = FAILED_ANALYSES._value.get()

    await correlate(at(services, seconds=30), fail)

    [incident] = await incidents(services)
    assert (incident.status, incident.root_cause, await changes(services)) == ("OPEN", None, ["OPENED"])
    assert incident.due_at is not None  # the analysis is tried again
    assert FAILED_ANALYSES._value.get() == failed + 1


async def test_what_cannot_be_settled_holds_up_nothing_else(services: Services, make: Factory) -> None:
    first, second, over = [await make.link(network=await make.network()) for _ in range(3)]
    await make.anomaly(over, status=AnomalyStatus.RESOLVED, detected_at=ago(minutes=9), ended_at=ago(minutes=8))
    await correlate(services, Explanations())
    for link in (first, second):
        await make.anomaly(link, detected_at=NOW)
    await sql(services, f"ALTER TABLE anomalies ADD CHECK (target_id <> {first.id} OR incident_id IS NULL)")

    with pytest.raises(IntegrityError):
        await correlate(at(services, seconds=30), Explanations())

    told = {one.id: one.status for one in await incidents(services)}
    assert {told.get(id): links for id, links in (await members(services)).items()} == {
        None: [first.id],
        IncidentStatus.OPEN: [second.id],
        IncidentStatus.RESOLVED: [over.id],
    }


async def test_who_lost_the_lock_meanwhile_makes_no_second_incident(
    services: Services, make: Factory, links: list[Link]
) -> None:
    await make.anomaly(links[0], detected_at=NOW)
    later = at(services, seconds=30)

    async def explain(_context: Context, _links: Sequence[int], _started_at: datetime) -> AnalysisResult | None:
        holds = f"locktype = 'advisory' AND objid = {int(AdvisoryLock.INCIDENTS)}"
        await sql(services, f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE granted AND {holds}")
        assert await correlate(later, Explanations()) == 1  # another process
        return None

    with suppress(Exception):  # its connection is gone, as it hears when it is done
        await correlate(later, explain)

    assert len(await incidents(services)) == 1
    assert await changes(services) == ["OPENED"]


async def test_who_lost_the_lock_meanwhile_files_no_history_twice(
    services: Services, make: Factory, links: list[Link]
) -> None:
    await make.anomaly(links[0], status=AnomalyStatus.RESOLVED, is_historical=True)
    async with services.database.driver() as connection:
        read = await load_new(connection, 10)
    context = Context(services, SYSTEM)

    filed = [await file_historical(context, read) for _ in range(2)]

    assert (filed, len(await incidents(services))) == ([1, 0], 1)


async def two_incidents(services: Services, make: Factory, links: list[Link]) -> tuple[LiveIncident, LiveIncident]:
    """Of one anomaly each."""
    for link in links[:2]:
        await make.anomaly(link, detected_at=NOW)
    await correlate(at(services, seconds=30), Explanations())
    rows = await incidents(services)
    async with services.database.driver() as connection:
        found = await load_members(connection, [row.id for row in rows])
    first, second = (LiveIncident(row, tuple(one for one in found if one.incident_id == row.id)) for row in rows)
    return first, second


async def test_an_anomaly_that_somebody_split_off_meanwhile_is_not_moved(
    services: Services, make: Factory, links: list[Link]
) -> None:
    first, second = await two_incidents(services, make, links)
    plan = Plan((Change(first.id, second.members),))
    another = await make.incident()
    await sql(services, f"UPDATE anomalies SET incident_id = '{another.id}' WHERE incident_id = '{second.id}'")

    stored = await apply_plan(Context(services, SYSTEM), plan, [first, second], second.members, None, 0.0)

    assert not stored
    assert set(await members(services)) == {first.id, another.id}


async def test_an_incident_that_loses_its_last_anomaly_is_merged_into_the_one_that_has_it(
    services: Services, make: Factory, links: list[Link]
) -> None:
    first, second = await two_incidents(services, make, links)
    plan = Plan((Change(first.id, second.members),))

    stored = await apply_plan(Context(services, SYSTEM), plan, [first, second], second.members, None, 0.0)

    emptied = (await incidents(services))[1]
    assert stored
    assert list(await members(services)) == [first.id]
    assert (emptied.status, emptied.merged_into_id) == (IncidentStatus.RESOLVED, first.id)
    assert (await changes(services))[2:] == ["UPDATED", "MERGED", "MERGED"]


async def test_what_lasts_and_is_merged_into_an_incident_that_was_over_reopens_it(
    services: Services, make: Factory, links: list[Link]
) -> None:
    await two_incidents(services, make, links)
    await sql(
        services, "UPDATE incidents SET status = 'RESOLVED' WHERE id = (SELECT min(id::text)::uuid FROM incidents)"
    )
    first, second = [LiveIncident(row, ()) for row in await incidents(services)]
    plan = Plan((), {second.id: first.id})

    stored = await apply_plan(Context(services, SYSTEM), plan, [first, second], (), None, 0.0)

    survivor = (await incidents(services))[0]
    assert stored
    assert (survivor.id, survivor.status, survivor.reopened_count) == (first.id, IncidentStatus.OPEN, 1)
    assert sorted((await changes(services))[2:]) == ["MERGED", "MERGED", "REOPENED"]


async def test_only_one_process_correlates_at_a_time(services: Services, make: Factory, links: list[Link]) -> None:
    for link in links:
        await make.anomaly(link, detected_at=NOW)
    later = at(services, seconds=30)
    async with services.database.connection() as other:
        await other.execute(select(func.pg_advisory_lock(int(AdvisoryLock.INCIDENTS))))
        refused = await correlate(later, Explanations())
        await other.execute(select(func.pg_advisory_unlock(int(AdvisoryLock.INCIDENTS))))

    done = await asyncio.gather(*(correlate(later, Explanations()) for _ in range(3)))

    assert (refused, sum(done)) == (0, 4)
    assert len(await incidents(services)) == 1


async def test_what_somebody_merged_meanwhile_is_left_as_they_left_it(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    for link in links[:2]:
        await make.anomaly(link, detected_at=NOW)
    await correlate(at(services, seconds=30), Explanations())
    first, second = await incidents(services)

    async def explain(_context: Context, _links: Sequence[int], started_at: datetime) -> AnalysisResult:
        merged = f"status = 'RESOLVED', merged_into_id = '{first.id}', due_at = NULL WHERE id = '{second.id}'"
        await sql(services, f"UPDATE incidents SET {merged}")
        found = pattern(links, Culprit(CulpritKind.NETWORK, network.id))
        return AnalysisResult((found,), 0.9, 2, 3, "1.0.0", started_at, started_at)

    await correlate(at(services, minutes=1), explain)

    assert (await incidents(services))[1].merged_into_id == first.id
    assert "MERGED" not in await changes(services)


async def test_a_storm_of_a_network_is_one_incident_in_one_round(
    services: Services, make: Factory, network: Network
) -> None:
    await sql(
        services,
        f"INSERT INTO links (number, name, network_id, site_id) SELECT 700000 + n, 'Link ' || n, {network.id},"
        f" {network.hub_id} FROM generate_series(1, 1500) AS n",
        "INSERT INTO anomalies (id, kind, target_id, direction, status, severity, score, confidence, model_version,"
        " started_at, last_seen_at, detected_at, contributions) SELECT gen_random_uuid(), 'LINK', id, 'OB', 'OPEN', 2,"
        f" 0.5, 0.9, '1.0.0', '{ago(minutes=1)}', '{NOW}', '{NOW}', '[]' FROM links WHERE number > 700000",
    )
    async with services.database.read() as session:
        hit = list(await session.scalars(select(Link).where(Link.number > 700_000)))
    explain = Explanations(pattern(hit, Culprit(CulpritKind.NETWORK, network.id)))

    done = await correlate(at(services, seconds=21), explain)

    [incident] = await incidents(services)
    assert (done, incident.affected_link_count, len(explain.asked)) == (1500, 1500, 1)
    assert await changes(services) == ["OPENED"]


async def test_the_timeline_tells_what_happened(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    explain = Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id)))
    await make.anomaly(links[0], detected_at=NOW)
    await correlate(at(services, seconds=30), Explanations())
    await make.anomaly(links[1], detected_at=NOW + timedelta(minutes=1))

    await correlate(at(services, minutes=2), explain)

    [incident] = await incidents(services)
    async with services.database.read() as session:
        query = select(AuditEntry.action, AuditEntry.note, AuditEntry.details).where(
            AuditEntry.subject_id == incident.id
        )
        told = [tuple(row) for row in await session.execute(query.order_by(AuditEntry.at))]
    assert told == [("OPENED", None, None), ("UPDATED", None, "1 more anomaly, another explanation")]


async def test_a_collector_that_went_quiet_is_one_incident_of_its_own_kind(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    quiet = {"category": AnomalyCategory.SILENCE, "severity": Severity.CRITICAL, "detected_at": NOW}
    for link in links:
        await make.anomaly(link, collector_kind=CollectorKind.NETWORK, collector_id=network.id, **quiet)

    await correlate(at(services, seconds=21), Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id))))

    [incident] = await incidents(services)
    assert (incident.kind, incident.root_cause, incident.affected_link_count) == ("NO_TELEMETRY", None, 4)
    assert incident.title == f"No telemetry from {network.name} (4 links)"


async def test_what_a_quiet_collector_did_not_report_is_no_power_outage(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    quiet = {"category": AnomalyCategory.SILENCE, "severity": Severity.CRITICAL, "detected_at": ago(minutes=40)}
    over = {"started_at": ago(minutes=50), "last_seen_at": ago(minutes=9), "status": AnomalyStatus.RESOLVED}
    for link in links:
        await make.anomaly(link, collector_kind=CollectorKind.NETWORK, collector_id=network.id, **quiet, **over)
    outage = {"cause": RootCause.POWER_OUTAGE, "started_at": ago(minutes=55), "ended_at": ago(minutes=9)}
    found = Explanations(pattern(links, Culprit(CulpritKind.SITE, network.hub_id), **outage))
    await correlate(services, found)
    await make.anomaly(links[0], started_at=ago(minutes=9), detected_at=NOW)

    await correlate(at(services, seconds=30), found)

    gap, fault = await incidents(services)
    assert (gap.kind, gap.root_cause) == ("NO_TELEMETRY", None)
    assert (fault.kind, fault.root_cause) == ("FAULT", None)


async def test_what_is_only_silent_is_called_so(services: Services, make: Factory, links: list[Link]) -> None:
    await make.anomaly(links[0], category=AnomalyCategory.SILENCE, severity=Severity.CRITICAL, detected_at=NOW)

    await correlate(at(services, seconds=30), Explanations())

    assert [one.title for one in await incidents(services)] == [f"{links[0].name} is silent"]


async def test_a_wide_incident_is_worse_than_its_anomalies(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    for link in links[:2]:
        await make.anomaly(link, severity=Severity.MEDIUM, detected_at=NOW)

    await correlate(at(services, seconds=30), Explanations(pattern(links, Culprit(CulpritKind.NETWORK, network.id))))

    assert [one.severity for one in await incidents(services)] == [Severity.CRITICAL]  # all links of the network


async def test_what_only_a_network_measures_of_itself_says_nothing_of_its_links(
    services: Services, make: Factory, links: list[Link], network: Network
) -> None:
    await make.anomaly(network, severity=Severity.LOW, detected_at=NOW)

    await correlate(at(services, seconds=30), Explanations())

    [incident] = await incidents(services)
    assert (incident.severity, incident.affected_link_count) == (Severity.LOW, len(links))
    assert incident.title == f"{network.name} does not behave as usual"


async def test_what_a_remote_measures_of_itself_joins_its_network_s_incident(
    services: Services, make: Factory, network: Network
) -> None:
    remotes = [await make.site() for _ in range(3)]
    hit = [await make.link(network=network, site=remote) for remote in remotes]
    explain = Explanations(pattern(hit, Culprit(CulpritKind.NETWORK, network.id)))
    await make.anomaly(hit[0], detected_at=NOW)
    await correlate(at(services, seconds=30), explain)
    await make.anomaly(remotes[2], detected_at=NOW + timedelta(minutes=1))

    await correlate(at(services, minutes=2), explain)

    assert len(await incidents(services)) == 1
