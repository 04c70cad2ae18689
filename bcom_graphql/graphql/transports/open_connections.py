"""Bounds the TCP connections of this process, and the time until each has sent a request.

An idle connection costs an attacker nothing. So when there are too many, the one that has been idle longest is closed.
A new connection is refused (503) only while all others are busy; health checks are answered even then.
"""

import asyncio
import math
import resource
import socket
from typing import Any, Final, Protocol

from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS_REFUSED
from bcom_graphql.graphql.limits import Limits

STATE: Final = "bcom.open_connections"  # the key in the server's state, which uvicorn hands to its protocols
RESERVED_FILES: Final = 100  # descriptors for PostgreSQL, uploads and so on
MIN_CONNECTIONS: Final = 16
LOOK_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 1.0


class IdleConnection(Protocol):
    """A connection that has sent no request yet, or no further one."""

    def make_way(self) -> None:
        """Closes it, as others need its place."""

    def time_out(self) -> None:
        """Closes it, as it has taken too long."""


class OpenConnections:
    """Counts all connections, and keeps the idle ones in the order in which they became idle."""

    def __init__(self, limits: Limits, idle_seconds: float = 5.0, reserved_files: int = RESERVED_FILES) -> None:
        self.limits = limits
        self.number = 0
        self._max = max(MIN_CONNECTIONS, min(limits.open_connections, _max_open_files() - reserved_files))
        self._idle_seconds = idle_seconds
        self._deadlines: dict[IdleConnection, float] = {}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "OpenConnections":
        """Returns the connections of a server with this state."""
        connections: OpenConnections = state.get(STATE) or state.setdefault(STATE, cls(Limits()))
        return connections

    @property
    def is_over_limit(self) -> bool:
        return self.number > self._max

    def add(self, connection: IdleConnection) -> bool:
        """Counts a new connection. Returns whether it has a place, which the longest idle one may make."""
        self.number += 1
        has_place = not self.is_over_limit or bool(self._deadlines)
        if self.is_over_limit and self._deadlines:
            oldest = next(iter(self._deadlines))
            del self._deadlines[oldest]
            CONNECTIONS_REFUSED.labels("made way").inc()
            oldest.make_way()
        self._deadlines[connection] = _now() + self.limits.header_seconds
        return has_place

    def mark_sending(self, connection: IdleConnection) -> None:
        """A request's head has arrived: its body may take time, while there is place."""
        self._deadlines.pop(connection, None)
        self._deadlines[connection] = math.inf

    def mark_busy(self, connection: IdleConnection) -> None:
        """A request has arrived."""
        self._deadlines.pop(connection, None)

    def mark_idle(self, connection: IdleConnection) -> None:
        """The response was sent; another request may follow."""
        self._deadlines[connection] = _now() + self._idle_seconds + self.limits.header_seconds

    def remove(self, connection: IdleConnection) -> None:
        """The connection is closed."""
        self.number -= 1
        self._deadlines.pop(connection, None)

    async def watch(self) -> None:
        """Closes connections that take too long, for ever."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self.limits.header_seconds))
            now = _now()
            for late in [connection for connection, deadline in self._deadlines.items() if deadline < now]:
                del self._deadlines[late]
                CONNECTIONS_REFUSED.labels("too slow").inc()
                late.time_out()


def close_later(transport: asyncio.Transport) -> asyncio.TimerHandle:
    """Ends writing and closes after a moment: a client that still sends must be able to read the response."""
    if transport.can_write_eof():
        transport.write_eof()
    return asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.close)


def limit_unread_seconds(transport: asyncio.Transport, seconds: float) -> None:
    """Has Linux end the connection when the client has read nothing of a response for so long.

    Else it could be kept for ever: a closed transport waits until all is written.
    """
    connection = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_USER_TIMEOUT") and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _max_open_files() -> int:
    """Returns how many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
