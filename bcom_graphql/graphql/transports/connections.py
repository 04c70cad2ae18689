"""Long-lived connections, sockets and event streams alike: so many a caller, and none outlives its credentials."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from bcom_graphql.graphql.errors import Refused
from bcom_graphql.graphql.execution.application import Client, Gate, Identity
from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS

SOONEST_CHECK = 0.1  # seconds
LONGEST_TIMER = 30.0  # seconds
GOING_AWAY = Refused("The server is going away; connect again.", {"code": "SERVICE_UNAVAILABLE"})


class Connections:
    """Those of this process, by whose they are."""

    def __init__(self, gate: Gate, limit: int) -> None:
        self.gate = gate
        self._limit = limit
        self._by_subject: dict[str, set[Connection]] = defaultdict(set)

    def add(self, subject: str, connection: "Connection") -> None:
        """Raises Refused when the subject has as many as allowed."""
        present = len(self._by_subject.get(subject, ()))
        if present >= self._limit:
            message = f"You have {present} open connections; at most {self._limit} are allowed."
            raise Refused(message, {"code": "RATE_LIMITED"})
        self._by_subject[subject].add(connection)
        CONNECTIONS[connection.transport].inc()

    def discard(self, subject: str, connection: "Connection") -> None:
        """One that was added."""
        CONNECTIONS[connection.transport].dec()
        self._by_subject[subject].discard(connection)
        if not self._by_subject[subject]:
            del self._by_subject[subject]

    async def check_again(self, subject: str) -> None:
        """End those of this subject whose credentials do not hold any more, or not in the same way."""
        await asyncio.gather(*(connection.check() for connection in list(self._by_subject.get(subject, ()))))

    def drain(self) -> None:
        """End all of them, so that their clients go to another process and come back."""
        for connection in [each for connections in self._by_subject.values() for each in connections]:
            connection.finish(GOING_AWAY)


class Connection:
    """One that was let in; `end` is called at most once, when it must go."""

    def __init__(
        self, connections: Connections, client: Client, end: Callable[[Refused], object], transport: str = "websocket"
    ) -> None:
        self.transport = transport
        self._connections = connections
        self._client = client
        self._end = end
        self._identity: Identity | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None

    async def admit(self, context: Any) -> None:
        """Count it, and watch its credentials until `leave`. Raises Refused.

        They are verified once more: what changed before it was counted, nobody has told it.
        """
        identity = self._connections.gate.identity(context)
        self._connections.add(identity.subject, self)
        self._identity = identity
        try:
            await self._verify(identity)
        except BaseException:  # cancelled, for one: the client may leave meanwhile
            self.leave()
            raise

    def leave(self) -> None:
        if self._identity is not None:
            self._connections.discard(self._identity.subject, self)
            self._identity = None
        if self._expiry is not None:
            self._expiry.cancel()

    async def check(self) -> None:
        """End it unless its credentials give what they gave when it opened."""
        identity = self._identity
        if identity is None:
            return
        try:
            await self._verify(identity)
        except Refused as refused:
            self.finish(refused)

    def finish(self, why: Refused) -> None:
        """End it, unless it has ended meanwhile."""
        if self._identity is not None:
            self.leave()
            self._end(why)

    async def _verify(self, admitted: Identity) -> None:
        gate = self._connections.gate
        identity = gate.identity(await gate.open(self._client))
        if identity.standing != admitted.standing:
            raise Refused("Your rights have changed; connect again.", {"code": "UNAUTHENTICATED"})
        if identity.expires_at is not None and self._identity is not None:
            self._look_at_clock(identity.expires_at, SOONEST_CHECK)

    def _look_at_clock(self, expires_at: float, soonest: float = 0.0) -> None:
        """Check it when it has expired. The clock is looked at now and then: timers do not notice that it was set.

        They run early, too: whoever is checked and still holds is checked again, after `soonest` seconds.
        """
        if self._expiry is not None:
            self._expiry.cancel()
        left = max(soonest, min(expires_at - time.time(), LONGEST_TIMER))
        if left > 0:
            self._expiry = asyncio.get_running_loop().call_later(left, self._look_at_clock, expires_at)
        else:
            self._checking = asyncio.create_task(self.check())
