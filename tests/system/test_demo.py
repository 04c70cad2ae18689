"""The demo: its faults, its feed, and its restarts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import httpx
import numpy as np
import pytest
from sqlalchemy import func, select

from bcom_graphql.demo.faults import AGAIN_MS, LASTS_MINUTES, DrawnFault, draw_next, find_affected_links
from bcom_graphql.demo.feed import Feed, load_feed
from bcom_graphql.demo.fleet import specification
from bcom_graphql.demo.options import DemoOptions
from bcom_graphql.demo.runs import choose_step_seconds, start_run
from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.catalogue.root_causes import NAMED, RootCause
from ml.catalogue.units import MINUTE_MS
from ml.simulation.faults import Fault, Variant
from ml.simulation.fleet import demo_fleet
from ml.simulation.simulator import simulate
from resolvers.base.access import SYSTEM
from resolvers.base.errors import Conflict
from resolvers.base.times import from_ms, to_ms
from resolvers.context import Context, Services
from resolvers.demo.clock import FleetClock
from resolvers.detection import anomalies
from resolvers.fleet import topology
from resolvers.store.tables.core import AuditEntry, Stream, Verdict
from resolvers.store.tables.demo import DemoFault, DemoRun
from tests.helpers.support import Factory, Server, ago

BEGINS = datetime(2026, 11, 2, tzinfo=UTC)
EVERY_MS = 45 * MINUTE_MS
FLEET = demo_fleet(1)


@cache
def drawn_faults(seed: int = 1, count: int = 40) -> tuple[DrawnFault, ...]:
    drawn: list[DrawnFault] = []
    while len(drawn) < count:
        drawn.append(draw_next(demo_fleet(seed), seed, drawn[-20:], to_ms(BEGINS), EVERY_MS))
    return tuple(drawn)


# ---------------------------------------------------------------- faults


def test_the_same_seed_draws_the_same_faults_and_another_one_others() -> None:
    again = drawn_faults.__wrapped__(1, 5)

    assert again == drawn_faults()[:5]
    assert drawn_faults(2, 5) != again


def test_forty_faults_are_of_every_cause_and_last_as_operators_meet_them() -> None:
    minutes = [one.fault.minutes for one in drawn_faults()]

    assert {one.fault.cause for one in drawn_faults()} == set(NAMED)
    assert min(minutes) >= 5.0
    assert max(minutes) <= 180.0
    assert max(one.fault.minutes for one in drawn_faults() if one.fault.cause == RootCause.SUN_TRANSIT) <= 20.0


def test_they_come_as_often_as_wanted() -> None:
    starts = [one.fault.start_ms for one in drawn_faults()]

    assert np.diff(starts).mean() == pytest.approx(EVERY_MS, rel=0.3)
    assert starts == sorted(starts)


@pytest.mark.parametrize("seed", [1, 7])
def test_every_fault_moves_readings(seed: int) -> None:
    fleet = demo_fleet(seed)
    for drawn in drawn_faults(seed, 20):
        fault = drawn.fault
        times = np.arange(fault.start_ms, fault.end_ms, MINUTE_MS, dtype=np.int64)

        sick = simulate(fleet, times, [fault], seed, kinds=(TargetKind.LINK,))[TargetKind.LINK]
        calm = simulate(fleet, times, [], seed, kinds=(TargetKind.LINK,))[TargetKind.LINK]

        moved = set(sick.number[sick.faulty].tolist()) or set(calm.number.tolist()) - set(sick.number.tolist())
        assert drawn.links
        assert moved & drawn.links or fault.variant is Variant.SILENCE, fault
        assert len(sick.at) < len(calm.at) or fault.variant is not Variant.SILENCE


def test_a_fault_that_hardly_shows_is_not_announced() -> None:
    rain_in_c_band = Fault(RootCause.RAIN_FADE, to_ms(BEGINS), to_ms(BEGINS) + EVERY_MS, 0.2, site=1004)

    assert find_affected_links(FLEET, 1, rain_in_c_band) == frozenset()


def test_faults_at_the_same_time_share_no_network_hub_or_transponder() -> None:
    network_of = {link.number: network for link, network in zip(FLEET.links, FLEET.link_networks, strict=True)}
    for place, later in enumerate(drawn_faults()):
        for earlier in drawn_faults()[:place]:
            if earlier.fault.end_ms > later.fault.start_ms:
                own, other = ({network_of[link] for link in one.links} for one in (later, earlier))
                assert not {n.hub for n in own} & {n.hub for n in other}
                assert not {(n.satellite, n.transponder) for n in own} & {(n.satellite, n.transponder) for n in other}


def test_the_same_culprit_has_a_rest() -> None:
    def culprit(fault: Fault) -> tuple[object, ...]:
        return fault.network, fault.site, fault.link, fault.satellite, fault.transponder

    for place, later in enumerate(drawn_faults()):
        for earlier in drawn_faults()[:place]:
            if culprit(earlier.fault) == culprit(later.fault):
                assert later.fault.start_ms - earlier.fault.end_ms >= AGAIN_MS


def test_every_cause_has_a_duration() -> None:
    assert set(LASTS_MINUTES) == set(NAMED)


# ---------------------------------------------------------------- telemetry of faults


def readings_during(fault: Fault, kind: TargetKind, number: int, metric: str) -> tuple[float, float]:
    """The mean of a metric, with and without the fault."""
    times = np.arange(fault.start_ms, fault.end_ms, MINUTE_MS, dtype=np.int64)
    column = CATALOGUE[kind].metrics.index(Metric(metric))
    means = []
    for faults in ([fault], []):
        samples = simulate(FLEET, times, faults, 1)[kind]
        means.append(float(np.nanmean(samples.readings[samples.number == number, column])))
    return means[0], means[1]


def test_a_network_whose_hub_is_off_loses_its_connections_and_packets() -> None:
    off = Fault(
        RootCause.EQUIPMENT_FAILURE, to_ms(BEGINS), to_ms(BEGINS) + EVERY_MS, 1.0, network=101, variant=Variant.OFF
    )

    connections = readings_during(off, TargetKind.NETWORK, 101, "CONNECTIONS")
    loss = readings_during(off, TargetKind.NETWORK, 101, "PACKET_LOSS_PCT")
    uptime = readings_during(off, TargetKind.LINK, 5001, "UPTIME_PCT")

    assert connections[0] < 0.2 * connections[1]
    assert loss[0] > loss[1] + 50.0
    assert uptime[0] < 5.0 < uptime[1]


def test_a_dark_site_that_nobody_reports_is_silent_altogether() -> None:
    dark = Fault(
        RootCause.POWER_OUTAGE, to_ms(BEGINS), to_ms(BEGINS) + EVERY_MS, 1.0, site=1001, variant=Variant.SILENCE
    )
    times = np.arange(dark.start_ms, dark.end_ms, MINUTE_MS, dtype=np.int64)

    samples = simulate(FLEET, times, [dark], 1)

    assert 5001 not in samples[TargetKind.LINK].number
    assert 1001 not in samples[TargetKind.SITE].number
    assert 1 in samples[TargetKind.SITE].number


# ---------------------------------------------------------------- the feed


class Moved:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = BEGINS

    def __call__(self) -> datetime:
        return self.now


async def start(services: Services, clock: Moved, fault_seconds: float = 600.0) -> Feed:
    """A feed of a fleet without history."""
    object.__setattr__(services, "clock", clock)
    await topology.upsert(Context(services, SYSTEM), specification(FLEET))
    run = DemoRun(
        started_at=BEGINS,
        fleet_started_at=BEGINS,
        speed=1.0,
        seed=1,
        fault_seconds=fault_seconds,
        step_seconds=60,
    )
    async with services.database.write() as session:
        session.add(run)
    return await load_feed(services, run)


async def newest(services: Services) -> datetime | None:
    async with services.database.read() as session:
        return await session.scalar(select(func.max(Stream.last_at)))


async def list_announced(services: Services) -> list[DemoFault]:
    async with services.database.read() as session:
        return list(await session.scalars(select(DemoFault).order_by(DemoFault.number)))


async def test_the_feed_records_up_to_the_fleets_clock_and_never_ahead_of_it(services: Services) -> None:
    clock = Moved()
    feed = await start(services, clock)

    clock.now += timedelta(minutes=5, seconds=30)
    recorded = await feed.record_due()

    assert recorded == 6
    assert await newest(services) == BEGINS + timedelta(minutes=5)
    assert await feed.record_due() == 0
    assert from_ms(feed.find_next_time()) == BEGINS + timedelta(minutes=6)


async def test_a_feed_that_died_is_taken_up_where_it_stopped(services: Services) -> None:
    clock = Moved()
    first = await start(services, clock)
    clock.now += timedelta(minutes=12)
    await first.record_due()
    before = await list_announced(services)

    again = await load_feed(services, first.run)
    clock.now += timedelta(minutes=20)
    await again.record_due()
    after = await list_announced(services)

    assert before
    assert [one.specification for one in after][: len(before)] == [one.specification for one in before]
    assert replace(again.faults[0], number=0) == first.faults[0]
    assert await newest(services) == BEGINS + timedelta(minutes=32)


async def test_an_announced_fault_names_its_culprit_and_links_by_their_ids(services: Services) -> None:
    clock = Moved()
    feed = await start(services, clock)
    clock.now += timedelta(minutes=5)
    await feed.record_due()

    (fault,) = await list_announced(services)
    drawn = feed.faults[0]

    assert sorted(feed.ids.links[number] for number in drawn.links) == fault.links
    assert fault.culprit_id in feed.ids.culprits[fault.culprit_kind].values()
    assert fault.started_at == from_ms(drawn.fault.start_ms)


async def test_nothing_breaks_where_nothing_is_to_break(services: Services) -> None:
    clock = Moved()
    feed = await start(services, clock, fault_seconds=0.0)
    clock.now += timedelta(minutes=10)
    await feed.record_due()

    assert await list_announced(services) == []


# ---------------------------------------------------------------- starts


async def stop_at(services: Services, newest_sample: datetime, make: Factory) -> None:
    """A database as a demo with the seed 7 leaves it."""
    link = await make.link()
    run = DemoRun(
        started_at=newest_sample,
        fleet_started_at=newest_sample,
        speed=30.0,
        seed=7,
        fault_seconds=90.0,
        step_seconds=60,
    )
    async with services.database.write() as session:
        session.add(run)
        session.add(Stream(target_id=link.id, kind=TargetKind.LINK, direction="OB", last_at=newest_sample))


async def restart(services: Services, **options: float | None) -> DemoRun:
    object.__setattr__(services, "clock", FleetClock())
    return await start_run(services, DemoOptions(**options), lambda *_: None)  # type: ignore[arg-type]


async def test_a_stopped_demo_goes_on_where_its_clock_stood(services: Services, make: Factory) -> None:
    stopped = ago(hours=10)
    await stop_at(services, stopped, make)

    run = await restart(services)

    assert run.fleet_started_at == stopped
    assert run.seed == 7
    clock = services.clock
    assert isinstance(clock, FleetClock)
    assert clock.run is run
    assert stopped <= clock() < stopped + timedelta(minutes=10)


async def test_a_demo_that_stood_for_long_starts_two_days_in_the_past(services: Services, make: Factory) -> None:
    await stop_at(services, ago(days=9), make)

    run = await restart(services)

    assert run.started_at - run.fleet_started_at == timedelta(hours=48)


async def test_at_speed_one_the_fleets_time_is_the_real_one(services: Services, make: Factory) -> None:
    await stop_at(services, ago(hours=10), make)

    run = await restart(services, speed=1.0)

    assert run.fleet_started_at == run.started_at


async def test_another_seed_is_refused_as_it_would_move_the_fleet(services: Services, make: Factory) -> None:
    await stop_at(services, ago(hours=10), make)

    with pytest.raises(Conflict, match="DEMO_SEED=7, not 8"):
        await restart(services, seed=8)
    assert (await restart(services, seed=7)).seed == 7


async def test_what_people_do_is_dated_by_the_fleets_clock(services: Services, make: Factory) -> None:
    anomaly = await make.anomaly(started_at=BEGINS, last_seen_at=BEGINS)
    object.__setattr__(services, "clock", Moved())

    await anomalies.judge(Context(services, SYSTEM), anomaly.id, Verdict.TRUE_ALARM, None)

    async with services.database.read() as session:
        entry = await session.scalar(select(AuditEntry).where(AuditEntry.subject_id == anomaly.id))
    assert entry is not None
    assert entry.at == BEGINS


async def test_health_tells_the_fleets_time(server: Server, services: Services, make: Factory) -> None:
    await stop_at(services, ago(hours=10), make)
    await restart(services, fault_seconds=0.0)
    async with server(demo=True) as api, httpx.AsyncClient() as client:
        told = (await client.get(f"{api.url.removesuffix('/graphql')}/health")).json()

    assert told["demo"]["speed"] == 30.0
    assert datetime.fromisoformat(told["demo"]["fleet_time"]) < ago(hours=9)


def test_a_fast_clock_has_longer_steps() -> None:
    assert [choose_step_seconds(speed) for speed in (1, 12, 30, 60, 600)] == [10, 30, 60, 120, 300]
