"""Serves GraphQL over HTTP as the specification says, and GraphiQL to browsers.

https://graphql.github.io/graphql-over-http/draft/
"""

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
from bcom_graphql.graphql.errors import STATUS, BadRequest, InvalidOperation, RequestError
from bcom_graphql.graphql.execution.application import Client, Gate
from bcom_graphql.graphql.execution.engine import MIN_POINTS, Engine, WrongOperationType
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.execution.response_encoding import ByteBudget
from bcom_graphql.graphql.execution.responses import GraphQLResponse, RetryAfter
from bcom_graphql.graphql.json import encode
from bcom_graphql.graphql.limits import Allowance, Limits
from bcom_graphql.graphql.transports.bodies import HttpRequest
from bcom_graphql.graphql.transports.connections import Connections
from bcom_graphql.graphql.transports.pending_sockets import PendingSockets
from bcom_graphql.graphql.transports.requests import (
    EVENT_STREAM,
    JSON,
    address_of,
    choose_media_type,
    is_multipart,
    read_operations,
    refuse_forgery,
)
from bcom_graphql.graphql.transports.spool import Spool
from bcom_graphql.graphql.transports.sse import EventStream
from bcom_graphql.graphql.transports.websocket import PENDING, SocketHandler, TextFrameAdapter

logger = structlog.get_logger(__name__)

COST_HEADER = "graphql-cost"
UNCACHED = (b"cache-control", b"no-store")
BY_GET: Final = frozenset({OperationType.QUERY})
BY_POST: Final = BY_GET | {OperationType.MUTATION}
AllowedTypes = Collection[OperationType]
CUT_SHORT: Final = RequestError(
    "The server was stopped before this was finished, so it may or may not be done. Send it again.",
    {"code": "SERVICE_UNAVAILABLE", "retryAfter": 1},
)


@dataclass(frozen=True)
class IdePage:
    """The page for browsers, and its Content-Security-Policy for a request's Host."""

    html: str
    policy: Callable[[str], str]


class GraphQLServer(GraphQL[Any, None]):
    """The endpoint for queries, mutations, subscriptions and browsers."""

    websocket_adapter_class = TextFrameAdapter
    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self,
        schema: Schema,
        gate: Gate,
        ide: IdePage,
        limits: Limits | None = None,
        *,
        trusted: dict[str, str] | None = None,
        allowed_origins: Collection[str] = (),
        upload_folder: Path | None = None,
        compiled: bool = True,
    ) -> None:
        """trusted: documents by their ids; if given, all others are refused. allowed_origins: may open sockets.

        compiled: False lets graphql-core execute all operations.
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
        self._pending = PendingSockets(self.limits.pending_connections)
        self.spool = Spool(self.limits, upload_folder)
        self.is_draining = False

    async def drain(self, seconds: float) -> None:
        """Ends sockets and event streams once all queued events are sent, at most so many seconds later."""
        self.is_draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gate.wait_until_sent()
        self.connections.drain()

    async def get_context(self, request: Any, response: Any) -> None:
        """Returns no context for a socket, as each of its operations gets its own."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        """Serves requests here, and sockets by Strawberry with our handler."""
        return (self._serve_http if scope["type"] == "http" else self._serve_socket)(scope, receive, send)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope[PENDING] = pending = self._pending.add(address_of(HTTPConnection(scope)))
        except RequestError as error:
            await make_denial(error)(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            pending.leave()

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond_to(HttpRequest(scope, receive))
        except ClientDisconnect:
            logger.info("a client left before its request had arrived")
        else:
            await response(scope, receive, send)

    async def _respond_to(self, request: HttpRequest) -> Response:
        accept, media = request.header_values.get("accept", ""), JSON
        if "text/html" in accept and request.method == "GET":
            policy = self.ide.policy(request.header_values.get("host", ""))
            return HTMLResponse(self.ide.html, headers={"content-security-policy": policy})
        try:
            media = choose_media_type(accept)
            return await self._respond(request, media)
        except RequestError as error:
            return _make_error_response(request, media, error)
        except asyncio.CancelledError:  # uvicorn cancels it when the server stops, after a grace period
            return _make_error_response(request, media, CUT_SHORT)
        finally:
            if request.memory is not None:
                request.memory.release()
            if request.disk is not None:
                await run_in_threadpool(request.disk.close)

    async def _respond(self, request: HttpRequest, media: str) -> Response:
        refuse_forgery(request.header_values)
        operation = await self._read_request(request)
        if media == EVENT_STREAM:
            return await self._start_event_stream(request, operation)
        allowed = _allowed_types(request)
        if isinstance(operation, list):
            budget = self.engine.new_budget()
            responses = await asyncio.gather(
                *(self._execute_of_batch(request, one, allowed, budget) for one in operation)
            )
            return _make_batch_response(request, media, responses)
        response = await self._execute(request, operation, allowed)
        # Plain JSON keeps to 200, as old clients expect; in the newer type 400 says that nothing was executed.
        status = 200 if response.executed or media == JSON else 400
        return _make_response(
            request, media, response.encoded, status, cost=response.cost, retry_after=response.retry_after
        )

    async def _read_request(self, request: HttpRequest) -> GraphQLRequest | list[GraphQLRequest]:
        """Reads the request. It holds memory meanwhile, so its time is limited. Raises RequestError."""
        deadline = Deadline(self.limits.seconds)
        try:
            with deadline:
                return await read_operations(request, self.limits, deadline, self.spool, partial(self._admit, request))
        except TimeoutError:
            message = f"The request took longer than {round(deadline.seconds, 1):g} seconds to arrive."
            raise RequestError(message, {"code": "TIMEOUT"}, 408) from None

    async def _admit(self, request: HttpRequest, *, files: bool = False) -> Allowance:
        """Authenticates the sender and returns how much they may send. Raises RequestError."""
        context = await self.gate.open_context(client_of(request))
        if files:
            self.gate.check_may_upload(context)
        await self.gate.charge(context, MIN_POINTS)
        return self.limits.allowance(signed_in=self.gate.identify(context).signed_in, files=files)

    def _seconds(self, request: HttpRequest) -> float:
        """Returns how long an operation may take; longer with files."""
        return self.limits.upload_seconds if is_multipart(request.header_values) else self.limits.seconds

    async def _execute_of_batch(
        self, request: HttpRequest, operation: GraphQLRequest, allowed: AllowedTypes, budget: ByteBudget
    ) -> GraphQLResponse:
        """Executes one operation of a batch. The others go on if it is refused."""
        try:
            return await self._execute(request, operation, allowed, budget)
        except RequestError as error:
            seconds = error.extensions.get("retryAfter")
            retry_after = None if seconds is None else RetryAfter(seconds, error.status)
            return GraphQLResponse({"errors": error.format_errors()}, executed=False, retry_after=retry_after)

    async def _execute(
        self, request: HttpRequest, operation: GraphQLRequest, allowed: AllowedTypes, budget: ByteBudget | None = None
    ) -> GraphQLResponse:
        """Executes an operation in a context of its own. Raises RequestError."""
        try:
            context = await self.gate.open_context(client_of(request))
            prepared = await self.engine.prepare(operation, context, allowed)
            return await self.engine.execute(prepared, self._seconds(request), budget)
        except InvalidOperation as error:
            return GraphQLResponse.from_invalid_operation(error, self.gate.request_id())
        except WrongOperationType as error:
            raise _make_method_error(error.type, request.method) from error

    async def _start_event_stream(
        self, request: HttpRequest, operation: GraphQLRequest | list[GraphQLRequest]
    ) -> Response:
        """Returns the stream of an operation's responses. Raises RequestError if it cannot begin."""
        if isinstance(operation, list) or is_multipart(request.header_values):
            raise BadRequest("A batch, or a request with files, cannot be answered with an event stream.")
        stream = EventStream(self.engine, self.connections, client_of(request))
        try:
            await stream.start(operation, {*_allowed_types(request), OperationType.SUBSCRIPTION})
        except InvalidOperation as error:
            errors = error.format_errors(self.gate.request_id())
            code = errors[0]["extensions"]["code"]
            return _make_errors_response(request, JSON, errors, STATUS.get(code, 400))
        except WrongOperationType as error:
            raise _make_method_error(error.type, request.method) from error
        return stream

    def encode_json(self, data: object) -> bytes:
        return encode(data)


