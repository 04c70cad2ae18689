"""Imported history is learned from, not alarmed about; what of it goes on until now is told of after all."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sqlalchemy import func, select

from bcom_graphql.demo.fleet import specification
from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection.detector import false_alarms_per_day
from ml.simulation.fleet import Fleet, demo_fleet
from ml.simulation.simulator import simulate
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.detection.profile_worker import LEARN_FROM
from resolvers.detection.silence import SilenceWatch
from resolvers.fleet import topology
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry, Event, Link, Profile, Stream
from resolvers.telemetry import recording
from tests.helpers.support import EXTREME, LINK_CENTRE, LINK_SPREAD, QUIET, Api, Factory, ago, id_of, ms

FILE_ROWS = 25_000  # of a batch of an imported file
STEP = timedelta(minutes=5)


class World:
    """A link that is known well, whose samples come when the clock says so."""

    def __init__(self, services: Services, link: Link) -> None:
        self.now = ago()
        self.services = replace(services, clock=lambda: self.now)
        self.link = link

    async def record(self, *levels: float, until: datetime) -> None:
        """Receive levels, one in five minutes, up to a time."""
        times = [until - STEP * number for number in range(len(levels))][::-1]
        rows = len(levels)
        columns = {"number": [self.link.number] * rows, "direction": ["OB"] * rows, "at": [ms(at) for at in times]}
        frame = pl.DataFrame(columns | {"rx_level_dbm": list(levels)})
        await recording.record(Context(self.services, SYSTEM), TargetKind.LINK, frame)

    async def anomalies(self) -> Sequence[Anomaly]:
        async with self.services.database.read() as session:
            return list(await session.scalars(select(Anomaly).order_by(Anomaly.started_at)))

    async def changes(self) -> list[str]:
        """What subscribers are told."""
        async with self.services.database.read() as session:
            query = select(Event.change).where(Event.topic == "anomaly").order_by(Event.id)
            return list(await session.scalars(query))


@pytest.fixture
async def world(services: Services, make: Factory) -> World:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    return World(services, link)


async def test_an_imported_fault_is_historical_and_nobody_is_told(world: World) -> None:
    await world.record(QUIET, EXTREME, EXTREME, *[QUIET] * 6, until=ago(days=3))

    [anomaly] = await world.anomalies()
    assert (anomaly.is_historical, anomaly.status) == (True, AnomalyStatus.RESOLVED)
    assert await world.changes() == []


async def test_a_fault_at_the_end_of_imported_history_ends_with_it(world: World) -> None:
    last = ago(days=3)
    await world.record(QUIET, EXTREME, EXTREME, until=last)
    watch = SilenceWatch(world.services)

    world.now += timedelta(minutes=4)
    await watch.look()
    [lasting] = await world.anomalies()
    world.now += timedelta(minutes=2)
    await watch.look()

    [ended] = await world.anomalies()
    assert lasting.status is AnomalyStatus.OPEN
    assert (ended.status, ended.ended_at, ended.is_historical) == (AnomalyStatus.RESOLVED, last, True)
    async with world.services.database.read() as session:
        entries = list(await session.scalars(select(AuditEntry).order_by(AuditEntry.id)))
    assert [(entry.note, entry.details) for entry in entries] == [(None, None), (None, "Its history ended.")]
    assert await world.changes() == []


async def test_history_in_parts_makes_the_same_anomaly_as_in_one(world: World) -> None:
    await world.record(QUIET, EXTREME, EXTREME, until=ago(days=3))
    await SilenceWatch(world.services).look()
    await world.record(EXTREME, EXTREME, *[QUIET] * 5, until=ago(days=3) + 7 * STEP)

    [anomaly] = await world.anomalies()
    assert (anomaly.started_at, anomaly.ended_at) == (ago(days=3) - STEP, ago(days=3) + 2 * STEP)


async def test_a_backlog_whose_fault_goes_on_until_now_is_told_of(world: World) -> None:
    await world.record(QUIET, EXTREME, EXTREME, until=ago(hours=1))
    before = await world.changes()

    await world.record(*[EXTREME] * 12, until=ago())

    [anomaly] = await world.anomalies()
    assert before == []
    assert (anomaly.is_historical, anomaly.status) == (False, AnomalyStatus.OPEN)
    assert anomaly.started_at == ago(hours=1) - STEP
    assert (await world.changes())[0] == "OPENED"


async def test_a_fault_of_the_present_is_told_of_at_once(world: World) -> None:
    await world.record(QUIET, EXTREME, until=ago(minutes=2))

    [anomaly] = await world.anomalies()
    assert not anomaly.is_historical
    assert await world.changes() == ["OPENED"]


async def test_a_late_fault_is_historical_when_it_is_over(world: World) -> None:
    await world.record(QUIET, until=ago())

    await world.record(QUIET, EXTREME, EXTREME, until=ago(hours=2))

    [anomaly] = await world.anomalies()
    assert (anomaly.is_historical, anomaly.status) == (True, AnomalyStatus.RESOLVED)


async def test_historical_anomalies_are_listed_and_filtered(api: Api, world: World) -> None:
    await world.record(QUIET, EXTREME, *[QUIET] * 6, until=ago(days=3))
    await world.record(QUIET, EXTREME, until=ago())
    viewer = await api.as_(Role.VIEWER)
    query = "query ($filter: AnomalyFilter) { anomalies(filter: $filter) { nodes { isHistorical } } }"

    found = [
        [node["isHistorical"] for node in (await viewer.run(query, filter=filter))["anomalies"]["nodes"]]
        for filter in ({}, {"historical": True}, {"historical": False})
    ]

    assert found == [[False, True], [True], [False]]


async def test_subscribers_to_historical_anomalies_are_told_of_none(api: Api, world: World) -> None:
    viewer = await api.as_(Role.VIEWER)
    document = "subscription ($filter: AnomalyFilter) { anomalyDetected(filter: $filter) { anomaly { id } } }"
    async with viewer.socket() as all_of_them, viewer.socket() as historical:
        await all_of_them.subscribe(document)
        await historical.subscribe(document, filter={"historical": True})

        await world.record(QUIET, EXTREME, *[QUIET] * 6, until=ago(days=3))
        await world.record(QUIET, EXTREME, until=ago())

        told = (await all_of_them.next())["anomalyDetected"]["anomaly"]["id"]
        assert await historical.silent(0.2)
    assert told == id_of((await world.anomalies())[-1])


# ---------------------------------------------------------------- ordinary days


def ordinary_days(links: int, hours: int) -> tuple[Fleet, pl.DataFrame]:
    """Links of a new fleet and what they reported until yesterday, by time."""
    fleet = replace(demo_fleet(), links=demo_fleet().links[:links])
    end = ms(ago(days=1)) // 300_000 * 300_000
    times = np.arange(end - hours * 3_600_000, end, 300_000, dtype=np.int64)
    samples = simulate(fleet, times, [], 1, kinds=[TargetKind.LINK])[TargetKind.LINK]
    keys = {"number": samples.number, "at": samples.at, "direction": samples.direction}
    readings = dict(zip(CATALOGUE[TargetKind.LINK].columns, samples.readings.T, strict=True))
    return fleet, pl.DataFrame({**keys, **readings}).sort("at")


@pytest.mark.parametrize(("links", "hours"), [(1, 60 * 24), (34, 50)])
async def test_ordinary_days_of_a_new_fleet_make_no_more_anomalies_than_the_budget_allows(
    services: Services, links: int, hours: int
) -> None:
    context, (fleet, frame) = Context(services, SYSTEM), ordinary_days(links, hours)
    await topology.upsert(context, specification(fleet))

    for part in frame.iter_slices(FILE_ROWS):
        await recording.record(Context(services, SYSTEM), TargetKind.LINK, part)

    async with services.database.read() as session:
        found = list(await session.scalars(select(Anomaly)))
        told = await session.scalar(select(func.count()).select_from(Event).where(Event.topic == "anomaly"))
    assert len(found) <= links * hours / 24 * false_alarms_per_day(0.5)
    assert all(anomaly.is_historical for anomaly in found)
    assert told == 0


async def test_what_brings_its_history_at_once_is_scored_by_it(services: Services) -> None:
    fleet, frame = ordinary_days(1, 60)
    await topology.upsert(Context(services, SYSTEM), specification(fleet))

    await recording.record(Context(services, SYSTEM), TargetKind.LINK, frame)

    async with services.database.read() as session:
        streams = list(await session.scalars(select(Stream)))
        profiles = list(await session.scalars(select(Profile)))
    assert [stream.profile for stream in streams] == [1, 1]
    assert [profile.samples for profile in profiles] == [stream.samples for stream in streams]
    assert all(stream.learned_samples == stream.samples for stream in streams)


async def test_a_long_history_at_once_is_learned_again_after_a_tenth_of_what_is_learned_from(
    services: Services,
) -> None:
    fleet, frame = ordinary_days(1, 20 * 24)
    await topology.upsert(Context(services, SYSTEM), specification(fleet))

    await recording.record(Context(services, SYSTEM), TargetKind.LINK, frame)

    async with services.database.read() as session:
        profiles = list(await session.scalars(select(Profile)))
    assert [profile.samples > LEARN_FROM for profile in profiles] == [True, True]
    assert [profile.due_samples - profile.samples for profile in profiles] == [LEARN_FROM // 10] * 2
