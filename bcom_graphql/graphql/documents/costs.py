"""Computes an upper bound of an operation's cost before it is executed: its fields, times the sizes of its pages.

Follows the GraphQL Cost Directive specification (https://ibm.github.io/graphql-specs/cost-spec.html):

- A field weighs what its `@cost(weight:)` says. Without one it weighs 1 if its type is composite, else 0.
- `@listSize` says how long a list may get: as the largest of its slicing arguments says, else `assumedSize`. A slicing
  argument that is a list counts its entries. With `sizedFields` the length is that of these fields below, as in a Relay
  connection.

The specification leaves open, and here it is so:

- Weights may be fractions. A leaf under an alias weighs at least 1.
- A field may have several `@listSize`. If they name the same field, their lengths multiply.
- A slicing argument with a `@constraint` is bounded by that; any other is a page size, bounded by the largest page.
- A field that is selected twice counts twice. All alternatives of a union count.

The part of a cost that depends on no variable is added up once per document.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)

from bcom_graphql.graphql.errors import BadRequest
from bcom_graphql.graphql.schema_directives import find_directives

MAX_REMEMBERED: Final = 100  # totals per operation
UNITS_PER_POINT: Final = 100  # weights are added up in whole units, so that their order does not matter


@dataclass(frozen=True, slots=True)
class ListSize:
    """How long a list may get: the field's own, or those of `fields` below it.

    assumed: the length without a slicing argument. slicing: by slicing argument, whether it is a page size.
    """

    assumed: int
    slicing: Mapping[str, bool] = field(default_factory=dict)
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldCost:
    """A field's weight in units, and the sizes of its lists."""

    weight: int
    is_list: bool
    sizes: tuple[ListSize, ...] = ()


@dataclass(frozen=True, slots=True)
class SlicingArgument:
    """The list length that an argument asks for: a number, or the name of a variable."""

    field: str
    argument: str
    size: int | str
    is_page: bool = True


@dataclass(frozen=True, slots=True)
class CostExpression:
    """The cost of a field: `own`, plus the costs `once`, plus the costs `each` times the length of its list.

    The length is the largest that `slices` say, else `assumed_size`.
    """

    own: int = 0
    once: tuple["CostExpression", ...] = ()
    each: tuple["CostExpression", ...] = ()
    slices: tuple[SlicingArgument, ...] = ()
    assumed_size: int = 1


