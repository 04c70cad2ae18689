"""Whether fields of the same response name can be merged, decided for whole groups rather than for each pair.

The specification: https://spec.graphql.org/draft/#sec-Field-Selection-Merging
The algorithm is Simon Adameit's: https://tech.xing.com/graphql-overlapping-fields-can-be-merged-fast-ea6e92e0a01
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

MOST_STEPS = 50_000  # some 50 ms; a document takes about two for each field, unless its fragments multiply them
MOST_ERRORS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """What a selection set selects, with its inline fragments opened."""

    fields: list["Field"]
    spreads: dict[str, None]  # a set that keeps the order


@dataclass(frozen=True, eq=False)
class Field:
    """A field where it is selected."""

    name: str  # in the response
    node: FieldNode
    type: GraphQLOutputType | None  # none if the schema does not know it, which another rule reports
    object: GraphQLObjectType | None  # of which alone it is asked; none if it is asked of several
    below: Level | None

    @cached_property
    def arguments(self) -> Hashable:
        return frozenset((argument.name.value, _canonical(argument.value)) for argument in self.node.arguments or ())

    @cached_property
    def shape(self) -> str:
        return _shape(self.type) if self.type else ""


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
    """Which fields of the same response name have to agree with each other, and where they do not."""

    parts: Callable[[list[Field]], Collection[list[Field]]]
    conflict: Callable[[list[Field]], Conflict | None]


def _by_object(group: list[Field]) -> Collection[list[Field]]:
    """The fields that one object may have to answer at once, for each type of object that is asked in particular."""
    if len({field.object for field in group}) == 1:
        return [group]
    anybody = [field for field in group if not field.object]
    somebody: dict[GraphQLObjectType, list[Field]] = defaultdict(anybody.copy)
    for field in group:
        if field.object:
            somebody[field.object].append(field)
    return somebody.values()


def _differing(fields: list[Field]) -> Conflict | None:
    first, name = fields[0], fields[0].node.name.value
    for other in fields[1:]:
        if name != other.node.name.value:
            return Conflict(first, other, f"'{name}' and '{other.node.name.value}' are different fields")
        if first.arguments != other.arguments:
            return Conflict(first, other, "they have differing arguments")
    return None


def _misshapen(fields: list[Field]) -> Conflict | None:
    first, *others = [field for field in fields if field.type] or fields
    for other in others:
        if first.shape != other.shape:
            return Conflict(first, other, f"they return conflicting types '{first.type}' and '{other.type}'")
    return None


SAME_FIELD = Check(_by_object, _differing)
SAME_SHAPE = Check(lambda group: [group], _misshapen)  # whichever object answers, clients rely on the shape


class FieldsMergeRule(ValidationRule):
    """Takes the place of graphql-core's OverlappingFieldsCanBeMergedRule, whose work grows with the square.

    Unlike that rule it knows that `__typename` has a type, too. It leaves out `@stream` and arguments of fragments,
    which our schema does not have. A document that combines absurdly much is refused unchecked.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.steps = 0
        self._fragments: dict[str, Level] = {}

    def leave_document(self, document: DocumentNode, *_: Any) -> None:
        """Not on entering: a document that is nested too deeply, or wrong all over, never gets here."""
        roots = self._roots(document)
        reported: set[Field] = set()
        for conflict in chain(self._conflicts(roots, SAME_FIELD), self._conflicts(roots, SAME_SHAPE)):
            if conflict.other not in reported:
                reported.add(conflict.other)
                self.report_error(conflict.error())
            if len(reported) == MOST_ERRORS:
                return
        if self.steps > MOST_STEPS:
            self.report_error(GraphQLError("The document combines too many fields and fragments to be checked."))

    def _roots(self, document: DocumentNode) -> list[Level]:
        """The operations, which lead everywhere but into unused fragments, and those."""
        schema = self.context.schema
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        for node in document.definitions:
            if isinstance(node, FragmentDefinitionNode):
                condition = schema.get_type(node.type_condition.name.value)
                self._fragments[node.name.value] = _level(schema, node.selection_set, condition)
        used = self.context.get_recursively_referenced_fragments_for_operations(operations)
        names = {fragment.name.value for fragment in used}
        return [
            *(_level(schema, node.selection_set, schema.get_root_type(node.operation)) for node in operations),
            *(level for name, level in self._fragments.items() if name not in names),
        ]

    def _conflicts(self, roots: list[Level], check: Check) -> Iterator[Conflict]:
        """What was merged once is not merged again, however many ways lead to it."""
        merged: set[frozenset[object]] = set()
        waiting = deque([root] for root in roots)
        while waiting and self.steps <= MOST_STEPS:
            levels = waiting.popleft()
            # Where only fragments are spread, it matters which and not where.
            content = frozenset(chain.from_iterable([level] if level.fields else level.spreads for level in levels))
            if content in merged:
                continue
            merged.add(content)
            for part in chain.from_iterable(map(check.parts, self._groups(levels))):
                self.steps += len(part)
                if conflict := check.conflict(part):
                    yield conflict
                elif below := [field.below for field in part if field.below]:
                    waiting.append(below)

    def _groups(self, levels: list[Level]) -> Collection[list[Field]]:
        """The fields of these levels, and of all fragments that they lead to, by response name."""
        groups: dict[str, list[Field]] = defaultdict(list)
        levels, spread = levels.copy(), set[str]()
        for level in levels:  # becomes longer meanwhile
            self.steps += len(level.spreads)
            for field in level.fields:
                groups[field.name].append(field)
            new = [name for name in level.spreads if name not in spread and name in self._fragments]
            spread.update(new)
            levels += [self._fragments[name] for name in new]
        return groups.values()


def _level(schema: GraphQLSchema, selection_set: SelectionSetNode, parent: GraphQLNamedType | None) -> Level:
    level = Level([], {})
    waiting = deque([(selection_set, parent)])
    while waiting:
        selection_set, parent = waiting.popleft()
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                level.fields.append(_field(schema, node, parent))
            elif isinstance(node, FragmentSpreadNode):
                level.spreads[node.name.value] = None
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                waiting.append((node.selection_set, schema.get_type(condition.name.value) if condition else parent))
    return level


def _field(schema: GraphQLSchema, node: FieldNode, parent: GraphQLNamedType | None) -> Field:
    definition = schema.get_field(parent, node.name.value) if is_composite_type(parent) else None
    type = definition.type if definition else None
    below = _level(schema, node.selection_set, get_named_type(type)) if node.selection_set else None
    return Field((node.alias or node.name).value, node, type, parent if is_object_type(parent) else None, below)


def _canonical(value: ValueNode) -> Hashable:
    """The same for equal values, whatever the order of an object's fields."""
    if isinstance(value, ObjectValueNode):
        return frozenset((field.name.value, _canonical(field.value)) for field in value.fields)
    if isinstance(value, ListValueNode):
        return tuple(_canonical(item) for item in value.values)
    return print_ast(value)


def _shape(type: GraphQLOutputType) -> str:
    """Types with fields have the same shape as far as this goes: their fields are compared one by one."""
    if is_non_null_type(type):
        return f"{_shape(type.of_type)}!"
    if is_list_type(type):
        return f"[{_shape(type.of_type)}]"
    return type.name if is_leaf_type(type) else "{}"
