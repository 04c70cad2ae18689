"""Long work beside the event loop, which goes on meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

Result = TypeVar("Result")


class Aside:
    """Threads of their own: what waits for one kind of work keeps no other waiting, passwords for example."""

    def __init__(self, name: str, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[..., Result], *given: Any, **options: Any) -> Result:
        """What the work returns; it must not change what the event loop reads. Raises what it raises."""
        call = partial(copy_context().run, work, *given, **options)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


READING: Final = Aside("reading", 1)  # documents, which anybody may send
COERCING: Final = Aside("coercing", 2)  # variables
