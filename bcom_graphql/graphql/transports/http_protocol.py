"""uvicorn's HTTP protocol with bounds on URLs, headers, trailers, chunks and pipelined requests.

httptools has no bounds, and joins what arrives in pieces again and again. So bytes are counted until its parser calls
back: at the end of a head, for a part of a body, at the end of a request. Too many are answered with 414 or 431.
See docs/adr for what this depends on.
"""

import asyncio
import json
from collections.abc import Awaitable
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS_REFUSED
from bcom_graphql.graphql.transports.http_upgrades import UpgradeAwareProtocol
from bcom_graphql.graphql.transports.open_connections import OpenConnections, close_later, limit_unread_seconds

HEALTH: Final = b"/health"
MAX_PARTS: Final = 10_000  # of a body; parsing one takes as long as a kilobyte
MIN_PART_BYTES: Final = 64  # on average, of the parts beyond
MAX_PIPELINED: Final = 32  # requests that wait for an earlier response on their connection
TOO_MANY: Final = "The server has as many connections as it can have. Try again shortly."
TEXT: Final = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"


class HttpProtocol(UpgradeAwareProtocol):
    """Set as uvicorn's `http`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open = OpenConnections.of(app_state)
        self._max_bytes, self._max_headers = self._open.limits.header_bytes, self._open.limits.headers
        self._unparsed_bytes = 0  # since the parser has called back
        self._parts = self._part_bytes = 0  # of the current body
        self._is_refused = False
        self._is_last = False  # the response that has begun: the rest of its request is not read
        self._error_status = HTTPStatus.BAD_REQUEST
        self._responding: RequestResponseCycle | None = None
        self.url, self.headers = b"", []

    # ------------------------------------------------------------ coming and going

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit_unread_seconds(transport, self._open.limits.seconds)
        self._is_over_limit = not self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnect_response()
        super().connection_lost(exc)
        self._open.remove(self)

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection over to `WebSocketProtocol`."""
        self._open.mark_busy(self)
        if self._is_over_limit:
            CONNECTIONS_REFUSED.labels("too many").inc()
            self._close_with(HTTPStatus.SERVICE_UNAVAILABLE, TOO_MANY)
        else:
            super().handle_websocket_upgrade()

    def make_way(self) -> None:
        self._close_with(HTTPStatus.SERVICE_UNAVAILABLE, "The server has too many connections. Connect again.")

    def time_out(self) -> None:
        self._close_with(HTTPStatus.REQUEST_TIMEOUT, "The request's headers have not arrived in time.")

    def _close_with(self, status: HTTPStatus, why: str) -> None:
        """Closes the connection, and says why unless it has had a response before, as clients expect closing then."""
        self._is_refused = True
        if self._responding is None:
            self._write_error(status, why)
        self.transport.close()

    # ------------------------------------------------------------ bytes

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if len(data) <= self._max_bytes:
            self._parse(data)
            return
        for start in range(0, len(data), self._max_bytes):
            self._parse(data[start : start + self._max_bytes])
            if self._is_over():
                return

    def _is_over(self) -> bool:
        """Tells whether the connection is refused, closed, or a WebSocket by now."""
        return self._is_refused or self.transport.is_closing() or self.transport.get_protocol() is not self

    def _parse(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > self._max_bytes and not self._is_refused:
            self._error_status = self._too_large()
            self.send_400_response("")

    def _too_large(self) -> HTTPStatus:
        is_address = len(self.url) > self._max_bytes // 2
        return HTTPStatus.REQUEST_URI_TOO_LONG if is_address else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE

    def send_400_response(self, msg: str) -> None:
        """Answers a malformed request (called by uvicorn) or one that is too large (called here)."""
        self._is_refused = True
        self._open.mark_busy(self)
        CONNECTIONS_REFUSED.labels(self._error_status.phrase.lower()).inc()
        if self._responding is not None and not self._responding.response_complete:
            self._disconnect_response()
            self.transport.close()
            return
        self._write_error(
            self._error_status, msg if self._error_status is HTTPStatus.BAD_REQUEST else self._describe_limits()
        )
        close_later(self.transport)

    def _describe_limits(self) -> str:
        return f"A request's address and headers have at most {self._max_bytes} bytes and {self._max_headers} headers."

    def _write_error(self, status: HTTPStatus, why: str) -> None:
        body = why.encode()
        self.transport.write(b"%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[status], TEXT, len(body), body))

    # ------------------------------------------------------------ what the parser tells

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests at once")
        self._parts = self._part_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        size = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        if size > self._max_bytes or len(self.headers) > self._max_headers:
            self._reject_head()
        self._open.mark_sending(self)
        if self._is_over_limit:
            self.app = self.config.loaded_app if self.url.startswith(HEALTH) else _refuse_all
        super().on_headers_complete()

    def _reject_head(self) -> None:
        """Stops the parser, upon which uvicorn calls `send_400_response`."""
        self._error_status = self._too_large()
        raise ValueError(self._describe_limits())

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        self._parts += 1
        self._part_bytes += len(body)
        if self._parts > MAX_PARTS + self._part_bytes // MIN_PART_BYTES:
            raise ValueError("too many chunks")
        super().on_body(body)
        self.cycle.waiting_for_100_continue = False  # the client sends already

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        self._open.mark_busy(self)
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._responding = cycle  # `self.cycle` is the latest request, which may wait for this one
        super()._start_asgi_task(cycle, partial(self._run_app, app, cycle))

    def _run_app(
        self, app: Any, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Runs the application. A response before the end of the body is a refusal: the rest is not read."""
        if not cycle.more_body:
            return app(scope, receive, send)  # type: ignore[no-any-return]

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and cycle.more_body and not self._is_over_limit:
                self._is_last = True
                await send({**message, "headers": [*message["headers"], (b"connection", b"close")]})
                cycle.keep_alive = True  # else uvicorn closes at once, and the client may lose the response
            else:
                await send(message)

        return app(scope, receive, send_last)  # type: ignore[no-any-return]

    def _disconnect_response(self) -> None:
        """Tells the application that its client has disconnected."""
        if self._responding is not None:
            self._responding.disconnected = True
            self._responding.message_event.set()

    def on_response_complete(self) -> None:
        if self._is_last:
            self._is_refused = True
            self.flow.resume_reading()
            close_later(self.transport)
            return
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._open.mark_idle(self)


async def _refuse_all(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An ASGI application that refuses every request."""
    CONNECTIONS_REFUSED.labels("too many").inc()
    error = {
        "message": TOO_MANY,
        "extensions": {"code": "SERVICE_UNAVAILABLE", "retryAfter": 1},
    }
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"errors": [error]}).encode()})
