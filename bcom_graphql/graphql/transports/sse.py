"""GraphQL over server-sent events: one operation, one response ("distinct connections mode" of graphql-sse).

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. An event that can be resumed behind carries its cursor
as `id:`; a client that comes back with it in `Last-Event-ID` goes on there. A comment now and then keeps proxies from
closing what is merely quiet.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import suppress

from graphql import OperationType
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bcom_graphql.graphql.errors import Refused
from bcom_graphql.graphql.execution.application import Client
from bcom_graphql.graphql.execution.engine import Engine
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.execution.responses import Answer
from bcom_graphql.graphql.transports.connections import GOING_AWAY, Connection, Connections
from bcom_graphql.graphql.transports.requests import EVENT_STREAM

KEEP_ALIVE_SECONDS = 12.0
KEEP_ALIVE = b":\n\n"
COMPLETE = b"event: complete\ndata:\n\n"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the latter is nginx's


class EventStream(StreamingResponse):
    """The answers of one operation, until it is complete, the client leaves, or its credentials end."""

    def __init__(self, engine: Engine, connections: Connections, client: Client) -> None:
        super().__init__(self._frames(), headers=HEADERS, media_type=EVENT_STREAM)
        self._engine = engine
        self._gate = connections.gate
        self._client = client
        self._ended: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        self._connection = Connection(connections, client, self._ended.set_result, "sse")
        self._answers: AsyncGenerator[Answer, None]
        self._next: asyncio.Task[Answer | None] | None = None

    async def begin(self, asked: GraphQLRequest, allowed: Collection[OperationType]) -> None:
        """Raises Refused, Rejected or WrongOperationType when there is nothing to stream."""
        context = await self._gate.open(self._client)
        prepared = await self._engine.prepare(asked, context, allowed)
        with prepared.watch:
            await self._connection.admit(context)
        try:
            self._answers = await self._engine.answers(prepared)
        except BaseException:
            self._connection.leave()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # out here nobody cancels any more
            if self._next is not None:
                self._next.cancel()
                with suppress(asyncio.CancelledError):
                    await self._next
            await self._answers.aclose()
            self._connection.leave()

    async def _frames(self) -> AsyncIterator[bytes]:
        while True:
            self._next = self._next or asyncio.create_task(_following(self._answers))
            await asyncio.wait((self._next, self._ended), timeout=KEEP_ALIVE_SECONDS, return_when="FIRST_COMPLETED")
            if self._ended.done() and self._ended.result() is GOING_AWAY:
                return  # without `complete`: the client comes back
            if self._ended.done():
                yield _frame(Answer({"errors": self._ended.result().presented()}))
                break
            if not self._next.done():
                yield KEEP_ALIVE
                continue
            answer, self._next = self._next.result(), None
            if answer is None:
                break
            yield _frame(answer)
        yield COMPLETE


async def _following(answers: AsyncIterator[Answer]) -> Answer | None:
    """The next answer; None when there is none."""
    return await anext(answers, None)


def _frame(answer: Answer) -> bytes:
    id = b"" if answer.event_id is None else b"id: " + answer.event_id.encode() + b"\n"
    return b"event: next\n" + id + b"data: " + answer.encoded + b"\n\n"
