"""Serves GraphQL over WebSocket (graphql-transport-ws). A socket closes when its credentials expire.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md. Close codes:

    4400 malformed message              4401 operation before the handshake     4403 invalid or expired credentials
    4406 no common subprotocol          4408 no handshake in time               4409 id in use
    4429 second handshake               1013 overload or too many sockets: clients come back later
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol, cast

import structlog
from graphql import GraphQLFormattedError, OperationType
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage, SubscribeMessage

from bcom_graphql.graphql.errors import InvalidOperation, RequestError, mask_error
from bcom_graphql.graphql.execution.application import Client, Gate
from bcom_graphql.graphql.execution.broadcast import Subscriber
from bcom_graphql.graphql.execution.engine import Engine
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.execution.responses import GraphQLResponse
from bcom_graphql.graphql.json import encode, parse_json
from bcom_graphql.graphql.limits import Allowance, Limits
from bcom_graphql.graphql.transports.connections import GOING_AWAY, Connection, Connections
from bcom_graphql.graphql.transports.pending_sockets import PendingSocket
from bcom_graphql.graphql.transports.requests import address_of
from bcom_graphql.graphql.transports.websocket_protocol import ADMIT, WRITE

logger = structlog.get_logger(__name__)

FORBIDDEN = 4403
TOO_MANY_HANDSHAKES = 4429
TRY_AGAIN_LATER = 1013  # in the registry of RFC 6455; graphql-ws and others retry after it, and never after 4429
CLOSE_CODES = {"UNAUTHENTICATED": FORBIDDEN}
PENDING = "bcom.websocket.pending"  # key in the scope: the socket's place among the pending ones
MAX_REASON_BYTES = 123  # RFC 6455
INVALID_MESSAGE = 4400  # graphql-transport-ws
ANY_TYPE = frozenset(OperationType)


class Endpoint(Protocol):
    """What a socket needs of its endpoint."""

    engine: Engine
    gate: Gate
    limits: Limits
    connections: Connections


class TextFrameAdapter(ASGIWebSocketAdapter):
    """Sends and receives JSON in text frames."""

    ws: WebSocket
    view: Endpoint  # type: ignore[assignment]  # narrower than Strawberry's
    allowed: Allowance | None = None  # of a message, once the socket is authenticated

    def write(self, texts: Sequence[bytes]) -> bool:
        """Writes texts at once, if the server has a way. Returns False if not, or if the socket takes no more now."""
        write = self.ws.scope.get("extensions", {}).get(WRITE)
        return write is not None and write(texts)

    def admit(self, *, signed_in: bool) -> None:
        """Accepts messages that are as large as the caller may send."""
        self.allowed = self.view.limits.allowance(signed_in=signed_in)
        admit = self.ws.scope.get("extensions", {}).get(ADMIT)
        if admit is not None:
            admit(None if signed_in else self.allowed.size)

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncIterator[object]:  # type: ignore[override]
        try:
            while True:
                text = await self.ws.receive_text()
                yield parse_json(text, "The message", self.allowed or self.view.limits.allowance(signed_in=False))
        except KeyError as error:  # raised by Starlette for a binary message
            raise NonTextMessageReceived from error
        except RequestError as error:  # raised by parse_json
            await self.close(INVALID_MESSAGE, str(error))  # before Strawberry closes without saying what is wrong
            raise NonJsonMessageReceived from error
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: closed from our side
            return

    async def send_json(self, message: Mapping[str, object]) -> None:
        await self.send_text(encode(message).decode())

    async def send_text(self, text: str) -> None:
        try:
            await self.ws.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:  # RuntimeError: closed from our side meanwhile
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        with suppress(RuntimeError, WebSocketDisconnect):  # closed already
            await self.ws.close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))


class RunningOperation(Operation[Any, None]):
    """An operation of a socket. head: the bytes before the payload in each of its messages."""

    __slots__ = ["head", "subscriber"]
    handler: "SocketHandler"

    def __init__(self, handler: "SocketHandler", id: str, request: GraphQLRequest) -> None:
        super().__init__(handler, id, "", None, None)  # the document is not needed any more
        self.head = b'{"id":' + encode(id) + b',"type":"next","payload":'
        self.subscriber: Subscriber[GraphQLResponse] | None = None

    def write(self, responses: Sequence[GraphQLResponse]) -> bool:
        """Writes responses. Subscribers share their bytes; the id before them is the operation's own."""
        return not self.completed and self.handler.websocket.write([self._message(response) for response in responses])

    async def send_response(self, response: GraphQLResponse) -> None:
        """Sends a response, or its errors if it was not executed. Raises WebSocketDisconnected."""
        if not response.executed:
            await self.fail(response.body["errors"])
        elif not self.completed and not self.write([response]):
            await self.handler.websocket.send_text(self._message(response).decode())

    def _message(self, response: GraphQLResponse) -> bytes:
        return b"".join((self.head, response.encoded, b"}"))

    async def send(self, response: GraphQLResponse) -> None:
        """Sends a pushed response. Ignores that the socket has gone, which ends its operations by itself."""
        with suppress(WebSocketDisconnected):
            await self.send_response(response)

    async def fail(self, errors: list[GraphQLFormattedError]) -> None:
        """Ends this operation with errors; the socket stays open."""
        message: Any = {"id": self.id, "type": "error", "payload": errors}
        await self.send_operation_message(message)

    def begin(self, subscriber: Subscriber[GraphQLResponse]) -> None:
        self.subscriber = subscriber

    def end(self, last: GraphQLResponse) -> None:
        self.task = asyncio.create_task(self.send(last))

    def stop(self) -> None:
        """Ends the operation without another message."""
        if self.subscriber is not None:
            self.subscriber.leave()
        if self.task is not None:
            self.task.cancel()


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket. Checks its credentials when it opens, at each operation, when they change and when they expire."""

    view: Endpoint  # type: ignore[assignment]  # narrower than Strawberry's
    websocket: TextFrameAdapter

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._client = Client({}, "")
        self._connection = Connection(self.view.connections, self._client, self._end_connection)
        self._closing: asyncio.Task[None] | None = None
        self._pending: PendingSocket = self.websocket.ws.scope[PENDING]

    # ------------------------------------------------------------ coming and going

    def on_request_accepted(self) -> None:
        """Starts a timer instead of Strawberry's task, which lives as long as the socket."""
        self._handshake_timer = asyncio.get_running_loop().call_later(self.view.limits.init_seconds, self._too_late)
        self._pending.make_way = self._make_way

    def _make_way(self) -> None:
        self._end_connection(
            RequestError("Too many sockets wait for their connection_init; connect again.", {"code": "RATE_LIMITED"})
        )

    def _too_late(self) -> None:
        if not self.connection_init_received:
            self.connection_timed_out = True
            self._closing = asyncio.create_task(self.websocket.close(4408, "Connection initialisation timeout"))

    async def handle_message(self, message: Any) -> None:
        """Treats anything but an object with a string id as a protocol error."""
        if isinstance(message, dict) and isinstance(message.get("id", ""), str):
            await super().handle_message(message)  # type: ignore[arg-type]
        else:
            await self.handle_invalid_message("Invalid message")

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        if self.connection_timed_out:
            return
        self._handshake_timer.cancel()
        payload = {} if message.get("payload") is None else message["payload"]
        if not isinstance(payload, dict):
            await self.websocket.close(4400, "Invalid connection init payload")
        elif self.connection_init_received:
            await self.websocket.close(TOO_MANY_HANDSHAKES, "Too many initialisation requests")
        else:
            self.connection_init_received = True
            self._pending.leave()
            await self._admit(payload)

    async def _admit(self, credentials: Mapping[str, object]) -> None:
        self._client = Client(credentials, address_of(self.websocket.ws))
        self._connection = Connection(self.view.connections, self._client, self._end_connection)
        try:
            context = await self.view.gate.open_context(self._client)
            await self._connection.admit(context)
        except RequestError as error:
            await self._close(error)
            return
        self.websocket.admit(signed_in=self.view.gate.identify(context).signed_in)
        await self.send_message({"type": "connection_ack"})
        self.connection_acknowledged = True

    def _end_connection(self, error: RequestError) -> None:
        self._closing = asyncio.create_task(self._close(error))

    async def _close(self, error: RequestError) -> None:
        code = 1001 if error is GOING_AWAY else CLOSE_CODES.get(error.code, TRY_AGAIN_LATER)
        await self.websocket.close(code, str(error))

    async def shutdown(self) -> None:
        self._handshake_timer.cancel()
        self._connection.leave()
        await super().shutdown()

    # ------------------------------------------------------------ operations

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if not self.connection_acknowledged:
            await self.websocket.close(4401, "Unauthorized")
            return
        try:
            payload = cast("dict[str, Any]", message).pop("payload")  # else kept until the next message
            request = GraphQLRequest.of(payload)
        except RequestError as error:
            await self.handle_invalid_message(str(error))
            return
        id, most = message["id"], self.view.limits.subscriptions
        if id in self.operations:
            await self.websocket.close(4409, f"Subscriber for {id} already exists")
        elif len(self.operations) >= most:
            text = f"This socket has {len(self.operations)} operations in progress; at most {most} are allowed."
            too_many = RequestError(text, {"code": "RATE_LIMITED"})
            await self._send_message({"id": id, "type": "error", "payload": too_many.format_errors()})
        else:
            running = RunningOperation(self, id, request)
            self.operations[id] = running
            running.task = asyncio.create_task(self._run(running, request))

    async def _send_message(self, message: Any) -> None:
        await self.send_message(message)

    async def _run(self, running: RunningOperation, request: GraphQLRequest) -> None:
        """Runs an operation. Its context is its own: loaders must not outlive it, and credentials may have changed."""
        with suppress(WebSocketDisconnected):
            try:
                await self._respond(running, request)
            except RequestError as error:
                await running.fail(error.format_errors())
            except InvalidOperation as error:
                await running.fail(error.format_errors(self.view.gate.request_id()))
            except WebSocketDisconnected:
                raise
            except Exception as error:  # noqa: BLE001  our bug ends this operation, and is logged; its siblings live on
                await running.fail([mask_error(error, self.view.gate.request_id())])  # type: ignore[list-item]
        if running.task is asyncio.current_task():  # else it is sending the last error already
            running.task = None

    async def _respond(self, running: RunningOperation, request: GraphQLRequest) -> None:
        context = await self.view.gate.open_context(self._client)
        prepared = await self.view.engine.prepare(request, context, ANY_TYPE)
        async with aclosing(await self.view.engine.respond(prepared, running)) as responses:
            async for response in responses:
                await running.send_response(response)
        if running.subscriber is None:
            await running.send_operation_message({"id": running.id, "type": "complete"})

    async def cleanup_operation(self, operation_id: str) -> None:
        running: Any = self.operations.pop(operation_id, None)
        if running is not None:
            running.stop()
