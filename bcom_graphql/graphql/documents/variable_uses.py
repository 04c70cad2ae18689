"""Finds which variables an operation uses where."""

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


class VariableUses:
    """Finds the variables in parts of one document; visits each of its fragments once."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._by_fragment: dict[str, Names] = {}

    def find(self, *parts: Node | None) -> Names:
        """Returns the variables in these parts, and in the fragments that they spread."""
        visitor = _UseVisitor()
        for part in parts:
            if part is not None:
                visit(part, visitor)
        return frozenset(visitor.variables).union(*map(self._find_in_fragment, visitor.spread))

    def _find_in_fragment(self, name: str) -> Names:
        if name not in self._by_fragment:
            self._by_fragment[name] = self.find(self.fragments[name])
        return self._by_fragment[name]


class _UseVisitor(Visitor):
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
    """The variables that each root field uses, by its name; and those that decide which fields are selected."""

    fields: Mapping[str, Names]
    deciding: Names

    @classmethod
    def from_operation(cls, operation: OperationDefinitionNode, document: DocumentNode) -> "RootUses":
        if not operation.variable_definitions:
            return cls({}, frozenset())
        uses = VariableUses(document)
        fields: dict[str, Names] = {}
        deciding = uses.find(*(operation.directives or ()))
        for node in _iterate_root_selections(operation.selection_set.selections, uses.fragments):
            if isinstance(node, FieldNode):
                fields[node.name.value] = fields.get(node.name.value, frozenset()) | uses.find(node)
            else:
                deciding |= uses.find(*(node.directives or ()))
        return cls(fields, deciding)

    def find_unused(self, may_use: Callable[[str], bool]) -> Names:
        """Returns the variables that only go to fields which the caller may not use."""
        refused = [name for name in self.fields if not may_use(name)]
        if not refused:
            return frozenset()
        used = self.deciding.union(*(self.fields[name] for name in self.fields.keys() - refused))
        return frozenset().union(*(self.fields[name] for name in refused)) - used


def _iterate_root_selections(
    selections: Collection[SelectionNode], fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[SelectionNode]:
    """Yields all root selections, including those of fragments; each fragment once."""
    waiting, seen = [*selections], set[str]()
    for node in waiting:  # grows meanwhile
        yield node
        if isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            waiting += fragments[node.name.value].selection_set.selections
        elif not isinstance(node, FieldNode | FragmentSpreadNode):
            waiting += node.selection_set.selections  # type: ignore[attr-defined]
