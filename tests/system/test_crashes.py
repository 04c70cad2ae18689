"""SIGKILL of the server or of PostgreSQL at any moment: what was acknowledged stays, and no batch is there by half."""

import asyncio
import io
import itertools
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import httpx
import pytest

from bcom_graphql.services import build_services
from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate
from tests.conftest import SECRET, settings_of
from tests.helpers.processes import Served
from tests.helpers.support import Api, Factory, GraphQLFailed, ago, ms, record

pytestmark = pytest.mark.slow

LINKS = range(1, 11)
TIMES = 10  # of a batch, within a second of its own
BATCH = [(link, direction, time) for time in range(TIMES) for link in LINKS for direction in ("IB", "OB")]
ALL_NEW, ALL_KNOWN = (len(BATCH), 0), (0, len(BATCH))  # accepted, duplicates
WRITERS = 4
START = ago(hours=12)
STORED = """SELECT (extract(epoch FROM date_trunc('second', at)) - $1)::int AS batch, count(*) AS rows
  FROM link_samples GROUP BY 1"""
MISCOUNTED = """SELECT * FROM streams FULL JOIN
  (SELECT link_id, direction, count(*) AS stored FROM link_samples GROUP BY 1, 2) AS kept
  ON target_id = link_id AND streams.direction = kept.direction WHERE samples IS DISTINCT FROM stored"""
IN_A_TRANSACTION = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"


PATIENCE_SECONDS = 60.0


@dataclass
class World:
    """A PostgreSQL of its own and a server on it, each a process that may die."""

    folder: Path
    postgres: ExitStack
    url: str
    server: Served
    operator: Api

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Waits while PostgreSQL, which was killed, comes back."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    return await asyncpg.connect(self.url.replace("+asyncpg", ""))
                except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
                    await asyncio.sleep(0.1)

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        connection = await self.connect()
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def rows_of_batches(self) -> dict[int, int]:
        return {row["batch"]: row["rows"] for row in await self.fetch(STORED, START.timestamp())}

    async def miscounted(self) -> list[Any]:
        """The streams whose counter is wrong."""
        return await self.fetch(MISCOUNTED)


@pytest.fixture
async def world(tmp_path: Path, postgres: str) -> AsyncIterator[World]:
    # As root, PostgreSQL runs as another user, who is locked out of tmp_path whenever somebody else starts pytest.
    with TemporaryDirectory() as folder, ExitStack() as own:
        url = own.enter_context(embedded_postgres(Path(folder)))
        services = build_services(settings_of(url))
        await migrate(services.database)
        await copy_models(postgres, url)
        for number in LINKS:
            await Factory(services).link(number)
        with Served(tmp_path, SECRET_KEY=SECRET, DATABASE_URL=url, RATE_LIMITS="off") as server:
            async with Api.to(f"{server.url}/graphql", services) as api:
                operator = await api.as_(Role.OPERATOR)
                await services.database.close()
                yield World(Path(folder), own, url, server, operator)


async def copy_models(template: str, url: str) -> None:
    """Training takes longer than all of the tests here."""
    trained, own = [await asyncpg.connect(each.replace("+asyncpg", "")) for each in (template, url)]
    for table in ("model_versions", "champions"):
        content = io.BytesIO()
        await trained.copy_from_table(table, output=content)
        content.seek(0)
        await own.copy_to_table(table, source=content)
    await trained.close()
    await own.close()


@dataclass
class Writers:
    """Send batch after batch, whatever becomes of them, and keep account."""

    api: Api
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    acknowledged: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)  # nothing was stored, the answer said
    unknown: set[int] = field(default_factory=set)  # no answer, or one that could not tell
    codes: set[str] = field(default_factory=set)
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)
    stopped: bool = False

    @property
    def sent(self) -> set[int]:
        return self.acknowledged | self.refused | self.unknown

    async def send(self, number: int) -> tuple[int, int]:
        """How many rows of the batch were accepted, and how many duplicates."""
        links, directions, times = zip(*BATCH, strict=True)
        second = ms(START + timedelta(seconds=number))
        at = [second + 50 * time for time in times]
        values = {"esnoDb": [12.0] * len(BATCH)}
        answer = await record(self.api, TargetKind.LINK, link=links, direction=directions, at=at, **values)
        return answer["accepted"], answer["duplicates"]

    async def write(self) -> None:
        for number in self.numbers:
            if self.stopped:
                return
            try:
                assert await self.send(number) == ALL_NEW
                async with self.progress:
                    self.acknowledged.add(number)
                    self.progress.notify_all()
            except httpx.TransportError:
                self.unknown.add(number)
                await asyncio.sleep(0.5)
            except GraphQLFailed as failed:
                self.codes.update(failed.codes)
                promised = "nothing was stored" in failed.errors[0]["message"]
                (self.refused if promised else self.unknown).add(number)
                await asyncio.sleep(0.5)

    async def served_again(self) -> None:
        """Waits until batches of now are acknowledged."""
        enough = len(self.acknowledged) + 2 * WRITERS
        async with asyncio.timeout(60), self.progress:
            await self.progress.wait_for(lambda: len(self.acknowledged) >= enough)


@asynccontextmanager
async def writing(world: World) -> AsyncIterator[Writers]:
    """Writers at work until this ends; then their last batches have been answered."""
    writers = Writers(world.operator)
    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(writers.write())
        yield writers
        writers.stopped = True


async def kill_the_server(world: World) -> None:
    world.server.kill()
    await asyncio.to_thread(world.server.start)


async def kill_postgres(world: World) -> None:
    """It comes back by itself."""
    postmaster = int((world.folder / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    await asyncio.sleep(0.5)


async def kill_a_backend(world: World) -> None:
    """In the middle of a transaction. PostgreSQL ends all others, recovers and goes on."""
    connection = await world.connect()
    while not (writing := await connection.fetch(IN_A_TRANSACTION)):
        pass
    os.kill(writing[0]["pid"], signal.SIGKILL)
    connection.terminate()


@pytest.mark.parametrize(
    ("kill", "times", "said"),
    [
        pytest.param(kill_the_server, 3, set[str](), id="the server"),
        pytest.param(kill_postgres, 3, {"SERVICE_UNAVAILABLE"}, id="PostgreSQL"),
        pytest.param(kill_a_backend, 6, {"SERVICE_UNAVAILABLE"}, id="one of PostgreSQL's processes"),
    ],
)
async def test_killing_it_at_any_moment_loses_nothing_acknowledged_and_stores_no_half_batch(
    world: World, kill: Callable[[World], Awaitable[None]], times: int, said: set[str]
) -> None:
    moments = random.Random(7)

    async with writing(world) as writers:
        for _ in range(times):
            await writers.served_again()
            await asyncio.sleep(moments.uniform(0, 0.5))
            await kill(world)
        await writers.served_again()

    stored = await world.rows_of_batches()
    assert set(stored.values()) == {len(BATCH)}
    assert writers.acknowledged <= stored.keys() <= writers.acknowledged | writers.unknown
    assert writers.codes == said, world.server.log
    assert await world.miscounted() == []

    again = {number: await writers.send(number) for number in writers.sent}

    assert again == {number: ALL_KNOWN if number in stored else ALL_NEW for number in writers.sent}
    assert await world.rows_of_batches() == dict.fromkeys(writers.sent, len(BATCH))
    assert await world.miscounted() == []
