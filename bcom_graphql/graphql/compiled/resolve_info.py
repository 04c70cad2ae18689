"""The `info` argument of resolvers; computed when it is read."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.pyutils import Path
from graphql.type import GraphQLResolveInfoHelpers

from bcom_graphql.graphql.compiled.state import ExecutionState, ParentPosition, Position, SelectedField, is_awaitable


class ResolveInfo:
    """Has the attributes of GraphQLResolveInfo; most resolvers read none or one of them."""

    __slots__ = ("_field", "_parent", "_run")

    def __init__(self, state: ExecutionState, field: SelectedField, parent: ParentPosition) -> None:
        self._run, self._field, self._parent = state, field, parent

    @property
    def context(self) -> Any:
        return self._run.context

    @property
    def root_value(self) -> Any:
        return self._run.root

    @property
    def variable_values(self) -> dict[str, Any]:
        return self._run.variables.coerced

    @property
    def field_name(self) -> str:
        return self._field.name

    @property
    def field_nodes(self) -> list[FieldNode]:
        return self._field.nodes

    @property
    def return_type(self) -> GraphQLOutputType:
        return self._field.type

    @property
    def parent_type(self) -> Any:
        return self._field.parent

    @property
    def path(self) -> Path:
        return _make_path((self._parent, self._field.key, True), self._field.parent.name)

    @property
    def schema(self) -> GraphQLSchema:
        return self._field.plan.schema

    @property
    def fragments(self) -> Mapping[str, FragmentDefinitionNode]:
        return self._field.plan.fragment_definitions

    @property
    def operation(self) -> OperationDefinitionNode:
        return self._field.plan.operation

    @property
    def is_awaitable(self) -> Callable[[Any], bool]:
        return is_awaitable

    @property
    def abort_signal(self) -> None:
        return None

    @property
    def operation_extensions(self) -> None:
        return None

    @property
    def async_helpers(self) -> GraphQLResolveInfoHelpers:
        return HELPERS


def info_at(state: ExecutionState, field: SelectedField, at: Position) -> Any:
    """Returns the ResolveInfo for a value, skipping list indices in its path."""
    while isinstance(at[1], int):
        at = at[0]
    return ResolveInfo(state, field, at[0])


def _make_path(at: Position, type_name: str | None) -> Path:
    """Returns graphql-core's Path, but without the type names of the objects further out."""
    return Path(
        None if at[0] is None else _make_path(at[0], None), at[1], type_name if isinstance(at[1], str) else None
    )


async def _gather(awaitables: Any) -> list[Any]:
    return await asyncio.gather(*awaitables)


def _track(_: Any) -> None:
    """Ignores awaitables that nobody waits for."""


HELPERS = GraphQLResolveInfoHelpers(_gather, _track)
assert set(GraphQLResolveInfo._fields) <= {*dir(ResolveInfo)}  # noqa: S101  else a resolver might miss one
