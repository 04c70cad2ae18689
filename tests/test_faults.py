"""The database is down at the start, or goes away while serving."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from bcom_graphql import app
from resolvers.errors import Unavailable
from resolvers.store.embedded import embedded_postgres
from resolvers.store.migrations import migrate, pending
from resolvers.store.tables import Role
from tests.conftest import settings_of
from tests.support import Api, Factory, GraphQLFailed, id_of, serving

WATCH = "subscription { anomalyDetected(changes: [ACKNOWLEDGED]) { change } }"
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"
SITES = "{ sites { totalCount } }"


async def test_a_database_that_is_not_there_is_said_to_be_unavailable() -> None:
    services = app.services(settings_of("postgresql+asyncpg://nobody@127.0.0.1:9/nothing"))

    with pytest.raises(Unavailable):
        await services.feed.start()


async def test_a_fresh_database_is_migrated_once_however_many_start_together(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as url:
        services = [app.services(settings_of(url)) for _ in range(3)]
        assert await pending(services[0].database)

        await asyncio.gather(*(migrate(each.database) for each in services))

        assert not await pending(services[0].database)
        for each in services:
            await each.database.close()


async def test_a_database_that_goes_away_is_an_error_and_comes_back_without_a_restart(tmp_path: Path) -> None:
    with ExitStack() as postgres:
        settings = settings_of(postgres.enter_context(embedded_postgres(tmp_path)))
        services = app.services(settings)
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
                postgres.enter_context(embedded_postgres(tmp_path))
                data = await operator.run(ACKNOWLEDGE, id=id_of(anomaly))
                event = await socket.next()

    assert failed.value.codes == ["SERVICE_UNAVAILABLE"]
    assert health.status_code == 503
    assert data == {"acknowledgeAnomaly": {"__typename": "Anomaly"}}
    assert event == {"anomalyDetected": {"change": "ACKNOWLEDGED"}}
