"""Which columns an operation reads: from the fields that it selects, by what their types and resolvers declare."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from strawberry.schema.name_converter import NameConverter

from resolvers.context import Columns
from resolvers.nodes import NODE_TABLES
from resolvers.store.tables.core import Table
from schema.relay import Node, plain_fields


def select_columns(selected: Mapping[str, frozenset[str]]) -> Columns:
    """By entity, where it is known; `selected` are names of GraphQL fields, by that of their type."""
    found: dict[type[Table], frozenset[str]] = {}
    for type_name in selected.keys() & NODE_TABLES.keys():
        known = find_columns(type_name)
        needs = [known[field] for field in selected[type_name]]
        if None not in needs:
            found[NODE_TABLES[type_name]] = frozenset[str]().union(*(one for one in needs if one is not None))
    return found


@cache
def find_columns(type_name: str) -> Mapping[str, frozenset[str] | None]:
    """The columns behind each field; None where a resolver may read any."""
    node, names = Node.find_type(type_name), NameConverter()
    plain = plain_fields(node)
    fields: list[Any] = node.__strawberry_definition__.fields  # type: ignore[attr-defined]
    return {names.get_graphql_name(field): _columns_of_field(field, plain) for field in fields}


def _columns_of_field(field: Any, plain: frozenset[str]) -> frozenset[str] | None:
    if field.base_resolver is not None:
        return getattr(field.base_resolver.wrapped_func, "needs", None)
    return frozenset({field.python_name} if field.python_name in plain else ())
