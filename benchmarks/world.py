"""What benchmarks run against: an embedded PostgreSQL of their own, a fleet, and a real server in its own process."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from pydantic import SecretStr
from sqlalchemy import insert, text

from bcom_graphql.cli.output import progress_bar
from bcom_graphql.cli.startup import make_ready
from bcom_graphql.services import build_services
from bcom_graphql.settings import Settings
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate
from resolvers.store.tables.core import Band, Link, Network, Satellite, SignIn, Site, SiteRole, User

SECRET = "only for benchmarks, and as long as it must be"
SITE = 1  # every world's first site, a hub


def free_port() -> int:
    """Returns a free port for a server that is about to start."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
        return port


@dataclass(frozen=True)
class World:
    """A database with a fleet. links: the links' ids by number, which run from 0."""

    services: Services
    settings: Settings
    database_url: str
    links: list[int]

    async def token(self, role: Role = Role.OPERATOR) -> str:
        async with self.services.database.write() as session:
            user = User(email=f"{role.lower()}@example.com", role=role, is_active=True, password_hash="nobody's")
            session.add(user)
            await session.flush()
            sign_in = SignIn(user_id=user.id)
            session.add(sign_in)
            await session.flush()
            return self.services.tokens.issue(user.id, sign_in.id, datetime.now(UTC))[0]

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Opens a connection of the driver's, with nothing of ours in front of it."""
        connection: Any = await asyncpg.connect(self.database_url.replace("+asyncpg", ""))
        return connection  # type: ignore[no-any-return]

    @asynccontextmanager
    async def server(self) -> "AsyncIterator[Client]":
        """Starts a server in a process of its own, and returns a client that is signed in as an operator."""
        port = free_port()
        environment = {**os.environ, "DATABASE_URL": self.database_url, "SECRET_KEY": SECRET, "RATE_LIMITS": "off"}
        command = [sys.executable, "-m", "bcom_graphql", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        try:
            client = Client(port, await self.token())
            await client.connect()
            yield client
            client.close()
        finally:
            process.terminate()
            process.wait()


class Client:
    """An HTTP client with one connection, which does little work: the server is what is measured."""

    def __init__(self, port: int, token: str) -> None:
        headers = f"Host: here\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._port, self._token, self._head = port, token, b"POST /graphql HTTP/1.1\r\n" + headers.encode()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self) -> None:
        """Waits for the server to start."""
        for _ in range(600):
            try:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**26)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return
        raise TimeoutError("the server did not start")

    async def twin(self) -> "Client":
        """Opens another connection of the same user."""
        twin = Client(self._port, self._token)
        await twin.connect()
        return twin

    async def answer(self, body: bytes) -> bytes:
        """Returns the response to an encoded operation. Raises AssertionError if it has errors."""
        try:
            head, content = await self._post(body)
        except (asyncio.IncompleteReadError, ConnectionError):  # the server hung up while nothing was asked
            await self.connect()
            head, content = await self._post(body)
        assert head.startswith(b"http/1.1 200"), content[:500]
        assert b'"errors":[' not in content, content[:500]
        return content

    async def _post(self, body: bytes) -> tuple[bytes, bytes]:
        return await self.ask(self._head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """Returns the head and the content of the response to a whole request."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return head, await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def world(links: int = 0, *, trained: bool = True) -> AsyncIterator[World]:
    """Makes a migrated database with one hub site and so many links; with trained models, unless nothing is scored."""
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as url:
        settings = Settings(
            silence_seconds=86_400,
            learning_seconds=86_400,  # measured is what ingest costs, not what is learned beside it
            _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it
            database_url=SecretStr(url),
            secret_key=SecretStr(SECRET),
            rate_limits=False,
        )
        services = build_services(settings)
        if trained:
            with progress_bar() as bar:
                await make_ready(settings, bar)
        else:
            await migrate(services.database)
        yield World(services, settings, url, await _fleet(services, links))
        await services.database.close()


async def _fleet(services: Services, links: int) -> list[int]:
    async with services.database.write() as session:
        hub = Site(number=SITE, name="Somewhere", role=SiteRole.HUB, mobile=False)
        remote = Site(number=SITE + 1, name="Elsewhere", role=SiteRole.REMOTE, mobile=False)
        satellite = Satellite(name="A satellite", longitude=13.0)
        session.add_all([hub, remote, satellite])
        await session.flush()
        network = Network(number=1, name="A network", hub_id=hub.id, satellite_id=satellite.id, band=Band.KU)
        session.add(network)
        await session.flush()
        rows = [
            {"number": number, "name": f"Link {number}", "network_id": network.id, "site_id": remote.id}
            for number in range(links)
        ]
        if rows:
            await session.execute(insert(Link), rows)
        found = await session.execute(text("SELECT id FROM links ORDER BY number"))
        return [id for (id,) in found]


def operation(document: str, **variables: Any) -> bytes:
    """Encodes an operation, before the clock starts."""
    return orjson.dumps({"query": document, "variables": variables}, option=orjson.OPT_SERIALIZE_NUMPY)
