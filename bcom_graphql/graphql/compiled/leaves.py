"""Generates the Python expressions that turn leaf values into what the JSON encoder writes.

A value of the expected class costs one comparison. Any other goes to graphql-core's coercion, which accepts it or
raises. A value that is no leaf at all, such as an awaitable, raises Unusual.
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, cast
from uuid import UUID

import numpy as np
from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLOutputType,
    GraphQLString,
    Undefined,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

Names = dict[str, Any]
StrictCoerce = Callable[[Any], Any]
VALUES: Final = frozenset({str, int, float, bool, bytes, list, tuple, dict, datetime, date, UUID, Decimal, np.ndarray})
FITS: Final = {  # {0} is evaluated first
    GraphQLInt.name: "{0}.__class__ is int and -2147483648 <= value <= 2147483647",
    GraphQLFloat.name: "{0}.__class__ is float and value - value == 0.0",  # finite
    GraphQLString.name: "{0}.__class__ is str",
    GraphQLID.name: "{0}.__class__ is str",
    GraphQLBoolean.name: "{0}.__class__ is bool",
}


class Unusual(Exception):
    """A value that an expression cannot handle."""


def is_leaf_or_leaf_list(of: GraphQLOutputType) -> bool:
    """Tells whether a type is a leaf, or lists of leaves."""
    inner: Any = get_nullable_type(of)
    return is_leaf_or_leaf_list(inner.of_type) if is_list_type(inner) else is_leaf_type(inner)


def make_expression(of: GraphQLOutputType, source: str, number: int, names: Names) -> str:
    """Returns an expression for the JSON value of the expression `source`.

    Adds what it refers to to `names`, numbered to keep it apart from other leaves. It raises what the coercion raises,
    or Unusual.
    """
    if is_non_null_type(of):
        return _make_expression(of.of_type, f"(value := {source})", number, names)
    return f"None if (value := {source}) is None else {_make_expression(of, 'value', number, names)}"


def _make_expression(of: Any, first: str, number: int, names: Names) -> str:
    leaf = f"leaf{number}"
    names[leaf] = _make_strict(of)
    if is_leaf_type(of) and of.name in FITS:
        return f"value if {FITS[of.name].format(first)} else {leaf}(value)"
    if members := _find_members(of):
        names[f"members{number}"], names[f"class{number}"] = members, type(next(iter(members)))
        return f"members{number}[value] if {first}.__class__ is class{number} else {leaf}(value)"
    if is_leaf_type(of):
        names |= {f"coerce{number}": of.coerce_output_value, "VALUES": VALUES, "Undefined": Undefined}
        coerces = f"{first}.__class__ in VALUES and (coerced := coerce{number}(value)) is not None"
        return f"coerced if {coerces} and coerced is not Undefined else {leaf}(value)"
    return f"{leaf}({first})"


def _find_members(of: Any) -> dict[Enum, str]:
    """Returns the GraphQL names of a Python enumeration's members."""
    wrapped = getattr(of, "wrapped_cls", None)
    if not isinstance(of, GraphQLEnumType) or wrapped is None:
        return {}
    return {member: of.coerce_output_value(member) for member in wrapped}


def _make_strict(of: Any) -> StrictCoerce:
    """Returns the coercion of values that are not null. It raises Unusual for an awaitable or the like."""
    return _make_strict_list(of.of_type) if is_list_type(of) else _make_strict_leaf(of)


def _make_strict_leaf(of: GraphQLLeafType) -> StrictCoerce:
    coerce, members = of.coerce_output_value, cast("dict[Any, str]", _find_members(of))

    def leaf(value: Any) -> Any:
        if value.__class__ not in VALUES and value not in members:
            raise Unusual
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            raise Unusual
        return coerced

    return leaf


def _make_strict_list(of: GraphQLOutputType) -> StrictCoerce:
    item = _make_strict(get_nullable_type(of))
    if is_non_null_type(of):
        return lambda values: [*map(item, _check_list(values))]
    return lambda values: [None if value is None else item(value) for value in _check_list(values)]


def _check_list(values: Any) -> list[Any]:
    if values.__class__ is not list:
        raise Unusual
    return values
