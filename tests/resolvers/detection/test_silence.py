"""A target that falls silent has an anomaly until its next sample, however late, irregular or many the samples are."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select, update

from ml.catalogue.metrics import Direction, TargetKind
from ml.detection.episodes import Severity
from ml.detection.silence import CollectorKind
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.detection import anomalies as workflow
from resolvers.detection.silence import SilenceWatch
from resolvers.operations.maintenance import maintain
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.tables.core import (
    Anomaly,
    AnomalyCategory,
    AnomalyStatus,
    AuditEntry,
    Event,
    Link,
    Network,
    Site,
    SiteRole,
    Stream,
)
from resolvers.telemetry import recording
from tests.helpers.support import Api, Factory, ago, id_of, ms, sql

Target = Network | Site | Link
BOTH = ("IB", "OB")
GAP = 300.0  # seconds


class World:
    """Targets that are heard, a clock that is set, and somebody who looks for silence."""

    def __init__(self, services: Services, start: datetime) -> None:
        self.now = start
        self.services = replace(services, clock=lambda: self.now)
        self.watch = SilenceWatch(self.services)

    async def begin(self) -> None:
        """The first round of a process listens from now on."""
        await self.watch.look()

    def wait(self, **span: float) -> None:
        self.now += timedelta(**span)

    async def look(self, **after: float) -> int:
        self.wait(**after)
        return await self.watch.look()

    async def stream(self, target: Target, direction: str = "", gaps: list[float] | None = None) -> None:
        """One that was heard just now, after gaps as long as these."""
        kind = TargetKind(type(target).__name__.upper())
        row = Stream(target_id=target.id, kind=kind, direction=direction, samples=1000)
        row.last_at = row.heard_at = self.now
        row.gaps = [GAP] * 32 if gaps is None else gaps
        async with self.services.database.write() as session:
            session.add(row)

    async def link(self, make: Factory, network: Network | None = None, directions: tuple[str, ...] = BOTH) -> Link:
        link = await make.link(network=network)
        for direction in directions:
            await self.stream(link, direction)
        return link

    async def send(self, target: Target, *directions: str, late: float = 0, times: list[datetime] | None = None) -> int:
        """A sample of each of these directions, measured so many seconds ago or at these times."""
        kind = TargetKind(type(target).__name__.upper())
        at = [ms(time) for time in times or [self.now - timedelta(seconds=late)]]
        keys = [(direction, time) for direction in directions or ("",) for time in at]
        frame = {"number": [target.number] * len(keys), "at": [time for _, time in keys]}
        if kind is TargetKind.LINK:
            frame |= {"direction": [direction for direction, _ in keys], "rx_level_dbm": [-45.0] * len(keys)}
        else:
            frame |= {"error_rate": [0.002] * len(keys)}
        return (await recording.record(Context(self.services, SYSTEM), kind, pl.DataFrame(frame))).accepted

    async def hear_one(self, link: Link, direction: str, *, minutes: int) -> None:
        """One direction as often as usual, and somebody looks each time."""
        for _ in range(minutes // 5):
            self.wait(minutes=5)
            await self.send(link, direction)
            await self.watch.look()

    async def anomalies(self, *, category: AnomalyCategory = AnomalyCategory.SILENCE) -> list[Anomaly]:
        async with self.services.database.read() as session:
            query = select(Anomaly).where(Anomaly.category == category)
            return list(await session.scalars(query.order_by(Anomaly.started_at, Anomaly.id)))

    async def history(self, anomaly: Anomaly) -> list[tuple[str, str | None]]:
        async with self.services.database.read() as session:
            query = select(AuditEntry).where(AuditEntry.subject_id == anomaly.id).order_by(AuditEntry.id)
            entries = list(await session.scalars(query))
        assert all(entry.note is None for entry in entries), "nobody wrote one"
        return [(entry.action, entry.details) for entry in entries]


@pytest.fixture
async def world(services: Services) -> World:
    world = World(services, ago(hours=6))
    await world.begin()
    return world


# ---------------------------------------------------------------- falling silent


async def test_a_link_that_falls_silent_is_critical_until_its_next_sample(world: World, make: Factory) -> None:
    link = await world.link(make)
    heard = world.now

    too_early = await world.look(minutes=17)
    opened = await world.look(minutes=1)
    told = world.now
    again = await world.look(minutes=60)
    await world.send(link, *BOTH)

    [anomaly] = await world.anomalies()
    assert (too_early, opened, again) == (0, 1, 0)
    assert (anomaly.kind, anomaly.target_id, anomaly.direction) == (TargetKind.LINK, link.id, None)
    assert (anomaly.severity, anomaly.contributions, anomaly.is_historical) == (Severity.CRITICAL, [], False)
    assert (anomaly.started_at, anomaly.detected_at) == (heard + timedelta(minutes=5), told)
    assert (anomaly.status, anomaly.ended_at) == (AnomalyStatus.RESOLVED, world.now)
    assert await world.history(anomaly) == [("OPENED", None), ("RESOLVED", "It was heard again.")]
    assert await world.look(minutes=1) == 0


async def test_a_site_and_a_network_that_fall_silent_are_noticed_too(world: World, make: Factory) -> None:
    site, network = await make.site(), await make.network()
    await world.stream(site)
    await world.stream(network)

    assert await world.look(minutes=18) == 2

    found = {(anomaly.kind, anomaly.target_id) for anomaly in await world.anomalies()}
    assert found == {(TargetKind.SITE, site.id), (TargetKind.NETWORK, network.id)}
    assert REGISTRY.get_sample_value("bcom_silent_targets", {"kind": "site"}) == 1
    await world.send(site)
    await world.send(network)
    assert {anomaly.status for anomaly in await world.anomalies()} == {AnomalyStatus.RESOLVED}


async def test_one_direction_that_is_silent_for_an_hour_is_told_as_such(world: World, make: Factory) -> None:
    """Not earlier: the link is on the air, only telemetry is missing."""
    link = await world.link(make)

    await world.hear_one(link, "IB", minutes=55)
    early = await world.anomalies()
    await world.hear_one(link, "IB", minutes=10)

    [anomaly] = await world.anomalies()
    assert (early, anomaly.direction) == ([], Direction.OB)


async def test_a_site_or_network_of_which_a_link_is_heard_is_waited_for_as_long(world: World, make: Factory) -> None:
    hub, remote = await make.site(SiteRole.HUB), await make.site()
    network = await make.network(hub=hub)
    link = await make.link(network=network, site=remote)
    for target, direction in ((hub, ""), (remote, ""), (network, ""), (link, "IB"), (link, "OB")):
        await world.stream(target, direction)

    for _ in range(11):
        world.wait(minutes=5)
        await world.send(link, *BOTH)
        await world.look()
    early = await world.anomalies()
    world.wait(minutes=10)
    await world.send(link, *BOTH)
    await world.look()

    silent = {(anomaly.kind, anomaly.target_id) for anomaly in await world.anomalies()}
    assert early == []
    assert silent == {(TargetKind.SITE, hub.id), (TargetKind.SITE, remote.id), (TargetKind.NETWORK, network.id)}


async def test_the_other_direction_that_follows_makes_it_the_whole_links(world: World, make: Factory) -> None:
    link = await world.link(make)
    await world.hear_one(link, "IB", minutes=65)

    await world.look(minutes=40)

    [anomaly] = await world.anomalies()
    assert (anomaly.direction, anomaly.status) == (None, AnomalyStatus.OPEN)
    assert ("UPDATED: BOTH DIRECTIONS", "The other direction fell silent, too.") in await world.history(anomaly)
    await world.send(link, "OB")
    assert [anomaly.status for anomaly in await world.anomalies()] == [AnomalyStatus.RESOLVED]


async def test_a_direction_that_is_late_but_not_overdue_is_waited_for(world: World, make: Factory) -> None:
    link = await world.link(make)
    world.wait(minutes=3)
    await world.send(link, "OB")

    early = await world.look(minutes=15)
    await world.look(minutes=3)

    [anomaly] = await world.anomalies()
    assert early == 0
    assert anomaly.direction is None


async def test_what_stays_silent_when_the_other_direction_returns_is_told_anew(world: World, make: Factory) -> None:
    link = await world.link(make)
    await world.look(minutes=18)
    await world.send(link, "IB")
    await world.hear_one(link, "IB", minutes=40)

    opened = await world.look(minutes=5)

    found = {anomaly.direction: anomaly.status for anomaly in await world.anomalies()}
    assert opened == 1
    assert found == {None: AnomalyStatus.RESOLVED, Direction.OB: AnomalyStatus.OPEN}
    assert await world.look(seconds=10) == 0


async def test_a_silence_that_was_resolved_by_hand_does_not_come_back(world: World, make: Factory) -> None:
    link = await world.link(make)
    await world.look(minutes=18)
    [anomaly] = await world.anomalies()
    await workflow.resolve(Context(world.services, SYSTEM), anomaly.id, "Taken out of service.")

    again = await world.look(minutes=60)
    await world.send(link, *BOTH)
    world.wait(minutes=18)

    assert again == 0
    assert await world.look() == 1  # it was heard, and fell silent once more


# ---------------------------------------------------------------- what was open


async def test_an_open_anomaly_of_a_silent_target_ends(world: World, make: Factory) -> None:
    link, other = await world.link(make), await world.link(make)
    seen = world.now - timedelta(minutes=1)
    fade = await make.anomaly(link, started_at=seen, last_seen_at=seen)
    of_another = await make.anomaly(other, started_at=seen, last_seen_at=seen)
    async with world.services.database.write() as session:
        await session.execute(
            update(Stream)
            .values(anomaly_id=fade.id, alarms=3)
            .where(Stream.target_id == link.id)
            .filter_by(direction="OB")
        )
    world.wait(minutes=17)
    await world.send(other, *BOTH)

    await world.look(minutes=1)

    ended = {one.id: one for one in await world.anomalies(category=AnomalyCategory.DEVIATION)}
    assert (ended[fade.id].status, ended[fade.id].ended_at) == (AnomalyStatus.RESOLVED, seen)
    assert await world.history(fade) == [("RESOLVED", "The link fell silent.")]
    assert ended[of_another.id].status is AnomalyStatus.OPEN
    async with world.services.database.read() as session:
        [stream] = await session.scalars(select(Stream).filter_by(target_id=link.id, direction="OB"))
    assert (stream.anomaly_id, stream.alarms) == (None, 0)


async def test_subscribers_are_told(world: World, make: Factory) -> None:
    link = await world.link(make)
    await world.look(minutes=18)
    await world.send(link, *BOTH)

    async with world.services.database.read() as session:
        events = list(await session.scalars(select(Event).where(Event.topic == "anomaly").order_by(Event.id)))
    assert [event.change for event in events] == ["OPENED", "RESOLVED"]


# ---------------------------------------------------------------- who must not alarm


async def test_a_stream_learns_its_cadence_as_it_is_heard(world: World, make: Factory) -> None:
    link, young = await make.link(), await make.link()
    for number in range(22):
        await world.send(link, "OB")
        if number >= 16:
            await world.send(young, "OB")
        world.wait(seconds=GAP)

    await world.look(minutes=30)

    assert {anomaly.target_id for anomaly in await world.anomalies()} == {link.id}
    async with world.services.database.read() as session:
        gaps = {row.target_id: row.gaps for row in await session.scalars(select(Stream))}
    assert (gaps[link.id], gaps[young.id]) == ([GAP] * 21, [GAP] * 5)


async def test_a_new_link_of_five_minutes_that_is_silent_for_forty_is_told(world: World, make: Factory) -> None:
    """It took 20 gaps, more than an hour and a half, before anybody noticed a silence."""
    link = await world.link(make, directions=())
    for _ in range(9):
        await world.send(link, *BOTH)
        world.wait(seconds=GAP)

    opened = [await world.look(minutes=5) for _ in range(7)]

    assert sum(opened) == 1
    [anomaly] = await world.anomalies()
    assert (anomaly.target_id, anomaly.direction) == (link.id, None)


async def test_irregular_senders_do_not_alarm(world: World, make: Factory) -> None:
    irregular, twice_a_day = await make.link(), await make.link()
    rng = np.random.default_rng(1)
    await world.stream(irregular, "OB", (60 * 10 ** rng.uniform(0, 1, 32)).tolist())
    await world.stream(twice_a_day, "OB", [43_200.0] * 32)

    assert await world.look(minutes=20) == 0
    assert await world.look(hours=16) == 1  # but for good it is noticed

    [anomaly] = await world.anomalies()
    assert anomaly.target_id == irregular.id


async def test_a_sender_of_many_samples_twice_a_day_is_not_silent_between(world: World, make: Factory) -> None:
    link = await make.link()
    world.now = ago(days=14)
    for _ in range(24):
        await world.send(link, "OB", times=[world.now - timedelta(minutes=5 * number) for number in range(144)])
        found = [await world.look(hours=4), await world.look(hours=4), await world.look(hours=4)]
        assert found == [0, 0, 0]


async def test_late_samples_neither_end_a_silence_nor_count_as_a_cadence(world: World, make: Factory) -> None:
    link = await world.link(make, directions=("OB",))
    await world.look(minutes=18)

    accepted = await world.send(link, "OB", late=40 * 60)

    [anomaly] = await world.anomalies()
    assert accepted == 1
    assert anomaly.status is AnomalyStatus.OPEN
    assert await world.look(minutes=1) == 0


async def test_a_backlog_that_comes_out_of_order_ends_a_silence_once(world: World, make: Factory) -> None:
    link = await world.link(make, directions=("OB",))
    heard = world.now
    await world.look(minutes=60)

    await world.send(link, "OB", late=20 * 60)
    await world.send(link, "OB", late=50 * 60)
    await world.send(link, "OB", late=0)

    [anomaly] = await world.anomalies()
    assert (anomaly.status, anomaly.ended_at) == (AnomalyStatus.RESOLVED, heard + timedelta(minutes=40))
    assert await world.look(minutes=1) == 0


async def test_imported_history_makes_no_cadence_and_no_silence(world: World, make: Factory) -> None:
    link = await make.link()
    first = world.now - timedelta(days=30)
    for day in range(25):
        await world.send(link, "OB", times=[first + timedelta(days=day, minutes=5 * n) for n in range(288)])
        world.wait(seconds=20)

    assert await world.look(hours=5) == 0

    async with world.services.database.read() as session:
        [stream] = await session.scalars(select(Stream))
    assert not stream.gaps


async def test_after_a_pause_of_the_server_every_stream_gets_its_usual_time(world: World, make: Factory) -> None:
    link, silent = await world.link(make), await world.link(make)
    world.wait(hours=1)  # nobody recorded, nobody looked
    started_again = SilenceWatch(world.services)

    at_once = await started_again.look()
    world.wait(minutes=5)
    await world.send(link, *BOTH)
    soon = await started_again.look()
    world.wait(minutes=13)
    later = await started_again.look()

    assert (at_once, soon, later) == (0, 0, 1)
    assert [anomaly.target_id for anomaly in await world.anomalies()] == [silent.id]


async def test_a_break_between_two_rounds_counts_as_a_pause(world: World, make: Factory) -> None:
    """The database was away, or another process looked and died."""
    await world.link(make)
    impatient = SilenceWatch(world.services, break_seconds=0.05)
    await impatient.look()
    await asyncio.sleep(0.1)
    world.wait(minutes=60)

    at_once = await impatient.look()

    assert at_once == 0


async def test_a_clock_that_was_set_back_alarms_nobody(world: World, make: Factory) -> None:
    await world.link(make)

    world.wait(hours=-2)

    assert await world.look() == 0
    assert await world.look(minutes=5) == 0


@pytest.mark.parametrize("skew", [-240, 0, 600])
async def test_a_senders_clock_may_be_wrong(world: World, make: Factory, skew: int) -> None:
    link = await make.link()
    for _ in range(23):
        await world.send(link, "OB", late=skew)
        world.wait(seconds=GAP)

    early = await world.look(minutes=10)
    due = await world.look(minutes=3)

    assert (early, due) == (0, 1)


async def test_a_silence_outlasts_the_samples_that_are_dropped(world: World, make: Factory) -> None:
    link = await world.link(make)
    await world.look(minutes=18)
    brief = replace(world.services, retention_days=1)

    await maintain(brief)

    assert await world.look(hours=1) == 0
    await world.send(link, *BOTH)
    [anomaly] = await world.anomalies()
    assert anomaly.status is AnomalyStatus.RESOLVED


# ---------------------------------------------------------------- many at once


async def test_a_quiet_collector_is_named_in_all_of_its_silences(world: World, make: Factory) -> None:
    network, other = await make.network(), await make.network()
    links = [await world.link(make, network) for _ in range(4)]
    rest = [await world.link(make, other) for _ in range(4)]
    world.wait(minutes=17)
    for link in rest:
        await world.send(link, *BOTH)

    opened = await world.look(minutes=1)

    found = await world.anomalies()
    assert opened == len(links) == len(found)
    assert {(one.collector_kind, one.collector_id) for one in found} == {(CollectorKind.NETWORK, network.id)}


async def test_a_collector_is_named_by_the_next_process_if_one_died_before(world: World, make: Factory) -> None:
    network, other = await make.network(), await make.network()
    links = [await world.link(make, network) for _ in range(4)]
    rest = [await world.link(make, other) for _ in range(4)]
    world.wait(minutes=17)
    for link in rest:
        await world.send(link, *BOTH)
    await world.look(minutes=1)
    await sql(world.services, "UPDATE anomalies SET collector_kind = NULL, collector_id = NULL")

    opened = await SilenceWatch(world.services).look()

    assert opened == 0
    assert {one.collector_id for one in await world.anomalies()} == {network.id}
    assert len(await world.anomalies()) == len(links)


async def test_a_single_silent_link_is_no_quiet_collector(world: World, make: Factory) -> None:
    network = await make.network()
    links = [await world.link(make, network) for _ in range(4)]
    world.wait(minutes=17)
    for link in links[1:]:
        await world.send(link, *BOTH)

    await world.look(minutes=1)

    [anomaly] = await world.anomalies()
    assert anomaly.collector_kind is None


async def test_many_silent_links_cost_as_many_statements_as_a_few(
    world: World, make: Factory, statements: list[str]
) -> None:
    network, cost = await make.network(), []
    for number in (3, 60):
        for _ in range(number):
            await world.link(make, network)
        world.wait(minutes=18)
        statements.clear()

        assert await world.look() == number

        cost.append(len(statements))
    assert cost[1] <= cost[0] + 2


async def test_one_process_looks_at_a_time(world: World, make: Factory) -> None:
    await world.link(make)
    async with single_runner(world.services.database, AdvisoryLock.SILENCE):
        meanwhile = await world.look(minutes=18)

    await world.look()  # begins anew: somebody else may have been away
    assert meanwhile == 0
    assert await world.look(minutes=18) == 1


async def test_a_sample_that_comes_while_somebody_looks_is_seen(world: World, make: Factory) -> None:
    """Either the sample is first, and nothing is silent, or it ends what was opened."""
    links = [await world.link(make) for _ in range(20)]
    world.wait(minutes=18)

    await asyncio.gather(world.watch.look(), *(world.send(link, *BOTH) for link in links))

    async with world.services.database.read() as session:
        open_ones = await session.scalar(select(func.count()).where(Anomaly.ended_at.is_(None)))
        marked = await session.scalar(select(func.count()).select_from(Stream).where(Stream.silence_id.is_not(None)))
    assert (open_ones, marked) == (0, 0)


async def test_the_api_lists_silences(api: Api, world: World, make: Factory) -> None:
    link = await world.link(make)
    await world.look(minutes=18)
    viewer = await api.as_(Role.VIEWER)

    found = await viewer.run(
        "query ($id: ID!) { anomalies(filter: { target: $id }) { nodes { category isHistorical severity"
        " contributions { metric } } } }",
        id=id_of(link),
    )

    silence = {"category": "SILENCE", "isHistorical": False, "severity": "CRITICAL", "contributions": []}
    assert found["anomalies"]["nodes"] == [silence]
