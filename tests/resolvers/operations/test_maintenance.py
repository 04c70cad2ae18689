"""Partitions come before they are needed and go when their retention is over; one process at a time sees to it."""

import asyncio
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import TimedOut
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.operations.maintenance import maintain, make_partitions
from resolvers.store.postgres.advisory_locks import AdvisoryLock, lock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.tables.core import Link
from resolvers.store.telemetry.partitions import WEEK, WEEKS_AHEAD, find_week
from tests.helpers.support import NOW, Api, Factory, Server, ago, ms, record, record_levels, sql

LINK = TargetKind.LINK
UPSERT = "mutation ($input: TopologyInput!) { upsertTopology(input: $input) { ... on Topology { satellites } } }"
PAUSED = "bcom_retention_paused_total"
TABLES = [f"{kind.lower()}_{what}" for kind in TargetKind for what in ("rollups", "samples")]


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def partitions(services: Services, table: str) -> list[str]:
    query = text("SELECT relid::regclass::text FROM pg_partition_tree(:table) WHERE isleaf ORDER BY 1")
    async with services.database.read() as session:
        return [name for name in await session.scalars(query, {"table": table}) if name != table]


def named(table: str, week: datetime) -> str:
    return f"{table}_{week:%Y%m%d}"


def keeping(services: Services, days: int) -> Services:
    """The same services with another retention."""
    given: dict[str, Any] = {f.name: getattr(services, f.name) for f in fields(services) if f.init}
    return Services(**{**given, "retention_days": days})


async def levels(operator: Api, link: Link, *times: datetime) -> dict[str, Any]:
    return await record_levels(operator, link, dict.fromkeys(times, -45.0))


async def rolled_up(services: Services) -> None:
    """Wait until something is."""
    for _ in range(100):
        async with services.database.read() as session:
            if await session.scalar(text("SELECT count(*) FROM link_rollups")):
                return
        await asyncio.sleep(0.1)
    pytest.fail("nothing was rolled up in ten seconds")


# ---------------------------------------------------------------- ahead


@pytest.mark.parametrize("table", TABLES)
async def test_the_coming_weeks_are_there_before_any_sample(services: Services, table: str) -> None:
    await sql(services, f"DROP TABLE {named(table, find_week(NOW))}")

    await maintain(services)

    weeks = [find_week(NOW) + number * WEEK for number in range(-1, WEEKS_AHEAD + 1)]
    assert await partitions(services, table) == [named(table, week) for week in weeks]


async def test_history_makes_its_weeks_itself(operator: Api, make: Factory, services: Services) -> None:
    link, old = await make.link(), ago(days=390)

    answer = await levels(operator, link, old, ago(days=200), ago(minutes=1))

    assert (answer["accepted"], answer["rejected"]) == (3, [])
    assert (await partitions(services, "link_samples"))[0] == named("link_samples", find_week(old))
    assert (await partitions(services, "link_rollups"))[0] == named("link_rollups", find_week(old))


async def test_a_week_that_somebody_dropped_is_made_again(operator: Api, make: Factory, services: Services) -> None:
    link, week = await make.link(), find_week(ago(days=30))
    drop = f"DROP TABLE {named('link_samples', week)}"
    first, second, third = (week + timedelta(days=day) for day in (1, 2, 3))
    await levels(operator, link, second)

    await sql(services, drop)
    in_time = await levels(operator, link, third)
    await sql(services, drop)
    late = await levels(operator, link, first, second)

    assert (in_time["accepted"], late["accepted"]) == (1, 2)


async def test_roll_ups_that_somebody_dropped_are_made_again(operator: Api, make: Factory, services: Services) -> None:
    link, week = await make.link(), find_week(ago(days=30))
    await sql(services, f"DROP TABLE IF EXISTS {named('link_rollups', week)}")
    await levels(operator, link, week + timedelta(days=1))
    await sql(services, f"DROP TABLE {named('link_rollups', week)}")

    await maintain(services)

    async with services.database.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM link_rollups")) == 3


# ---------------------------------------------------------------- retention


async def test_weeks_beyond_the_retention_are_dropped_and_no_others(
    operator: Api, make: Factory, services: Services
) -> None:
    link = await make.link()
    await levels(operator, link, *(ago(days=days) for days in (100, 60, 30, 1)))

    for _ in range(3):
        await maintain(keeping(services, 40))

    left = await partitions(services, "link_samples")
    assert named("link_samples", find_week(ago(days=60))) not in left
    assert named("link_samples", find_week(ago(days=30))) in left
    assert len(await partitions(services, "link_rollups")) == len(left)
    series = "query ($n: Int!) { link(number: $n) { series(direction: OB, window: { hours: 4000 }) { times } } }"
    times = (await operator.run(series, n=link.number))["link"]["series"]["times"]
    assert times == [ms(ago(days=30)), ms(ago(days=1))]


async def test_a_week_stays_until_its_last_day_is_over_and_one_more(
    operator: Api, make: Factory, services: Services
) -> None:
    link = await make.link()
    await levels(operator, link, ago(days=100), ago(days=1))
    ended = find_week(ago(days=100)) + WEEK
    days = (datetime.now(UTC) - ended).days
    name = named("link_samples", find_week(ago(days=100)))

    await maintain(keeping(services, days))
    kept = name in await partitions(services, "link_samples")
    await maintain(keeping(services, days - 1))

    assert kept
    assert name not in await partitions(services, "link_samples")


