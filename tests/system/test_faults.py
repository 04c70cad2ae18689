"""The database is down at the start, goes away while serving, or cannot do what it is asked."""

import asyncio
import random
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from bcom_graphql import app
from bcom_graphql.services import build_services
from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import Unavailable
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate, pending
from tests.conftest import settings_of
from tests.helpers.support import (
    QUIET,
    Api,
    Factory,
    GraphQLFailed,
    Server,
    ago,
    id_of,
    record_levels,
    serving,
    sql,
    stored,
)

WATCH = "subscription { anomalyDetected(changes: [ACKNOWLEDGED]) { change } }"
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"
SITES = "{ sites { totalCount } }"
AWAY = "SERVICE_UNAVAILABLE"
FIRST, LEVELS = {ago(minutes=3): QUIET}, {ago(minutes=2): QUIET, ago(minutes=1): QUIET}
IN_THE_BATCH = "CREATE TRIGGER failing BEFORE UPDATE ON streams"
AMONG_SAMPLES = "CREATE TRIGGER failing BEFORE INSERT ON link_samples"
IN_THE_COMMIT = "CREATE CONSTRAINT TRIGGER failing AFTER UPDATE ON streams DEFERRABLE INITIALLY DEFERRED"


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def test_a_database_that_is_not_there_is_said_to_be_unavailable() -> None:
    services = build_services(settings_of("postgresql+asyncpg://nobody@127.0.0.1:9/nothing"))

    with pytest.raises(Unavailable):
        await services.feed.start()


async def test_a_database_that_hangs_up_while_it_is_connected_to_is_unavailable() -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        services = build_services(settings_of(f"postgresql+asyncpg://nobody@127.0.0.1:{port}/nothing?ssl=disable"))

        with pytest.raises(Unavailable):
            await services.feed.start()


