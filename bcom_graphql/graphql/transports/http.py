"""GraphQL over HTTP, as the specification has it; people who look get GraphiQL."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from graphql import GraphQLFormattedError, OperationType
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.schema import Schema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from bcom_graphql.graphql.deadlines import Deadline
from bcom_graphql.graphql.documents.store import DocumentStore
from bcom_graphql.graphql.errors import STATUS, Refused, Rejected, bad_request
from bcom_graphql.graphql.execution.application import Client, Gate
from bcom_graphql.graphql.execution.engine import LEAST_POINTS, Engine, WrongOperationType
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.execution.response_encoding import Room
from bcom_graphql.graphql.execution.responses import Answer, Wait
from bcom_graphql.graphql.json import encode
from bcom_graphql.graphql.limits import Allowance, Limits
from bcom_graphql.graphql.transports.bodies import Arrival
from bcom_graphql.graphql.transports.connections import Connections
from bcom_graphql.graphql.transports.pending_sockets import Pending
from bcom_graphql.graphql.transports.requests import (
    EVENT_STREAM,
    JSON,
    address_of,
    answer_type,
    is_multipart,
    operations,
    refuse_forgery,
)
from bcom_graphql.graphql.transports.spool import Spool
from bcom_graphql.graphql.transports.sse import EventStream
from bcom_graphql.graphql.transports.websocket import PENDING, Handler, TextFrames

logger = structlog.get_logger(__name__)

COST_HEADER = "graphql-cost"
UNCACHED = (b"cache-control", b"no-store")
BY_GET: Final = frozenset({OperationType.QUERY})
BY_POST: Final = BY_GET | {OperationType.MUTATION}
Allowed = Collection[OperationType]
CUT_SHORT: Final = Refused(
    "The server was stopped before this was finished, so it may or may not be done. Send it again.",
    {"code": "SERVICE_UNAVAILABLE", "retryAfter": 1},
)


@dataclass(frozen=True)
class Ide:
    """The page for people, and the Content-Security-Policy that it needs, by the request's Host."""

    html: str
    policy: Callable[[str], str]


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
        upload_folder: Path | None = None,
        compiled: bool = True,
    ) -> None:
        """`trusted` documents by their ids: no others are admitted then. `allowed_origins` may open sockets.

        Unless `compiled`, graphql-core executes operations.
        """
        self.gate, self.ide, self.limits = gate, ide, limits or Limits()
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=self.limits.init_seconds),
            allowed_origins=[*allowed_origins],
        )
        documents = DocumentStore(schema._schema, self.limits, trusted)  # noqa: SLF001  graphql-core's
        self.engine = Engine(schema, gate, self.limits, documents, compiled=compiled)
        self.connections = Connections(gate, self.limits.connections)
        self._pending = Pending(self.limits.pending_connections)
        self.spool = Spool(self.limits, upload_folder)
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

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        """A socket is Strawberry's business, with our handler; a request is ours."""
        return (self._serve if scope["type"] == "http" else self._serve_socket)(scope, receive, send)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope[PENDING] = pending = self._pending.add(address_of(HTTPConnection(scope)))
        except Refused as refused:
            await denial(refused)(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            pending.leave()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._answer(Arrival(scope, receive))
        except ClientDisconnect:
            logger.info("a client left before its request had arrived")
        else:
            await response(scope, receive, send)

    async def _answer(self, request: Arrival) -> Response:
        accept, media = request.given.get("accept", ""), JSON
        if "text/html" in accept and request.method == "GET":
            policy = self.ide.policy(request.given.get("host", ""))
            return HTMLResponse(self.ide.html, headers={"content-security-policy": policy})
        try:
            media = answer_type(accept)
            return await self._respond(request, media)
        except Refused as refused:
            return _refused(request, media, refused)
        except asyncio.CancelledError:  # by uvicorn, whose patience ends when the server is stopped
            return _refused(request, media, CUT_SHORT)
        finally:
            if request.place is not None:
                request.place.leave()
            if request.lease is not None:
                await run_in_threadpool(request.lease.close)

    async def _respond(self, request: Arrival, media: str) -> Response:
        refuse_forgery(request.given)
        asked = await self._received(request)
        if media == EVENT_STREAM:
            return await self._event_stream(request, asked)
        allowed = _allowed(request)
        if isinstance(asked, list):
            room = self.engine.room()
            answers = await asyncio.gather(*(self._of_batch(request, operation, allowed, room) for operation in asked))
            return _together(request, media, answers)
        answer = await self._execute(request, asked, allowed)
        # Plain JSON keeps to 200, as clients of old expect; the newer type says with 400 that nothing ran.
        status = 200 if answer.executed or media == JSON else 400
        return _response(request, media, answer.encoded, status, cost=answer.cost, wait=answer.wait)

    async def _received(self, request: Arrival) -> GraphQLRequest | list[GraphQLRequest]:
        """What is asked, once all of it has arrived; a trickle must not hold its place for ever. Raises Refused."""
        deadline = Deadline(self.limits.seconds)
        try:
            with deadline:
                return await operations(request, self.limits, deadline, self.spool, partial(self._admit, request))
        except TimeoutError:
            message = f"The request took longer than {round(deadline.seconds, 1):g} seconds to arrive."
            raise Refused(message, {"code": "TIMEOUT"}, 408) from None

    async def _admit(self, request: Arrival, *, files: bool = False) -> Allowance:
        """How much the sender of these headers may send. Raises Refused."""
        context = await self.gate.open(client_of(request))
        if files:
            self.gate.admit_files(context)
        await self.gate.spend(context, LEAST_POINTS)
        return self.limits.allowance(signed_in=self.gate.identity(context).signed_in, files=files)

    def _seconds(self, request: Arrival) -> float:
        """How long an operation may take; longer with files."""
        return self.limits.upload_seconds if is_multipart(request.given) else self.limits.seconds

    async def _of_batch(self, request: Arrival, operation: GraphQLRequest, allowed: Allowed, room: Room) -> Answer:
        """One that may not begin leaves the others alone."""
        try:
            return await self._execute(request, operation, allowed, room)
        except Refused as refused:
            seconds = refused.extensions.get("retryAfter")
            wait = None if seconds is None else Wait(seconds, refused.status)
            return Answer({"errors": refused.presented()}, executed=False, wait=wait)

    async def _execute(
        self, request: Arrival, operation: GraphQLRequest, allowed: Allowed, room: Room | None = None
    ) -> Answer:
        """In a context of its own, also within a batch. Raises Refused."""
        try:
            context = await self.gate.open(client_of(request))
            prepared = await self.engine.prepare(operation, context, allowed)
            return await self.engine.execute(prepared, self._seconds(request), room)
        except Rejected as rejected:
            return Answer.not_executed(rejected, self.gate.request_id())
        except WrongOperationType as wrong:
            raise _wrong_way(wrong.type, request.method) from wrong

    async def _event_stream(self, request: Arrival, asked: GraphQLRequest | list[GraphQLRequest]) -> Response:
        """One operation's answers as server-sent events. Raises Refused when it does not begin."""
        if isinstance(asked, list) or is_multipart(request.given):
            raise bad_request("A batch, or a request with files, cannot be answered with an event stream.")
        stream = EventStream(self.engine, self.connections, client_of(request))
        try:
            await stream.begin(asked, {*_allowed(request), OperationType.SUBSCRIPTION})
        except Rejected as rejected:
            errors = rejected.presented(self.gate.request_id())
            code = errors[0]["extensions"]["code"]
            return _refusal(request, JSON, errors, STATUS.get(code, 400))
        except WrongOperationType as wrong:
            raise _wrong_way(wrong.type, request.method) from wrong
        return stream

    def encode_json(self, data: object) -> bytes:
        return encode(data)


class Encoded(Response):
    """A body and headers as they go over the wire."""

    def __init__(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.body, self.status_code, self.raw_headers, self.background = body, status, headers, None


def denial(refused: Refused) -> Response:
    """Of a request or of a WebSocket's handshake, which has no other way to tell."""
    headers = [(b"content-type", JSON.encode()), UNCACHED, (b"connection", b"close")]
    headers += [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    return Encoded(encode({"errors": refused.presented()}), refused.status, headers)


def client_of(request: Arrival) -> Client:
    """Who sends it."""
    return Client(request.given, address_of(request), request.given.get("last-event-id"))


def _allowed(request: Arrival) -> Allowed:
    return BY_GET if request.method == "GET" else BY_POST


def _response(
    request: Arrival,
    media: str,
    body: bytes,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    cost: int = 0,
    wait: Wait | None = None,
) -> Response:
    told = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body)), UNCACHED]
    told += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    if COST_HEADER in request.given:  # reported on demand
        told.append((COST_HEADER.encode(), b"%d" % cost))
    if wait is None:
        return Encoded(body, status, told)
    return Encoded(body, wait.status, [*told, (b"retry-after", b"%d" % wait.seconds)])


def _refused(request: Arrival, media: str, refused: Refused) -> Response:
    media = JSON if media == EVENT_STREAM else media
    return _refusal(request, media, refused.presented(), refused.status, refused.headers)


def _refusal(
    request: Arrival,
    media: str,
    errors: list[GraphQLFormattedError],
    status: int,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return _response(request, media, encode({"errors": errors}), status, headers)


def _together(request: Arrival, media: str, answers: list[Answer]) -> Response:
    """A batch's response: 200, whatever became of each, unless all of them have to wait."""
    waits = [answer.wait for answer in answers if answer.wait is not None]
    return _response(
        request,
        media,
        b"[%b]" % b",".join(answer.encoded for answer in answers),
        cost=sum(answer.cost for answer in answers),
        wait=max(waits) if len(waits) == len(answers) else None,
    )


def _wrong_way(type: OperationType, method: str) -> Refused:
    if type is OperationType.SUBSCRIPTION:
        return bad_request("Subscriptions need a WebSocket (graphql-transport-ws), or `Accept: text/event-stream`.")
    return bad_request(f"A {type.value} cannot be sent with {method}; use POST.", 405, allow="POST")