async def test_a_week_at_a_time_is_dropped_the_oldest_first(operator: Api, make: Factory, services: Services) -> None:
    link, days = await make.link(), (100, 80, 60, 1)
    await levels(operator, link, *(ago(days=each) for each in days))
    weeks = [named("link_samples", find_week(ago(days=each))) for each in days]

    kept = []
    for _ in days:
        await maintain(keeping(services, 40))
        kept.append(set(weeks) & set(await partitions(services, "link_samples")))

    assert kept == [set(weeks[1:]), set(weeks[2:]), set(weeks[3:]), set(weeks[3:])]


@pytest.mark.parametrize("wrong", [timedelta(days=500), timedelta(days=-500), timedelta(hours=2)])
async def test_nothing_is_dropped_while_two_clocks_differ(
    operator: Api, make: Factory, services: Services, wrong: timedelta
) -> None:
    await levels(operator, await make.link(), ago(days=100), ago(days=1))
    await sql(services, "UPDATE events SET at = at - interval '100 days'")
    before, paused = await held(services), REGISTRY.get_sample_value(PAUSED) or 0

    with capture_logs() as logs:
        await maintain(keeping(services, 40), clock=lambda: datetime.now(UTC) + wrong)

    assert await held(services) == before
    assert REGISTRY.get_sample_value(PAUSED) == paused + 1
    assert [entry["log_level"] for entry in logs if "the time may be wrong" in entry["event"]] == ["error"]


async def test_nothing_is_dropped_while_the_newest_sample_is_far_from_the_clock(
    operator: Api, make: Factory, services: Services
) -> None:
    link = await make.link()
    await levels(operator, link, ago(days=100), ago(days=60))
    before = await held(services)

    await maintain(keeping(services, 40))
    meanwhile = await held(services)
    await levels(operator, link, ago(days=1))
    await maintain(keeping(services, 40))

    assert meanwhile == before
    assert named("link_samples", find_week(ago(days=100))) not in await partitions(services, "link_samples")


async def held(services: Services) -> tuple[int, int]:
    """How many samples and events there are."""
    async with services.database.read() as session:
        query = text("SELECT (SELECT count(*) FROM link_samples), (SELECT count(*) FROM events)")
        samples, events = (await session.execute(query)).one()
    return samples, events


async def test_samples_of_a_dropped_week_are_refused_with_a_reason(server: Server, make: Factory) -> None:
    link = await make.link()
    async with server(retention_days=40) as api:
        operator = await api.as_(Role.OPERATOR)
        await maintain(api.services)

        answer = await levels(operator, link, ago(days=41), ago(days=39))

    assert answer["accepted"] == 1
    assert answer["rejected"] == [
        {"row": 0, "reason": "The time is longer ago than samples are kept (40 days)."},
    ]


async def test_a_table_in_use_is_dropped_another_time_and_puts_off_nothing_else(
    operator: Api, make: Factory, services: Services
) -> None:
    link, name = await make.link(), named("link_samples", find_week(ago(days=60)))
    await levels(operator, link, ago(days=60), ago(days=1))

    async with services.database.write() as reader:
        await reader.execute(text("SELECT count(*) FROM link_samples"))
        with pytest.raises(TimedOut):
            await maintain(keeping(services, 40))
        await rolled_up(services)
        await make_partitions(keeping(services, 40))  # as a server does that starts now
    kept = name in await partitions(services, "link_samples")
    await maintain(keeping(services, 40))

    assert kept
    assert name not in await partitions(services, "link_samples")


# ---------------------------------------------------------------- one at a time, and for ever


async def test_only_one_process_maintains_at_a_time(services: Services) -> None:
    async with services.database.connection() as other:
        await other.execute(select(func.pg_advisory_lock(int(AdvisoryLock.MAINTENANCE))))
        meanwhile = await maintain(services)
        await other.execute(select(func.pg_advisory_unlock(int(AdvisoryLock.MAINTENANCE))))

    assert (meanwhile, await maintain(services)) == (False, True)


async def test_a_long_change_of_the_topology_does_not_keep_maintenance_from_its_round(services: Services) -> None:
    async with services.database.write() as session:
        await lock(session, AdvisoryLock.TOPOLOGY)  # as `upsertTopology` does

        maintained = await maintain(services)

    assert maintained


async def test_the_topology_can_be_changed_during_a_long_maintenance(api: Api, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)

    async with single_runner(services.database, AdvisoryLock.MAINTENANCE) as is_ours:
        async with asyncio.timeout(5.0):
            answer = await admin.run(UPSERT, input={"satellites": [{"name": "Astra 1"}]})

    assert is_ours
    assert answer == {"upsertTopology": {"satellites": 1}}


async def test_a_server_maintains_by_itself(server: Server, services: Services, make: Factory) -> None:
    link = await make.link()
    async with server(maintenance_seconds=0.1) as api:
        await levels(await api.as_(Role.OPERATOR), link, ago(days=1))

        await rolled_up(services)


async def test_maintenance_goes_on_after_it_failed(server: Server, services: Services, make: Factory) -> None:
    link = await make.link()
    await sql(services, "ALTER TABLE stored_batches RENAME TO hidden")
    async with server(maintenance_seconds=0.1) as api:
        await asyncio.sleep(0.5)
        await sql(services, "ALTER TABLE hidden RENAME TO stored_batches")
        await record(
            await api.as_(Role.OPERATOR), LINK, link=[link.number], direction=["OB"], at=[ms(ago(days=1))], esnoDb=[12]
        )

        await rolled_up(services)


def test_weeks_begin_on_mondays_in_utc() -> None:
    sunday = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)

    assert find_week(sunday) == datetime(2026, 11, 16, tzinfo=UTC)
    assert find_week(sunday + timedelta(hours=1)) == datetime(2026, 11, 23, tzinfo=UTC)
