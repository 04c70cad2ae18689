"""Validates that fields of the same response name can be merged, for whole groups rather than for each pair.

Specification: https://spec.graphql.org/draft/#sec-Field-Selection-Merging
Algorithm by Simon Adameit: https://tech.xing.com/graphql-overlapping-fields-can-be-merged-fast-ea6e92e0a01
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
    ValueNode,
    get_named_type,
    is_composite_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    print_ast,
)

MAX_STEPS = 50_000  # some 50 ms; a document takes about two per field, unless its fragments multiply
MAX_ERRORS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The fields and fragment spreads of a selection set, including its inline fragments."""

    fields: list["Field"]
    spreads: dict[str, None]  # an ordered set


@dataclass(frozen=True, eq=False)
class Field:
    """A field where it is selected."""

    name: str  # in the response
    node: FieldNode
    type: GraphQLOutputType | None  # None if the schema has no such field, which another rule reports
    object: GraphQLObjectType | None  # the only type it is selected on; None if there may be several
    below: Level | None

    @cached_property
    def arguments(self) -> Hashable:
        return frozenset((argument.name.value, _canonicalize(argument.value)) for argument in self.node.arguments or ())

    @cached_property
    def shape(self) -> str:
        return _describe_shape(self.type) if self.type else ""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two fields that cannot be merged."""

    first: Field
    other: Field
    reason: str

    def error(self) -> GraphQLError:
        return GraphQLError(
            f"Fields '{self.other.name}' conflict because {self.reason}."
            " Use different aliases on the fields to fetch both if this was intentional.",
            [self.first.node, self.other.node],
        )


@dataclass(frozen=True, slots=True)
class Check:
    """Groups the fields of one response name that must agree, and finds a conflict within a group."""

    parts: Callable[[list[Field]], Collection[list[Field]]]
    conflict: Callable[[list[Field]], Conflict | None]


def _group_by_object(group: list[Field]) -> Collection[list[Field]]:
    """Returns the fields that one object may have to resolve at once, per object type with fields of its own."""
    if len({field.object for field in group}) == 1:
        return [group]
    unspecific = [field for field in group if not field.object]
    by_object: dict[GraphQLObjectType, list[Field]] = defaultdict(unspecific.copy)
    for field in group:
        if field.object:
            by_object[field.object].append(field)
    return by_object.values()


def _find_different_fields(fields: list[Field]) -> Conflict | None:
    first, name = fields[0], fields[0].node.name.value
    for other in fields[1:]:
        if name != other.node.name.value:
            return Conflict(first, other, f"'{name}' and '{other.node.name.value}' are different fields")
        if first.arguments != other.arguments:
            return Conflict(first, other, "they have differing arguments")
    return None


def _find_different_shapes(fields: list[Field]) -> Conflict | None:
    first, *others = [field for field in fields if field.type] or fields
    for other in others:
        if first.shape != other.shape:
            return Conflict(first, other, f"they return conflicting types '{first.type}' and '{other.type}'")
    return None


SAME_FIELD = Check(_group_by_object, _find_different_fields)
SAME_SHAPE = Check(lambda group: [group], _find_different_shapes)  # clients rely on the shape, whatever the object


class FieldsMergeRule(ValidationRule):
    """Replaces graphql-core's OverlappingFieldsCanBeMergedRule, whose work grows with the square of the fields.

    Unlike that rule it considers the type of `__typename`. It leaves out `@stream` and fragment arguments, which our
    schema does not have. A document that combines too many fields is refused unchecked.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.steps = 0
        self._fragments: dict[str, Level] = {}

    def leave_document(self, document: DocumentNode, *_: Any) -> None:
        """Runs last: a document that is nested too deeply, or has many other errors, does not get here."""
        roots = self._find_roots(document)
        reported: set[Field] = set()
        for conflict in chain(self._find_conflicts(roots, SAME_FIELD), self._find_conflicts(roots, SAME_SHAPE)):
            if conflict.other not in reported:
                reported.add(conflict.other)
                self.report_error(conflict.error())
            if len(reported) == MAX_ERRORS:
                return
        if self.steps > MAX_STEPS:
            self.report_error(GraphQLError("The document combines too many fields and fragments to be checked."))

    def _find_roots(self, document: DocumentNode) -> list[Level]:
        """Returns the operations, and the fragments that no operation uses."""
        schema = self.context.schema
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        for node in document.definitions:
            if isinstance(node, FragmentDefinitionNode):
                condition = schema.get_type(node.type_condition.name.value)
                self._fragments[node.name.value] = _make_level(schema, node.selection_set, condition)
        used = self.context.get_recursively_referenced_fragments_for_operations(operations)
        names = {fragment.name.value for fragment in used}
        return [
            *(_make_level(schema, node.selection_set, schema.get_root_type(node.operation)) for node in operations),
            *(level for name, level in self._fragments.items() if name not in names),
        ]

    def _find_conflicts(self, roots: list[Level], check: Check) -> Iterator[Conflict]:
        """Yields conflicts. Levels that were merged once are not merged again."""
        merged: set[frozenset[object]] = set()
        waiting = deque([root] for root in roots)
        while waiting and self.steps <= MAX_STEPS:
            levels = waiting.popleft()
            # Where only fragments are spread, it matters which, not where.
            content = frozenset(chain.from_iterable([level] if level.fields else level.spreads for level in levels))
            if content in merged:
                continue
            merged.add(content)
            for part in chain.from_iterable(map(check.parts, self._group_fields(levels))):
                self.steps += len(part)
                if conflict := check.conflict(part):
                    yield conflict
                elif below := [field.below for field in part if field.below]:
                    waiting.append(below)

    def _group_fields(self, levels: list[Level]) -> Collection[list[Field]]:
        """Groups the fields of these levels, and of all fragments spread there, by response name."""
        groups: dict[str, list[Field]] = defaultdict(list)
        levels, spread = levels.copy(), set[str]()
        for level in levels:  # grows meanwhile
            self.steps += len(level.spreads)
            for field in level.fields:
                groups[field.name].append(field)
            new = [name for name in level.spreads if name not in spread and name in self._fragments]
            spread.update(new)
            levels += [self._fragments[name] for name in new]
        return groups.values()


