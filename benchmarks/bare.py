"""What benchmarks compare with: a bare broadcast, Strawberry's own server with our schema, a handwritten endpoint."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import jwt
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import GraphQL

from bcom_graphql.services import build_services
from bcom_graphql.settings import Settings
from ml.detection.episodes import Severity
from resolvers.base.access import SYSTEM
from resolvers.base.tokens import AUDIENCE, ISSUER
from resolvers.context import Context
from schema.root import schema

ROLE: Final = """SELECT role FROM users JOIN sign_ins ON user_id = users.id
  WHERE sign_ins.id = $1 AND revoked_at IS NULL AND users.id = $2 AND is_active"""
ANOMALIES: Final = """SELECT id, severity, score, confidence, started_at, target_id FROM anomalies
  ORDER BY started_at DESC, id DESC LIMIT $1"""
SEVERITIES: Final = [*Severity]  # by rank
LINKS: Final = "SELECT id, number, name FROM links WHERE id = ANY($1::int[])"


def bare() -> Starlette:
    """Sends a posted body to all sockets, so many times."""
    sockets: set[WebSocket] = set()

    async def listen(socket: WebSocket) -> None:
        await socket.accept(subprotocol="graphql-transport-ws")
        sockets.add(socket)
        try:
            await socket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(socket)

    async def broadcast(request: Request) -> Response:
        text = (await request.body()).decode()
        for _ in range(int(request.query_params["times"])):
            for socket in list(sockets):
                await socket.send_text(text)
            await asyncio.sleep(0)
        return PlainTextResponse("done")

    health = Route("/health", lambda _: PlainTextResponse("ok"))
    return Starlette(routes=[health, WebSocketRoute("/ws", listen), Route("/broadcast", broadcast, methods=["POST"])])


def stock() -> Starlette:
    """The same schema and resolvers, without our protocol server."""
    services = build_services(Settings())

    class Stock(GraphQL[Any, None]):
        async def get_context(self, request: Any, response: Any) -> Any:
            return Context(services, SYSTEM)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await services.feed.start()
        yield
        await services.feed.stop()
        await services.database.close()

    server = Stock(schema)
    health = Route("/health", lambda _: PlainTextResponse("ok"))
    return Starlette(routes=[health, WebSocketRoute("/graphql", server), Route("/graphql", server)], lifespan=lifespan)


def handwritten() -> Starlette:
    """Answers one query without GraphQL, with the same access check and the same statements.

    It verifies the token at each request with PyJWT. Our server remembers the tokens that it has verified.
    """
    settings = Settings()
    assert settings.database_url is not None
    assert settings.secret_key is not None
    url = settings.database_url.get_secret_value().replace("+asyncpg", "")
    secret = settings.secret_key.get_secret_value()
    pools: list[Any] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        pools.append(await asyncpg.create_pool(url, min_size=10, max_size=10))
        yield
        await pools[0].close()

    async def answer(request: Request) -> Response:
        asked = orjson.loads(await request.body())
        bearer = request.headers["authorization"].removeprefix("Bearer ")
        claims = jwt.decode(bearer, secret, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
        first = asked["variables"]["first"]
        async with pools[0].acquire() as connection:
            role = await connection.fetchval(ROLE, claims["sid"], int(claims["sub"]))
            if role is None:
                return Response(status_code=401)
            rows = await connection.fetch(ANOMALIES, first + 1)
            links = await connection.fetch(LINKS, list({row["target_id"] for row in rows[:first]}))
        targets = {row["id"]: {"number": row["number"], "name": row["name"]} for row in links}
        nodes = [
            {
                "id": b64encode(b"Anomaly:%s" % str(row["id"]).encode()).decode(),
                "severity": SEVERITIES[row["severity"]],
                "score": row["score"],
                "confidence": row["confidence"],
                "startedAt": row["started_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "target": targets[row["target_id"]],
            }
            for row in rows[:first]
        ]
        return Response(orjson.dumps({"data": {"anomalies": {"nodes": nodes}}}), media_type="application/json")

    health = Route("/health", lambda _: PlainTextResponse("ok"))
    return Starlette(routes=[health, Route("/graphql", answer, methods=["POST"])], lifespan=lifespan)
