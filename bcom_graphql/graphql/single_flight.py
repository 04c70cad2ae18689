"""Runs work once for all who ask for the same at the same time, and keeps its results for a while."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Final, Generic, TypeVar

MOST: Final = 4096  # answers kept for those who are behind; they are executed anew for whoever is further behind
MOST_BYTES: Final = 16 * 1024 * 1024  # of them as JSON; as objects they take several times that

Value = TypeVar("Value")


class Shared(Generic[Value]):
    """Work by its key, done once: for all who ask while it is going on, and for those who ask soon after.

    `size`: of a result, in bytes, so that not only their number is bounded but also what they hold.
    """

    def __init__(self, size: Callable[[Value], int], most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._size, self._most, self._most_bytes = size, most, most_bytes
        self._tasks: OrderedDict[Hashable, asyncio.Task[Value]] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._bytes = 0

    async def of(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Raises what the work raises. Who stops waiting does not stop it for the others."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(partial(self._weigh, key))
        return task.result() if task.done() else await asyncio.shield(task)

    def forget(self, key: Hashable) -> None:
        """Do it anew for whoever asks next: it failed, or there is too much."""
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
        while len(self._tasks) > self._most or self._bytes > self._most_bytes:
            self.forget(next(iter(self._tasks)))
