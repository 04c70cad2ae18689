"""Runs work once for all who ask for the same at the same time, and keeps its results for a while."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Final, Generic, TypeVar

MAX_ENTRIES: Final = 4096  # results kept for those who are behind; the work is done again for those further behind
MAX_BYTES: Final = 16 * 1024 * 1024  # of results as JSON; as objects they take several times that

Value = TypeVar("Value")


class SingleFlightCache(Generic[Value]):
    """Runs work once per key, for all who ask while it runs or soon after.

    `size`: returns the bytes of a result; the cache is bounded in results and in bytes.
    """

    def __init__(
        self, size: Callable[[Value], int], max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._size, self._max_entries, self._max_bytes = size, max_entries, max_bytes
        self._tasks: OrderedDict[Hashable, asyncio.Task[Value]] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._bytes = 0

    async def get_or_run(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Returns the result for the key. Raises what the work raises. Cancelling a caller does not cancel the work."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(partial(self._weigh, key))
        return task.result() if task.done() else await asyncio.shield(task)

    def forget(self, key: Hashable) -> None:
        """Drops a result, so that the next caller runs the work again."""
        self._tasks.pop(key, None)
        self._bytes -= self._sizes.pop(key, 0)

    def _weigh(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        if self._tasks.get(key) is not task:
            return
        if task.cancelled() or task.exception() is not None:
            self.forget(key)
            return
        self._sizes[key] = self._size(task.result())
        self._bytes += self._sizes[key]
        while len(self._tasks) > self._max_entries or self._bytes > self._max_bytes:
            self.forget(next(iter(self._tasks)))
