"""How large a document is, before anything expensive is done with it.

Fragments count wherever they are spread, as they do in execution. Each is measured once, those that it spreads before
it, so that fragments which spread fragments which spread fragments cost nothing; a cycle, which validation will report,
counts as nothing. Fields below `__schema` and `__type` have levels of their own: tools ask for many.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from bcom_graphql.graphql.limits import Limits

INTROSPECTION: Final = ("__schema", "__type")
MOST_NESTED: Final = 100  # selection sets and fragments, within the recursion limit of all that walks them
MOST_LOOKING: Final = 25  # levels below `__schema`; graphql-js' introspection query has 15
MOST_LOOKED_AT: Final = 500  # fields below it; that query has 229


@dataclass(frozen=True, slots=True)
class Measure:
    """Of a selection set. `fields` are all that it selects, `root_fields` those at its top.

    `nested` counts the selection sets and fragments around the innermost; `looking` and `looked_at` are the levels and
    the number of fields below introspection fields.
    """

    depth: int = 0
    root_fields: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    nested: int = 0
    looking: int = 0
    looked_at: int = 0

    def beside(self, other: "Measure") -> "Measure":
        return Measure(
            max(self.depth, other.depth),
            self.root_fields + other.root_fields,
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            max(self.nested, other.nested),
            max(self.looking, other.looking),
            self.looked_at + other.looked_at,
        )

    def within(self, field: FieldNode) -> "Measure":
        """The field's that selects this."""
        aliases, fields = self.aliases + (field.alias is not None), self.fields + 1
        if field.name.value in INTROSPECTION:
            looking, looked_at = self.depth + 1, fields
            return Measure(1, 1, fields, aliases, self.directives, self.nested, looking, looked_at)
        depth = self.depth + 1
        return Measure(depth, 1, fields, aliases, self.directives, self.nested, self.looking, self.looked_at)

    def deeper(self) -> "Measure":
        """The same, as seen from around it."""
        return Measure(
            self.depth,
            self.root_fields,
            self.fields,
            self.aliases,
            self.directives,
            self.nested + 1,
            self.looking,
            self.looked_at,
        )


class Measurer:
    """Measures the operations of one document."""

    def __init__(self, document: DocumentNode) -> None:
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self.fragments: dict[str, Measure] = {}
        for name in _innermost_first(fragments):
            self.fragments[name] = self._selections(fragments[name].selection_set)
        self.operations = [self.operation(d) for d in document.definitions if isinstance(d, OperationDefinitionNode)]

    def operation(self, operation: OperationDefinitionNode) -> Measure:
        variables = sum(len(variable.directives or ()) for variable in operation.variable_definitions or ())
        own = Measure(directives=len(operation.directives or ()) + variables)
        return own.beside(self._selections(operation.selection_set))

    def _selections(self, selections: SelectionSetNode | None) -> Measure:
        total = Measure()
        for selection in selections.selections if selections else ():
            total = total.beside(self._selection(selection))
        return total.deeper() if selections else total

    def _selection(self, selection: SelectionNode) -> Measure:
        own = Measure(directives=len(selection.directives or ()))
        if isinstance(selection, FragmentSpreadNode):
            return own.beside(self.fragments.get(selection.name.value, Measure()))
        below = self._selections(getattr(selection, "selection_set", None))
        return own.beside(below.within(selection) if isinstance(selection, FieldNode) else below)


def _innermost_first(fragments: Mapping[str, FragmentDefinitionNode]) -> Iterator[str]:
    """Their names, each behind those that it spreads; without recursion, as chains may be long."""
    begun, done = set[str](), set[str]()
    waiting = [*fragments][::-1]
    while waiting:
        name = waiting[-1]
        if name in begun:
            waiting.pop()
            if name not in done:
                done.add(name)
                yield name
            continue
        begun.add(name)
        spread = _spreads(fragments[name].selection_set)
        waiting += [other for other in spread if other in fragments and other not in begun]


def _spreads(selections: SelectionSetNode) -> dict[str, None]:
    """The fragments that are spread within, in their order."""
    found: dict[str, None] = {}
    waiting = [selections]
    for around in waiting:  # becomes longer meanwhile
        for selection in around.selections:
            if isinstance(selection, FragmentSpreadNode):
                found[selection.name.value] = None
            elif below := getattr(selection, "selection_set", None):
                waiting.append(below)
    return found


def excesses(measured: Measurer, limits: Limits) -> Iterator[str]:
    """A sentence for each limit that the document, or the largest of its operations, is beyond."""
    operations = measured.operations
    if len(operations) > limits.operations:
        yield f"This document has {len(operations)} operations; at most {limits.operations} are allowed."
    nested = max((measure.nested for measure in (*operations, *measured.fragments.values())), default=0)
    if nested > MOST_NESTED:
        levels = f"{nested} levels with its fragments"
        yield f"This document is nested too deeply: {levels}; at most {MOST_NESTED} are allowed."
    for name, limit, what in (
        ("depth", limits.depth, "levels of fields (depth)"),
        ("aliases", limits.aliases, "aliases"),
        ("directives", limits.directives, "directives"),
        ("root_fields", limits.root_fields, "root fields"),
        ("fields", limits.fields, "fields, fragments counted wherever they are spread"),
        ("looking", MOST_LOOKING, "levels of introspection"),
        ("looked_at", MOST_LOOKED_AT, "fields of introspection"),
    ):
        amount = max((getattr(measure, name) for measure in operations), default=0)
        if amount > limit:
            yield f"This operation has {_short(amount)} {what}; at most {limit} are allowed."


def _short(amount: int) -> str:
    """A number that fits into a sentence: fragments which double grow beyond all bounds."""
    return str(amount) if amount < 1_000_000_000 else "over a billion"
