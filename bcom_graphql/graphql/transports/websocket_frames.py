"""websockets' parser of frames, with bounds on how many there are: each takes as long as kilobytes of text do."""

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

BEFORE_ADMISSION: Final = 100  # frames, and after the close as many again
LARGEST_BEFORE_ADMISSION: Final = 64 * 1024  # bytes: of a connection_init
WINDOW_SECONDS: Final = 10.0


class Lines(StreamReader):
    """Of a handshake, as long as `Requests` has let them in; websockets refuses those beyond 8 KiB."""

    def read_line(
        self, _most: int, too_long_exc_type: type[Exception] = RuntimeError
    ) -> Generator[None, None, bytearray]:
        return super().read_line(sys.maxsize, too_long_exc_type)


class Frames(ServerProtocol):
    """One socket's. Until it is admitted few and small ones are taken."""

    def __init__(self, limits: Limits, largest: int | None, **options: Any) -> None:
        first = LARGEST_BEFORE_ADMISSION if largest is None else min(largest, LARGEST_BEFORE_ADMISSION)
        super().__init__(max_size=first, **options)
        self.reader, self.parser = Lines(), self.parse()
        next(self.parser)  # begins to read
        self.number = 0
        self._limits, self._largest = limits, largest
        self._left = BEFORE_ADMISSION
        self._fragments = 0
        self._window_began: float | None = None  # none before admission

    def admit(self, largest: int | None = None) -> None:
        """Whoever sends is known: messages may be as large as the server takes them, or as this."""
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
                self._refuse(f"a message has at most {self._limits.fragments} fragments")
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._fragments = 1
        super().recv_frame(frame)

    def _begin_window(self) -> None:
        now = time.monotonic()
        if self.state is not OPEN or self._window_began is None or now - self._window_began < WINDOW_SECONDS:
            self._refuse("too many frames")
        self._window_began, self._left = now, self._limits.frames

    def _refuse(self, why: str) -> None:
        CONNECTIONS_REFUSED.labels("too many frames").inc()
        self.fail(CloseCode.POLICY_VIOLATION, why)
        raise ProtocolError(why)  # ends the parsing; that it fails again has no effect
