"""What an operation may cost at most, before it is executed: the fields it selects, times the sizes of its pages.

As the GraphQL Cost Directive specification has it (https://ibm.github.io/graphql-specs/cost-spec.html): a field with a
composite type weighs 1, any other 0, or what `@cost(weight:)` says. `@listSize` tells how long a list may get: as long
as the largest of its slicing arguments says (a list argument counts its entries), else `assumedSize`; with
`sizedFields` that holds for those fields below it, as in a Relay connection. Where the specification has no word:
weights may be fractions; a leaf under an alias weighs 1 where it would weigh nothing; a field may carry several
`@listSize`, whose lengths multiply where they name the same field; an argument with a `@constraint` of its own is none
of a page. What depends on no variable is added up once per document. It is an upper bound: a field selected
twice counts twice, and so do a union's alternatives.
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

from bcom_graphql.graphql.errors import bad_request
from bcom_graphql.graphql.schema_directives import declared

MOST_KNOWN: Final = 100  # sums of one operation
UNITS: Final = 100  # of a point: weights are added up in whole ones, so that their order does not matter


@dataclass(frozen=True, slots=True)
class Size:
    """How long a list may get, or those in `fields` below it; arguments by name, and whether they ask for a page."""

    assumed: int
    slicing: Mapping[str, bool] = field(default_factory=dict)
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Price:
    """A field's weight in units, and what the schema says of lists' lengths."""

    weight: int
    is_list: bool
    sizes: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """The length that an argument asks for: a number, or a variable's value."""

    field: str
    argument: str
    asked: int | str
    is_page: bool = True


@dataclass(frozen=True, slots=True)
class Term:
    """What a field costs: `own` and `once` for what is below it, and `each` as often as its list is long."""

    own: int = 0
    once: tuple["Term", ...] = ()
    each: tuple["Term", ...] = ()
    slices: tuple[Slice, ...] = ()
    assumed_size: int = 1


