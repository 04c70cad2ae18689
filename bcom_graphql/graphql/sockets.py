"""uvicorn's WebSockets, with a shorter way for text that goes to thousands.

A message that an ASGI application sends passes Starlette's and uvicorn's checks, is encoded, framed and copied, each
time anew: three times what it costs to write it to a socket. So this protocol offers an ASGI extension of its own:
whoever finds `WRITE` in a scope's extensions may call it with UTF-8 texts. It writes them, each as a message and all in
one go, and returns True, or it writes nothing and returns False: before the handshake, after the close, and while the
peer does not read. Then `websocket.send` tells why, or waits. A socket with compression has no such extension.
"""

from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

WRITE: Final = "bcom.websocket.write"


class Sockets(WebSocketsSansIOProtocol):
    """For uvicorn's `ws`."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)  # none when the handshake was refused
        if scope is not None and not self.conn.extensions:
            scope["extensions"][WRITE] = self.write

    def start_keepalive(self) -> None:
        """Called when the handshake is over, and what it took can be forgotten."""
        super().start_keepalive()
        for name in ("request", "response"):
            self.__dict__.pop(name, None)

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
