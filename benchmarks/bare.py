"""What the fan-out is compared with: a bare broadcast, and our schema by Strawberry's own server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import GraphQL

from bcom_graphql import app
from bcom_graphql.settings import Settings
from resolvers.access import SYSTEM
from resolvers.context import Context
from schema.root import schema


def bare() -> Starlette:
    """Sends what is posted to all sockets, so many times."""
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
    services = app.services(Settings())

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
