"""GraphQL over HTTP, as the specification has it; people who look get GraphiQL."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from graphql import OperationType
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.schema import Schema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from bcom_graphql.graphql.answers import Answer
from bcom_graphql.graphql.connections import Connections
from bcom_graphql.graphql.documents import DocumentStore
from bcom_graphql.graphql.errors import STATUS, Refused, Rejected, bad_request
from bcom_graphql.graphql.events import EventStream
from bcom_graphql.graphql.execution import Engine, WrongOperationType
from bcom_graphql.graphql.gate import Client, Gate
from bcom_graphql.graphql.json import encode, parsed
from bcom_graphql.graphql.limits import Limits
from bcom_graphql.graphql.requests import (
    EVENT_STREAM,
    JSON,
    Operation,
    address_of,
    answer_type,
    is_multipart,
    operations,
    refuse_forgery,
)
from bcom_graphql.graphql.websocket import Handler, TextFrames

COST_HEADER = "graphql-cost"
UNCACHED = {"cache-control": "no-store"}
Allowed = Collection[OperationType]


@dataclass(frozen=True)
class Ide:
    """The page for people, and the Content-Security-Policy that it needs."""

    html: str
    policy: str


class GraphQLServer(GraphQL[Any, None]):
    """One endpoint for queries, mutations, subscriptions and people."""

    websocket_adapter_class = TextFrames
    graphql_transport_ws_handler_class = Handler

    def __init__(
        self,
        schema: Schema,
        gate: Gate,
        ide: Ide,
        limits: Limits | None = None,
        *,
        trusted: dict[str, str] | None = None,
        allowed_origins: Collection[str] = (),
    ) -> None:
        """`trusted` documents by their ids: no others are admitted then. `allowed_origins` may open sockets."""
        self.gate, self.ide, self.limits = gate, ide, limits or Limits()
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=self.limits.init_seconds),
            allowed_origins=[*allowed_origins],
        )
        documents = DocumentStore(schema._schema, self.limits, trusted)  # noqa: SLF001  graphql-core's
        self.engine = Engine(schema, gate, self.limits, documents)
        self.connections = Connections(gate, self.limits.connections)
        self.is_draining = False

    async def drain(self, seconds: float) -> None:
        """End sockets and event streams, once they were sent what has happened; at most so many seconds later."""
        self.is_draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gate.settled()
        self.connections.drain()

    async def get_context(self, request: Any, response: Any) -> None:
        """None for a socket: its operations open theirs one by one."""

    def run(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """A socket is Strawberry's business, with our handler; a request is ours. An awaitable."""
        return super().run(request, *arguments, **options) if isinstance(request, WebSocket) else self._answer(request)

    async def _answer(self, request: Request) -> Response:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(self.ide.html, headers={"content-security-policy": self.ide.policy})
        media = JSON
        try:
            media = answer_type(request.headers.get("accept", ""))
            return await self._respond(request, media)
        except Refused as refused:
            media = JSON if media == EVENT_STREAM else media
            return _response(request, media, {"errors": refused.presented()}, refused.status, refused.headers)
        finally:
            await request.close()  # the files of an upload

    async def _respond(self, request: Request, media: str) -> Response:
        refuse_forgery(request.headers)
        asked = await self._received(request)
        if media == EVENT_STREAM:
            return await self._event_stream(request, asked)
        allowed = _allowed(request)
        if isinstance(asked, list):
            answers = await asyncio.gather(*(self._of_batch(request, operation, allowed) for operation in asked))
            return _together(request, media, answers)
        answer = await self._execute(request, asked, allowed)
        # Plain JSON keeps to 200, as clients of old expect; the newer type says with 400 that nothing ran.
        status = 200 if answer.executed or media == JSON else 400
        return _response(request, media, answer.body, status, cost=answer.cost, retry_after=answer.retry_after)

    async def _received(self, request: Request) -> Operation | list[Operation]:
        """What is asked, once all of it has arrived; a trickle must not hold its place for ever. Raises Refused."""
        seconds = self._seconds(request)
        try:
            async with asyncio.timeout(seconds):
                return await operations(request, self.limits)
        except TimeoutError:
            raise Refused(
                f"The request took longer than {seconds:g} seconds to arrive.", {"code": "TIMEOUT"}, 408
            ) from None

    def _seconds(self, request: Request) -> float:
        """How long it may take to arrive, and then to execute; longer with files."""
        return self.limits.upload_seconds if is_multipart(request.headers) else self.limits.seconds

    async def _of_batch(self, request: Request, operation: Operation, allowed: Allowed) -> Answer:
        """One that may not begin leaves the others alone."""
        try:
            return await self._execute(request, operation, allowed)
        except Refused as refused:
            waiting = refused.extensions.get("retryAfter")
            return Answer({"errors": refused.presented()}, executed=False, retry_after=waiting)

    async def _execute(self, request: Request, operation: Operation, allowed: Allowed) -> Answer:
        """In a context of its own, also within a batch. Raises Refused."""
        try:
            context = await self.gate.open(client_of(request))
            prepared = await self.engine.prepare(operation, context, allowed)
            return await self.engine.execute(prepared, self._seconds(request))
        except Rejected as rejected:
            return Answer.not_executed(rejected, self.gate.request_id())
        except WrongOperationType as wrong:
            raise _wrong_way(wrong.type, request.method) from wrong

    async def _event_stream(self, request: Request, asked: Operation | list[Operation]) -> Response:
        """One operation's answers as server-sent events. Raises Refused when it does not begin."""
        if isinstance(asked, list) or is_multipart(request.headers):
            raise bad_request("A batch, or a request with files, cannot be answered with an event stream.")
        stream = EventStream(self.engine, self.connections, client_of(request))
        try:
            await stream.begin(asked, {*_allowed(request), OperationType.SUBSCRIPTION})
        except Rejected as rejected:
            errors = rejected.presented(self.gate.request_id())
            code = errors[0]["extensions"]["code"]
            return _response(request, JSON, {"errors": errors}, STATUS.get(code, 400))
        except WrongOperationType as wrong:
            raise _wrong_way(wrong.type, request.method) from wrong
        return stream

    def encode_json(self, data: object) -> bytes:
        return encode(data)

    def decode_json(self, data: str | bytes) -> object:
        return parsed(data, "The message")


