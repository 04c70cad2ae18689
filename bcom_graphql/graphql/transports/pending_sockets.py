"""Bounds the sockets before their connection_init: per address and in all."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS_REFUSED

ADDRESSES: Final = 4  # as many sockets in all as this many addresses may have


class PendingSockets:
    """The pending sockets of this process, oldest first."""

    def __init__(self, by_address: int) -> None:
        self._most = by_address
        self._sockets: dict[PendingSocket, None] = {}
        self._by_address: Counter[str] = Counter()

    def add(self, address: str) -> "PendingSocket":
        """Adds a socket; closes the oldest if there are too many. Raises RequestError if its address has too many."""
        if self._by_address[address] >= self._most:
            CONNECTIONS_REFUSED.labels("too many pending").inc()
            message = f"{self._most} sockets of your address have not sent their connection_init. Try again shortly."
            raise RequestError(message, {"code": "SERVICE_UNAVAILABLE", "retryAfter": 1})
        if len(self._sockets) >= self._most * ADDRESSES:
            CONNECTIONS_REFUSED.labels("too many pending").inc()
            oldest = next(iter(self._sockets))
            oldest.leave()
            oldest.make_way()
        socket = PendingSocket(self, address)
        self._sockets[socket] = None
        self._by_address[address] += 1
        return socket

    def remove(self, socket: "PendingSocket") -> None:
        if self._sockets.pop(socket, self) is None:
            self._by_address[socket.address] -= 1
            if not self._by_address[socket.address]:
                del self._by_address[socket.address]


class PendingSocket:
    """A socket's place among them. `make_way` closes the socket."""

    __slots__ = ("_pending", "address", "make_way")

    def __init__(self, pending: PendingSockets, address: str) -> None:
        self._pending, self.address = pending, address
        self.make_way: Callable[[], object] = lambda: None

    def leave(self) -> None:
        """The socket has authenticated or closed. May be called more than once."""
        self._pending.remove(self)
