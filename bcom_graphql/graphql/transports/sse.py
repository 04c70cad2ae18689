"""Serves GraphQL over server-sent events: one operation per HTTP response (graphql-sse's distinct connections mode).

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. An event that a client can
resume after carries its cursor as `id:`; a client that comes back with it in `Last-Event-ID` goes on there. A comment
now and then keeps proxies from closing a quiet stream.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import suppress

from graphql import OperationType
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.execution.application import Client
from bcom_graphql.graphql.execution.engine import Engine
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.execution.responses import GraphQLResponse
from bcom_graphql.graphql.transports.connections import GOING_AWAY, Connection, Connections
from bcom_graphql.graphql.transports.requests import EVENT_STREAM

KEEP_ALIVE_SECONDS = 12.0
KEEP_ALIVE = b":\n\n"
COMPLETE = b"event: complete\ndata:\n\n"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the latter is for nginx


class EventStream(StreamingResponse):
    """Streams the responses of one operation until it completes, the client leaves, or its credentials expire."""

    def __init__(self, engine: Engine, connections: Connections, client: Client) -> None:
        super().__init__(self._make_events(), headers=HEADERS, media_type=EVENT_STREAM)
        self._engine = engine
        self._gate = connections.gate
        self._client = client
        self._ended: asyncio.Future[RequestError] = asyncio.get_running_loop().create_future()
        self._connection = Connection(connections, client, self._ended.set_result, "sse")
        self._responses: AsyncGenerator[GraphQLResponse, None]
        self._next: asyncio.Task[GraphQLResponse | None] | None = None

    async def start(self, asked: GraphQLRequest, allowed: Collection[OperationType]) -> None:
        """Begins the operation. Raises RequestError, InvalidOperation or WrongOperationType if it cannot."""
        context = await self._gate.open_context(self._client)
        prepared = await self._engine.prepare(asked, context, allowed)
        with prepared.timer:
            await self._connection.admit(context)
        try:
            self._responses = await self._engine.respond(prepared)
        except BaseException:
            self._connection.leave()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # Starlette cancels only what is inside
            if self._next is not None:
                self._next.cancel()
                with suppress(asyncio.CancelledError):
                    await self._next
            await self._responses.aclose()
            self._connection.leave()

    async def _make_events(self) -> AsyncIterator[bytes]:
        while True:
            self._next = self._next or asyncio.create_task(_next_or_none(self._responses))
            await asyncio.wait((self._next, self._ended), timeout=KEEP_ALIVE_SECONDS, return_when="FIRST_COMPLETED")
            if self._ended.done() and self._ended.result() is GOING_AWAY:
                return  # without `complete`: the client comes back
            if self._ended.done():
                yield _make_event(GraphQLResponse({"errors": self._ended.result().format_errors()}))
                break
            if not self._next.done():
                yield KEEP_ALIVE
                continue
            response, self._next = self._next.result(), None
            if response is None:
                break
            yield _make_event(response)
        yield COMPLETE


async def _next_or_none(responses: AsyncIterator[GraphQLResponse]) -> GraphQLResponse | None:
    """Returns the next response, or None at the end."""
    return await anext(responses, None)


def _make_event(response: GraphQLResponse) -> bytes:
    id = b"" if response.event_id is None else b"id: " + response.event_id.encode() + b"\n"
    return b"event: next\n" + id + b"data: " + response.encoded + b"\n\n"
