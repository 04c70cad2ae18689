"""Clients, a server and a factory for tests."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

import anyio
import httpx
import uvicorn
import websockets
from sqlalchemy import text
from starlette.applications import Starlette

from bcom_graphql.graphql.transports.http_protocol import HttpProtocol
from bcom_graphql.graphql.transports.websocket_protocol import WebSocketProtocol
from ml.catalogue.metrics import Direction, TargetKind
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import (
    Anomaly,
    AnomalyStatus,
    Band,
    Link,
    Network,
    Satellite,
    SignIn,
    Site,
    SiteRole,
    Stream,
    Table,
    User,
)
from resolvers.store.tables.incidents import Incident, IncidentLink, IncidentStatus
from resolvers.store.tables.samples import SAMPLES, key_columns
from schema.relay import global_id

Row = TypeVar("Row", bound=Table)
Clock = Callable[[], datetime]
NOW = datetime.now(UTC).replace(microsecond=0)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def clock_from_now() -> Clock:
    """A clock for tests whose samples count from NOW: it begins near it, however long ago that was in a long run."""
    late = max(timedelta(), datetime.now(UTC) - NOW - timedelta(minutes=2))
    return lambda: datetime.now(UTC) - late


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def iso(at: datetime) -> str:
    return at.isoformat()


def id_of(row: Table) -> str:
    """The row's global id."""
    return global_id(type(row).__name__, row.id)  # type: ignore[attr-defined]


class GraphQLFailed(AssertionError):
    """An operation answered with errors."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(json.dumps(errors, indent=1))
        self.errors = errors
        self.codes = [error["extensions"]["code"] for error in errors]


class QuickServer(uvicorn.Server):
    """uvicorn takes a fifth of a second to notice that it should stop, and that nobody is there: a thousand times."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # noqa: ASYNC110  uvicorn tells by a flag
            await asyncio.sleep(0.005)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(0.005)  # for clients that hang up just now
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        await self.lifespan.shutdown()


@asynccontextmanager
async def serving(application: Starlette, port: int = 0, **options: Any) -> AsyncIterator[str]:
    """A real server in this event loop, with `serve`'s options or these, on any free port or this; its address."""
    listener = socket.create_server(("127.0.0.1", port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else asyncio's answers wait 40 ms for an ACK
    usual: dict[str, Any] = {
        "log_level": "critical",
        "http": HttpProtocol,
        "ws": WebSocketProtocol,
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": 1,
        "lifespan": "on",
    }
    config = uvicorn.Config(application, **(usual | options))
    server = QuickServer(config)
    running = asyncio.create_task(server.serve([listener]))
    while not server.started:
        if running.done():
            running.result()
            raise RuntimeError("the server did not start")
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
    finally:
        server.should_exit = True
        await running


@dataclass(frozen=True)
class Api:
    """A client of the API, anonymous or somebody's."""

    url: str
    services: Services = field(repr=False)  # half a megabyte, in the report of a property that fails
    http: httpx.AsyncClient
    token: str | None = None

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str, services: Services) -> "AsyncIterator[Self]":
        # There is no TLS, whose certificates take 20 ms to read.
        async with httpx.AsyncClient(timeout=30, verify=False, trust_env=False) as http:
            yield cls(url, services, http)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def with_token(self, token: str | None) -> "Api":
        return replace(self, token=token)

    async def as_(self, role: Role) -> "Api":
        """A client signed in as somebody with this role."""
        return await self.of(await Factory(self.services).user(role=role))

    async def of(self, user: User) -> "Api":
        """A client signed in as this user."""
        async with self.services.database.write() as session:
            sign_in = SignIn(user_id=user.id)
            session.add(sign_in)
            await session.flush()
            token, _ = self.services.tokens.issue(user.id, sign_in.id, datetime.now(UTC))
        return self.with_token(token)

    async def execute(self, document: str, **variables: Any) -> dict[str, Any]:
        """The whole response."""
        body = {"query": document, "variables": variables}
        response = await self.http.post(self.url, json=body, headers=self.headers)
        answer: dict[str, Any] = response.json()
        return answer

    async def run(self, document: str, **variables: Any) -> dict[str, Any]:
        """The data. Raises GraphQLFailed when there are errors."""
        response = await self.execute(document, **variables)
        if "errors" in response:
            raise GraphQLFailed(response["errors"])
        data: dict[str, Any] = response["data"]
        return data

    @asynccontextmanager
    async def socket(self) -> "AsyncIterator[Socket]":
        """An acknowledged WebSocket."""
        url = self.url.replace("http://", "ws://")
        async with websockets.connect(url, subprotocols=[websockets.Subprotocol("graphql-transport-ws")]) as connection:
            opened = Socket(connection)
            await opened.send(type="connection_init", payload=self.headers)
            assert (await opened.receive())["type"] == "connection_ack"
            yield opened


Server = Callable[..., AbstractAsyncContextManager[Api]]  # takes settings


@asynccontextmanager
async def several(server: Server, processes: int) -> AsyncIterator[tuple[Api, Api]]:
    """Clients of one server, or of two on the same database."""
    async with server() as here:
        if processes == 1:
            yield here, here
        else:
            async with server() as there:
                yield here, there


@dataclass
class Socket:
    """A WebSocket that speaks graphql-transport-ws."""

    connection: websockets.ClientConnection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def receive(self, seconds: float = 10) -> dict[str, Any]:
        text = await asyncio.wait_for(self.connection.recv(), seconds)
        assert isinstance(text, str), "the subprotocol speaks in text frames"
        message: dict[str, Any] = json.loads(text)
        return message

    async def subscribe(self, document: str, id: str = "1", **variables: Any) -> None:
        """Start an operation, and wait until the server follows the log for it."""
        await self.send(type="subscribe", id=id, payload={"query": document, "variables": variables})
        await self.send(type="ping")
        assert (await self.receive())["type"] == "pong"
        await asyncio.sleep(0.2)

    async def next(self, seconds: float = 10) -> Any:
        """The data of the next result."""
        message = await self.receive(seconds)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]

    async def silent(self, seconds: float = 0.5) -> bool:
        """Whether nothing comes."""
        try:
            await self.receive(seconds)
        except TimeoutError:
            return True
        return False

    async def closed(self, seconds: float = 10) -> int | None:
        """Wait for the server to close it; the close code."""
        try:
            while True:
                await asyncio.wait_for(self.connection.recv(), seconds)
        except websockets.ConnectionClosed:
            return self.connection.close_code


