"""Executed once, told to many: what an event gives is the same for all who ask the same of it.

The same is asked by the same document and operation, with the same values of all variables that reach what is selected
of the event, and the same standing. Variables that only go into the root field's arguments, filters and cursors, decide
which events a subscriber gets and not what these look like, so a thousand different filters share an execution, and so
does whoever comes back with a cursor of its own.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Mapping
from typing import Any, Final, Generic, TypeVar

import orjson
from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, Node, OperationDefinitionNode, VariableNode
from graphql.language.visitor import Visitor, visit

MOST: Final = 4096  # answers kept for those who are behind; they are executed anew for whoever is further behind

Value = TypeVar("Value")


class Shared(Generic[Value]):
    """Work by its key, done once: for all who ask while it is going on, and for those who ask soon after."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._tasks: OrderedDict[Hashable, asyncio.Task[Value]] = OrderedDict()

    async def of(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Raises what the work raises. Who stops waiting does not stop it for the others."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            if len(self._tasks) > self._most:
                self._tasks.popitem(last=False)
        return task.result() if task.done() else await asyncio.shield(task)

    def forget(self, key: Hashable) -> None:
        """Do it anew for whoever asks next: it failed."""
        self._tasks.pop(key, None)


def reaching(operation: OperationDefinitionNode, document: DocumentNode) -> frozenset[str]:
    """The variables that reach what a subscription selects of its events, by directives and fragments too."""
    uses = _Uses()
    root = operation.selection_set.selections
    whole = len(root) != 1 or not isinstance(root[0], FieldNode)
    field: Any = root[0]
    parts: list[Node | None] = [operation.selection_set] if whole else [*(field.directives or ()), field.selection_set]
    fragments = (one for one in document.definitions if isinstance(one, FragmentDefinitionNode))
    for part in (*parts, *fragments):
        if part is not None:
            visit(part, uses)
    return frozenset(uses.names)


class _Uses(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names = set[str]()

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.names.add(node.name.value)


def values(names: frozenset[str], variables: Mapping[str, object]) -> bytes:
    """Of these variables, as they were sent: the same bytes for the same values."""
    given = {name: variables[name] for name in names if name in variables}
    return orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
