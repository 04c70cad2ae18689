"""uvicorn's HTTP, with bounds on all that arrives before anybody looks at it: addresses, headers, trailers, chunks.

httptools has none, and joins what comes in pieces again and again. So bytes are counted until its parser has told of
something: the end of a head, a part of a body, the end of a request. Too many are answered with 414 or 431.
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
from bcom_graphql.graphql.transports.http_upgrades import Upgrades
from bcom_graphql.graphql.transports.open_connections import OpenConnections, close_later, end_unread

HEALTH: Final = b"/health"
MOST_PARTS: Final = 10_000  # of a body: each takes as long as a kilobyte does
SMALLEST_PART: Final = 64  # bytes on average, of those beyond
MOST_PIPELINED: Final = 32  # requests that wait for the answer to another one of their connection
TOO_MANY: Final = "The server has as many connections as it can have. Try again shortly."
TEXT: Final = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"


class Requests(Upgrades):
    """For uvicorn's `http`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open = OpenConnections.of(app_state)
        self._most_bytes, self._most_headers = self._open.limits.header_bytes, self._open.limits.headers
        self._unheard = 0  # bytes since the parser has told of something
        self._parts = self._part_bytes = 0  # of the present body
        self._is_refused = False
        self._is_last = False  # the answer that has begun: the rest of its request is not wanted
        self._why = HTTPStatus.BAD_REQUEST
        self._answering: RequestResponseCycle | None = None
        self.url, self.headers = b"", []

    # ------------------------------------------------------------ coming and going

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        end_unread(transport, self._open.limits.seconds)
        self._is_too_many = not self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_answer()
        super().connection_lost(exc)
        self._open.remove(self)

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is `Sockets`'s."""
        self._open.asks(self)
        if self._is_too_many:
            CONNECTIONS_REFUSED.labels("too many").inc()
            self._end(HTTPStatus.SERVICE_UNAVAILABLE, TOO_MANY)
        else:
            super().handle_websocket_upgrade()

    def make_way(self) -> None:
        self._end(HTTPStatus.SERVICE_UNAVAILABLE, "The server has too many connections. Connect again.")

    def time_out(self) -> None:
        self._end(HTTPStatus.REQUEST_TIMEOUT, "The request's headers have not arrived in time.")

    def _end(self, status: HTTPStatus, why: str) -> None:
        """Tells why, unless the connection was answered already: that is over, and clients expect it."""
        self._is_refused = True
        if self._answering is None:
            self._tell(status, why)
        self.transport.close()

    # ------------------------------------------------------------ bytes

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if len(data) <= self._most_bytes:
            self._feed(data)
            return
        for start in range(0, len(data), self._most_bytes):
            self._feed(data[start : start + self._most_bytes])
            if self._is_over():
                return

    def _is_over(self) -> bool:
        """Refused, closed, or a WebSocket by now."""
        return self._is_refused or self.transport.is_closing() or self.transport.get_protocol() is not self

    def _feed(self, data: bytes) -> None:
        self._unheard += len(data)
        super().data_received(data)
        if self._unheard > self._most_bytes and not self._is_refused:
            self._why = self._too_large()
            self.send_400_response("")

    def _too_large(self) -> HTTPStatus:
        is_address = len(self.url) > self._most_bytes // 2
        return HTTPStatus.REQUEST_URI_TOO_LONG if is_address else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for whatever is no request, and we for what is too large."""
        self._is_refused = True
        self._open.asks(self)
        CONNECTIONS_REFUSED.labels(self._why.phrase.lower()).inc()
        if self._answering is not None and not self._answering.response_complete:
            self._forget_answer()
            self.transport.close()
            return
        self._tell(self._why, msg if self._why is HTTPStatus.BAD_REQUEST else self._sentence())
        close_later(self.transport)

    def _sentence(self) -> str:
        return (
            f"A request's address and headers have at most {self._most_bytes} bytes and {self._most_headers} headers."
        )

    def _tell(self, status: HTTPStatus, why: str) -> None:
        body = why.encode()
        self.transport.write(b"%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[status], TEXT, len(body), body))

    # ------------------------------------------------------------ what the parser tells

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError("too many requests at once")
        self._parts = self._part_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unheard = 0
        size = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        if size > self._most_bytes or len(self.headers) > self._most_headers:
            self._refuse_head()
        self._open.sends(self)
        if self._is_too_many:
            self.app = self.config.loaded_app if self.url.startswith(HEALTH) else _refuse
        super().on_headers_complete()

    def _refuse_head(self) -> None:
        """Within the parser, which has uvicorn call `send_400_response`."""
        self._why = self._too_large()
        raise ValueError(self._sentence())

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        self._parts += 1
        self._part_bytes += len(body)
        if self._parts > MOST_PARTS + self._part_bytes // SMALLEST_PART:
            raise ValueError("too many chunks")
        super().on_body(body)
        self.cycle.waiting_for_100_continue = False  # whoever sends already need not be told to go on

    def on_message_complete(self) -> None:
        self._unheard = 0
        self._open.asks(self)
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle  # `self.cycle` is the latest, which may wait for this one
        super()._start_asgi_task(cycle, partial(self._answer, app, cycle))

    def _answer(
        self, app: Any, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Whoever is answered before all of their body has come is refused, and shall not go on sending it."""
        if not cycle.more_body:
            return app(scope, receive, send)  # type: ignore[no-any-return]

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and cycle.more_body and not self._is_too_many:
                self._is_last = True
                await send({**message, "headers": [*message["headers"], (b"connection", b"close")]})
                cycle.keep_alive = True  # uvicorn would close at once: what we have said could be lost
            else:
                await send(message)

        return app(scope, receive, send_last)  # type: ignore[no-any-return]

    def _forget_answer(self) -> None:
        """Nobody is there any more to be answered."""
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def on_response_complete(self) -> None:
        if self._is_last:
            self._is_refused = True
            self.flow.resume_reading()
            close_later(self.transport)
            return
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._open.waits_again(self)


async def _refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An ASGI application for whom there is no place."""
    CONNECTIONS_REFUSED.labels("too many").inc()
    error = {
        "message": TOO_MANY,
        "extensions": {"code": "SERVICE_UNAVAILABLE", "retryAfter": 1},
    }
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"errors": [error]}).encode()})
