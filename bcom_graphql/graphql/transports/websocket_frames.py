"""websockets' frame parser with bounds on the number of frames: parsing one takes as long as kilobytes of text."""

import sys
import time
from collections.abc import Generator
from typing import Any, Final

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS_REFUSED
from bcom_graphql.graphql.limits import Limits

MAX_FRAMES_BEFORE_ADMISSION: Final = 100  # and after the close as many again
MAX_BYTES_BEFORE_ADMISSION: Final = 64 * 1024  # of a connection_init
WINDOW_SECONDS: Final = 10.0


class HandshakeReader(StreamReader):
    """Reads the lines of a handshake, which `HttpProtocol` has bounded; websockets refuses lines beyond 8 KiB."""

    def read_line(
        self, _most: int, too_long_exc_type: type[Exception] = RuntimeError
    ) -> Generator[None, None, bytearray]:
        return super().read_line(sys.maxsize, too_long_exc_type)


class FrameLimiter(ServerProtocol):
    """The frames of one socket: few and small ones until it is admitted."""

    def __init__(self, limits: Limits, largest: int | None, **options: Any) -> None:
        first = MAX_BYTES_BEFORE_ADMISSION if largest is None else min(largest, MAX_BYTES_BEFORE_ADMISSION)
        super().__init__(max_size=first, **options)
        self.reader, self.parser = HandshakeReader(), self.parse()
        next(self.parser)  # starts the generator
        self.number = 0
        self._limits, self._largest = limits, largest
        self._left = MAX_FRAMES_BEFORE_ADMISSION
        self._fragments = 0
        self._window_began: float | None = None  # None before admission

    def admit(self, largest: int | None = None) -> None:
        """Accepts messages of up to `largest` bytes, or as large as the server does; the sender is authenticated."""
        self.max_message_size = self._largest if largest is None else min(largest, self._largest or largest)
        self._window_began, self._left = time.monotonic(), self._limits.frames

    def recv_frame(self, frame: Frame) -> None:
        self.number += 1
        self._left -= 1
        if self._left < 0:
            self._begin_window()
        if frame.opcode is Opcode.CONT:
            self._fragments += 1
            if self._fragments > self._limits.fragments:
                self._close_for(f"a message has at most {self._limits.fragments} fragments")
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._fragments = 1
        super().recv_frame(frame)

    def _begin_window(self) -> None:
        now = time.monotonic()
        if self.state is not OPEN or self._window_began is None or now - self._window_began < WINDOW_SECONDS:
            self._close_for("too many frames")
        self._window_began, self._left = now, self._limits.frames

    def _close_for(self, why: str) -> None:
        CONNECTIONS_REFUSED.labels("too many frames").inc()
        self.fail(CloseCode.POLICY_VIOLATION, why)
        raise ProtocolError(why)  # ends the parsing; failing twice has no effect
