"""Sockets that have not said yet who they are: so many of an address, and so many in all."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from bcom_graphql.graphql.errors import Refused
from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS_REFUSED

IN_ALL: Final = 4  # times as many as of one address


class Pending:
    """Those of this process, in the order in which they came."""

    def __init__(self, by_address: int) -> None:
        self._most = by_address
        self._sockets: dict[PendingSocket, None] = {}
        self._by_address: Counter[str] = Counter()

    def add(self, address: str) -> "PendingSocket":
        """A new one. The oldest makes way if there are too many in all. Raises Refused if its address has too many."""
        if self._by_address[address] >= self._most:
            CONNECTIONS_REFUSED.labels("too many pending").inc()
            message = f"{self._most} sockets of your address have not sent their connection_init. Try again shortly."
            raise Refused(message, {"code": "SERVICE_UNAVAILABLE", "retryAfter": 1})
        if len(self._sockets) >= self._most * IN_ALL:
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
    """A place among them. `make_way` closes the socket."""

    __slots__ = ("_pending", "address", "make_way")

    def __init__(self, pending: Pending, address: str) -> None:
        self._pending, self.address = pending, address
        self.make_way: Callable[[], object] = lambda: None

    def leave(self) -> None:
        """It has said who it is, or has gone; more than once is well."""
        self._pending.remove(self)
