"""Runs long work in threads, so that the event loop goes on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

Result = TypeVar("Result")


class WorkerThreads:
    """Threads for one kind of work, so that it does not delay other kinds, such as hashing passwords."""

    def __init__(self, name: str, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Returns what the work returns, and raises what it raises. It must not change what the event loop reads."""
        call = partial(copy_context().run, work, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


DOCUMENT_THREADS: Final = WorkerThreads("reading", 1)  # reads documents, which anybody may send
VARIABLE_THREADS: Final = WorkerThreads("coercing", 2)  # coerces variables
