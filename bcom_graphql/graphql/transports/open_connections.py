"""The TCP connections of this process: so many at once, and so long until each has asked for something.

Whoever has asked for nothing costs the attacker nothing. So the connection that has waited longest makes way when there
are too many. A newcomer is refused (503) only while all others are busy; health checks are answered then, too.
"""

import asyncio
import math
import resource
import socket
from typing import Any, Final, Protocol

from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS_REFUSED
from bcom_graphql.graphql.limits import Limits

STATE: Final = "bcom.open_connections"  # its place in the server's state, which uvicorn hands to its protocols
RESERVED_FILES: Final = 100  # descriptors for PostgreSQL, uploads and whatever else is no client
FEWEST: Final = 16
LOOK_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 1.0


class Waiting(Protocol):
    """A connection that has not asked for anything yet, or not again."""

    def make_way(self) -> None:
        """Close it, as others need its place."""

    def time_out(self) -> None:
        """Close it, as it has taken too long."""


class OpenConnections:
    """Counts them all, and knows those that wait, in the order in which they began to."""

    def __init__(self, limits: Limits, idle_seconds: float = 5.0, reserved_files: int = RESERVED_FILES) -> None:
        self.limits = limits
        self.number = 0
        self._most = max(FEWEST, min(limits.open_connections, _files() - reserved_files))
        self._idle_seconds = idle_seconds
        self._deadlines: dict[Waiting, float] = {}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "OpenConnections":
        """Those of a server with this state."""
        found: OpenConnections = state.get(STATE) or state.setdefault(STATE, cls(Limits()))
        return found

    @property
    def are_too_many(self) -> bool:
        return self.number > self._most

    def add(self, connection: Waiting) -> bool:
        """A new one. Returns whether it has a place: of too many, the one that has waited longest makes way."""
        self.number += 1
        has_place = not self.are_too_many or bool(self._deadlines)
        if self.are_too_many and self._deadlines:
            oldest = next(iter(self._deadlines))
            del self._deadlines[oldest]
            CONNECTIONS_REFUSED.labels("made way").inc()
            oldest.make_way()
        self._deadlines[connection] = _now() + self.limits.header_seconds
        return has_place

    def sends(self, connection: Waiting) -> None:
        """It has begun to ask: the rest may take its time, while there is place."""
        self._deadlines.pop(connection, None)
        self._deadlines[connection] = math.inf

    def asks(self, connection: Waiting) -> None:
        """It has asked for something."""
        self._deadlines.pop(connection, None)

    def waits_again(self, connection: Waiting) -> None:
        """It was answered, and may ask for something else."""
        self._deadlines[connection] = _now() + self._idle_seconds + self.limits.header_seconds

    def remove(self, connection: Waiting) -> None:
        """It is closed."""
        self.number -= 1
        self._deadlines.pop(connection, None)

    async def watch(self) -> None:
        """Close those that take too long, for ever."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self.limits.header_seconds))
            now = _now()
            for late in [connection for connection, deadline in self._deadlines.items() if deadline < now]:
                del self._deadlines[late]
                CONNECTIONS_REFUSED.labels("too slow").inc()
                late.time_out()


def close_later(transport: asyncio.Transport) -> asyncio.TimerHandle:
    """Nothing more is written. A client that still sends must see what was: so read on for a moment."""
    if transport.can_write_eof():
        transport.write_eof()
    return asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.close)


def end_unread(transport: asyncio.Transport, seconds: float) -> None:
    """Have the system end the connection when its client has read nothing of an answer for so long (Linux).

    Else it could be kept for ever: a transport that is closed waits for what it has to write.
    """
    connection = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_USER_TIMEOUT") and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _files() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