@dataclass(slots=True)
class CostEvaluator:
    """Evaluates expressions for an operation's variables. Fragments share expressions, which are evaluated once."""

    variables: Mapping[str, Any]
    largest_page: int
    _totals: dict[int, int] = field(default_factory=dict)

    def total(self, expression: CostExpression) -> int:
        """Returns the cost in points. Raises BadRequest for a page beyond the largest."""
        return -(-self.units(expression) // UNITS_PER_POINT)

    def units(self, expression: CostExpression) -> int:
        """Returns the cost in units. Raises BadRequest."""
        if id(expression) not in self._totals:
            size = self._size(expression)
            own = expression.own + sum(map(self.units, expression.once))
            self._totals[id(expression)] = own + (
                size * sum(map(self.units, expression.each)) if expression.each else 0
            )
        return self._totals[id(expression)]

    def _size(self, expression: CostExpression) -> int:
        sizes = [size for argument in expression.slices if (size := self._find_size(argument)) is not None]
        return max(sizes, default=expression.assumed_size)

    def _find_size(self, slicing: SlicingArgument) -> int | None:
        value = self.variables.get(slicing.size) if isinstance(slicing.size, str) else slicing.size
        size: int | None = (len(value) or None) if isinstance(value, list) else value
        if size is None:
            return None
        if slicing.is_page and size > self.largest_page:
            name = f"`{slicing.argument}` of `{slicing.field}`"
            raise BadRequest(f"{name} asks for {size}; a page has at most {self.largest_page}.")
        return max(0, size)


class OperationCosts:
    """The costs of one operation: a total for each combination of lengths in its variables."""

    def __init__(self, expression: CostExpression, largest_page: int) -> None:
        self._expression, self._largest_page = expression, largest_page
        self._size_variables = tuple(sorted(_find_size_variables(expression, {})))
        self._totals: dict[tuple[object, ...], int] = {}

    def total(self, variables: Mapping[str, Any]) -> int:
        """Returns the cost in points. Raises BadRequest for a page beyond the largest."""
        values = map(variables.get, self._size_variables)
        lengths = tuple(len(value) if isinstance(value, list) else value for value in values)
        if lengths not in self._totals:
            if len(self._totals) >= MAX_REMEMBERED:
                self._totals.clear()
            self._totals[lengths] = CostEvaluator(variables, self._largest_page).total(self._expression)
        return self._totals[lengths]


def _find_size_variables(expression: CostExpression, seen: dict[int, set[str]]) -> set[str]:
    """Returns the variables that determine lengths of lists."""
    if id(expression) not in seen:
        names = seen[id(expression)] = {one.size for one in expression.slices if isinstance(one.size, str)}
        names.update(*(_find_size_variables(below, seen) for below in (*expression.once, *expression.each)))
    return seen[id(expression)]


class CostAnalyzer:
    """Finds the cost expressions of one valid document's operations; of each fragment once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, largest_page: int) -> None:
        self._schema = schema
        self._largest_page = largest_page
        definitions = document.definitions
        self._fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
        self._fragment_costs: dict[str, dict[str, CostExpression]] = {}

    def costs(self, operation: OperationDefinitionNode) -> OperationCosts:
        return OperationCosts(self.analyze(operation), self._largest_page)

    def analyze(self, operation: OperationDefinitionNode) -> CostExpression:
        root = self._schema.get_root_type(operation.operation)
        return self._sum([*self._selections(root, operation.selection_set).values()])

    def _selections(
        self, parent: GraphQLNamedType | None, selections: SelectionSetNode | None
    ) -> dict[str, CostExpression]:
        """Returns the cost of all fields of a name together, including those of fragments."""
        expressions_by_name: defaultdict[str, list[CostExpression]] = defaultdict(list)
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                expressions_by_name[selection.name.value].append(self._field(parent, selection))
                continue
            for name, expression in self._of_fragment(parent, selection).items():
                expressions_by_name[name].append(expression)
        return {name: self._sum(expressions) for name, expressions in expressions_by_name.items()}

    def _of_fragment(self, parent: GraphQLNamedType | None, node: SelectionNode) -> dict[str, CostExpression]:
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        if isinstance(node, InlineFragmentNode):
            condition = node.type_condition
            inside = self._schema.get_type(condition.name.value) if condition else parent
            return self._selections(inside, node.selection_set)
        return {}

    def _fragment(self, name: str) -> dict[str, CostExpression]:
        if name not in self._fragment_costs:
            fragment = self._fragments[name]
            inside = self._schema.get_type(fragment.type_condition.name.value)
            self._fragment_costs[name] = self._selections(inside, fragment.selection_set)
        return self._fragment_costs[name]

    def _sum(self, expressions: list[CostExpression]) -> CostExpression:
        return expressions[0] if len(expressions) == 1 else self._fold(CostExpression(once=tuple(expressions)))

    def _field(self, parent: Any, node: FieldNode) -> CostExpression:
        definition = self._schema.get_field(parent, node.name.value)
        if definition is None or node.name.value.startswith("__"):  # introspection has a limit of its own
            return CostExpression()
        cost = read_field_cost(definition)
        if node.alias is not None and not node.selection_set:  # else a hundred copies of a text are free
            return CostExpression(cost.weight or UNITS_PER_POINT)
        below = self._selections(get_named_type(definition.type), node.selection_set)
        sizes = [(size, tuple(_slices(parent, node, size))) for size in cost.sizes]
        if cost.is_list:
            expression = self._fold(CostExpression(cost.weight, tuple(below.values())))
            for size, slices in sizes:
                expression = self._fold(CostExpression(0, (), (expression,), slices, size.assumed))
            return expression
        parts = [self._multiply(name, expression, sizes) for name, expression in below.items()]
        pages = [self._fold(CostExpression(slices=slices)) for _, slices in sizes]  # checked, whatever is selected
        return self._fold(CostExpression(cost.weight, (*parts, *pages)))

    def _multiply(
        self, name: str, expression: CostExpression, sizes: Iterable[tuple[ListSize, tuple[SlicingArgument, ...]]]
    ) -> CostExpression:
        """Multiplies the cost of a field below by the lengths of the lists that it is a sized field of."""
        for size, slices in sizes:
            if name in size.fields:
                expression = self._fold(CostExpression(0, (), (expression,), slices, size.assumed))
        return expression

    def _fold(self, expression: CostExpression) -> CostExpression:
        """Evaluates an expression without variables; keeps a page that is too large, to be refused later."""
        parts = (*expression.once, *expression.each)
        is_constant = all(
            isinstance(s.size, int) and (s.size <= self._largest_page or not s.is_page) for s in expression.slices
        )
        if not is_constant or any(part.once or part.each or part.slices for part in parts):
            return expression
        return CostExpression(CostEvaluator({}, self._largest_page).units(expression))


def _slices(parent: GraphQLNamedType, node: FieldNode, size: ListSize) -> Iterator[SlicingArgument]:
    for argument in node.arguments or ():
        name = argument.name.value
        if name in size.slicing and (length := _read_size(argument.value)) is not None:
            yield SlicingArgument(f"{parent.name}.{node.name.value}", name, length, size.slicing[name])


def _read_size(value: ValueNode) -> int | str | None:
    """Returns the length a value asks for, or its variable; None for an empty list and other values."""
    if isinstance(value, VariableNode):
        return value.name.value
    if isinstance(value, ListValueNode):
        return len(value.values) or None
    return int(value.value) if isinstance(value, IntValueNode) else None


def read_field_cost(definition: GraphQLField) -> FieldCost:
    """Returns a field's cost as its directives say."""
    weight = read_weight(definition)
    sizes = tuple(
        ListSize(
            one.assumed_size,
            {name: not find_directives(definition.args[name], "Constraint") for name in one.slicing_arguments or ()},
            tuple(one.sized_fields or ()),
        )
        for one in find_directives(definition, "ListSize")
    )
    return FieldCost(weight, is_list_type(get_nullable_type(definition.type)), sizes)


def read_weight(definition: GraphQLField) -> int:
    """Returns a field's weight in units."""
    for cost in find_directives(definition, "Cost"):
        weight: float = cost.weight
        return round(weight * UNITS_PER_POINT)
    return UNITS_PER_POINT * is_composite_type(get_named_type(definition.type))
