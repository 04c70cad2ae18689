"""Limits long-lived connections (sockets and event streams) per caller, and closes them when credentials expire."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.execution.application import Client, Gate, Identity
from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS

MIN_CHECK_SECONDS = 0.1
MAX_TIMER_SECONDS = 30.0
GOING_AWAY = RequestError("The server is shutting down. Connect again.", {"code": "SERVICE_UNAVAILABLE"})


class Connections:
    """The connections of this process, by subject."""

    def __init__(self, gate: Gate, limit: int) -> None:
        self.gate = gate
        self._limit = limit
        self._by_subject: dict[str, set[Connection]] = defaultdict(set)

    def add(self, subject: str, connection: "Connection") -> None:
        """Counts a connection. Raises RequestError if the subject has as many as allowed."""
        present = len(self._by_subject.get(subject, ()))
        if present >= self._limit:
            message = f"You have {present} open connections; at most {self._limit} are allowed."
            raise RequestError(message, {"code": "RATE_LIMITED"})
        self._by_subject[subject].add(connection)
        CONNECTIONS[connection.transport].inc()

    def discard(self, subject: str, connection: "Connection") -> None:
        """Removes a connection that was added."""
        CONNECTIONS[connection.transport].dec()
        self._by_subject[subject].discard(connection)
        if not self._by_subject[subject]:
            del self._by_subject[subject]

    async def check_again(self, subject: str) -> None:
        """Closes the subject's connections whose credentials are invalid by now or give other rights."""
        await asyncio.gather(*(connection.check() for connection in list(self._by_subject.get(subject, ()))))

    def drain(self) -> None:
        """Closes all connections, so that clients reconnect to another process."""
        for connection in [connection for of_subject in self._by_subject.values() for connection in of_subject]:
            connection.finish(GOING_AWAY)


class Connection:
    """A connection. end: closes it; called at most once."""

    def __init__(
        self,
        connections: Connections,
        client: Client,
        end: Callable[[RequestError], object],
        transport: str = "websocket",
    ) -> None:
        self.transport = transport
        self._connections = connections
        self._client = client
        self._end = end
        self._identity: Identity | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None

    async def admit(self, context: Any) -> None:
        """Registers the connection and watches its credentials until `leave`. Raises RequestError.

        Credentials are verified again, because changes before the registration were not reported to it.
        """
        identity = self._connections.gate.identify(context)
        self._connections.add(identity.subject, self)
        self._identity = identity
        try:
            await self._verify(identity)
        except BaseException:  # including cancellation: the client may disconnect
            self.leave()
            raise

    def leave(self) -> None:
        if self._identity is not None:
            self._connections.discard(self._identity.subject, self)
            self._identity = None
        if self._expiry is not None:
            self._expiry.cancel()

    async def check(self) -> None:
        """Closes it unless its credentials give the same rights as when it opened."""
        identity = self._identity
        if identity is None:
            return
        try:
            await self._verify(identity)
        except RequestError as error:
            self.finish(error)

    def finish(self, why: RequestError) -> None:
        """Closes it if it is still open."""
        if self._identity is not None:
            self.leave()
            self._end(why)

    async def _verify(self, admitted: Identity) -> None:
        gate = self._connections.gate
        identity = gate.identify(await gate.open_context(self._client))
        if identity.permissions != admitted.permissions:
            raise RequestError("Your role or sign-in has changed. Connect again.", {"code": "UNAUTHENTICATED"})
        if identity.expires_at is not None and self._identity is not None:
            self._check_at_expiry(identity.expires_at, MIN_CHECK_SECONDS)

    def _check_at_expiry(self, expires_at: float, soonest: float = 0.0) -> None:
        """Schedules a check for when the credentials expire.

        Timers do not notice when the clock is changed, so none is set for longer than `MAX_TIMER_SECONDS`. They may
        also fire early: if the credentials are still valid then, they are checked again after `soonest` seconds.
        """
        if self._expiry is not None:
            self._expiry.cancel()
        left = max(soonest, min(expires_at - time.time(), MAX_TIMER_SECONDS))
        if left > 0:
            self._expiry = asyncio.get_running_loop().call_later(left, self._check_at_expiry, expires_at)
        else:
            self._checking = asyncio.create_task(self.check())