@dataclass(slots=True)
class Bill:
    """Adds a term up for an operation's variables. Terms are shared where fragments are: each is added up once."""

    variables: Mapping[str, Any]
    largest_page: int
    _known: dict[int, int] = field(default_factory=dict)

    def total(self, term: Term) -> int:
        """In points. Raises Refused for a page beyond the largest."""
        return -(-self.units(term) // UNITS)

    def units(self, term: Term) -> int:
        """The same in units."""
        if id(term) not in self._known:
            size = self._size(term)
            own = term.own + sum(map(self.units, term.once))
            self._known[id(term)] = own + (size * sum(map(self.units, term.each)) if term.each else 0)
        return self._known[id(term)]

    def _size(self, term: Term) -> int:
        sizes = [size for asked in term.slices if (size := self._asked(asked)) is not None]
        return max(sizes, default=term.assumed_size)

    def _asked(self, asked: Slice) -> int | None:
        given = self.variables.get(asked.asked) if isinstance(asked.asked, str) else asked.asked
        size: int | None = (len(given) or None) if isinstance(given, list) else given
        if size is None:
            return None
        if asked.is_page and size > self.largest_page:
            message = f"`{asked.argument}` of `{asked.field}` asks for {size}; a page has at most {self.largest_page}."
            raise bad_request(message)
        return max(0, size)


class Costs:
    """Of one operation: a sum for each set of lengths that variables ask for."""

    def __init__(self, term: Term, largest_page: int) -> None:
        self._term, self._largest_page = term, largest_page
        self._asking = tuple(sorted(_asking(term, {})))
        self._known: dict[tuple[object, ...], int] = {}

    def total(self, variables: Mapping[str, Any]) -> int:
        """Raises Refused for a page beyond the largest."""
        given = map(variables.get, self._asking)
        lengths = tuple(len(value) if isinstance(value, list) else value for value in given)
        if lengths not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[lengths] = Bill(variables, self._largest_page).total(self._term)
        return self._known[lengths]


def _asking(term: Term, seen: dict[int, set[str]]) -> set[str]:
    """The variables that say how long lists get; terms are shared where fragments are."""
    if id(term) not in seen:
        names = seen[id(term)] = {one.asked for one in term.slices if isinstance(one.asked, str)}
        names.update(*(_asking(below, seen) for below in (*term.once, *term.each)))
    return seen[id(term)]


class Pricer:
    """Prices the operations of one valid document; each fragment once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, largest_page: int) -> None:
        self._schema = schema
        self._largest_page = largest_page
        definitions = document.definitions
        self._fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
        self._priced: dict[str, dict[str, Term]] = {}

    def costs(self, operation: OperationDefinitionNode) -> Costs:
        return Costs(self.operation(operation), self._largest_page)

    def operation(self, operation: OperationDefinitionNode) -> Term:
        root = self._schema.get_root_type(operation.operation)
        return self._sum([*self._selections(root, operation.selection_set).values()])

    def _selections(self, parent: GraphQLNamedType | None, selections: SelectionSetNode | None) -> dict[str, Term]:
        """What all fields of a name cost together; those of fragments as if they stood here."""
        found: defaultdict[str, list[Term]] = defaultdict(list)
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                found[selection.name.value].append(self._field(parent, selection))
                continue
            for name, term in self._of_fragment(parent, selection).items():
                found[name].append(term)
        return {name: self._sum(terms) for name, terms in found.items()}

    def _of_fragment(self, parent: GraphQLNamedType | None, node: SelectionNode) -> dict[str, Term]:
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        if isinstance(node, InlineFragmentNode):
            condition = node.type_condition
            inside = self._schema.get_type(condition.name.value) if condition else parent
            return self._selections(inside, node.selection_set)
        return {}

    def _fragment(self, name: str) -> dict[str, Term]:
        if name not in self._priced:
            fragment = self._fragments[name]
            inside = self._schema.get_type(fragment.type_condition.name.value)
            self._priced[name] = self._selections(inside, fragment.selection_set)
        return self._priced[name]

    def _sum(self, terms: list[Term]) -> Term:
        return terms[0] if len(terms) == 1 else self._folded(Term(once=tuple(terms)))

    def _field(self, parent: Any, node: FieldNode) -> Term:
        definition = self._schema.get_field(parent, node.name.value)
        if definition is None or node.name.value.startswith("__"):  # introspection has a rule of its own
            return Term()
        price = price_of(definition)
        if node.alias is not None and not node.selection_set:  # else a hundred copies of a text would be free
            return Term(price.weight or UNITS)
        below = self._selections(get_named_type(definition.type), node.selection_set)
        sizes = [(size, tuple(_slices(parent, node, size))) for size in price.sizes]
        if price.is_list:
            term = self._folded(Term(price.weight, tuple(below.values())))
            for size, slices in sizes:
                term = self._folded(Term(0, (), (term,), slices, size.assumed))
            return term
        parts = [self._sized(name, term, sizes) for name, term in below.items()]
        asked = [self._folded(Term(slices=slices)) for _, slices in sizes]  # is looked at, whatever is selected
        return self._folded(Term(price.weight, (*parts, *asked)))

    def _sized(self, name: str, term: Term, sizes: Iterable[tuple[Size, tuple[Slice, ...]]]) -> Term:
        """What a field's own field costs, as often as the lists are long that it stands for."""
        for size, slices in sizes:
            if name in size.fields:
                term = self._folded(Term(0, (), (term,), slices, size.assumed))
        return term

    def _folded(self, term: Term) -> Term:
        """Added up where no variable has a say; a page that is too large stays, to be refused when it is asked for."""
        parts = (*term.once, *term.each)
        settled = all(
            isinstance(s.asked, int) and (s.asked <= self._largest_page or not s.is_page) for s in term.slices
        )
        if not settled or any(part.once or part.each or part.slices for part in parts):
            return term
        return Term(Bill({}, self._largest_page).units(term))


def _slices(parent: GraphQLNamedType, node: FieldNode, size: Size) -> Iterator[Slice]:
    for argument in node.arguments or ():
        name = argument.name.value
        if name in size.slicing and (asked := _asked(argument.value)) is not None:
            yield Slice(f"{parent.name}.{node.name.value}", name, asked, size.slicing[name])


def _asked(value: ValueNode) -> int | str | None:
    """An empty list asks for nothing in particular."""
    if isinstance(value, VariableNode):
        return value.name.value
    if isinstance(value, ListValueNode):
        return len(value.values) or None
    return int(value.value) if isinstance(value, IntValueNode) else None


def price_of(definition: GraphQLField) -> Price:
    """What the schema's directives say of a field."""
    weight = units_of(definition)
    sizes = tuple(
        Size(
            one.assumed_size,
            {name: not declared(definition.args[name], "Constraint") for name in one.slicing_arguments or ()},
            tuple(one.sized_fields or ()),
        )
        for one in declared(definition, "ListSize")
    )
    return Price(weight, is_list_type(get_nullable_type(definition.type)), sizes)


def units_of(definition: GraphQLField) -> int:
    """A field's weight."""
    for cost in declared(definition, "Cost"):
        weight: float = cost.weight
        return round(weight * UNITS)
    return UNITS * is_composite_type(get_named_type(definition.type))
