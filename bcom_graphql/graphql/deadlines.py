"""`asyncio.timeout` without coroutines of its own: two of them stand around every request."""

import asyncio
from types import TracebackType
from typing import Any, Self


class Deadline:
    """Cancels what its task does within it when the time is up. Raises TimeoutError then."""

    __slots__ = ("_handle", "_is_over", "_requests", "_seconds", "_task")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_over = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] = asyncio.current_task(loop)  # type: ignore[assignment]  # a coroutine runs in one
        self._requests = self._task.cancelling()
        self._handle = loop.call_later(self._seconds, self._expire)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._handle.cancel()
        if self._is_over and self._task.uncancel() <= self._requests and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        self._is_over = True
        self._task.cancel()
