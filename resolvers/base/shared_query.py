"""Queries whose results callers share, and that nobody waits long for: for health checks and gauges."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from resolvers.base.errors import ClientError

GOOD_FOR_SECONDS: Final = 3.0
PATIENCE_SECONDS: Final = 1.0

Value = TypeVar("Value")


class SharedQuery(Generic[Value]):
    """A query that concurrent callers share. Its result is None if it takes longer than PATIENCE_SECONDS.

    A cancelled statement may take long to end, if the database is frozen. Nobody waits for that, and until then the
    query is not sent again: that would use up one connection after the other.
    """

    def __init__(self, run: Callable[[], Coroutine[Any, Any, Value]]) -> None:
        self._run = run
        self._running: asyncio.Task[Value] | None = None

    async def get(self) -> Value | None:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())  # retrieved
        running = self._running
        await asyncio.wait([running], timeout=PATIENCE_SECONDS)
        if not running.done():
            running.cancel()
        if not running.done() or running.cancelled():
            return None
        try:
            return running.result()
        except ClientError:
            return None


class TtlCache(Generic[Value]):
    """Caches the result of a query for GOOD_FOR_SECONDS, also None, so that nobody waits in vain twice."""

    def __init__(
        self, run: Callable[[], Coroutine[Any, Any, Value]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._query, self._clock = SharedQuery(run), clock
        self._value: Value | None = None
        self._until = -1.0
        self._one_at_a_time = asyncio.Lock()

    async def get(self) -> Value | None:
        async with self._one_at_a_time:
            if self._clock() >= self._until:
                self._value = await self._query.get()
                self._until = self._clock() + GOOD_FOR_SECONDS
        return self._value
