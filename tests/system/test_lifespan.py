"""What a server process starts and stops."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest

from bcom_graphql import app
from resolvers.context import Services
from tests.conftest import settings_of


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
