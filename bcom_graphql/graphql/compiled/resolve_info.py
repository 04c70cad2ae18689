"""What graphql-core and Strawberry tell a resolver, worked out as it asks for it."""

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

from bcom_graphql.graphql.compiled.state import Around, Position, Run, SelectedField, is_awaitable


class ResolveInfo:
    """What graphql-core tells resolvers, worked out as they ask for it."""

    __slots__ = ("_around", "_field", "_run")

    def __init__(self, run: Run, field: SelectedField, around: Around) -> None:
        self._run, self._field, self._around = run, field, around

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
        return _path((self._around, self._field.key, True), self._field.parent.name)

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


def info_at(run: Run, field: SelectedField, at: Position) -> Any:
    """Of a field, from the position of a value of it, which may be anywhere in its lists."""
    while isinstance(at[1], int):
        at = at[0]
    return ResolveInfo(run, field, at[0])


def _path(at: Position, type_name: str | None) -> Path:
    """graphql-core's, but for the types of the objects around the one at hand, which nobody has asked for yet."""
    return Path(None if at[0] is None else _path(at[0], None), at[1], type_name if isinstance(at[1], str) else None)


async def _gather(awaitables: Any) -> list[Any]:
    return await asyncio.gather(*awaitables)


def _track(_: Any) -> None:
    """Nobody waits for it."""


HELPERS = GraphQLResolveInfoHelpers(_gather, _track)
assert set(GraphQLResolveInfo._fields) <= {*dir(ResolveInfo)}  # noqa: S101  else a resolver might miss something