class Factory:
    """Builds rows; what is not given is made up."""

    _numbers = itertools.count(int(datetime.now(UTC).timestamp() * 1000) % 1_000_000_000)  # none twice in a database

    def __init__(self, services: Services) -> None:
        self._services = services

    async def _add(self, row: Row) -> Row:
        async with self._services.database.write() as session:
            session.add(row)
            await session.flush()
            await session.refresh(row)
        return row

    async def user(self, role: Role = Role.VIEWER, *, is_active: bool = True, email: str | None = None) -> User:
        email = email or f"user{next(self._numbers)}@example.com"
        return await self._add(User(email=email, role=role, is_active=is_active, password_hash="nobody's"))

    async def satellite(self, name: str | None = None) -> Satellite:
        return await self._add(Satellite(name=name or f"Satellite {next(self._numbers)}", longitude=13.0))

    async def site(self, role: SiteRole = SiteRole.REMOTE, number: int | None = None, name: str = "Somewhere") -> Site:
        return await self._add(Site(number=number or next(self._numbers), name=name, role=role, mobile=False))

    async def network(
        self, number: int | None = None, *, hub: Site | None = None, satellite: Satellite | None = None
    ) -> Network:
        hub, satellite = hub or await self.site(SiteRole.HUB), satellite or await self.satellite()
        number = number or next(self._numbers)
        row = Network(number=number, name=f"Network {number}", hub_id=hub.id, satellite_id=satellite.id, band=Band.KU)
        return await self._add(row)

    async def link(
        self, number: int | None = None, *, network: Network | None = None, site: Site | None = None
    ) -> Link:
        network, site = network or await self.network(), site or await self.site()
        number = number or next(self._numbers)
        return await self._add(Link(number=number, name=f"Link {number}", network_id=network.id, site_id=site.id))

    async def anomaly(self, target: Network | Site | Link | None = None, **given: Any) -> Anomaly:
        """Open, on a link of its own unless told otherwise."""
        target = target or await self.link()
        row = Anomaly(
            **{
                "kind": TargetKind(type(target).__name__.upper()),
                "target_id": target.id,
                "direction": Direction.OB if isinstance(target, Link) else None,
                "status": AnomalyStatus.OPEN,
                "severity": Severity.MEDIUM,
                "score": 0.5,
                "confidence": 0.9,
                "model_version": "1.0.0",
                "started_at": ago(minutes=10),
                "last_seen_at": ago(minutes=1),
                "contributions": [],
                **given,
            }
        )
        if row.status is AnomalyStatus.RESOLVED and row.ended_at is None:
            row.ended_at = row.last_seen_at
        return await self._add(row)

    async def incident(self, *links: Link, **given: Any) -> Incident:
        """Open and announced, of a fault of these links."""
        row = Incident(
            **{
                "severity": Severity.HIGH,
                "title": "2 links of a network degraded",
                "started_at": ago(minutes=10),
                "detected_at": ago(minutes=9),
                "announced_at": ago(minutes=9),
                "last_changed_at": ago(minutes=9),
                "affected_link_count": len(links),
                **given,
            }
        )
        if row.status is IncidentStatus.RESOLVED and row.ended_at is None:
            row.ended_at = ago(minutes=1)
        await self._add(row)
        for link in links:
            await self._add(IncidentLink(incident_id=row.id, link_id=link.id))
        return row

    async def baseline(
        self, target: Network | Site | Link, centre: list[float], spread: list[float], direction: str = ""
    ) -> Stream:
        return await self._add(build_baseline(target, centre, spread, direction))


