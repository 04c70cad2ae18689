"""Lists of flat input objects coerced column by column: what a batch of samples is made of.

graphql-core coerces by walking values and types side by side, several calls for each value. Here all values of a field
are looked at together. Whatever does not fit (a wrong type, an unknown field, a missing one) is left to graphql-core,
which either accepts it or says what is wrong with it.

Only for classes that say what is made of their columns, with `of_columns`: it stands for all objects of the list.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from math import isfinite
from types import NoneType
from typing import Any, Final

from graphql import (
    GraphQLFloat,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    ListTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    Undefined,
    get_nullable_type,
    is_leaf_type,
    is_required_input_field,
    type_from_ast,
)
from graphql.type import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT
from graphql.utilities.coerce_input_value import coerce_default_value
from strawberry.schema.schema_converter import GraphQLCoreConverter

Column = list[Any]
Columns = dict[str, Column]
Rows = list[dict[str, Any]]
Coerce = Callable[[Rows], Any]
FITS: Final[dict[str, tuple[type, Callable[[Column], bool]]]] = {  # what needs no call for each value
    GraphQLInt.name: (int, lambda values: min(values) >= GRAPHQL_MIN_INT and max(values) <= GRAPHQL_MAX_INT),
    GraphQLFloat.name: (float, lambda values: isfinite(sum(values))),
}


class Inputs:
    """The coercers of one schema, made when they are first needed."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._coercers: dict[str, Coerce | None] = {}

    def coerced(self, operation: OperationDefinitionNode, variables: dict[str, Any]) -> dict[str, list[Any]]:
        """The variables that are lists of such input objects and fit, each with one element that stands for all."""
        done = {}
        for definition in operation.variable_definitions or ():
            name, of = definition.variable.name.value, definition.type
            of = of.type if isinstance(of, NonNullTypeNode) else of
            given = variables.get(name)
            if isinstance(of, ListTypeNode) and isinstance(given, list):
                coerce = self._coercer(type_from_ast(self._schema, of))
                whole = None if coerce is None else _attempt(coerce, given)
                if whole is not None:
                    done[name] = [whole]
        return done

    def _coercer(self, of: object) -> Coerce | None:
        inner = of.of_type if isinstance(of, GraphQLList) else None
        item = inner.of_type if isinstance(inner, GraphQLNonNull) else None
        if not isinstance(item, GraphQLInputObjectType):
            return None
        if item.name not in self._coercers:
            self._coercers[item.name] = _coercer(item)
        return self._coercers[item.name]


def _coercer(of: GraphQLInputObjectType) -> Coerce | None:
    """Of lists of these objects, to what their class makes of columns; None where that is nothing, or they nest."""
    definition = of.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    make = getattr(definition.origin, "of_columns", None) if definition else None
    table = None if make is None else Table.of(of)
    return None if make is None or table is None else lambda rows: make(table.columns(rows))


def _attempt(coerce: Coerce, rows: Rows) -> Any:
    try:
        return coerce(rows)
    except Exception:  # noqa: BLE001  whatever a leaf raises: graphql-core meets the same, and tells of it
        return None


@dataclass(frozen=True, slots=True)
class Table:
    """The fields of an input type, by the names that resolvers know them by."""

    fields: Mapping[str, "Field"]

    @classmethod
    def of(cls, type: GraphQLInputObjectType) -> "Table | None":
        """None unless all fields are leaves, and nothing else is asked of them together."""
        plain = type.out_type in (GraphQLInputObjectType.out_type, dict) and not type.is_one_of
        if not plain or not all(is_leaf_type(get_nullable_type(field.type)) for field in type.fields.values()):
            return None
        return cls({field.out_name or name: Field.of(name, field) for name, field in type.fields.items()})

    def columns(self, rows: Rows) -> Columns:
        """Coerced; null where an object has neither a value nor a default. Raises for what does not fit."""
        if not {dict}.issuperset(map(type, rows)):
            raise TypeError
        given = {name: field.given(rows) for name, field in self.fields.items()}
        if sum(map(len, given.values())) != sum(map(len, rows)):
            raise ValueError  # there is a field that we do not know
        return {name: field.filled(given[name], rows) for name, field in self.fields.items()}


@dataclass(frozen=True, slots=True)
class Field:
    """One of an input type's. `fits`: the type of values that are taken as they are, if that is true of them."""

    name: str
    is_required: bool
    is_nullable: bool
    default: Any
    coerce: Callable[[Any], Any]
    fits: tuple[type, Callable[[Column], bool]] | None

    @classmethod
    def of(cls, name: str, field: GraphQLInputField) -> "Field":
        leaf: Any = get_nullable_type(field.type)
        required, nullable = is_required_input_field(field), not isinstance(field.type, GraphQLNonNull)
        default = coerce_default_value(field)
        null_or_default = None if default is Undefined else default
        return cls(name, required, nullable, null_or_default, leaf.coerce_input_value, FITS.get(leaf.name))

    def given(self, rows: Rows) -> Column:
        """Its values, of those that have any."""
        name = self.name
        return [row[name] for row in rows if name in row]

    def filled(self, given: Column, rows: Rows) -> Column:
        """Its values coerced, with defaults in between. Raises for what does not fit."""
        coerced = self.coerced(given)
        if len(given) == len(rows):
            return coerced
        if self.is_required:
            raise ValueError
        following = iter(coerced)
        return [next(following) if self.name in row else self.default for row in rows]

    def coerced(self, values: Column) -> Column:
        """Raises for what does not fit."""
        kinds = set(map(type, values))
        if NoneType not in kinds:
            return self._coerced(values, kinds)
        if not self.is_nullable:
            raise ValueError
        following = iter(self._coerced([value for value in values if value is not None], kinds - {NoneType}))
        return [None if value is None else next(following) for value in values]

    def _coerced(self, values: Column, kinds: Set[type]) -> Column:
        if self.fits and kinds == {self.fits[0]} and self.fits[1](values):
            return values
        if kinds == {str}:  # of a batch, thousands have the same time, and all have one of two directions
            known = {value: self.coerce(value) for value in set(values)}
            return [known[value] for value in values]
        return [*map(self.coerce, values)]
