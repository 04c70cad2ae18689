"""Long work beside the event loop, which goes on meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

# Not the loop's own, in which passwords are hashed and models asked: strangers' documents must not keep those waiting.
_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="aside")


async def aside(work: Callable[..., Result], *given: Any, **options: Any) -> Result:
    """Returns what the work returns; it must not touch what the event loop changes. Raises what it raises."""
    call = partial(copy_context().run, work, *given, **options)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)