def build_baseline(
    target: Network | Site | Link, centre: list[float], spread: list[float], direction: str = ""
) -> Stream:
    """What is usual for a target, as if learned from a thousand samples."""
    return Stream(
        target_id=target.id,
        kind=TargetKind(type(target).__name__.upper()),
        direction=direction,
        samples=1000,
        learned_samples=1000,
        centre=centre,
        spread=spread,
    )


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 30) -> None:
    """Waits until it holds; for so long only where the machine is busy."""
    with anyio.fail_after(seconds):
        while not (await result if isinstance(result := condition(), Awaitable) else result):  # noqa: ASYNC110
            await anyio.sleep(0.005)


async def codes(api: Api, document: str, **variables: Any) -> list[str]:
    """The codes of the errors that an operation answers with; none when it succeeds."""
    response = await api.execute(document, **variables)
    return [error["extensions"]["code"] for error in response.get("errors", [])]


RECORDED = """__typename
  ... on RecordedMetrics { accepted duplicates rejectedCount rejected { row reason } anomalies { id }
    merged conflicting replaced leftOutCount leftOut { column reason count example } }
  ... on InvalidInput { message path } ... on Forbidden { message requiredRole }"""
LINK_CENTRE = [4.0, 45.0, 1.0, 1.0, 100.0, 12.0, -45.0, 33.0, 600.0, 12.0, 0.1, 9.5]
LINK_SPREAD = [1.0, 8.0, 2.0, 2.0, 0.5, 0.3, 0.3, 0.3, 8.0, 2.0, 0.1, 0.15]
QUIET, MILD, EXTREME = -45.0, -42.5, -65.0  # dBm into a receiver with this baseline: ordinary, odd, surely a fault


async def record(api: Api, kind: TargetKind, **columns: Any) -> dict[str, Any]:
    """What recording these columns answers."""
    name = f"record{kind.capitalize()}Columns"
    document = f"mutation ($columns: {kind.capitalize()}Columns!) {{ {name}(columns: $columns) {{ {RECORDED} }} }}"
    answer: dict[str, Any] = (await api.run(document, columns=columns))[name]
    return answer


async def record_samples(api: Api, kind: TargetKind, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """What recording these rows answers."""
    name, input = f"record{kind.capitalize()}Metrics", f"{kind.capitalize()}SampleInput"
    document = f"mutation ($samples: [{input}!]!) {{ {name}(samples: $samples) {{ {RECORDED} }} }}"
    answer: dict[str, Any] = (await api.run(document, samples=samples))[name]
    return answer


async def record_levels(api: Api, link: Link, levels: dict[datetime, float], direction: str = "OB") -> dict[str, Any]:
    """What recording these receive levels of a link answers."""
    rows = len(levels)
    times = [ms(at) for at in levels]
    return await record(
        api,
        TargetKind.LINK,
        link=[link.number] * rows,
        direction=[direction] * rows,
        at=times,
        rxLevelDbm=[*levels.values()],
    )


async def stored(services: Services, kind: TargetKind) -> list[dict[str, Any]]:
    """All samples of a kind as they are in the database, in order of their keys."""
    async with services.database.read() as session:
        keys = ", ".join(key_columns(kind))
        rows = await session.execute(text(f"SELECT * FROM {SAMPLES[kind].name} ORDER BY {keys}"))
        return [dict(row) for row in rows.mappings()]


async def sql(services: Services, *statements: str) -> None:
    """Do something to the database that no resolver does."""
    async with services.database.write() as session:
        for statement in statements:
            await session.execute(text(statement))
