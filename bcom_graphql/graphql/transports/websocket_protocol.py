"""uvicorn's WebSockets: a shorter way for text that goes to thousands, and little patience with floods of frames.

A message that an ASGI application sends passes Starlette's and uvicorn's checks, is encoded, framed and copied, each
time anew: three times what it costs to write it to a socket. So this protocol offers an ASGI extension of its own:
whoever finds `WRITE` in a scope's extensions may call it with UTF-8 texts. It writes them, each as a message and all in
one go, and returns True, or it writes nothing and returns False: before the handshake, after the close, and while the
peer does not read. Then `websocket.send` tells why, or waits. A socket with compression has no such extension.

`ADMIT` is another one: to be called once it is known whose the socket is, with the largest message in bytes that they
may send. What arrives is parsed in slices, a new one when the messages before it were taken, so that others have their
turn.
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
from bcom_graphql.graphql.transports.websocket_frames import Frames

WRITE: Final = "bcom.websocket.write"
ADMIT: Final = "bcom.websocket.admit"
NO_HANDSHAKE: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
SLICE: Final = 4096  # bytes that are parsed in one go
MANY_FRAMES: Final = 50  # in a slice: then it is others' turn


class Sockets(WebSocketsSansIOProtocol):
    """For uvicorn's `ws`."""

    conn: Frames

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
        self.conn = Frames(self._open.limits, config.ws_max_size, extensions=extensions, logger=logger)
        self._rest = bytearray()
        self._goes_on = False
        self._is_over = False

    # ------------------------------------------------------------ coming and going

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)  # none when the handshake was refused
        if scope is not None:
            scope["extensions"][ADMIT] = self.conn.admit
            if not self.conn.extensions:
                scope["extensions"][WRITE] = self.write

    def _say_the_last(self) -> None:
        """What websockets has to say of a handshake that failed, or that it did; uvicorn says nothing."""
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()) or NO_HANDSHAKE)
        self.transport.close()

    def start_keepalive(self) -> None:
        """Called when the handshake is over, and what it took can be forgotten."""
        super().start_keepalive()
        for name in ("request", "response"):
            self.__dict__.pop(name, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest.clear()
        super().connection_lost(exc)
        self._open.number -= 1

    # ------------------------------------------------------------ in

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._rest += data
        if not self._goes_on:
            self._go_on()

    def _go_on(self) -> None:
        """With what has arrived, until a message waits, or there were many frames."""
        self._goes_on = False
        while self._rest and not (self.read_paused and self.queue.qsize()):
            before = self.conn.number
            part = bytes(self._rest[:SLICE])
            del self._rest[:SLICE]
            super().data_received(part)
            if self._is_over or self.transport.is_closing():
                self._rest.clear()
            elif self.conn.handshake_exc is not None:
                self._say_the_last()
            elif self.conn.number - before > MANY_FRAMES and self._rest:
                self._go_on_later()
                return
        self._read_again()

    def _go_on_later(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        if not self._goes_on:
            self._goes_on = True
            self.loop.call_soon(self._go_on)

    def _read_again(self) -> None:
        if self.read_paused and not (self.queue.qsize() or self._rest or self.transport.is_closing()):
            self.read_paused = False
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message. While others wait behind it, whatever else there is to do has its turn first."""
        message = await self.queue.get()
        if self.queue.qsize():
            await asyncio.sleep(0)
        elif self._rest:
            self._go_on_later()
        else:
            self._read_again()
        return message

    def send_receive_event_to_app(self) -> None:
        """What is no UTF-8 ends the connection, as the protocol has it; uvicorn would log it as an error of ours."""
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
        """What arrives is none of the protocol's, or too much. Unlike uvicorn's, the client gets to know which."""
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
        """See the module."""
        ready = self.handshake_complete and self.writable.is_set() and not (self.close_sent or self.disconnected)
        if ready:
            self.transport.write(b"".join([part for text in texts for part in (head(len(text)), text)]))
        return ready


def head(length: int) -> bytes:
    """Of an unmasked text frame that is a whole message (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2)
    return b"\x81\x7f" + length.to_bytes(8)
