"""Completes resolvers' values for any output type.

https://spec.graphql.org/draft/#sec-Value-Completion

Follows graphql-core, so that errors have the same words. Common cases do not get here: generated code completes leaves
and objects itself, see `objects.py`.
"""

from collections.abc import AsyncIterable
from types import SimpleNamespace
from typing import Any, cast

from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLLeafType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    default_type_resolver,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import is_iterable
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE

from bcom_graphql.graphql.compiled.resolve_info import info_at
from bcom_graphql.graphql.compiled.state import Complete, ExecutionState, Position, SelectedField, is_awaitable


def make_completer(field: SelectedField, type: GraphQLOutputType) -> Complete:
    """Returns a function that completes values of this type at a position of the field."""
    inner: Any = get_nullable_type(type)
    if is_list_type(inner):
        return _make_list_completer(field, inner)
    if is_leaf_type(inner):
        return _make_leaf_completer(field, inner)
    if is_abstract_type(inner):
        return _make_abstract_completer(field, inner)
    return field.plan.selection(field, cast("GraphQLObjectType", inner)).complete


def _make_leaf_completer(field: SelectedField, of: GraphQLLeafType) -> Complete:
    def complete(state: ExecutionState, value: Any, at: Position) -> Any:
        if field.complete_special(state, value, at, complete):
            return None
        try:
            return Executor.complete_leaf_value(of, value)
        except Exception as error:  # noqa: BLE001  reported at its position
            return state.add_error(field, error, at)

    return complete


def _make_list_completer(field: SelectedField, of: GraphQLList[Any]) -> Complete:
    nullable = not is_non_null_type(of.of_type)
    item = make_completer(field, of.of_type)

    def complete(state: ExecutionState, values: Any, at: Position) -> Any:
        if values.__class__ is not list:
            if field.complete_special(state, values, at, complete):
                return None
            if isinstance(values, AsyncIterable):
                return state.defer(field, _collect(values), at, complete)
            try:
                values = _to_list(field, values)
            except Exception as error:  # noqa: BLE001  reported at its position
                return state.add_error(field, error, at)
        return [item(state, value, (at, index, nullable)) for index, value in enumerate(values)]

    return complete


def _to_list(field: SelectedField, values: Any) -> list[Any]:
    if not is_iterable(values):
        message = f"Expected Iterable, but did not find one for field '{field.parent}.{field.name}'."
        raise GraphQLError(message)
    return list(values)


async def _collect(values: AsyncIterable[Any]) -> list[Any]:
    return [value async for value in values]


def _make_abstract_completer(field: SelectedField, of: GraphQLAbstractType) -> Complete:
    """Returns the completer of an interface or union. Remembers the type of a value's class, if that decides it."""
    resolve_type = of.resolve_type or default_type_resolver
    by_class: dict[type, Complete] = {}

    def complete(state: ExecutionState, value: Any, at: Position) -> Any:
        selection = by_class.get(value.__class__)
        if selection is not None and getattr(value, TYPE_CAST_ATTRIBUTE, None) is None:
            return selection(state, value, at)
        if field.complete_special(state, value, at, complete):
            return None
        try:
            name: Any = resolve_type(value, info_at(state, field, at), of)
        except Exception as error:  # noqa: BLE001  reported at its position
            return state.add_error(field, error, at)
        if is_awaitable(name):
            return state.defer(field, name, at, lambda state, name, at: complete_as(state, name, value, at))
        return complete_as(state, name, value, at)

    def complete_as(state: ExecutionState, name: Any, value: Any, at: Position) -> Any:
        try:
            if isinstance(name, Exception):
                raise name
            runtime_type = _find_runtime_type(state, field, of, name, value, at)
        except Exception as error:  # noqa: BLE001  reported at its position
            return state.add_error(field, error, at)
        selection = field.plan.selection(field, runtime_type)
        data = selection.complete(state, value, at)
        if value.__class__ in selection.classes and field.plan.declared.resolves_by_class(of, runtime_type, value):
            by_class[value.__class__] = selection.complete
        return data

    return complete


def _find_runtime_type(
    state: ExecutionState, field: SelectedField, of: GraphQLAbstractType, name: Any, value: Any, at: Position
) -> GraphQLObjectType:
    """Returns the object type of this name. Raises GraphQLError if it is none of the possible types."""
    executor: Any = SimpleNamespace(schema=field.plan.schema)  # all that the method reads of it
    details = [FieldDetails(node, None) for node in field.nodes]
    return Executor.ensure_valid_runtime_type(executor, name, of, details, info_at(state, field, at), value)
