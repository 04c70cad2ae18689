"""Executed once, told to many: what an event gives is the same for all who ask the same of it.

The same is asked by the same document and operation, with the same values of all variables that reach what is selected
of the event, and the same standing. Variables that only go into the root field's arguments, filters and cursors, decide
which events a subscriber gets and not what these look like, so a thousand different filters share an execution, and so
does whoever comes back with a cursor of its own.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

import orjson
from graphql import DocumentNode, FieldNode, OperationDefinitionNode

from bcom_graphql.graphql.documents.variable_uses import Uses

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


def reaching(operation: OperationDefinitionNode, document: DocumentNode) -> frozenset[str]:
    """The variables that reach what a subscription selects of its events, by directives and fragments too."""
    root = operation.selection_set.selections
    whole = len(root) != 1 or not isinstance(root[0], FieldNode)
    field: Any = root[0]
    parts = [operation.selection_set] if whole else [*(field.directives or ()), field.selection_set]
    return Uses(document).of(*parts)


def values(names: frozenset[str], variables: Mapping[str, object]) -> str:
    """Of these variables, as they were sent: the same text for the same values."""
    given = {name: variables[name] for name in names if name in variables}
    return orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode()  # its bytes may sit in a buffer of kilobytes
