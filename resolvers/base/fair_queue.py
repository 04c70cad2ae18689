"""A semaphore with a short queue that is fair to groups, such as networks or users."""

import asyncio
from dataclasses import dataclass

from resolvers.base.errors import Busy


@dataclass(eq=False)
class _Waiting:
    """A caller in the queue."""

    group: str
    rank: tuple[bool, int, int]
    called: asyncio.Future[None]


class FairQueue:
    """Lets `at_once` callers in, and has up to `waiting` others wait.

    Preferred callers come first, then the first caller of each group before the second of any.
    refusal: what the last in rank are told when too many wait.
    """

    def __init__(self, at_once: int, waiting: int, refusal: str) -> None:
        self._free, self._max_waiting, self._refusal = at_once, waiting, refusal
        self._queue: list[_Waiting] = []
        self._arrivals = 0

    async def acquire(self, group: str, *, preferred: bool) -> None:
        """Waits for a place; call `release` afterwards. Raises Busy for the last in rank when too many wait."""
        if self._free:
            self._free -= 1
            return
        mine = self._enqueue(group, preferred=preferred)
        try:
            await mine.called
        except asyncio.CancelledError:
            self._leave(mine)
            raise

    def release(self) -> None:
        """Gives the place to the next in rank."""
        if not self._queue:
            self._free += 1
            return
        first = min(self._queue, key=lambda waiting: waiting.rank)
        self._queue.remove(first)
        first.called.set_result(None)

    def _enqueue(self, group: str, *, preferred: bool) -> _Waiting:
        self._arrivals += 1
        same = sum(waiting.group == group for waiting in self._queue)
        called = asyncio.get_running_loop().create_future()
        mine = _Waiting(group, (not preferred, same, self._arrivals), called)
        self._queue.append(mine)
        if len(self._queue) > self._max_waiting:
            last = max(self._queue, key=lambda waiting: waiting.rank)
            self._queue.remove(last)
            last.called.set_exception(Busy(self._refusal))
        return mine

    def _leave(self, mine: _Waiting) -> None:
        """Handles a cancellation: of one that waits, was refused, or was called and did not come."""
        if mine in self._queue:
            self._queue.remove(mine)
        elif mine.called.done() and not mine.called.cancelled() and mine.called.exception() is None:
            self.release()
