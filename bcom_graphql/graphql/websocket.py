"""GraphQL over WebSocket (graphql-transport-ws): a context per operation; sockets end with their credentials."""

import asyncio
import copy
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from graphql import GraphQLFormattedError
from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from bcom_graphql.graphql.errors import Refused, presented

if TYPE_CHECKING:
    from bcom_graphql.graphql.http import GraphQLServer

FORBIDDEN = 4403
TRY_AGAIN_LATER = 1013  # RFC 6455's registry: the server is overloaded or what it needs is away


class TextFrames(ASGIWebSocketAdapter):
    """The subprotocol speaks in text frames, whatever the encoder returns."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        try:
            text = self.view.encode_json(message)
            await self.ws.send_text(text.decode() if isinstance(text, bytes) else text)
        except (WebSocketDisconnect, RuntimeError) as error:  # RuntimeError: closed from our side meanwhile
            raise WebSocketDisconnected from error


class Sockets:
    """The open, acknowledged sockets of this process by whose they are."""

    def __init__(self) -> None:
        self._by_subject: dict[str, set[Handler]] = defaultdict(set)

    def add(self, subject: str, handler: "Handler") -> None:
        self._by_subject[subject].add(handler)

    def discard(self, subject: str, handler: "Handler") -> None:
        self._by_subject[subject].discard(handler)
        if not self._by_subject[subject]:
            del self._by_subject[subject]

    async def check_again(self, subject: str) -> None:
        """Close those of this subject whose credentials do not hold any more."""
        await asyncio.gather(*(handler.check_again() for handler in list(self._by_subject.get(subject, ()))))


class Handler(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket. Its credentials are checked when it opens, at each operation, when they change and when they end."""

    view: "GraphQLServer"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._credentials: Mapping[str, object] = {}
        self._subject: str | None = None
        self._expiry: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ coming and going

    async def handle_message(self, message: Any) -> None:
        """Anything but an object with a string id and an object payload is a protocol error, not a crash."""
        well_formed = isinstance(message, dict) and isinstance(message.get("id", ""), str)
        if well_formed and message.get("type") == "subscribe":
            payload = message.get("payload")
            well_formed = isinstance(payload, dict) and isinstance(payload.get("query"), str)
        if well_formed:
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("Invalid message")

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        if self.connection_timed_out:
            return
        if self.connection_init_timeout_task:
            self.connection_init_timeout_task.cancel()
        payload = message.get("payload") or {}
        if not isinstance(payload, dict):
            await self.websocket.close(4400, "Invalid connection init payload")
        elif self.connection_init_received:
            await self.websocket.close(4429, "Too many initialisation requests")
        else:
            self.connection_init_received = True
            await self._admit(payload)

    async def _admit(self, credentials: Mapping[str, object]) -> None:
        self._credentials = credentials
        try:
            context = await self.view.gate.open(credentials)
        except Refused as refused:
            await self._refuse(refused)
            return
        self._subject = self.view.gate.subject(context)
        if self._subject is not None:
            self.view.sockets.add(self._subject, self)
        if (expires_at := self.view.gate.expires_at(context)) is not None:
            delay = max(0.0, expires_at - time.time())
            self._expiry = asyncio.get_running_loop().call_later(delay, self._expire)
        await self.send_message({"type": "connection_ack"})
        self.connection_acknowledged = True

    async def check_again(self) -> None:
        """Close the socket if its credentials do not hold any more."""
        try:
            await self.view.gate.open(self._credentials)
        except Refused as refused:
            await self._refuse(refused)

    def _expire(self) -> None:
        self._closing = asyncio.create_task(self.check_again())

    async def _refuse(self, refused: Refused) -> None:
        code = FORBIDDEN if refused.code == "UNAUTHENTICATED" else TRY_AGAIN_LATER
        with suppress(RuntimeError, WebSocketDisconnect):  # closed already
            await self.websocket.close(code, str(refused)[:120])

    async def shutdown(self) -> None:
        if self._expiry:
            self._expiry.cancel()
        if self._subject is not None:
            self.view.sockets.discard(self._subject, self)
        await super().shutdown()

    # ------------------------------------------------------------ operations

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        """With a context of its own: loaders must not outlive an operation, nor credentials go unchecked."""
        own = copy.copy(self)
        try:
            own.context = await self.view.gate.open(self._credentials)
        except Refused as refused:
            await self._send_errors(operation, refused.presented())
            return
        operation.handler = own
        with suppress(WebSocketDisconnected):
            await BaseGraphQLTransportWSHandler.run_operation(own, operation)

    async def _send_result_stream(self, operation: Operation[Any, None], result_source: Any) -> None:
        request_id = self.view.gate.request_id()
        first = True
        async for result in result_source:
            if not isinstance(result, ExecutionResult):
                await self._reject_incremental_delivery(operation)
                return
            if first and isinstance(result, PreExecutionError):
                await self._send_errors(operation, presented(result, request_id))
                return
            first = False
            await self._send_next(operation, result, request_id)

    async def _send_next(self, operation: Operation[Any, None], result: ExecutionResult, request_id: str) -> None:
        payload: dict[str, Any] = {"data": result.data}
        if result.errors:
            payload["errors"] = presented(result, request_id)
        message: Any = {"id": operation.id, "type": "next", "payload": payload}
        await operation.send_operation_message(message)

    @staticmethod
    async def _send_errors(operation: Operation[Any, None], errors: list[GraphQLFormattedError]) -> None:
        await operation.send_operation_message({"id": operation.id, "type": "error", "payload": errors})
