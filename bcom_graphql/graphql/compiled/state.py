"""One execution of a compiled operation: what is still to come, what failed, and where that leaves a null.

Whatever is completed writes into the answer as it goes. A failure is noted with its position and leaves a null there;
where null is not allowed, the nearest position around it that allows one is put to null at the end.
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
Position = tuple[Any, str | int, bool]  # what it is in, its key or index, whether it may be null
Complete = Callable[["Run", Any, Any], Any]  # from a value to what stands at a position
Around = Position | None  # None: of the whole answer


Waiting = tuple[Any, dict[str, Any], Position]  # a source or an awaitable, the object that it goes into, and where
Loose = tuple["SelectedField", Awaitable[Any], Position, Complete]


class CompleteObject(Protocol):
    """Completes an object at a position. `sure`: it is known to be of the type."""

    def __call__(self, run: "Run", source: Any, at: Any, /, *, sure: bool = False) -> Any: ...


class ObjectSelection(Protocol):
    """What is selected of one object type; see `objects.Shape`. `classes`: those whose objects are of the type."""

    classes: set[Any]

    @property
    def complete(self) -> CompleteObject: ...


class Selections(Protocol):
    """What completing needs of an operation's plan; see `plan.ExecutionPlan`."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragment_definitions: Mapping[str, FragmentDefinitionNode]
    declared: Declarations

    def shape(self, owner: Any, type: GraphQLObjectType) -> ObjectSelection: ...


class SelectedField(Protocol):
    """What completing needs of a field; see `fields.Field`."""

    plan: Selections
    parent: GraphQLObjectType
    key: str
    name: str
    nodes: list[FieldNode]
    type: GraphQLOutputType

    def settled(self, run: "Run", value: Any, at: Position, complete: Complete) -> bool: ...

    async def settle(self, run: "Run", waiting: list[Waiting]) -> None: ...


class AllNull(BaseException):
    """A failure that leaves nothing of the answer: whatever else is going on is in vain."""


class Run:
    """The state of one execution; `pending` is what completing has found to do next, by its field."""

    __slots__ = (
        "_failed",
        "arguments",
        "context",
        "data",
        "errors",
        "hide_suggestions",
        "loose",
        "pending",
        "root",
        "variables",
    )

    def __init__(self, root: Any, context: Any, variables: VariableValues, *, hide_suggestions: bool) -> None:
        self.root = root
        self.context = context
        self.variables = variables
        self.hide_suggestions = hide_suggestions
        self.arguments: dict[SelectedField, Any] = {}
        self.pending: defaultdict[SelectedField, list[Waiting]] = defaultdict(list)
        self.loose: list[Loose] = []
        self.data: dict[str, Any] = {}
        self.errors: list[GraphQLError] = []
        self._failed: set[tuple[str | int, ...]] = set()

    # ------------------------------------------------------------ failures

    def null(self, field: SelectedField, at: Position) -> None:
        """Instead of a value. Null where it is allowed, else a failure."""
        if not at[2]:
            self.fail(field, TypeError(f"Cannot return null for non-nullable field {field.parent}.{field.name}."), at)

    def fail(self, field: SelectedField, error: Exception, at: Position) -> None:
        """Of several failures that leave the same null, or one in another, the first is told of."""
        located = located_error(error, field.nodes, path_of(at))
        around: Around = at
        while around is not None and not around[2]:
            around = around[0]
        null = tuple(path_of(around))
        if not self._is_null(null):
            self._failed.add(null)
            self.errors.append(located)

    def _is_null(self, path: tuple[str | int, ...]) -> bool:
        return any(path[:length] in self._failed for length in range(len(path) + 1))

    def result(self) -> ExecutionResult:
        """The answer, with its nulls."""
        for *path, key in self._failed:
            container = self._within(path)
            if container is not None:
                container[key] = None
        return ExecutionResult(self.data, self.errors or None)

    def _within(self, path: list[str | int]) -> Any:
        """What stands there; None where something around it is null already."""
        found: Any = self.data
        for key in path:
            found = None if found is None else found[key]
        return found

    # ------------------------------------------------------------ what is still to come

    def later(self, field: SelectedField, awaitable: Awaitable[Any], at: Position, complete: Complete) -> None:
        """An awaitable where values usually are: within a list, or an attribute."""
        self.loose.append((field, awaitable, at, complete))

    async def settle(self) -> None:
        """Until nothing is to come: fields side by side, each for all of its objects together. Raises AllNull."""
        if () in self._failed:
            raise AllNull
        if not self.pending and not self.loose:
            return
        pending, self.pending = self.pending, defaultdict(list)
        loose, self.loose = self.loose, []
        work: list[Coroutine[Any, Any, None]] = [
            field.settle(self, self._alive(waiting)) for field, waiting in pending.items()
        ]
        work += [self._settle_loose(*one) for one in loose]
        try:
            await (work[0] if len(work) == 1 else side_by_side(work))
        except BaseException:
            abandon(pending, loose)  # of which some may not have begun
            raise

    def _alive(self, waiting: list[Waiting]) -> list[Waiting]:
        """Without those that would go into what is null by now."""
        if not self._failed:
            return waiting
        alive = []
        for one in waiting:
            if self._is_null(tuple(path_of(one[2]))):
                close(one[0])
            else:
                alive.append(one)
        return alive

    async def _settle_loose(
        self, field: SelectedField, awaitable: Awaitable[Any], at: Position, complete: Complete
    ) -> None:
        value = complete(self, await outcome(awaitable), at)
        *path, key = path_of(at)
        container = self._within(path)
        if container is not None:
            container[key] = value
        await self.settle()

    def abandon(self) -> None:
        """Nothing of what is still to come is needed."""
        abandon(self.pending, self.loose)


def path_of(at: Around) -> list[str | int]:
    """Keys and indices, from the outermost."""
    path = []
    while at is not None:
        path.append(at[1])
        at = at[0]
    path.reverse()
    return path


def abandon(pending: Mapping[SelectedField, list[Waiting]], loose: list[Loose]) -> None:
    """Close what nobody is going to wait for."""
    for waiting in pending.values():
        for one in waiting:
            close(one[0])
    for _, awaitable, *_ in loose:
        close(awaitable)


def close(value: Any) -> None:
    """Something that nobody is going to wait for: coroutines would complain."""
    if isinstance(value, asyncio.Future):
        value.add_done_callback(lambda done: done.cancelled() or done.exception())  # it goes on, for whoever began it
    elif is_awaitable(value) and hasattr(value, "close"):
        value.close()


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """Its value, or the exception that it raises."""
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001  told where it belongs
        return error


async def outcomes(awaitables: list[Awaitable[Any]]) -> list[Any]:
    """The same of several, side by side."""
    if len(awaitables) > 1:
        return await side_by_side([outcome(awaitable) for awaitable in awaitables])
    return [await outcome(awaitable) for awaitable in awaitables]


async def side_by_side(work: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """All of their results; the first failure ends all of them."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
