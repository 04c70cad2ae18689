"""Plans an operation: which fields it selects of which types, collected by graphql-core, compiled when needed."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from graphql import (
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    is_abstract_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from bcom_graphql.graphql.compiled.fields import Field
from bcom_graphql.graphql.compiled.objects import ObjectSelection
from bcom_graphql.graphql.compiled.state import AllNull, ExecutionState
from bcom_graphql.graphql.compiled.strawberry_adapter import Declarations

SELECTION_BYTES: Final = 2_500  # measured with tracemalloc, as the next
FIELD_BYTES: Final = 2_500


class ExecutionPlan:
    """An operation whose @skip and @include are decided, by the variables `decided`."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        decided: VariableValues,
    ) -> None:
        self.schema = schema
        self.operation = operation
        self.fragment_definitions = fragments
        self.declared = Declarations(schema)
        self._fragments = {name: FragmentDetails(fragment) for name, fragment in fragments.items()}
        self._decided = decided
        self._selections: dict[Any, ObjectSelection] = {}
        self.ahead: Any = None  # what the application made of `selected`
        type = self.schema.get_root_type(operation.operation)
        assert type is not None  # noqa: S101  the document is valid
        self.root = ObjectSelection(self, None, type)

    @property
    def bytes(self) -> int:
        """The memory it takes, roughly, with the code that is generated when it is first needed."""
        fields = sum(len(selection.fields) for selection in self._selections.values()) + len(self.root.fields)
        return SELECTION_BYTES * (1 + len(self._selections)) + FIELD_BYTES * fields

    # ------------------------------------------------------------ executing

    async def execute(
        self, root: Any, context: Any, variables: VariableValues, *, hide_suggestions: bool = False
    ) -> ExecutionResult:
        """Returns what graphql-core's `execute` does. `root` is a subscription's event."""
        state = ExecutionState(root, context, variables, hide_suggestions=hide_suggestions)
        try:
            if self.operation.operation is OperationType.MUTATION:
                await self._resolve_serially(state)
            else:
                state.data = self.root.complete(state, root, None, sure=True)
                await state.resolve_pending()
        except AllNull:
            state.close_all()
            return ExecutionResult(None, state.errors)
        return state.result()

    async def _resolve_serially(self, state: ExecutionState) -> None:
        for field in self.root.fields:
            field.begin(state, state.root, state.data, None)
            await state.resolve_pending()

    # ------------------------------------------------------------ what is selected

    def fields(self, owner: Field | None, type: GraphQLObjectType) -> list[Field]:
        """Returns the fields selected of this type, in the order of the response."""
        if owner is None:
            collected = collect_fields(self.schema, self._fragments, self._decided, type, self.operation)
        else:
            details = [FieldDetails(node, None) for node in owner.nodes]
            collected = collect_subfields(self.schema, self._fragments, self._decided, self.operation, type, details)
        fields = []
        for key, group in collected.grouped_field_set.items():
            definition = self.schema.get_field(type, group[0].node.name.value)
            if definition is not None:
                fields.append(Field(self, type, key, [details.node for details in group], definition))
        return fields

    def selection(self, owner: Field, type: GraphQLObjectType) -> ObjectSelection:
        """Returns the selection on this type below a field; the same wherever the same nodes select it."""
        key = type.name, owner.parent.name, *map(id, owner.nodes)
        if key not in self._selections:
            self._selections[key] = ObjectSelection(self, owner, type)
        return self._selections[key]

    def generate(self) -> None:
        """Generates the code of all selections."""
        if self.selected:
            for selection in (self.root, *self._selections.values()):
                selection.complete  # noqa: B018  caches it

    @cached_property
    def selected(self) -> dict[str, frozenset[str]]:
        """The names of the fields that are selected of each object type, anywhere."""
        names: defaultdict[str, set[str]] = defaultdict(set)
        seen, coming = set[ObjectSelection](), [self.root]
        while coming:
            selection = coming.pop()
            if selection not in seen:
                seen.add(selection)
                names[selection.type.name].update(field.name for field in selection.fields if not field.is_typename)
                coming += [
                    self.selection(field, type) for field in selection.fields for type in self._possible_types(field)
                ]
        return {name: frozenset(fields) for name, fields in names.items()}

    def _possible_types(self, field: Field) -> list[GraphQLObjectType]:
        named: Any = get_named_type(field.type)
        if is_abstract_type(named):
            return [*self.schema.get_possible_types(named)]
        return [named] if is_object_type(named) else []
