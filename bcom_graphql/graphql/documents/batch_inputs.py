"""Coerces lists of flat input objects, such as a batch of samples, column by column.

graphql-core walks values and types side by side, with several calls per value. Here all values of a field are checked
at once. If anything does not fit (a wrong type, an unknown or missing field), graphql-core coerces the list: it accepts
it, or says what is wrong.

Only for classes with a class method `of_columns`, whose result stands for all objects of the list.
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
FITS: Final[dict[str, tuple[type, Callable[[Column], bool]]]] = {  # checked without a call per value
    GraphQLInt.name: (int, lambda values: min(values) >= GRAPHQL_MIN_INT and max(values) <= GRAPHQL_MAX_INT),
    GraphQLFloat.name: (float, lambda values: isfinite(sum(values))),
}


class BatchInputs:
    """The coercers of one schema, made when they are first needed."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._coercers: dict[str, Coerce | None] = {}

    def coerce(self, operation: OperationDefinitionNode, variables: dict[str, Any]) -> dict[str, list[Any]]:
        """Returns the variables that are such lists and fit, each with one element that stands for all objects."""
        coerced = {}
        for definition in operation.variable_definitions or ():
            name, of = definition.variable.name.value, definition.type
            of = of.type if isinstance(of, NonNullTypeNode) else of
            value = variables.get(name)
            if isinstance(of, ListTypeNode) and isinstance(value, list):
                coerce = self._find_coercer(type_from_ast(self._schema, of))
                whole = None if coerce is None else _coerce_or_none(coerce, value)
                if whole is not None:
                    coerced[name] = [whole]
        return coerced

    def _find_coercer(self, of: object) -> Coerce | None:
        inner = of.of_type if isinstance(of, GraphQLList) else None
        item = inner.of_type if isinstance(inner, GraphQLNonNull) else None
        if not isinstance(item, GraphQLInputObjectType):
            return None
        if item.name not in self._coercers:
            self._coercers[item.name] = _make_coercer(item)
        return self._coercers[item.name]


def _make_coercer(of: GraphQLInputObjectType) -> Coerce | None:
    """Returns the coercer for lists of this type; None if its class does not take columns, or it nests."""
    definition = of.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    make = getattr(definition.origin, "of_columns", None) if definition else None
    table = None if make is None else InputTable.of(of)
    return None if make is None or table is None else lambda rows: make(table.columns(rows))


def _coerce_or_none(coerce: Coerce, rows: Rows) -> Any:
    try:
        return coerce(rows)
    except Exception:  # noqa: BLE001  whatever a leaf raises: graphql-core meets the same, and tells of it
        return None


@dataclass(frozen=True, slots=True)
class InputTable:
    """The fields of an input type, by their Python names."""

    fields: Mapping[str, "Field"]

    @classmethod
    def of(cls, type: GraphQLInputObjectType) -> "InputTable | None":
        """Returns None unless all fields are leaves, and the type has no further rules."""
        plain = type.out_type in (GraphQLInputObjectType.out_type, dict) and not type.is_one_of
        if not plain or not all(is_leaf_type(get_nullable_type(field.type)) for field in type.fields.values()):
            return None
        return cls({field.out_name or name: Field.of(name, field) for name, field in type.fields.items()})

    def columns(self, rows: Rows) -> Columns:
        """Returns the coerced columns; None where an object has no value and no default. Raises for a wrong value."""
        if not {dict}.issuperset(map(type, rows)):
            raise TypeError
        given = {name: field.collect(rows) for name, field in self.fields.items()}
        if sum(map(len, given.values())) != sum(map(len, rows)):
            raise ValueError  # there is an unknown field
        return {name: field.fill(given[name], rows) for name, field in self.fields.items()}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an input type. `fits`: the class of values that stay as they are, and a check of the column."""

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

    def collect(self, rows: Rows) -> Column:
        """Returns the values of the objects that have one."""
        name = self.name
        return [row[name] for row in rows if name in row]

    def fill(self, given: Column, rows: Rows) -> Column:
        """Returns the coerced values, with defaults for objects without one. Raises if a value does not fit."""
        coerced = self.coerce_column(given)
        if len(given) == len(rows):
            return coerced
        if self.is_required:
            raise ValueError
        if not coerced:  # a field that nobody gives costs no look at each object
            return [self.default] * len(rows)
        following = iter(coerced)
        return [next(following) if self.name in row else self.default for row in rows]

    def coerce_column(self, values: Column) -> Column:
        """Returns the coerced values. Raises if one does not fit."""
        kinds = set(map(type, values))
        if NoneType not in kinds:
            return self._coerce_values(values, kinds)
        if not self.is_nullable:
            raise ValueError
        following = iter(self._coerce_values([value for value in values if value is not None], kinds - {NoneType}))
        return [None if value is None else next(following) for value in values]

    def _coerce_values(self, values: Column, kinds: Set[type]) -> Column:
        if self.fits and kinds == {self.fits[0]} and self.fits[1](values):
            return values
        if kinds == {str}:  # in a batch thousands have the same time or direction
            by_text = {value: self.coerce(value) for value in set(values)}
            return [by_text[value] for value in values]
        return [*map(self.coerce, values)]
