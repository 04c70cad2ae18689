"""Lists of flat input objects coerced by generated code: what a batch of samples is made of.

graphql-core coerces by walking values and types side by side, several calls for each value. For an input object whose
fields are all leaves the same is written out once as straight-line Python. Whatever that does not fit (a wrong type, an
unknown field, a missing one) is left to graphql-core, which either accepts it or says what is wrong with it.
"""

from collections.abc import Callable, Sequence
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
from graphql.utilities.coerce_input_value import coerce_default_value

Coerce = Callable[[Sequence[Any]], list[dict[str, Any]]]
FITS: Final = {  # what needs no call
    GraphQLInt.name: "type({0}) is int and -2147483648 <= {0} <= 2147483647",
    GraphQLFloat.name: "type({0}) is float and {0} - {0} == 0.0",  # finite
}


class Inputs:
    """The coercers of one schema, made when they are first needed."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._coercers: dict[str, Coerce | None] = {}

    def coerced(self, operation: OperationDefinitionNode, variables: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        """The variables that are lists of input objects and fit, as graphql-core would coerce them."""
        done = {}
        for definition in operation.variable_definitions or ():
            name, of = definition.variable.name.value, definition.type
            of = of.type if isinstance(of, NonNullTypeNode) else of
            given = variables.get(name)
            if isinstance(of, ListTypeNode) and isinstance(given, list):
                coerce = self._coercer(type_from_ast(self._schema, of))
                rows = None if coerce is None else _attempt(coerce, given)
                if rows is not None:
                    done[name] = rows
        return done

    def _coercer(self, of: object) -> Coerce | None:
        inner = of.of_type if isinstance(of, GraphQLList) else None
        item = inner.of_type if isinstance(inner, GraphQLNonNull) else None
        if not isinstance(item, GraphQLInputObjectType):
            return None
        if item.name not in self._coercers:
            self._coercers[item.name] = compiled(item)
        return self._coercers[item.name]


def _attempt(coerce: Coerce, rows: list[Any]) -> list[dict[str, Any]] | None:
    try:
        return coerce(rows)
    except Exception:  # noqa: BLE001  whatever a leaf raises: graphql-core meets the same, and tells of it
        return None


def compiled(of: GraphQLInputObjectType) -> Coerce | None:
    """A coercer of lists of these objects, which raises for what does not fit; None where a field is no leaf."""
    plain = of.out_type in (GraphQLInputObjectType.out_type, dict) and not of.is_one_of
    if not plain or not all(is_leaf_type(get_nullable_type(field.type)) for field in of.fields.values()):
        return None
    names: dict[str, Any] = {"Undefined": Undefined}
    body = [line for place, name in enumerate(of.fields) for line in _field(place, name, of.fields[name], names)]
    source = "\n".join(
        [
            "def coerce(rows):",
            "    done = []",
            "    for row in rows:",
            "        if type(row) is not dict: raise ValueError",
            "        get, found, out = row.get, 0, {}",
            *(f"        {line}" for line in body),
            "        if found != len(row): raise ValueError",  # there is a field that we do not know
            "        done.append(out)",
            "    return done",
        ]
    )
    exec(compile(source, f"<input {of.name}>", "exec"), names)  # noqa: S102  of the schema's own names, given by repr
    coerce: Coerce = names["coerce"]
    return coerce


def _field(place: int, name: str, field: GraphQLInputField, names: dict[str, Any]) -> list[str]:
    """Lines that take a field from `row` to `out`; `names` gets what they refer to."""
    leaf: Any = get_nullable_type(field.type)
    names[f"leaf{place}"] = leaf.coerce_input_value if leaf.name in FITS else _remembering(leaf.coerce_input_value)
    out = f"out[{(field.out_name or name)!r}]"
    fits = FITS.get(leaf.name, "False").format("value")
    null = [] if isinstance(field.type, GraphQLNonNull) else ["value is None"]
    lines = [
        f"value = get({name!r}, Undefined)",
        "if value is not Undefined:",
        "    found += 1",
        f"    {out} = value if {' or '.join([*null, fits])} else leaf{place}(value)",
    ]
    if is_required_input_field(field):
        return [*lines, "else: raise ValueError"]
    default = coerce_default_value(field)
    if default is Undefined:
        return lines
    names[f"default{place}"] = default
    return [*lines, f"else: {out} = default{place}"]


def _remembering(coerce: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Of a batch, thousands of rows have the same time, and all have one of two directions."""
    known: dict[str, Any] = {}

    def remembered(value: Any) -> Any:
        if type(value) is not str:
            return coerce(value)
        if value not in known:
            if len(known) >= 1000:
                known.clear()
            known[value] = coerce(value)
        return known[value]

    return remembered
