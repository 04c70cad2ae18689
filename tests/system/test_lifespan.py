"""What a server process starts and stops."""

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest

from bcom_graphql import app
from bcom_graphql.services import build_services
from resolvers.base.errors import Unavailable
from resolvers.context import Services
from resolvers.demo.clock import FleetClock
from resolvers.store.postgres.database import Database
from tests.conftest import settings_of
from tests.helpers.support import serving


class BrokenTrainers:
    """Cannot be stopped."""

    async def launch(self, run_id: UUID) -> None: ...

    async def stop(self) -> None:
        raise RuntimeError("the trainers do not stop")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Signals' handlers as they were before: here, no uvicorn restores them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_a_part_that_cannot_be_stopped_keeps_no_other_from_being_stopped(
    services: Services, database_url: str
) -> None:
    services = replace(services, trainers=BrokenTrainers())
    application = app.application(services, settings_of(database_url))
    ran: list[bool] = []

    with pytest.raises(RuntimeError, match="do not stop"):
        async with application.router.lifespan_context(application):
            ran = [services.feed.worker.is_running, services.live.worker.is_running, services.database.pool.open > 0]

    assert ran == [True, True, True]
    assert not services.feed.worker.is_running
    assert not services.live.worker.is_running
    assert services.database.pool.open == 0


class LateClock(FleetClock):
    """Its database goes away before it is read, and comes back."""

    asked = 0

    async def read(self, database: Database) -> None:
        self.asked += 1
        if self.asked == 1:
            raise Unavailable
        await super().read(database)


async def test_a_database_that_goes_away_while_a_demo_s_process_starts_is_waited_for(
    services: Services, database_url: str
) -> None:
    """Else all server processes end with this one: uvicorn replaces none that failed to start."""
    clock = LateClock()
    application = app.application(replace(services, clock=clock), settings_of(database_url))

    async with application.router.lifespan_context(application):
        assert clock.asked == 2


async def test_a_server_that_is_told_to_stop_no_longer_waits_for_its_database() -> None:
    stops: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stops.append(number))
    is_asked = asyncio.Event()

    async def run_server(port: int) -> None:
        settings = settings_of(f"postgresql+asyncpg://nobody@127.0.0.1:{port}/nothing")
        async with serving(app.application(build_services(settings), settings)):
            pass

    async def say_nothing(client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_asked.set()
        await client.read()  # until it hangs up
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent_database:
        server = asyncio.create_task(run_server(silent_database.sockets[0].getsockname()[1]))
        await is_asked.wait()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(server, 20)

    assert stops == [signal.SIGTERM]  # as uvicorn raises it again when it has ended
