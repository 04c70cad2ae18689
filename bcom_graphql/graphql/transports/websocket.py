"""GraphQL over WebSocket (graphql-transport-ws): a context per operation; sockets end with their credentials.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md. Close codes: 4400 a frame that is none of the
protocol's, 4401 an operation before the handshake, 4403 credentials that do not hold (any more), 4406 no common
subprotocol, 4408 no handshake in time, 4409 an id in use, 4429 a second handshake. With 1013 clients come back later:
too many sockets, or the server is overloaded.
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

from bcom_graphql.graphql.errors import Refused, Rejected, masked
from bcom_graphql.graphql.execution.application import Client, Gate
from bcom_graphql.graphql.execution.broadcast import Subscriber
from bcom_graphql.graphql.execution.engine import Engine
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.execution.responses import Answer
from bcom_graphql.graphql.json import encode, parsed
from bcom_graphql.graphql.limits import Allowance, Limits
from bcom_graphql.graphql.transports.connections import GOING_AWAY, Connection, Connections
from bcom_graphql.graphql.transports.pending_sockets import PendingSocket
from bcom_graphql.graphql.transports.requests import address_of
from bcom_graphql.graphql.transports.websocket_protocol import ADMIT, WRITE

logger = structlog.get_logger(__name__)

FORBIDDEN = 4403
TOO_MANY_HANDSHAKES = 4429
TRY_AGAIN_LATER = 1013  # the registry of RFC 6455; graphql-ws and others retry it, and never 4429
CLOSE_CODES = {"UNAUTHENTICATED": FORBIDDEN}
PENDING = "bcom.websocket.pending"  # in the scope: its place among those that have not said who they are
LONGEST_REASON = 123  # bytes, RFC 6455
ANY = frozenset(OperationType)


class Endpoint(Protocol):
    """What a socket needs of the endpoint that it was opened at."""

    engine: Engine
    gate: Gate
    limits: Limits
    connections: Connections


class TextFrames(ASGIWebSocketAdapter):
    """The subprotocol speaks in text frames, whatever the encoder returns."""

    ws: WebSocket
    view: Endpoint  # type: ignore[assignment]  # narrower than Strawberry's
    allowed: Allowance | None = None  # of a message, once it is known whose the socket is

    def write(self, texts: Sequence[bytes]) -> bool:
        """Texts at once, if the server has a short way and the socket takes them now; else nothing of them."""
        write = self.ws.scope.get("extensions", {}).get(WRITE)
        return write is not None and write(texts)

    def admit(self, *, signed_in: bool) -> None:
        """Have messages taken that are as large as the caller may send."""
        self.allowed = self.view.limits.allowance(signed_in=signed_in)
        admit = self.ws.scope.get("extensions", {}).get(ADMIT)
        if admit is not None:
            admit(None if signed_in else self.allowed.size)

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncIterator[object]:  # type: ignore[override]
        try:
            while True:
                text = await self.ws.receive_text()
                yield parsed(text, "The message", self.allowed or self.view.limits.allowance(signed_in=False))
        except KeyError as error:  # Starlette's, of a binary message
            raise NonTextMessageReceived from error
        except Refused as refused:  # our decoder's
            raise NonJsonMessageReceived from refused
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
            await self.ws.close(code, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))


class Running(Operation[Any, None]):
    """An operation of a socket. `head`: what stands before the payload in each of its messages."""

    __slots__ = ["head", "subscriber"]
    handler: "Handler"

    def __init__(self, handler: "Handler", id: str, asked: GraphQLRequest) -> None:
        super().__init__(handler, id, "", None, None)  # what is asked is nobody's business any more when it is live
        self.head = b'{"id":' + encode(id) + b',"type":"next","payload":'
        self.subscriber: Subscriber[Answer] | None = None

    def write(self, answers: Sequence[Answer]) -> bool:
        """To all who share an answer the same bytes, behind each one's own id."""
        return not self.completed and self.handler.websocket.write([self._message(answer) for answer in answers])

    async def tell(self, answer: Answer) -> None:
        """Raises WebSocketDisconnected."""
        if not answer.executed:
            await self.fail(answer.body["errors"])
        elif not self.completed and not self.write([answer]):
            await self.handler.websocket.send_text(self._message(answer).decode())

    def _message(self, answer: Answer) -> bytes:
        return b"".join((self.head, answer.encoded, b"}"))

    async def send(self, answer: Answer) -> None:
        """The same when it is pushed: a socket that has gone ends its operations by itself."""
        with suppress(WebSocketDisconnected):
            await self.tell(answer)

    async def fail(self, errors: list[GraphQLFormattedError]) -> None:
        """Ends this operation, and no other."""
        message: Any = {"id": self.id, "type": "error", "payload": errors}
        await self.send_operation_message(message)

    def begin(self, subscriber: Subscriber[Answer]) -> None:
        self.subscriber = subscriber

    def end(self, last: Answer) -> None:
        self.task = asyncio.create_task(self.send(last))

    def stop(self) -> None:
        """Nothing more is said of it."""
        if self.subscriber is not None:
            self.subscriber.leave()
        if self.task is not None:
            self.task.cancel()


