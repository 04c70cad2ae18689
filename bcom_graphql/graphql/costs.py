"""What an operation may cost at most, before it is executed: the fields it selects, times the sizes of its pages.

As the GraphQL Cost Directive specification has it (https://ibm.github.io/graphql-specs/cost-spec.html): a field with a
composite type weighs 1, any other 0, or what `@cost(weight:)` says. `@listSize` tells how long a list may get: as long
as the largest of its slicing arguments says (a list argument counts its entries), else `assumedSize`; with
`sizedFields` that holds for those fields below it, as in a Relay connection. What depends on no variable is added up
once per document. It is an upper bound: a field selected twice counts twice, and so do a union's alternatives.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
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

MOST_KNOWN: Final = 100  # sums of one operation


@dataclass(frozen=True, slots=True)
class Price:
    """A field's weight, and what the schema says of its list's length."""

    weight: int
    is_list: bool
    assumed_size: int = 1
    slicing: tuple[str, ...] = ()
    sized_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """The length that an argument asks for: a number, or a variable's value."""

    field: str
    argument: str
    asked: int | str


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
        """Raises Refused for a page beyond the largest."""
        if id(term) not in self._known:
            size = self._size(term)
            own = term.own + sum(map(self.total, term.once))
            self._known[id(term)] = own + (size * sum(map(self.total, term.each)) if term.each else 0)
        return self._known[id(term)]

    def _size(self, term: Term) -> int:
        sizes = [size for asked in term.slices if (size := self._asked(asked)) is not None]
        return max(sizes, default=term.assumed_size)

    def _asked(self, asked: Slice) -> int | None:
        given = self.variables.get(asked.asked) if isinstance(asked.asked, str) else asked.asked
        size: int | None = len(given) if isinstance(given, list) else given
        if size is not None and size > self.largest_page:
            message = f"`{asked.argument}` of `{asked.field}` asks for {size}; a page has at most {self.largest_page}."
            raise bad_request(message)
        return None if size is None else max(0, size)


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
        below = self._selections(get_named_type(definition.type), node.selection_set)
        slices = tuple(_slices(parent, node, price))
        if price.sized_fields:
            once = tuple(term for name, term in below.items() if name not in price.sized_fields)
            each = tuple(term for name, term in below.items() if name in price.sized_fields)
            term = Term(price.weight, once, each, slices, price.assumed_size)
        elif price.is_list:
            one = self._folded(Term(price.weight, tuple(below.values())))
            term = Term(0, (), (one,), slices, price.assumed_size)
        else:
            term = Term(price.weight, tuple(below.values()))
        return self._folded(term)

    def _folded(self, term: Term) -> Term:
        """Added up where no variable has a say; a page that is too large stays, to be refused when it is asked for."""
        parts = (*term.once, *term.each)
        settled = all(isinstance(s.asked, int) and s.asked <= self._largest_page for s in term.slices)
        if not settled or any(part.once or part.each or part.slices for part in parts):
            return term
        return Term(Bill({}, self._largest_page).total(term))


def _slices(parent: GraphQLNamedType, node: FieldNode, price: Price) -> Iterator[Slice]:
    for argument in node.arguments or ():
        if argument.name.value in price.slicing and (asked := _asked(argument.value)) is not None:
            yield Slice(f"{parent.name}.{node.name.value}", argument.name.value, asked)


def _asked(value: ValueNode) -> int | str | None:
    if isinstance(value, VariableNode):
        return value.name.value
    if isinstance(value, ListValueNode):
        return len(value.values)
    return int(value.value) if isinstance(value, IntValueNode) else None


def price_of(definition: GraphQLField) -> Price:
    """What the schema's directives say of a field."""
    declared = definition.extensions.get("strawberry-definition")
    directives = {type(d).__name__: d for d in getattr(declared, "directives", None) or ()}
    cost, size = directives.get("Cost"), directives.get("ListSize")
    weight = cost.weight if cost else int(is_composite_type(get_named_type(definition.type)))
    is_list = is_list_type(get_nullable_type(definition.type))
    if size is None:
        return Price(weight, is_list)
    return Price(
        weight, is_list, size.assumed_size, tuple(size.slicing_arguments or ()), tuple(size.sized_fields or ())
    )