def _make_level(schema: GraphQLSchema, selection_set: SelectionSetNode, parent: GraphQLNamedType | None) -> Level:
    level = Level([], {})
    waiting = deque([(selection_set, parent)])
    while waiting:
        selection_set, parent = waiting.popleft()
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                level.fields.append(_make_field(schema, node, parent))
            elif isinstance(node, FragmentSpreadNode):
                level.spreads[node.name.value] = None
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                waiting.append((node.selection_set, schema.get_type(condition.name.value) if condition else parent))
    return level


def _make_field(schema: GraphQLSchema, node: FieldNode, parent: GraphQLNamedType | None) -> Field:
    definition = schema.get_field(parent, node.name.value) if is_composite_type(parent) else None
    type = definition.type if definition else None
    below = _make_level(schema, node.selection_set, get_named_type(type)) if node.selection_set else None
    return Field((node.alias or node.name).value, node, type, parent if is_object_type(parent) else None, below)


def _canonicalize(value: ValueNode) -> Hashable:
    """Returns equal results for equal values, whatever the order of an object's fields."""
    if isinstance(value, ObjectValueNode):
        return frozenset((field.name.value, _canonicalize(field.value)) for field in value.fields)
    if isinstance(value, ListValueNode):
        return tuple(_canonicalize(item) for item in value.values)
    return print_ast(value)


def _describe_shape(type: GraphQLOutputType) -> str:
    """Returns equal results for types of the same shape; composite types' fields are compared separately."""
    if is_non_null_type(type):
        return f"{_describe_shape(type.of_type)}!"
    if is_list_type(type):
        return f"[{_describe_shape(type.of_type)}]"
    return type.name if is_leaf_type(type) else "{}"