class Handler(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket. Its credentials are checked when it opens, at each operation, when they change and when they end."""

    view: Endpoint  # type: ignore[assignment]  # narrower than Strawberry's
    websocket: TextFrames

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._client = Client({}, "")
        self._connection = Connection(self.view.connections, self._client, self._end)
        self._closing: asyncio.Task[None] | None = None
        self._pending: PendingSocket = self.websocket.ws.scope[PENDING]

    # ------------------------------------------------------------ coming and going

    def on_request_accepted(self) -> None:
        """A timer instead of the task that Strawberry begins, and keeps for as long as the socket."""
        self._in_time = asyncio.get_running_loop().call_later(self.view.limits.init_seconds, self._too_late)
        self._pending.make_way = self._make_way

    def _make_way(self) -> None:
        self._end(Refused("Too many sockets wait for their connection_init; connect again.", {"code": "RATE_LIMITED"}))

    def _too_late(self) -> None:
        if not self.connection_init_received:
            self.connection_timed_out = True
            self._closing = asyncio.create_task(self.websocket.close(4408, "Connection initialisation timeout"))

    async def handle_message(self, message: Any) -> None:
        """Anything but an object with a string id is a protocol error, not a crash."""
        if isinstance(message, dict) and isinstance(message.get("id", ""), str):
            await super().handle_message(message)  # type: ignore[arg-type]
        else:
            await self.handle_invalid_message("Invalid message")

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        if self.connection_timed_out:
            return
        self._in_time.cancel()
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
        self._connection = Connection(self.view.connections, self._client, self._end)
        try:
            context = await self.view.gate.open(self._client)
            await self._connection.admit(context)
        except Refused as refused:
            await self._close(refused)
            return
        self.websocket.admit(signed_in=self.view.gate.identity(context).signed_in)
        await self.send_message({"type": "connection_ack"})
        self.connection_acknowledged = True

    def _end(self, refused: Refused) -> None:
        self._closing = asyncio.create_task(self._close(refused))

    async def _close(self, refused: Refused) -> None:
        code = 1001 if refused is GOING_AWAY else CLOSE_CODES.get(refused.code, TRY_AGAIN_LATER)
        await self.websocket.close(code, str(refused))

    async def shutdown(self) -> None:
        self._in_time.cancel()
        self._connection.leave()
        await super().shutdown()

    # ------------------------------------------------------------ operations

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if not self.connection_acknowledged:
            await self.websocket.close(4401, "Unauthorized")
            return
        try:
            asked = GraphQLRequest.of(
                cast("dict[str, Any]", message).pop("payload")
            )  # which is kept until the next comes
        except Refused as refused:
            await self.handle_invalid_message(str(refused))
            return
        id, most = message["id"], self.view.limits.subscriptions
        if id in self.operations:
            await self.websocket.close(4409, f"Subscriber for {id} already exists")
        elif len(self.operations) >= most:
            text = f"This socket has {len(self.operations)} operations going on; at most {most} are allowed."
            too_many = Refused(text, {"code": "RATE_LIMITED"})
            await self._say({"id": id, "type": "error", "payload": too_many.presented()})
        else:
            running = Running(self, id, asked)
            self.operations[id] = running
            running.task = asyncio.create_task(self._run(running, asked))

    async def _say(self, message: Any) -> None:
        await self.send_message(message)

    async def _run(self, running: Running, asked: GraphQLRequest) -> None:
        """With a context of its own: loaders must not outlive an operation, nor credentials go unchecked."""
        with suppress(WebSocketDisconnected):
            try:
                await self._answer(running, asked)
            except Refused as refused:
                await running.fail(refused.presented())
            except Rejected as rejected:
                await running.fail(rejected.presented(self.view.gate.request_id()))
            except WebSocketDisconnected:
                raise
            except Exception as error:  # noqa: BLE001  our bug ends this operation, and is logged; its siblings live on
                await running.fail([masked(error, self.view.gate.request_id())])  # type: ignore[list-item]
        if running.task is asyncio.current_task():  # else it is telling already why nothing more is pushed
            running.task = None

    async def _answer(self, running: Running, asked: GraphQLRequest) -> None:
        context = await self.view.gate.open(self._client)
        prepared = await self.view.engine.prepare(asked, context, ANY)
        async with aclosing(await self.view.engine.answers(prepared, running)) as answers:
            async for answer in answers:
                await running.tell(answer)
        if running.subscriber is None:
            await running.send_operation_message({"id": running.id, "type": "complete"})

    async def cleanup_operation(self, operation_id: str) -> None:
        running: Any = self.operations.pop(operation_id, None)
        if running is not None:
            running.stop()
