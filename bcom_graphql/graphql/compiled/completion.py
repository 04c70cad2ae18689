"""From a resolver's value to its place in the answer, for any output type: the specification's "Value Completion".

Written as graphql-core has it, so that whatever is wrong with a value is told in the same words. The common cases do
not come here: generated code settles leaves and calls itself for objects, see `shapes.py`.
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
from graphql.pyutils import is_iterable
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE

from bcom_graphql.graphql.compiled.resolve_info import info_at
from bcom_graphql.graphql.compiled.state import Complete, Position, Run, SelectedField, is_awaitable


def completer(field: SelectedField, type: GraphQLOutputType) -> Complete:
    """Completes values of this type at positions of this field; the position says whether it allows null."""
    inner: Any = get_nullable_type(type)
    if is_list_type(inner):
        return _lists(field, inner)
    if is_leaf_type(inner):
        return _leaves(field, inner)
    if is_abstract_type(inner):
        return _abstract(field, inner)
    return field.plan.shape(field, cast("GraphQLObjectType", inner)).complete


def _leaves(field: SelectedField, of: GraphQLLeafType) -> Complete:
    def complete(run: Run, value: Any, at: Position) -> Any:
        if field.settled(run, value, at, complete):
            return None
        try:
            return Executor.complete_leaf_value(of, value)
        except Exception as error:  # noqa: BLE001  told where it belongs
            return run.fail(field, error, at)

    return complete


def _lists(field: SelectedField, of: GraphQLList[Any]) -> Complete:
    nullable = not is_non_null_type(of.of_type)
    item = completer(field, of.of_type)

    def complete(run: Run, values: Any, at: Position) -> Any:
        if values.__class__ is not list:
            if field.settled(run, values, at, complete):
                return None
            if isinstance(values, AsyncIterable):
                return run.later(field, _gathered(values), at, complete)
            try:
                values = _iterated(field, values)
            except Exception as error:  # noqa: BLE001  told where it belongs
                return run.fail(field, error, at)
        return [item(run, value, (at, index, nullable)) for index, value in enumerate(values)]

    return complete


def _iterated(field: SelectedField, values: Any) -> list[Any]:
    if not is_iterable(values):
        message = f"Expected Iterable, but did not find one for field '{field.parent}.{field.name}'."
        raise GraphQLError(message)
    return list(values)


async def _gathered(values: AsyncIterable[Any]) -> list[Any]:
    return [value async for value in values]


def _abstract(field: SelectedField, of: GraphQLAbstractType) -> Complete:
    """Of an interface or a union. The class of a value decides its type, for all but unusual ones: it is remembered."""
    resolve_type = of.resolve_type or default_type_resolver
    known: dict[type, Complete] = {}

    def complete(run: Run, value: Any, at: Position) -> Any:
        shape = known.get(value.__class__)
        if shape is not None and getattr(value, TYPE_CAST_ATTRIBUTE, None) is None:
            return shape(run, value, at)
        if field.settled(run, value, at, complete):
            return None
        try:
            name: Any = resolve_type(value, info_at(run, field, at), of)
        except Exception as error:  # noqa: BLE001  told where it belongs
            return run.fail(field, error, at)
        if is_awaitable(name):
            return run.later(field, name, at, lambda run, name, at: named(run, name, value, at))
        return named(run, name, value, at)

    def named(run: Run, name: Any, value: Any, at: Position) -> Any:
        try:
            if isinstance(name, Exception):
                raise name
            runtime_type = _runtime_type(field, of, name, value)
        except Exception as error:  # noqa: BLE001  told where it belongs
            return run.fail(field, error, at)
        shape = field.plan.shape(field, runtime_type)
        answer = shape.complete(run, value, at)
        if value.__class__ in shape.classes and field.plan.declared.resolves_by_class(of, runtime_type, value):
            known[value.__class__] = shape.complete
        return answer

    return complete


def _runtime_type(field: SelectedField, of: GraphQLAbstractType, name: Any, value: Any) -> GraphQLObjectType:
    """Raises GraphQLError for a name that no possible type has."""
    executor: Any = SimpleNamespace(schema=field.plan.schema)
    details: Any = [SimpleNamespace(node=node) for node in field.nodes]
    info: Any = SimpleNamespace(parent_type=field.parent, field_name=field.name)
    return Executor.ensure_valid_runtime_type(executor, name, of, details, info, value)
