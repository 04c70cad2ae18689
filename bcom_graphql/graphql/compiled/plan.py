"""Which fields an operation selects of which types: collected as graphql-core collects them, compiled when needed."""

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
from bcom_graphql.graphql.compiled.objects import Shape
from bcom_graphql.graphql.compiled.state import AllNull, Run
from bcom_graphql.graphql.compiled.strawberry_adapter import Declarations

BYTES_OF_SHAPE: Final = 2_500  # these as measured with tracemalloc
BYTES_OF_FIELD: Final = 2_500


class ExecutionPlan:
    """An operation with all its @skip and @include decided; `decided` has the variables that say so."""

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
        self._shapes: dict[Any, Shape] = {}
        self.ahead: Any = None  # what the application made of `selected`, kept for it
        type = self.schema.get_root_type(operation.operation)
        assert type is not None  # noqa: S101  the document is valid
        self.root = Shape(self, None, type)

    @property
    def bytes(self) -> int:
        """In memory, roughly, with the code that is generated when it is first needed."""
        fields = sum(len(shape.fields) for shape in self._shapes.values()) + len(self.root.fields)
        return BYTES_OF_SHAPE * (1 + len(self._shapes)) + BYTES_OF_FIELD * fields

    # ------------------------------------------------------------ executing

    async def execute(
        self, root: Any, context: Any, variables: VariableValues, *, hide_suggestions: bool = False
    ) -> ExecutionResult:
        """What graphql-core's `execute` answers. `root` is a subscription's event."""
        run = Run(root, context, variables, hide_suggestions=hide_suggestions)
        try:
            if self.operation.operation is OperationType.MUTATION:
                await self._one_after_the_other(run)
            else:
                run.data = self.root.complete(run, root, None, sure=True)
                await run.settle()
        except AllNull:
            run.abandon()
            return ExecutionResult(None, run.errors)
        return run.result()

    async def _one_after_the_other(self, run: Run) -> None:
        for field in self.root.fields:
            field.begin(run, run.root, run.data, None)
            await run.settle()

    # ------------------------------------------------------------ what is selected

    def fields(self, owner: Field | None, type: GraphQLObjectType) -> list[Field]:
        """Of objects of this type, in the order of the answer."""
        if owner is None:
            collected = collect_fields(self.schema, self._fragments, self._decided, type, self.operation)
        else:
            details = [FieldDetails(node, None) for node in owner.nodes]
            collected = collect_subfields(self.schema, self._fragments, self._decided, self.operation, type, details)
        found = []
        for key, group in collected.grouped_field_set.items():
            definition = self.schema.get_field(type, group[0].node.name.value)
            if definition is not None:
                found.append(Field(self, type, key, [details.node for details in group], definition))
        return found

    def shape(self, owner: Field, type: GraphQLObjectType) -> Shape:
        """Of objects of this type as the value of this field; the same wherever the same nodes select it."""
        key = type.name, owner.parent.name, *map(id, owner.nodes)
        if key not in self._shapes:
            self._shapes[key] = Shape(self, owner, type)
        return self._shapes[key]

    def generate(self) -> None:
        """Find all shapes, and write down what completes them."""
        if self.selected:
            for shape in (self.root, *self._shapes.values()):
                shape.complete  # noqa: B018  remembers it

    @cached_property
    def selected(self) -> dict[str, frozenset[str]]:
        """The fields that are selected of each object type, wherever it is."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        seen, coming = set[Shape](), [self.root]
        while coming:
            shape = coming.pop()
            if shape not in seen:
                seen.add(shape)
                found[shape.type.name].update(field.name for field in shape.fields if not field.is_typename)
                coming += [self.shape(field, type) for field in shape.fields for type in self._possible(field)]
        return {name: frozenset(fields) for name, fields in found.items()}

    def _possible(self, field: Field) -> list[GraphQLObjectType]:
        named: Any = get_named_type(field.type)
        if is_abstract_type(named):
            return [*self.schema.get_possible_types(named)]
        return [named] if is_object_type(named) else []
