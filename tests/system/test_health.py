"""What the server says of itself to what starts, watches and balances it."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from bcom_graphql import __version__, app
from bcom_graphql.services import build_services
from resolvers.base import shared_query
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate, revisions
from tests.conftest import settings_of
from tests.helpers.support import Api, serving, until

WELL = {"server": "ok", "database": "ok", "migrations": "ok", "models": "ok", "events": "ok"}
WATCH = "subscription { anomalyDetected { cursor } }"


@pytest.fixture(autouse=True)
def _asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_query, "GOOD_FOR_SECONDS", 0.0)


async def health(api: Api, path: str = "/ready") -> httpx.Response:
    return await api.http.get(api.url.replace("/graphql", f"/health{path}"))


async def checks(api: Api) -> tuple[int, dict[str, str]]:
    response = await health(api)
    return response.status_code, response.json()["checks"]


async def sql(services: Services, statement: str) -> None:
    async with services.database.write() as session:
        await session.execute(text(statement))


async def is_ready(api: Api) -> bool:
    return (await health(api)).status_code == 200


async def test_a_server_that_can_serve_says_so(api: Api) -> None:
    await until(lambda: is_ready(api))
    answers = [await health(api, path) for path in ("", "/live", "/ready")]

    assert [response.status_code for response in answers] == [200] * 3
    assert [response.json() for response in answers] == [
        {"status": "ok", "database": "up", "version": __version__},
        {"status": "live", "version": __version__},
        {"status": "ready", "checks": WELL, "version": __version__},
    ]
    assert {response.headers["cache-control"] for response in answers} == {"no-store"}


async def test_a_database_that_is_older_than_the_code_is_not_served(api: Api, services: Services) -> None:
    await until(lambda: is_ready(api))
    await sql(services, f"UPDATE alembic_version SET version_num = '{revisions()[-2]}'")

    status, told = await checks(api)

    assert status == 503
    assert told == WELL | {"migrations": "are pending: run `bcom-graphql migrate`"}


async def test_old_processes_go_on_while_newer_ones_take_over(api: Api, services: Services) -> None:
    await until(lambda: is_ready(api))
    await sql(services, "UPDATE alembic_version SET version_num = 'of the next release'")

    assert await checks(api) == (200, WELL)


async def test_without_a_champion_it_names_the_model_and_the_command(api: Api, services: Services) -> None:
    await until(lambda: is_ready(api))
    await sql(services, "DELETE FROM champions WHERE model = 'anomaly_link'")

    status, told = await checks(api)

    assert status == 503
    assert told == WELL | {"models": "have no champion, run `bcom-graphql train --all`: anomaly_link"}


async def test_a_feed_that_reads_no_more_is_told_of(api: Api, services: Services) -> None:
    await until(lambda: is_ready(api))
    await services.feed.stop()
    services.feed.poll_seconds = 0.0

    assert await checks(api) == (503, WELL | {"events": "are not followed"})


async def test_while_it_stops_it_wants_no_more_requests_but_lives(services: Services, database_url: str) -> None:
    application = app.application(services, settings_of(database_url, profile="development"))
    [server] = [each.args[0] for each in application.user_middleware if each.args]  # the sockets' shortest way
    stopping: Any = server
    async with serving(application) as url, Api.to(url, services) as api:
        await until(lambda: is_ready(api))
        viewer = await api.as_(Role.VIEWER)
        async with viewer.socket() as socket:
            await socket.subscribe(WATCH)
            await stopping.drain(1.0)
            answers = await checks(api), (await health(api, "/live")).status_code

    assert answers == ((503, WELL | {"server": "is stopping"}), 200)


async def test_without_a_database_it_lives_and_is_not_ready_until_that_is_back(tmp_path: Path) -> None:
    with ExitStack() as postgres:
        url = postgres.enter_context(embedded_postgres(tmp_path))
        services = build_services(settings_of(url))
        await migrate(services.database)
        async with serving(app.application(services, settings_of(url))) as address, Api.to(address, services) as api:
            postgres.close()
            away = [(await health(api, path)).status_code for path in ("", "/live", "/ready")]
            _, told = await checks(api)
            postgres.enter_context(embedded_postgres(tmp_path))
            await until(lambda: answers(api), 20)

    assert away == [503, 200, 503]
    assert told["database"] == "does not answer"
    assert (told["migrations"], told["models"]) == ("unknown", "unknown")


async def answers(api: Api) -> bool:
    return (await health(api, "")).status_code == 200


async def test_asking_often_costs_the_database_little(
    api: Api, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: is_ready(api))
    monkeypatch.setattr(shared_query, "GOOD_FOR_SECONDS", 60.0)
    await health(api)
    statements.clear()

    await asyncio.gather(*(health(api) for _ in range(20)))

    assert statements == []
