"""The state of one execution: its data, what is pending, its errors, and the positions that they set to null.

Completed values are written into the data as they come. An error is noted with its position, which becomes null; if
null is not allowed there, the nearest position around it that allows null is set to null at the end.
https://spec.graphql.org/draft/#sec-Handling-Execution-Errors
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from graphql import (
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    located_error,
)
from graphql.execution.values import VariableValues
from strawberry.execution import optimized_is_awaitable

from bcom_graphql.graphql.compiled.strawberry_adapter import Declarations

is_awaitable = optimized_is_awaitable
Position = tuple[Any, str | int, bool]  # parent, key or index, whether null is allowed
Complete = Callable[["ExecutionState", Any, Any], Any]  # from a value to the data at a position
ParentPosition = Position | None  # None: the root


PendingValue = tuple[
    Any, dict[str, Any], Position
]  # a source or awaitable, the object to put it into, and its position
Unbatched = tuple["SelectedField", Awaitable[Any], Position, Complete]


class CompleteObject(Protocol):
    """Completes an object at a position. `sure`: it is known to be of the type."""

    def __call__(self, state: "ExecutionState", source: Any, at: Any, /, *, sure: bool = False) -> Any: ...


class ObjectSelection(Protocol):
    """What is selected of one object type; see `objects.ObjectSelection`."""

    classes: set[Any]

    @property
    def complete(self) -> CompleteObject: ...


class Selections(Protocol):
    """What completing needs of an operation's plan; see `plan.ExecutionPlan`."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragment_definitions: Mapping[str, FragmentDefinitionNode]
    declared: Declarations

    def selection(self, owner: Any, type: GraphQLObjectType) -> ObjectSelection: ...


class SelectedField(Protocol):
    """What completing needs of a field; see `fields.Field`."""

    plan: Selections
    parent: GraphQLObjectType
    key: str
    name: str
    nodes: list[FieldNode]
    type: GraphQLOutputType

    def complete_special(self, state: "ExecutionState", value: Any, at: Position, complete: Complete) -> bool: ...

    async def resolve_pending(self, state: "ExecutionState", waiting: list[PendingValue]) -> None: ...


class AllNull(BaseException):
    """An error that sets all data to null; whatever else is going on is cancelled."""


