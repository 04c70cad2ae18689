"""Limits the size of arguments by the schema's `@constraint`, or else by defaults.

A text is limited in its length, a list in its entries, a number in its value. Literals and variables are checked alike,
before they are coerced. Custom scalars limit their values themselves.
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

from bcom_graphql.graphql.compiled import CompiledOperation
from bcom_graphql.graphql.errors import InvalidOperation
from bcom_graphql.graphql.schema_directives import find_directives

MAX_ID_CHARACTERS: Final = 200  # ours have a fraction of it
MAX_ENTRIES: Final = 1000
MAX_NUMBER_CHARACTERS: Final = 20


@dataclass
class Constraint:
    """Bounds of an argument or input field: characters of text, entries of a list, and fields of objects."""

    characters: int | None = None
    entries: int | None = None
    largest: int | None = None
    fields: Mapping[str, "Constraint"] = field(default_factory=dict)

    def check(self, value: Any, path: Sequence[str]) -> None:
        """Raises InvalidOperation if a bound is exceeded. A wrong type is left to coercion."""
        if isinstance(value, list):
            _check_size(path, len(value), self.entries, "entries")
            for index, entry in enumerate(value) if self.characters or self.fields else ():
                self.check(entry, [*path, str(index)])
        elif isinstance(value, dict):
            for name, constraint in self.fields.items():
                if name in value:
                    constraint.check(value[name], [*path, name])
        elif isinstance(value, str):
            _check_size(path, len(value), self.characters, "characters")
        elif isinstance(value, int | float) and self.largest is not None and value > self.largest:
            _reject(path, f"is {value}; at most {self.largest} is allowed.")


def _check_size(path: Sequence[str], size: int, maximum: int | None, what: str) -> None:
    if maximum is not None and size > maximum:
        _reject(path, f"has {size} {what}; at most {maximum} are allowed.")


def _reject(path: Sequence[str], why: str) -> NoReturn:
    extensions = {"code": "BAD_USER_INPUT", "inputPath": [*path]}
    raise InvalidOperation([GraphQLError(f"`{'.'.join(path)}` {why}", extensions=extensions)])


class Constraints:
    """The constraints of one schema. `default_characters`: the length of texts without a constraint."""

    def __init__(self, default_characters: int) -> None:
        self._default_characters = default_characters
        self._fields: dict[str, dict[str, Constraint]] = {}

    def find(self, definition: Any) -> Constraint | None:
        """Returns the constraint of an argument or input field; None if there is nothing to check."""
        directive = next(iter(find_directives(definition, "Constraint")), None)
        named = get_named_type(definition.type)
        characters = {
            GraphQLString: self._default_characters,
            GraphQLID: min(MAX_ID_CHARACTERS, self._default_characters),
        }.get(named)
        entries = MAX_ENTRIES if is_list_type(get_nullable_type(definition.type)) else None
        fields = self._fields_of(named) if isinstance(named, GraphQLInputObjectType) else {}
        largest = directive.max or None if directive else None
        if directive:
            characters, entries = directive.max_length or characters, directive.max_items or entries
        constraint = Constraint(characters, entries, largest, fields)
        return constraint if characters or entries or largest or fields else None

    def _fields_of(self, type: GraphQLInputObjectType) -> dict[str, Constraint]:
        if type.name not in self._fields:
            fields = self._fields[type.name] = dict[str, Constraint]()  # which recursive types find
            fields |= {
                name: constraint for name, field in type.fields.items() if (constraint := self.find(field)) is not None
            }
        return self._fields[type.name]


class Arguments:
    """The arguments of one valid operation that have constraints."""

    def __init__(self, constraints: Constraints, operation: CompiledOperation) -> None:
        visitor = _ArgumentVisitor(TypeInfo(operation.schema), constraints)
        for node in _iterate_nodes(operation):
            visit(node, TypeInfoVisitor(visitor.types, visitor))
        self._checked = visitor.checked
        variables = operation.node.variable_definitions or ()
        self._defaults = {v.variable.name.value: _to_json(v.default_value, {}) for v in variables if v.default_value}

    def check(self, values: Mapping[str, Any]) -> None:
        """Checks the arguments with these variables. Raises InvalidOperation, naming the argument."""
        if self._checked:
            variables = {**self._defaults, **values}
            for name, node, constraint in self._checked:
                constraint.check(_to_json(node, variables), [name])


def _iterate_nodes(operation: CompiledOperation) -> Iterator[Node]:
    """Yields the operation and each fragment that it spreads, directly or not."""
    spread = _SpreadVisitor()
    yield operation.node
    visit(operation.node, spread)
    for name in spread.names:  # grows meanwhile
        yield operation.fragments[name]
        visit(operation.fragments[name], spread)


def _to_json(node: ValueNode, variables: Mapping[str, Any]) -> Any:
    """Returns a literal as JSON would have it; invalid numbers stay text."""
    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    if isinstance(node, ListValueNode):
        return [_to_json(entry, variables) for entry in node.values]
    if isinstance(node, ObjectValueNode):
        return {entry.name.value: _to_json(entry.value, variables) for entry in node.fields}
    if isinstance(node, IntValueNode) and len(node.value) < MAX_NUMBER_CHARACTERS:
        return int(node.value)
    return getattr(node, "value", None)


class _ArgumentVisitor(Visitor):
    def __init__(self, types: TypeInfo, constraints: Constraints) -> None:
        super().__init__()
        self.types = types
        self.checked: list[tuple[str, ValueNode, Constraint]] = []
        self._constraints = constraints

    def enter_argument(self, node: Any, *_: object) -> None:
        constraint = self._constraints.find(self.types.get_argument())
        if constraint is not None:
            self.checked.append((node.name.value, node.value, constraint))


class _SpreadVisitor(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def enter_fragment_spread(self, node: Any, *_: object) -> None:
        if node.name.value not in self.names:
            self.names.append(node.name.value)