def client_of(request: Request) -> Client:
    """Who sends it."""
    return Client(request.headers, address_of(request), request.headers.get("last-event-id"))


def _allowed(request: Request) -> set[OperationType]:
    return {OperationType.QUERY} if request.method == "GET" else {OperationType.QUERY, OperationType.MUTATION}


def _response(
    request: Request,
    media: str,
    body: object,
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    cost: int = 0,
    retry_after: int | None = None,
) -> Response:
    told = {**UNCACHED, **(headers or {})}
    if COST_HEADER in request.headers:  # reported on demand
        told[COST_HEADER] = str(cost)
    if retry_after is not None:
        status, told["retry-after"] = 429, str(retry_after)
    return Response(encode(body), status, told, media_type=media)


def _together(request: Request, media: str, answers: list[Answer]) -> Response:
    """A batch's response: 200, whatever became of each, unless all of them have to wait."""
    waits = [answer.retry_after for answer in answers if answer.retry_after is not None]
    return _response(
        request,
        media,
        [answer.body for answer in answers],
        cost=sum(answer.cost for answer in answers),
        retry_after=max(waits) if len(waits) == len(answers) else None,
    )


def _wrong_way(type: OperationType, method: str) -> Refused:
    if type is OperationType.SUBSCRIPTION:
        return bad_request("Subscriptions need a WebSocket (graphql-transport-ws), or `Accept: text/event-stream`.")
    return bad_request(f"A {type.value} cannot be sent with {method}; use POST.", 405, allow="POST")