class ExecutionState:
    """The state of one execution; `pending` has the values to resolve next, by field."""

    __slots__ = (
        "_failed",
        "arguments",
        "context",
        "data",
        "errors",
        "hide_suggestions",
        "pending",
        "root",
        "unbatched",
        "variables",
    )

    def __init__(self, root: Any, context: Any, variables: VariableValues, *, hide_suggestions: bool) -> None:
        self.root = root
        self.context = context
        self.variables = variables
        self.hide_suggestions = hide_suggestions
        self.arguments: dict[SelectedField, Any] = {}
        self.pending: defaultdict[SelectedField, list[PendingValue]] = defaultdict(list)
        self.unbatched: list[Unbatched] = []
        self.data: dict[str, Any] = {}
        self.errors: list[GraphQLError] = []
        self._failed: set[tuple[str | int, ...]] = set()

    # ------------------------------------------------------------ failures

    def set_null(self, field: SelectedField, at: Position) -> None:
        """Completes null: an error unless it is allowed."""
        if not at[2]:
            message = f"Cannot return null for non-nullable field {field.parent}.{field.name}."
            self.add_error(field, TypeError(message), at)

    def add_error(self, field: SelectedField, error: Exception, at: Position) -> None:
        """Adds an error. Reports only the first per nulled position, as the specification allows."""
        located = located_error(error, field.nodes, to_path(at))
        parent: ParentPosition = at
        while parent is not None and not parent[2]:
            parent = parent[0]
        null = tuple(to_path(parent))
        if not self._is_nulled(null):
            self._failed.add(null)
            self.errors.append(located)

    def _is_nulled(self, path: tuple[str | int, ...]) -> bool:
        return any(path[:length] in self._failed for length in range(len(path) + 1))

    def result(self) -> ExecutionResult:
        """Returns the data, with errors' positions set to null."""
        for *path, key in self._failed:
            container = self._find_container(path)
            if container is not None:
                container[key] = None
        return ExecutionResult(self.data, self.errors or None)

    def _find_container(self, path: list[str | int]) -> Any:
        """Returns the object or list at a path; None if something around it is null already."""
        container: Any = self.data
        for key in path:
            container = None if container is None else container[key]
        return container

    # ------------------------------------------------------------ what is still to come

    def defer(self, field: SelectedField, awaitable: Awaitable[Any], at: Position, complete: Complete) -> None:
        """Notes an awaitable where values are expected: in a list or an attribute."""
        self.unbatched.append((field, awaitable, at, complete))

    async def resolve_pending(self) -> None:
        """Resolves until nothing is pending: fields side by side, each for all of its objects. Raises AllNull."""
        if () in self._failed:
            raise AllNull
        if not self.pending and not self.unbatched:
            return
        pending, self.pending = self.pending, defaultdict(list)
        unbatched, self.unbatched = self.unbatched, []
        work: list[Coroutine[Any, Any, None]] = [
            field.resolve_pending(self, self._drop_nulled(waiting)) for field, waiting in pending.items()
        ]
        work += [self._resolve_unbatched(*item) for item in unbatched]
        try:
            await (work[0] if len(work) == 1 else gather_or_cancel(work))
        except BaseException:
            close_all(pending, unbatched)  # some may not have begun
            raise

    def _drop_nulled(self, waiting: list[PendingValue]) -> list[PendingValue]:
        """Returns the values whose places have not been set to null."""
        if not self._failed:
            return waiting
        alive = []
        for value in waiting:
            if self._is_nulled(tuple(to_path(value[2]))):
                close_unused(value[0])
            else:
                alive.append(value)
        return alive

    async def _resolve_unbatched(
        self, field: SelectedField, awaitable: Awaitable[Any], at: Position, complete: Complete
    ) -> None:
        value = complete(self, await await_or_error(awaitable), at)
        *path, key = to_path(at)
        container = self._find_container(path)
        if container is not None:
            container[key] = value
        await self.resolve_pending()

    def close_all(self) -> None:
        """Closes everything pending."""
        close_all(self.pending, self.unbatched)


def to_path(at: ParentPosition) -> list[str | int]:
    """Returns the keys and indices of a position, outermost first."""
    path = []
    while at is not None:
        path.append(at[1])
        at = at[0]
    path.reverse()
    return path


def close_all(pending: Mapping[SelectedField, list[PendingValue]], unbatched: list[Unbatched]) -> None:
    """Closes awaitables that nobody is going to await."""
    for waiting in pending.values():
        for value in waiting:
            close_unused(value[0])
    for _, awaitable, *_ in unbatched:
        close_unused(awaitable)


def close_unused(value: Any) -> None:
    """Closes an awaitable that nobody is going to await; coroutines would warn."""
    if isinstance(value, asyncio.Future):
        value.add_done_callback(lambda done: done.cancelled() or done.exception())  # it goes on, for others
    elif is_awaitable(value) and hasattr(value, "close"):
        value.close()


async def await_or_error(awaitable: Awaitable[Any]) -> Any:
    """Returns the value, or the exception that was raised."""
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001  reported at its position
        return error


async def await_all_or_errors(awaitables: list[Awaitable[Any]]) -> list[Any]:
    """Returns the values or exceptions of several, run side by side."""
    if len(awaitables) > 1:
        return await gather_or_cancel([await_or_error(awaitable) for awaitable in awaitables])
    return [await await_or_error(awaitable) for awaitable in awaitables]


async def gather_or_cancel(work: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Returns all results; the first error cancels the others."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
