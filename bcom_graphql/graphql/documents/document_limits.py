"""Measures a document, and finds the limits that it exceeds, before anything expensive is done with it.

Fragments count wherever they are spread, as in execution. Each is measured once, after those that it spreads, so that
deep chains of fragments cost little. A cycle, which validation will report, counts nothing. Fields below `__schema` and
`__type` have limits of their own, as tools ask for many.
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
MAX_NESTING: Final = 100  # selection sets and fragments; Python's recursion limit allows more
MAX_INTROSPECTION_DEPTH: Final = 25  # graphql-js' introspection query has 15
MAX_INTROSPECTION_FIELDS: Final = 500  # that query has 229


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures of a selection set. `fields` counts all selected fields, `root_fields` those at its top.

    `nested` counts the selection sets and fragments around the innermost. `introspection_depth` and
    `introspection_fields` are the levels and the number of fields below introspection fields.
    """

    depth: int = 0
    root_fields: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    nested: int = 0
    introspection_depth: int = 0
    introspection_fields: int = 0

    def combine(self, other: "Measures") -> "Measures":
        """Returns the measures of two selections side by side."""
        return Measures(
            max(self.depth, other.depth),
            self.root_fields + other.root_fields,
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            max(self.nested, other.nested),
            max(self.introspection_depth, other.introspection_depth),
            self.introspection_fields + other.introspection_fields,
        )

    def inside(self, field: FieldNode) -> "Measures":
        """Returns the measures of the field that has this selection set."""
        aliases, fields = self.aliases + (field.alias is not None), self.fields + 1
        if field.name.value in INTROSPECTION:
            introspection_depth, introspection_fields = self.depth + 1, fields
            return Measures(
                1, 1, fields, aliases, self.directives, self.nested, introspection_depth, introspection_fields
            )
        depth = self.depth + 1
        return Measures(
            depth, 1, fields, aliases, self.directives, self.nested, self.introspection_depth, self.introspection_fields
        )

    def nest(self) -> "Measures":
        """Returns the measures with one more level of nesting."""
        return Measures(
            self.depth,
            self.root_fields,
            self.fields,
            self.aliases,
            self.directives,
            self.nested + 1,
            self.introspection_depth,
            self.introspection_fields,
        )


class Measurer:
    """Measures the operations of one document."""

    def __init__(self, document: DocumentNode) -> None:
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self.fragments: dict[str, Measures] = {}
        for name in _sort_innermost_first(fragments):
            self.fragments[name] = self._measure_selections(fragments[name].selection_set)
        self.operations = [self.measure(d) for d in document.definitions if isinstance(d, OperationDefinitionNode)]

    def measure(self, operation: OperationDefinitionNode) -> Measures:
        variables = sum(len(variable.directives or ()) for variable in operation.variable_definitions or ())
        own = Measures(directives=len(operation.directives or ()) + variables)
        return own.combine(self._measure_selections(operation.selection_set))

    def _measure_selections(self, selections: SelectionSetNode | None) -> Measures:
        total = Measures()
        for selection in selections.selections if selections else ():
            total = total.combine(self._measure_selection(selection))
        return total.nest() if selections else total

    def _measure_selection(self, selection: SelectionNode) -> Measures:
        own = Measures(directives=len(selection.directives or ()))
        if isinstance(selection, FragmentSpreadNode):
            return own.combine(self.fragments.get(selection.name.value, Measures()))
        below = self._measure_selections(getattr(selection, "selection_set", None))
        return own.combine(below.inside(selection) if isinstance(selection, FieldNode) else below)


def _sort_innermost_first(fragments: Mapping[str, FragmentDefinitionNode]) -> Iterator[str]:
    """Yields the names, each after those that it spreads; without recursion, as chains may be long."""
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
        spread = _find_spreads(fragments[name].selection_set)
        waiting += [other for other in spread if other in fragments and other not in begun]


def _find_spreads(selections: SelectionSetNode) -> dict[str, None]:
    """Returns the fragments that are spread within, in their order."""
    names: dict[str, None] = {}
    waiting = [selections]
    for around in waiting:  # grows meanwhile
        for selection in around.selections:
            if isinstance(selection, FragmentSpreadNode):
                names[selection.name.value] = None
            elif below := getattr(selection, "selection_set", None):
                waiting.append(below)
    return names


def find_excesses(measured: Measurer, limits: Limits) -> Iterator[str]:
    """Yields a sentence for each limit that the document, or the largest of its operations, exceeds."""
    operations = measured.operations
    if len(operations) > limits.operations:
        yield f"This document has {len(operations)} operations; at most {limits.operations} are allowed."
    nested = max((measure.nested for measure in (*operations, *measured.fragments.values())), default=0)
    if nested > MAX_NESTING:
        levels = f"{nested} levels with its fragments"
        yield f"This document is nested too deeply: {levels}; at most {MAX_NESTING} are allowed."
    for name, limit, what in (
        ("depth", limits.depth, "levels of fields (depth)"),
        ("aliases", limits.aliases, "aliases"),
        ("directives", limits.directives, "directives"),
        ("root_fields", limits.root_fields, "root fields"),
        ("fields", limits.fields, "fields, fragments counted wherever they are spread"),
        ("introspection_depth", MAX_INTROSPECTION_DEPTH, "levels of introspection"),
        ("introspection_fields", MAX_INTROSPECTION_FIELDS, "fields of introspection"),
    ):
        amount = max((getattr(measure, name) for measure in operations), default=0)
        if amount > limit:
            yield f"This operation has {_format_amount(amount)} {what}; at most {limit} are allowed."


def _format_amount(amount: int) -> str:
    """Formats a number, which may have thousands of digits where fragments double."""
    return str(amount) if amount < 1_000_000_000 else "over a billion"
