"""How large a document is, before anything expensive is done with it: nesting, aliases, directives, root fields.

Fragments count wherever they are spread, as they do in execution. Each is measured once, so that fragments which spread
fragments which spread fragments cost nothing; a cycle, which validation will report, counts as nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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

INTROSPECTION = ("__schema", "__type")


@dataclass(frozen=True, slots=True)
class Measure:
    """Of a selection set; `fields` are those at its top."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    introspects: bool = False

    def beside(self, other: "Measure") -> "Measure":
        return Measure(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.introspects or other.introspects,
        )


class Measurer:
    """Measures the operations of one document."""

    def __init__(self, document: DocumentNode) -> None:
        definitions = document.definitions
        self._fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
        self._measured: dict[str, Measure] = {}

    def operation(self, operation: OperationDefinitionNode) -> Measure:
        variables = sum(len(variable.directives or ()) for variable in operation.variable_definitions or ())
        own = Measure(directives=len(operation.directives or ()) + variables)
        return own.beside(self._selections(operation.selection_set))

    def _selections(self, selections: SelectionSetNode | None) -> Measure:
        total = Measure()
        for selection in selections.selections if selections else ():
            total = total.beside(self._selection(selection))
        return total

    def _selection(self, selection: SelectionNode) -> Measure:
        own = Measure(directives=len(selection.directives or ()))
        if isinstance(selection, FieldNode):
            below = self._selections(selection.selection_set)
            aliases = below.aliases + (selection.alias is not None)
            introspects = below.introspects or selection.name.value in INTROSPECTION
            return own.beside(Measure(below.depth + 1, 1, aliases, below.directives, introspects))
        if isinstance(selection, FragmentSpreadNode):
            return own.beside(self._fragment(selection.name.value))
        return own.beside(self._selections(getattr(selection, "selection_set", None)))

    def _fragment(self, name: str) -> Measure:
        if name not in self._measured:
            self._measured[name] = Measure()  # what a cycle finds
            if name in self._fragments:
                self._measured[name] = self._selections(self._fragments[name].selection_set)
        return self._measured[name]


def excesses(measures: Iterable[Measure], limits: Limits) -> Iterator[str]:
    """A sentence for each limit that the largest of the operations is beyond."""
    largest = Measure()
    fields = 0
    for measure in measures:
        largest, fields = largest.beside(measure), max(fields, measure.fields)
        for amount, limit, what in (
            (measure.depth, limits.depth, "levels of fields (depth)"),
            (measure.aliases, limits.aliases, "aliases"),
            (measure.directives, limits.directives, "directives"),
            (measure.fields, limits.root_fields, "root fields"),
        ):
            if amount > limit:
                yield f"This operation has {amount} {what}; at most {limit} are allowed."