async def test_a_fresh_database_is_migrated_once_however_many_start_together(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as url:
        services = [build_services(settings_of(url)) for _ in range(3)]
        assert await pending(services[0].database)

        await asyncio.gather(*(migrate(each.database) for each in services))

        assert not await pending(services[0].database)
        for each in services:
            await each.database.close()


async def test_a_database_that_goes_away_is_an_error_and_comes_back_without_a_restart(tmp_path: Path) -> None:
    with ExitStack() as postgres:
        settings = settings_of(postgres.enter_context(embedded_postgres(tmp_path)))
        services = build_services(settings)
        await migrate(services.database)
        anomaly = await Factory(services).anomaly()
        async with serving(app.application(services, settings)) as url, Api.to(url, services) as api:
            operator = await api.as_(Role.OPERATOR)
            async with operator.socket() as socket:
                await socket.subscribe(WATCH)

                postgres.close()  # stops the server
                with pytest.raises(GraphQLFailed) as failed:
                    await operator.run(SITES)
                health = await api.http.get(url.replace("/graphql", "/health"))
                metrics = await api.http.get(url.replace("/graphql", "/metrics"))
                postgres.enter_context(embedded_postgres(tmp_path))
                data = await operator.run(ACKNOWLEDGE, id=id_of(anomaly))
                event = await socket.next()

    assert failed.value.codes == [AWAY]
    assert health.status_code == 503
    assert metrics.status_code == 200
    assert "bcom_database_up 0.0" in metrics.text
    assert data == {"acknowledgeAnomaly": {"__typename": "Anomaly"}}
    assert event == {"anomalyDetected": {"change": "ACKNOWLEDGED"}}


async def fail(services: Services, trigger: str, does: str) -> None:
    """From now on, until the trigger `failing` is dropped."""
    await sql(
        services,
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; RETURN NEW; END $$",
        f"{trigger} FOR EACH ROW EXECUTE FUNCTION fail()",
    )


@pytest.mark.parametrize(
    ("trigger", "does", "code", "said"),
    [
        pytest.param(IN_THE_BATCH, "PERFORM pg_sleep(30)", "TIMEOUT", "Ask for less", id="slow"),
        pytest.param(AMONG_SAMPLES, "PERFORM pg_sleep(30)", "TIMEOUT", "Ask for less", id="slow among samples"),
        pytest.param(IN_THE_BATCH, "RAISE lock_not_available", "TIMEOUT", "Ask for less", id="locked"),
        pytest.param(IN_THE_BATCH, "RAISE disk_full", AWAY, "disk is full", id="full"),
        pytest.param(AMONG_SAMPLES, "RAISE disk_full", AWAY, "disk is full", id="full among samples"),
        pytest.param(IN_THE_COMMIT, "RAISE disk_full", AWAY, "disk is full", id="full in the commit"),
        pytest.param(IN_THE_BATCH, "RAISE out_of_memory", AWAY, "out of memory", id="out of memory"),
        pytest.param(IN_THE_BATCH, "RAISE configuration_limit_exceeded", AWAY, "configuration", id="too much"),
        pytest.param(IN_THE_BATCH, "RAISE read_only_sql_transaction", AWAY, "only reads", id="read-only"),
    ],
)
async def test_a_batch_that_the_database_cannot_take_is_an_error_until_it_can(
    server: Server, services: Services, make: Factory, trigger: str, does: str, code: str, said: str
) -> None:
    link = await make.link()
    async with server(max_statement_seconds=1) as api:
        operator = await api.as_(Role.OPERATOR)
        await record_levels(operator, link, FIRST)
        await fail(services, trigger, does)

        with pytest.raises(GraphQLFailed) as failed:
            await record_levels(operator, link, LEVELS)
        left_behind = await stored(services, TargetKind.LINK)
        health = await api.http.get(api.url.replace("/graphql", "/health"))
        await sql(services, f"DROP TRIGGER failing ON {trigger.split(' ON ')[1].split(maxsplit=1)[0]}")
        again = await record_levels(operator, link, LEVELS)

    assert failed.value.codes == [code]
    assert said in failed.value.errors[0]["message"]
    assert "nothing was stored" in failed.value.errors[0]["message"]
    assert len(left_behind) == len(FIRST)
    assert health.status_code == 200
    assert (again["accepted"], again["duplicates"]) == (2, 0)


async def test_of_a_batch_whose_commit_is_cut_off_nothing_is_claimed_but_that_it_may_be_sent_again(
    operator: Api, services: Services, make: Factory
) -> None:
    link = await make.link()
    await record_levels(operator, link, FIRST)
    await fail(services, IN_THE_COMMIT, "PERFORM pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(GraphQLFailed) as failed:
        await record_levels(operator, link, LEVELS)
    await sql(services, "DROP TRIGGER failing ON streams")
    again = await record_levels(operator, link, LEVELS)

    assert failed.value.codes == [AWAY]
    assert "nothing was stored" not in failed.value.errors[0]["message"]
    assert "Send it again: samples that were stored count as duplicates." in failed.value.errors[0]["message"]
    assert (again["accepted"], again["duplicates"]) == (2, 0)


async def test_a_query_that_takes_the_database_too_long_is_stopped_and_the_next_one_is_answered(
    server: Server, services: Services
) -> None:
    async with server(max_statement_seconds=0.3) as api:
        viewer = await api.as_(Role.VIEWER)

        async with services.database.write() as session:
            await session.execute(text("LOCK TABLE sites"))
            with pytest.raises(GraphQLFailed) as failed:
                await viewer.run(SITES)
        data = await viewer.run(SITES)

    assert failed.value.codes == ["TIMEOUT"]
    assert data == {"sites": {"totalCount": 0}}


async def test_a_migration_may_take_longer_than_a_statement(database_url: str) -> None:
    services = build_services(settings_of(database_url, max_statement_seconds=0.2))

    async with services.database.write() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int(AdvisoryLock.MIGRATIONS)})
        migrating = asyncio.create_task(migrate(services.database))
        await asyncio.sleep(0.5)
        assert not migrating.done()

    await migrating
    await services.database.close()


async def test_a_connection_that_failed_in_the_driver_s_hands_is_given_to_nobody_else(services: Services) -> None:
    async def pid(failure: Exception | None = None) -> int:
        async with services.database.driver() as connection:
            pids.append(await connection.fetchval("SELECT pg_backend_pid()"))
            if failure:
                raise failure
        return pids[-1]

    pids: list[int] = []
    lost = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    with pytest.raises(Unavailable):
        await pid(lost)

    assert pids[0] not in [await pid() for _ in range(3)]


async def test_a_copy_that_is_given_up_leaves_no_connection_for_others_to_stumble_over(services: Services) -> None:
    """asyncpg goes on reading what is still to come of it, and would tell the next who asks something."""
    by_chance = random.Random(1)

    async def read(_: bytes) -> None:
        pass

    async def copy() -> None:
        async with services.database.driver() as connection:
            await connection.copy_from_query("SELECT generate_series(1, 300000), repeat('x', 50)", output=read)

    for _ in range(20):
        copies = [asyncio.create_task(copy()) for _ in range(3)]
        await asyncio.sleep(by_chance.uniform(0, 0.1))
        for each in copies:
            each.cancel()
        await asyncio.gather(*copies, return_exceptions=True)

        async with services.database.driver() as connection:
            assert await connection.fetchval("SELECT 1") == 1
