"""How much an argument may hold: what the schema declares by `@constraint`, else what is usual.

Literals and variables are checked alike, before anything is made of them and whoever executes the operation then. Text
has a length, a list a number of entries, a number a greatest value. Scalars of our own bound what they take themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from graphql import (
    GraphQLError,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLString,
    IntValueNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from graphql.language.visitor import Visitor, visit
from graphql.utilities import TypeInfo, TypeInfoVisitor

from bcom_graphql.graphql.compiled import Compiled
from bcom_graphql.graphql.errors import Rejected
from bcom_graphql.graphql.schema_directives import declared

LONGEST_ID: Final = 200  # characters; ours have a fraction of it
LONGEST_LIST: Final = 1000  # entries
LONGEST_NUMBER: Final = 20  # characters


@dataclass
class Constraint:
    """Of an argument or an input field: characters of text, entries of a list, and what is in objects, by field."""

    characters: int | None = None
    entries: int | None = None
    largest: int | None = None
    fields: Mapping[str, "Constraint"] = field(default_factory=dict)

    def check(self, value: Any, path: Sequence[str]) -> None:
        """Raises Rejected for what is too much. What does not fit the type is left to its coercion."""
        if isinstance(value, list):
            _check(path, len(value), self.entries, "entries")
            for index, entry in enumerate(value) if self.characters or self.fields else ():
                self.check(entry, [*path, str(index)])
        elif isinstance(value, dict):
            for name, constraint in self.fields.items():
                if name in value:
                    constraint.check(value[name], [*path, name])
        elif isinstance(value, str):
            _check(path, len(value), self.characters, "characters")
        elif isinstance(value, int | float) and self.largest is not None and value > self.largest:
            _refuse(path, f"is {value}; at most {self.largest} is allowed.")


def _check(path: Sequence[str], size: int, most: int | None, what: str) -> None:
    if most is not None and size > most:
        _refuse(path, f"has {size} {what}; at most {most} are allowed.")


def _refuse(path: Sequence[str], why: str) -> NoReturn:
    extensions = {"code": "BAD_USER_INPUT", "inputPath": [*path]}
    raise Rejected([GraphQLError(f"`{'.'.join(path)}` {why}", extensions=extensions)])


class Constraints:
    """Of one schema's arguments; `usual`: characters of a text of which nothing else is declared."""

    def __init__(self, usual: int) -> None:
        self._usual = usual
        self._fields: dict[str, dict[str, Constraint]] = {}

    def of(self, definition: Any) -> Constraint | None:
        """Of an argument or an input field; None where there is nothing to check."""
        said = next(iter(declared(definition, "Constraint")), None)
        named = get_named_type(definition.type)
        characters = {GraphQLString: self._usual, GraphQLID: min(LONGEST_ID, self._usual)}.get(named)
        entries = LONGEST_LIST if is_list_type(get_nullable_type(definition.type)) else None
        fields = self._fields_of(named) if isinstance(named, GraphQLInputObjectType) else {}
        largest = said.max or None if said else None
        if said:
            characters, entries = said.max_length or characters, said.max_items or entries
        found = Constraint(characters, entries, largest, fields)
        return found if characters or entries or largest or fields else None

    def _fields_of(self, type: GraphQLInputObjectType) -> dict[str, Constraint]:
        if type.name not in self._fields:
            fields = self._fields[type.name] = dict[str, Constraint]()  # which a circle finds
            fields |= {name: found for name, one in type.fields.items() if (found := self.of(one)) is not None}
        return self._fields[type.name]


class Arguments:
    """Those of one valid operation that there is something to check of."""

    def __init__(self, constraints: Constraints, operation: Compiled) -> None:
        found = _Given(TypeInfo(operation.schema), constraints)
        for node in _reached(operation):
            visit(node, TypeInfoVisitor(found.types, found))
        self._checked = found.checked
        variables = operation.node.variable_definitions or ()
        self._defaults = {v.variable.name.value: _value(v.default_value, {}) for v in variables if v.default_value}

    def check(self, given: Mapping[str, Any]) -> None:
        """With these variables. Raises Rejected, naming the argument."""
        if self._checked:
            variables = {**self._defaults, **given}
            for name, node, constraint in self._checked:
                constraint.check(_value(node, variables), [name])


def _reached(operation: Compiled) -> Iterator[Node]:
    """The operation, and each fragment that it spreads, directly or not."""
    spread = _Spread()
    yield operation.node
    visit(operation.node, spread)
    for name in spread.names:  # which grows
        yield operation.fragments[name]
        visit(operation.fragments[name], spread)


def _value(node: ValueNode, variables: Mapping[str, Any]) -> Any:
    """As in JSON; numbers that are none stay text."""
    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    if isinstance(node, ListValueNode):
        return [_value(entry, variables) for entry in node.values]
    if isinstance(node, ObjectValueNode):
        return {entry.name.value: _value(entry.value, variables) for entry in node.fields}
    if isinstance(node, IntValueNode) and len(node.value) < LONGEST_NUMBER:
        return int(node.value)
    return getattr(node, "value", None)


class _Given(Visitor):
    def __init__(self, types: TypeInfo, constraints: Constraints) -> None:
        super().__init__()
        self.types = types
        self.checked: list[tuple[str, ValueNode, Constraint]] = []
        self._constraints = constraints

    def enter_argument(self, node: Any, *_: object) -> None:
        constraint = self._constraints.of(self.types.get_argument())
        if constraint is not None:
            self.checked.append((node.name.value, node.value, constraint))


class _Spread(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def enter_fragment_spread(self, node: Any, *_: object) -> None:
        if node.name.value not in self.names:
            self.names.append(node.name.value)
