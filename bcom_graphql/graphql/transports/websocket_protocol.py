"""uvicorn's WebSocket protocol, with a short cut for text that goes to thousands, and bounds on frames.

A message that an ASGI application sends passes the checks of Starlette and uvicorn, is encoded, framed and copied, each
time anew: three times the cost of writing it to a socket. So this protocol offers two ASGI extensions of its own:

- `WRITE` takes UTF-8 texts, writes them in one go, each as a message, and returns True. It writes nothing and returns
  False before the handshake, after the close, and while the peer does not read; `websocket.send` then raises, or waits.
  A socket with compression has no such extension.
- `ADMIT` is called once the socket is authenticated, with the size in bytes of the largest message it may send.

Received bytes are parsed in slices, the next one when the messages before it were taken, so that other tasks run.
See docs/adr for what this depends on.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from uvicorn._types import ASGIReceiveEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode
from websockets.http11 import Request

from bcom_graphql.graphql.transports.open_connections import OpenConnections, close_later
from bcom_graphql.graphql.transports.websocket_frames import FrameLimiter

WRITE: Final = "bcom.websocket.write"
ADMIT: Final = "bcom.websocket.admit"
NO_HANDSHAKE: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
SLICE_BYTES: Final = 4096  # parsed in one go
FRAMES_PER_TURN: Final = 50  # then other tasks run


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Set as uvicorn's `ws`."""

    conn: FrameLimiter

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open = OpenConnections.of(app_state)
        extensions, logger = self.conn.available_extensions, logging.getLogger("uvicorn.error")
        self.conn = FrameLimiter(self._open.limits, config.ws_max_size, extensions=extensions, logger=logger)
        self._unparsed = bytearray()
        self._is_scheduled = False
        self._is_over = False

    # ------------------------------------------------------------ coming and going

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)  # None if the handshake was refused
        if scope is not None:
            scope["extensions"][ADMIT] = self.conn.admit
            if not self.conn.extensions:
                scope["extensions"][WRITE] = self.write

    def _reject_handshake(self) -> None:
        """Sends websockets' response to a failed handshake, or a plain 400; uvicorn sends nothing."""
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()) or NO_HANDSHAKE)
        self.transport.close()

    def start_keepalive(self) -> None:
        """Frees what only the handshake needed; called when that is over."""
        super().start_keepalive()
        for name in ("request", "response"):
            self.__dict__.pop(name, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed.clear()
        super().connection_lost(exc)
        self._open.number -= 1

    # ------------------------------------------------------------ in

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._unparsed += data
        if not self._is_scheduled:
            self._parse_rest()

    def _parse_rest(self) -> None:
        """Parses what has arrived, until a message waits, or there were many frames."""
        self._is_scheduled = False
        while self._unparsed and not (self.read_paused and self.queue.qsize()):
            before = self.conn.number
            part = bytes(self._unparsed[:SLICE_BYTES])
            del self._unparsed[:SLICE_BYTES]
            super().data_received(part)
            if self._is_over or self.transport.is_closing():
                self._unparsed.clear()
            elif self.conn.handshake_exc is not None:
                self._reject_handshake()
            elif self.conn.number - before > FRAMES_PER_TURN and self._unparsed:
                self._schedule_rest()
                return
        self._resume_reading()

    def _schedule_rest(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._parse_rest)

    def _resume_reading(self) -> None:
        if self.read_paused and not (self.queue.qsize() or self._unparsed or self.transport.is_closing()):
            self.read_paused = False
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """Returns the next message; other tasks run first while further messages wait."""
        message = await self.queue.get()
        if self.queue.qsize():
            await asyncio.sleep(0)
        elif self._unparsed:
            self._schedule_rest()
        else:
            self._resume_reading()
        return message

    def send_receive_event_to_app(self) -> None:
        """Closes the connection if text is not UTF-8, as RFC 6455 says; uvicorn logs it as an error of ours."""
        if self.curr_msg_data_type == "text":
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(CloseCode.INVALID_DATA, "text must be UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Closes after a protocol error. Unlike uvicorn, sends the client the close frame that says why."""
        close = self.conn.close_sent
        assert close is not None  # noqa: S101
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._is_over = True
        self.stop_keepalive()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = close_later(self.transport)

    # ------------------------------------------------------------ out

    def write(self, texts: Sequence[bytes]) -> bool:
        """Writes texts as messages; see the module."""
        ready = self.handshake_complete and self.writable.is_set() and not (self.close_sent or self.disconnected)
        if ready:
            self.transport.write(b"".join([part for text in texts for part in (make_frame_head(len(text)), text)]))
        return ready


def make_frame_head(length: int) -> bytes:
    """Returns the head of an unmasked text frame that is a whole message (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2)
    return b"\x81\x7f" + length.to_bytes(8)
