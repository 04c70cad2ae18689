"""Which columns an operation reads, from the fields it selects and what their resolvers declare."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from strawberry.schema.name_converter import NameConverter

from resolvers.context import Columns
from resolvers.nodes import NODE_TABLES
from resolvers.store.tables.core import Table
from schema.relay import Node, plain_fields


def select_columns(selected: Mapping[str, frozenset[str]]) -> Columns:
    """Returns the columns to fetch, by entity; an entity is missing if all its columns may be read.

    selected: names of GraphQL fields, by the name of their type.
    """
    columns: dict[type[Table], frozenset[str]] = {}
    for type_name in selected.keys() & NODE_TABLES.keys():
        by_field = find_columns(type_name)
        needs = [by_field[field] for field in selected[type_name]]
        if None not in needs:
            columns[NODE_TABLES[type_name]] = frozenset[str]().union(*(names for names in needs if names is not None))
    return columns


@cache
def find_columns(type_name: str) -> Mapping[str, frozenset[str] | None]:
    """Returns the columns that each field of a type reads; None if its resolver may read any."""
    node, names = Node.find_type(type_name), NameConverter()
    plain = plain_fields(node)
    fields: list[Any] = node.__strawberry_definition__.fields  # type: ignore[attr-defined]
    return {names.get_graphql_name(field): _columns_of_field(field, plain) for field in fields}


def _columns_of_field(field: Any, plain: frozenset[str]) -> frozenset[str] | None:
    if field.base_resolver is not None:
        return getattr(field.base_resolver.wrapped_func, "needs", None)
    return frozenset({field.python_name} if field.python_name in plain else ())
