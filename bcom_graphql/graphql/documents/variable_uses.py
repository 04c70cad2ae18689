"""Which variables an operation uses where."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    VariableNode,
)
from graphql.language.visitor import Visitor, visit

Names = frozenset[str]


class Uses:
    """The variables in parts of one document; each of its fragments is looked through once."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._known: dict[str, Names] = {}

    def of(self, *parts: Node | None) -> Names:
        """Of these parts together, with the fragments that they spread."""
        found = _Found()
        for part in parts:
            if part is not None:
                visit(part, found)
        return frozenset(found.variables).union(*map(self._of_fragment, found.spread))

    def _of_fragment(self, name: str) -> Names:
        if name not in self._known:
            self._known[name] = self.of(self.fragments[name])
        return self._known[name]


class _Found(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.variables = set[str]()
        self.spread = set[str]()

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.variables.add(node.name.value)

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: object) -> None:
        self.spread.add(node.name.value)


@dataclass(frozen=True, slots=True)
class RootUses:
    """The variables that each root field uses, by its name; and those that decide which of them are asked."""

    fields: Mapping[str, Names]
    deciding: Names

    @classmethod
    def of(cls, operation: OperationDefinitionNode, document: DocumentNode) -> "RootUses":
        if not operation.variable_definitions:
            return cls({}, frozenset())
        uses = Uses(document)
        fields: dict[str, Names] = {}
        deciding = uses.of(*(operation.directives or ()))
        for node in _at_root(operation.selection_set.selections, uses.fragments):
            if isinstance(node, FieldNode):
                fields[node.name.value] = fields.get(node.name.value, frozenset()) | uses.of(node)
            else:
                deciding |= uses.of(*(node.directives or ()))
        return cls(fields, deciding)

    def idle(self, may: Callable[[str], bool]) -> Names:
        """The variables that only go to fields which the caller may not use."""
        refused = [name for name in self.fields if not may(name)]
        if not refused:
            return frozenset()
        used = self.deciding.union(*(self.fields[name] for name in self.fields.keys() - refused))
        return frozenset().union(*(self.fields[name] for name in refused)) - used


def _at_root(
    selections: Collection[SelectionNode], fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[SelectionNode]:
    """All selections there, with those of fragments; each fragment once."""
    waiting, seen = [*selections], set[str]()
    for node in waiting:  # becomes longer meanwhile
        yield node
        if isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            waiting += fragments[node.name.value].selection_set.selections
        elif not isinstance(node, FieldNode | FragmentSpreadNode):
            waiting += node.selection_set.selections  # type: ignore[attr-defined]