class Encoded(Response):
    """A response whose body and headers are encoded already."""

    def __init__(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.body, self.status_code, self.raw_headers, self.background = body, status, headers, None


def make_denial(error: RequestError) -> Response:
    """Returns the response to a request or WebSocket handshake that is refused."""
    headers = [(b"content-type", JSON.encode()), UNCACHED, (b"connection", b"close")]
    headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    return Encoded(encode({"errors": error.format_errors()}), error.status, headers)


def client_of(request: HttpRequest) -> Client:
    """Returns the sender of a request."""
    return Client(request.header_values, address_of(request), request.header_values.get("last-event-id"))


def _allowed_types(request: HttpRequest) -> AllowedTypes:
    return BY_GET if request.method == "GET" else BY_POST


def _make_response(
    request: HttpRequest,
    media: str,
    body: bytes,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    cost: int = 0,
    retry_after: RetryAfter | None = None,
) -> Response:
    fields = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body)), UNCACHED]
    fields += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    if COST_HEADER in request.header_values:  # sent on demand
        fields.append((COST_HEADER.encode(), b"%d" % cost))
    if retry_after is None:
        return Encoded(body, status, fields)
    return Encoded(body, retry_after.status, [*fields, (b"retry-after", b"%d" % retry_after.seconds)])


def _make_error_response(request: HttpRequest, media: str, error: RequestError) -> Response:
    media = JSON if media == EVENT_STREAM else media
    return _make_errors_response(request, media, error.format_errors(), error.status, error.headers)


def _make_errors_response(
    request: HttpRequest,
    media: str,
    errors: list[GraphQLFormattedError],
    status: int,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return _make_response(request, media, encode({"errors": errors}), status, headers)


def _make_batch_response(request: HttpRequest, media: str, responses: list[GraphQLResponse]) -> Response:
    """Returns a batch's response: 200 whatever its operations came to, unless all are to be tried again later."""
    waits = [response.retry_after for response in responses if response.retry_after is not None]
    return _make_response(
        request,
        media,
        b"[%b]" % b",".join(response.encoded for response in responses),
        cost=sum(response.cost for response in responses),
        retry_after=max(waits) if len(waits) == len(responses) else None,
    )


def _make_method_error(type: OperationType, method: str) -> RequestError:
    if type is OperationType.SUBSCRIPTION:
        return BadRequest("Subscriptions need a WebSocket (graphql-transport-ws), or `Accept: text/event-stream`.")
    return BadRequest(f"A {type.value} cannot be sent with {method}; use POST.", 405, allow="POST")
