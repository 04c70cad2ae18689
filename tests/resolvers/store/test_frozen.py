"""The network to the database freezes, or forgets connections: nobody waits for ever, and all heals by itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from bcom_graphql import app
from bcom_graphql.services import build_services
from resolvers.base.errors import Unavailable
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.connection import Connector, send_heartbeats
from resolvers.store.postgres.database import Database
from resolvers.store.postgres.database_url import parse
from resolvers.store.postgres.single_runner import single_runner
from tests.conftest import SECRET, settings_of
from tests.helpers.freezing import FreezingProxy
from tests.helpers.processes import Served
from tests.helpers.support import Api, Factory, id_of, serving, until

LOCK = AdvisoryLock.MAINTENANCE
SITES = "{ sites { totalCount } }"
WATCH = "subscription { anomalyDetected(changes: [ACKNOWLEDGED]) { change } }"
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"
LONG = 25.0  # seconds in which a slow machine, too, does what takes two; without deadlines it takes for ever


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[FreezingProxy]:
    async with FreezingProxy.to(database_url) as proxy:
        yield proxy


async def answer(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.pg_backend_pid())) or 0


async def test_a_statement_ends_when_nothing_is_heard_of_it(proxy: FreezingProxy) -> None:
    connection = await Connector(parse(proxy.url), {}, deadline_seconds=0.3).connect()
    proxy.freeze()

    async with asyncio.timeout(LONG):
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT 1")
        await until(connection.is_closed, LONG)


async def test_a_copy_ends_when_nobody_takes_its_rows(proxy: FreezingProxy) -> None:
    connection = await Connector(parse(proxy.url), {}, deadline_seconds=0.5).connect()
    await connection.execute("CREATE TEMPORARY TABLE texts (text text)")
    proxy.freeze()

    async def rows() -> AsyncIterator[bytes]:
        while True:
            yield b"much\n" * 100_000

    async with asyncio.timeout(LONG):
        with pytest.raises((TimeoutError, OSError)):
            await connection.copy_to_table("texts", source=rows())
        await until(connection.is_closed, LONG)


async def test_what_is_given_up_holds_no_place_in_the_pool(proxy: FreezingProxy) -> None:
    database = Database(proxy.url, pool_size=3)
    await asyncio.gather(*(answer(database) for _ in range(3)))
    proxy.freeze()

    given_up = [asyncio.create_task(answer(database)) for _ in range(3)]
    await asyncio.sleep(0.1)
    for task in given_up:
        task.cancel()
    async with asyncio.timeout(LONG):
        await asyncio.gather(*given_up, return_exceptions=True)
    used = database.pool.used
    proxy.thaw()

    assert used == 0
    assert await answer(database)
    await database.close()


async def test_when_one_connection_is_forgotten_the_others_are_not_trusted(proxy: FreezingProxy) -> None:
    database = Database(proxy.url, pool_size=3)
    await asyncio.gather(*(answer(database) for _ in range(3)))
    proxy.forget()

    first = asyncio.create_task(answer(database))
    await asyncio.sleep(0.1)
    first.cancel()
    async with asyncio.timeout(LONG):
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.gather(*(answer(database) for _ in range(6)))
        await database.close()


async def test_a_pool_closes_though_nobody_answers(proxy: FreezingProxy) -> None:
    database = Database(proxy.url, pool_size=3)
    await asyncio.gather(*(answer(database) for _ in range(3)))
    proxy.freeze()

    async with asyncio.timeout(LONG):
        await database.close()


async def test_a_listener_that_hears_nothing_any_more_is_ended(proxy: FreezingProxy) -> None:
    connection = await Connector(parse(proxy.url), {}, deadline_seconds=None).connect()
    beating = asyncio.create_task(send_heartbeats(connection, every_seconds=0.1))
    await asyncio.sleep(0.5)
    assert not connection.is_closed()

    proxy.forget()

    await asyncio.wait_for(beating, LONG)
    assert connection.is_closed()


async def test_who_is_stopped_while_alone_does_not_wait_for_the_lock(proxy: FreezingProxy) -> None:
    database = Database(proxy.url)
    has_begun = asyncio.Event()

    async def work() -> None:
        async with single_runner(database, LOCK) as mine:
            assert mine
            has_begun.set()
            await asyncio.sleep(3600)

    working = asyncio.create_task(work())
    await has_begun.wait()
    proxy.freeze()
    working.cancel()

    async with asyncio.timeout(LONG):
        await asyncio.gather(working, return_exceptions=True)
    assert database.pool.used == 0
    await database.close()


async def test_who_fails_while_alone_leaves_no_lock_behind(services: Services) -> None:
    async def fail() -> None:
        async with single_runner(services.database, LOCK) as mine:
            assert mine
            raise Unavailable

    with pytest.raises(Unavailable):
        await fail()

    async def is_free() -> bool:
        async with single_runner(services.database, LOCK) as mine:
            return mine

    await until(is_free)


async def test_no_connection_can_be_made_through_a_frozen_network(proxy: FreezingProxy) -> None:
    proxy.freeze()
    database = Database(f"{proxy.url}?connect_timeout=1")

    async with asyncio.timeout(LONG):
        with pytest.raises(Unavailable) as failed:
            await answer(database)

    assert f"127.0.0.1:{proxy.port}" in failed.value.reason
    assert "does not answer in time" in failed.value.reason
    await database.close()


async def test_a_server_answers_while_its_database_is_frozen_and_heals_when_it_thaws(
    proxy: FreezingProxy, services: Services, make: Factory
) -> None:
    settings = settings_of(proxy.url, max_seconds=1.0, max_statement_seconds=1.0, pool_size=4)
    frozen_services = build_services(settings)
    anomaly = await make.anomaly()
    async with (
        serving(app.application(frozen_services, settings)) as url,
        Api.to(url, frozen_services) as api,
    ):
        operator = await api.as_(Role.OPERATOR)
        async with operator.socket() as socket:
            await socket.subscribe(WATCH)
            proxy.freeze()

            failed = await asyncio.wait_for(operator.execute(SITES), LONG)
            began = time.monotonic()
            health = await api.http.get(url.replace("/graphql", "/health"))
            health_seconds = time.monotonic() - began
            live = await api.http.get(url.replace("/graphql", "/health/live"))
            await acknowledge(services, anomaly)
            proxy.thaw()

            event = await socket.next(LONG)
        await until(lambda: answers(operator), LONG)
        await until(lambda: frozen_services.database.pool.used <= 1, LONG)  # the listener

    assert failed["errors"][0]["extensions"]["code"] in ("TIMEOUT", "SERVICE_UNAVAILABLE")
    assert (health.status_code, live.status_code) == (503, 200)
    assert health_seconds < 2.0
    assert event == {"anomalyDetected": {"change": "ACKNOWLEDGED"}}


@pytest.mark.slow
async def test_events_go_on_after_a_firewall_has_forgotten_all_connections(
    proxy: FreezingProxy, services: Services, make: Factory
) -> None:
    settings = settings_of(proxy.url, max_statement_seconds=1.0)
    through = build_services(settings)
    anomaly = await make.anomaly()
    async with serving(app.application(through, settings)) as url, Api.to(url, through) as api:
        operator = await api.as_(Role.OPERATOR)
        async with operator.socket() as socket:
            await socket.subscribe(WATCH)
            proxy.forget()
            await acknowledge(services, anomaly)

            assert await socket.next(LONG) == {"anomalyDetected": {"change": "ACKNOWLEDGED"}}


async def acknowledge(services: Services, anomaly: Any) -> None:
    """By another process, which is connected directly."""
    settings = settings_of("postgresql://unused")
    async with serving(app.application(services, settings)) as url, Api.to(url, services) as api:
        await (await api.as_(Role.OPERATOR)).run(ACKNOWLEDGE, id=id_of(anomaly))


async def answers(api: Api) -> bool:
    return "errors" not in await api.execute(SITES)


@pytest.mark.slow
async def test_told_to_stop_while_the_database_is_frozen_it_stops_and_tells_who_waits(
    tmp_path: Path, proxy: FreezingProxy, api: Api
) -> None:
    viewer = await api.as_(Role.VIEWER)
    served = Served(tmp_path, SECRET_KEY=SECRET, DATABASE_URL=proxy.url, SHUTDOWN_SECONDS="1")
    ask = {"url": f"{served.url}/graphql", "json": {"query": SITES}, "headers": viewer.headers, "timeout": 2 * LONG}
    try:
        await asyncio.to_thread(served.start)
        proxy.freeze()
        asked = asyncio.create_task(viewer.http.post(**ask))
        await asyncio.sleep(1.0)

        began = time.monotonic()
        await asyncio.to_thread(served.stop)
        seconds = time.monotonic() - began
        answer = await asked
    finally:
        served.kill()

    assert served.stopped == 0, served.log
    assert seconds < LONG
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["extensions"] == {"code": "SERVICE_UNAVAILABLE", "retryAfter": 1}
    assert "Traceback" not in served.log
