"""Servers and PostgreSQL die while incidents come about: every anomaly ends up in one, and no fault in two."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import asyncpg
import httpx
import pytest

from bcom_graphql.services import build_services
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.incidents.correlator import correlate
from resolvers.recommendations.worker import recommend_due
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate
from resolvers.store.tables.core import Link
from tests.conftest import SECRET, settings_of
from tests.helpers.invariants import ALWAYS, SETTLED, TOLD, find_broken
from tests.helpers.processes import Served
from tests.helpers.support import EXTREME, LINK_CENTRE, LINK_SPREAD, QUIET, Api, Factory, ms, until
from tests.system.test_crashes import copy_models

pytestmark = pytest.mark.slow

NETWORKS, LINKS = 4, 5  # of each
ROUNDS: Final = 8
RECORD = "mutation ($columns: LinkColumns!) { recordLinkColumns(columns: $columns) { __typename } }"
LIST = """{ incidents(first: 20, filter: { statuses: [OPEN, ACKNOWLEDGED, MITIGATED] }) { nodes {
  id anomalies(first: 2) { nodes { id } } } } }"""
RESOLVE = "mutation ($id: ID!) { resolveIncident(id: $id) { __typename } }"
MERGE = "mutation ($into: ID!, $ids: [ID!]!) { mergeIncidents(into: $into, ids: $ids) { __typename } }"
SPLIT = "mutation ($id: ID!, $ids: [ID!]!) { splitIncident(id: $id, anomalies: $ids) { __typename } }"
LOCKS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
UNFINISHED = "SELECT count(*) FROM anomalies WHERE incident_id IS NULL"


@dataclass
class World:
    """A PostgreSQL of its own, two servers on it, and networks whose links are known."""

    folder: Path
    url: str
    services: Services
    servers: list[Served]
    headers: dict[str, str]
    networks: list[list[Link]]
    chance: random.Random = field(default_factory=lambda: random.Random(23))

    async def fetch(self, query: str) -> list[Any]:
        async with asyncio.timeout(60):
            while True:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
                    try:
                        return await connection.fetch(query)
                    finally:
                        connection.terminate()
                await asyncio.sleep(0.1)

    async def ask(self, document: str, **variables: Any) -> Any:
        """Of either server; None where it does not answer, or cannot just now."""
        server = self.chance.choice(self.servers)
        body = {"query": document, "variables": variables}
        try:
            async with httpx.AsyncClient(timeout=60, headers=self.headers) as client:
                answer = (await client.post(f"{server.url}/graphql", json=body)).json()
        except (httpx.TransportError, ValueError):
            return None
        return answer.get("data")

    async def record(self, links: Sequence[Link], levels: Sequence[float]) -> None:
        """A sample a second of each link, from now on, until a server has taken them."""
        begins = ms(datetime.now(UTC))
        rows = [(link.number, begins + 1000 * second, level) for link in links for second, level in enumerate(levels)]
        numbers, at, level = zip(*rows, strict=True)
        columns = {"link": numbers, "direction": ["OB"] * len(rows), "at": at, "rxLevelDbm": level}
        for _ in range(200):
            if await self.ask(RECORD, columns=columns):
                return
            await asyncio.sleep(0.3)
        raise TimeoutError("no server takes samples")


@pytest.fixture
async def world(tmp_path: Path, postgres: str) -> AsyncIterator[World]:
    with TemporaryDirectory() as folder, ExitStack() as own:
        url = own.enter_context(embedded_postgres(Path(folder)))
        services = build_services(settings_of(url))
        await migrate(services.database)
        await copy_models(postgres, url)
        make = Factory(services)
        networks = []
        for _ in range(NETWORKS):
            network = await make.network()
            networks.append([await make.link(network=network) for _ in range(LINKS)])
            for link in networks[-1]:
                await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
        settings = {"SECRET_KEY": SECRET, "DATABASE_URL": url, "RATE_LIMITS": "off", "SHUTDOWN_SECONDS": "2"}
        (tmp_path / "second").mkdir()
        servers = [Served(folder, **settings) for folder in (tmp_path, tmp_path / "second")]
        for server in servers:
            own.enter_context(server)
        async with Api.to(f"{servers[0].url}/graphql", services) as api:
            headers = (await api.as_(Role.OPERATOR)).headers
        yield World(Path(folder), url, services, servers, headers, networks)
        await services.database.close()


async def break_something(world: World) -> None:
    """A network or a single link fails; after a while it is well again, or not."""
    links = world.chance.choice(world.networks)
    hit = links if world.chance.random() < 0.6 else [world.chance.choice(links)]
    await world.record(hit, [EXTREME])
    if world.chance.random() < 0.5:
        await asyncio.sleep(world.chance.uniform(0.0, 3.0))
        await world.record(hit, [QUIET] * 6)


async def act(world: World) -> None:
    """An operator resolves, merges or splits what there is."""
    nodes = ((await world.ask(LIST)) or {"incidents": {"nodes": []}})["incidents"]["nodes"]
    if not nodes:
        return
    first, second = world.chance.choice(nodes), world.chance.choice(nodes)
    match world.chance.randrange(3):
        case 0:
            await world.ask(RESOLVE, id=first["id"])
        case 1:
            await world.ask(MERGE, into=first["id"], ids=[second["id"]])
        case 2:
            await world.ask(SPLIT, id=first["id"], ids=[one["id"] for one in first["anomalies"]["nodes"][:1]])


async def kill(world: World, number: int) -> None:
    """A server by SIGKILL or SIGTERM, the connection of whoever holds a lock, or PostgreSQL."""
    match number % 4:
        case 0:
            server = world.chance.choice(world.servers)
            server.kill()
            await asyncio.to_thread(server.start)
        case 1:
            for row in await world.fetch(LOCKS):
                await world.fetch(f"SELECT pg_terminate_backend({row['pid']})")
        case 2:
            server = world.chance.choice(world.servers)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
        case 3:
            postmaster = int((world.folder / "postgres" / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGKILL)
            await asyncio.sleep(0.5)


async def settle(world: World) -> None:
    """Lets the servers do what is due, and an hour later this process, when all that has ended is closed."""

    async def is_done() -> bool:
        return (await world.fetch(UNFINISHED))[0]["count"] == 0

    await until(is_done, seconds=120)
    for server in world.servers:
        await asyncio.to_thread(server.stop)
    later = replace(world.services, clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    for _ in range(2):
        await correlate(later)
        await recommend_due(later)


async def test_every_anomaly_ends_up_in_one_incident_whatever_dies_meanwhile(world: World) -> None:
    for number in range(ROUNDS):
        await break_something(world)
        working = [asyncio.create_task(act(world)), asyncio.create_task(break_something(world))]
        await asyncio.sleep(world.chance.uniform(0.0, 2.0))  # while related anomalies are gathered, or an analysis runs
        await kill(world, number)
        await asyncio.gather(*working)

    await settle(world)

    [row] = await world.fetch("SELECT count(*) FROM anomalies")
    assert row["count"] > ROUNDS
    assert await find_broken(world.services, ALWAYS, TOLD, SETTLED) == {}, [server.log for server in world.servers]
