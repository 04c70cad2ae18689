"""What a server process does when it is told to stop, by SIGTERM or SIGINT, before uvicorn hears of it or beside it."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def calling_on_stop(call: Callable[[], object]) -> Iterator[None]:
    """Calls this in the event loop when a signal comes while the block lasts; then the former handlers are back."""
    loop = asyncio.get_running_loop()

    def wrap(then: Handler) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(call)
            then(number, frame)

        return handle

    former = _wrap_handlers(wrap)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def drain_before_stopping(drain: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Drains when the process is told to stop: uvicorn closes sockets at once, and waits for endless event streams.

    uvicorn has set its own signal handlers by now, and restores the former ones when it leaves. A second signal does
    not wait for the draining.
    """
    loop, begun = asyncio.get_running_loop(), list[asyncio.Task[None]]()

    def begin(then: Callable[[], Any]) -> None:
        begun.append(asyncio.create_task(drain(), name="draining"))
        begun[0].add_done_callback(lambda _: then())

    def wrap(then: Handler) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            if begun or loop.is_closed():
                then(number, frame)
            else:
                loop.call_soon_threadsafe(begin, partial(then, number, frame))

        return handle

    _wrap_handlers(wrap)


def _wrap_handlers(wrap: Callable[[Handler], Handler]) -> dict[signal.Signals, Handler]:
    """Wraps the handlers that are Python's, and returns them; none outside the main thread, which may not do so."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    former = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number, handler in former.items():
        signal.signal(number, wrap(handler))
    return former
