"""A cheap `asyncio.timeout` for every request: no coroutine, and no event loop timer for each."""

import asyncio
from types import TracebackType
from typing import Any, Final, Self

SHORT_SECONDS: Final = 5.0  # a shorter deadline has a timer of its own
TICK_SECONDS: Final = 0.25  # between two checks of the longer ones


class Deadline:
    """Cancels its task when the time is up, or a tick later, and raises TimeoutError then."""

    __slots__ = ("_began", "_has_own_timer", "_loop", "_requests", "_task", "_timer", "at", "is_over", "seconds")

    def __init__(self, seconds: float, *, own_timer_below: float = SHORT_SECONDS) -> None:
        self.seconds = seconds
        self._has_own_timer = seconds < own_timer_below
        self.is_over = False

    def __enter__(self) -> Self:
        loop = self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] = asyncio.current_task(loop)  # type: ignore[assignment]  # a coroutine runs in one
        self._requests = self._task.cancelling()
        self._began = loop.time()
        self.at = self._began + self.seconds
        self._timer = loop.call_at(self.at, self.expire) if self._has_own_timer else None
        if self._timer is None:
            _watch(loop, self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._timer is None:
            _watched[self._loop].discard(self)
        else:
            self._timer.cancel()
        if self.is_over and self._task.uncancel() <= self._requests and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def reschedule(self, seconds: float) -> None:
        """Moves the deadline to so many seconds after the beginning."""
        self.seconds = seconds
        self.at = self._began + seconds
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.call_at(self.at, self.expire)

    def expire(self) -> None:
        """Cancels the task."""
        self.is_over = True
        self._task.cancel()


_watched: dict[asyncio.AbstractEventLoop, set[Deadline]] = {}


def _watch(loop: asyncio.AbstractEventLoop, deadline: Deadline) -> None:
    watched = _watched.get(loop)
    if watched is None:
        watched = _watched[loop] = set()
        loop.call_later(TICK_SECONDS, _check_watched, loop)
    watched.add(deadline)


def _check_watched(loop: asyncio.AbstractEventLoop) -> None:
    """Expires what is due, and comes back while there are deadlines."""
    watched, now = _watched[loop], loop.time()
    for deadline in [each for each in watched if each.at <= now and not each.is_over]:
        deadline.expire()
    if watched:
        loop.call_later(TICK_SECONDS, _check_watched, loop)
    else:
        del _watched[loop]
