"""The pool of connections, for SQLAlchemy's sessions and for users of the driver itself."""

import asyncio
import time
from collections import deque
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool


class LendingPool(AsyncAdaptedQueuePool):
    """A pool whose connections the driver's users hand to each other.

    Checking a connection out and in again takes longer than many a statement. So a released connection goes to the next
    user who waits, or stays idle, unless it is a session's turn. Nobody waits while one is idle.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.idle: list[Any] = []
        self._queue: deque[tuple[asyncio.Future[Any], float]] = deque()  # users of the driver that wait, and until when
        self._is_watched = False
        self._sessions = 0  # sessions that wait
        self._is_sessions_turn = False

    async def acquire(self, engine: AsyncEngine) -> Any:
        """Returns a connection for a user of the driver. Raises SQLAlchemy's TimeoutError."""
        while True:
            if self.idle:
                held = self.idle.pop()
            elif self.checkedout() < self.size():
                try:
                    return await engine.raw_connection()
                except BaseException:
                    self._hand_out_room()
                    raise
            else:
                held = await self._wait_for_connection()
            if held is not None and not held.driver_connection.is_closed():
                return held
            if held is not None:
                held.invalidate()
                self.release(held)

    async def _wait_for_connection(self) -> Any:
        """Waits for a released connection; returns None if there is room for a new one instead."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._queue.append((turn, loop.time() + self.timeout()))
        self._watch(loop)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                if turn.result() is None:
                    self._hand_out_room()
                else:
                    self.release(turn.result())
            raise

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sets one timer for all who wait: the first in the queue times out first."""
        if self._queue and not self._is_watched:
            self._is_watched = True
            loop.call_at(self._queue[0][1], self._time_out, loop)

    def _time_out(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_watched = False
        while self._queue and (self._queue[0][0].done() or self._queue[0][1] <= loop.time()):
            turn, _ = self._queue.popleft()
            if not turn.done():
                turn.set_exception(PoolExhausted("no database connection became free in time"))
        self._watch(loop)

    def release(self, held: Any) -> None:
        """Takes a connection back, broken or not."""
        if not held.is_valid:
            held.close()
            return
        driver = None if self._sessions and self._is_sessions_turn else self._next_in_queue()
        self._is_sessions_turn = driver is not None
        if driver is not None:
            driver.set_result(held)
        elif self._sessions:
            held.close()
        else:
            self.idle.append(held)

    def _next_in_queue(self) -> "asyncio.Future[Any] | None":
        while self._queue:
            turn, _ = self._queue.popleft()
            if not turn.done():
                return turn
        return None

    def distrust(self) -> None:
        """Replaces every present connection before it is used again."""
        self._invalidate_time = time.time()
        self.collect()

    def collect(self) -> None:
        """Returns all idle connections to SQLAlchemy's pool."""
        while self.idle:
            self.idle.pop().close()

    def _do_get(self) -> Any:
        if self.idle and not self.checkedin():
            self.idle.pop().close()
        waits = self.checkedout() >= self.size()
        self._sessions += waits
        try:
            return super()._do_get()
        finally:
            self._sessions -= waits

    def _do_return_conn(self, record: Any) -> None:
        super()._do_return_conn(record)
        if not self._sessions:
            self._hand_out_room()

    def _hand_out_room(self) -> None:
        if (driver := self._next_in_queue()) is not None:
            driver.set_result(None)
