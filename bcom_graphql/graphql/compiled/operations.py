"""Compiles an operation for each combination of its @skip and @include, and executes it.

graphql-core executes operations that cannot be compiled: with other directives, conditions that are null, or more
combinations than are kept.
"""

from collections.abc import AsyncGenerator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple, cast

from graphql import (
    DirectiveNode,
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLIncludeDirective,
    GraphQLSchema,
    GraphQLSkipDirective,
    OperationDefinitionNode,
    VariableNode,
    default_field_resolver,
    default_type_resolver,
)
from graphql.execution import create_source_event_stream
from graphql.execution.collect_fields import FragmentDetails, collect_fields
from graphql.execution.values import VariableValues
from graphql.language.visitor import Visitor, visit
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.utils.await_maybe import await_maybe

from bcom_graphql.graphql.compiled.plan import ExecutionPlan

MAX_PLANS: Final = 16  # of one operation, as four deciding variables make
SUPPORTED: Final = (GraphQLSkipDirective.name, GraphQLIncludeDirective.name)


class CompiledOperation:
    """An operation and its plans, which are made when they are first needed."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, node: OperationDefinitionNode) -> None:
        self.schema, self.node = schema, node
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._directives = _Directives(self.fragments)
        visit(node, self._directives)
        self._plans: dict[tuple[object, ...], ExecutionPlan] = {}

    @cached_property
    def fragment_details(self) -> dict[str, FragmentDetails]:
        """The fragments as graphql-core wants them."""
        return {name: FragmentDetails(fragment) for name, fragment in self.fragments.items()}

    @property
    def bytes(self) -> int:
        """What its plans take in memory, roughly."""
        return sum(plan.bytes for plan in self._plans.values())

    def has_plan(self, variables: VariableValues) -> bool:
        """Tells whether the plan is made already, or never will be."""
        decisions = self._decisions(variables)
        return decisions is None or decisions in self._plans

    def plan(self, variables: VariableValues) -> ExecutionPlan | None:
        """Returns the plan for these values; None if graphql-core has to execute it."""
        decisions = self._decisions(variables)
        if decisions is None or (decisions not in self._plans and len(self._plans) >= MAX_PLANS):
            return None
        if decisions not in self._plans:
            self._plans[decisions] = self._make_plan(variables)
        return self._plans[decisions]

    def prepare(self, variables: VariableValues) -> None:
        """Does now what the first execution would do."""
        if (plan := self.plan(variables)) is not None:
            plan.generate()

    def _decisions(self, variables: VariableValues) -> tuple[object, ...] | None:
        values = tuple(variables.coerced.get(name) for name in self._directives.deciding)
        is_decided = not self._directives.unsupported and all(isinstance(value, bool) for value in values)
        return values if is_decided else None

    def _make_plan(self, variables: VariableValues) -> ExecutionPlan:
        names = self._directives.deciding
        decided = VariableValues(
            {name: variables.sources[name] for name in names}, {name: variables.coerced[name] for name in names}
        )
        return ExecutionPlan(self.schema, self.node, self.fragments, decided)


class _Directives(Visitor):
    """Finds the variables that decide what is selected, and whether there are other directives."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        super().__init__()
        self.deciding: list[str] = []
        self.unsupported = False
        self._fragments, self._seen = fragments, set[str]()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        self.unsupported = self.unsupported or node.name.value not in SUPPORTED
        values = [argument.value for argument in node.arguments or ()]
        names = [value.name.value for value in values if isinstance(value, VariableNode)]
        self.deciding += [name for name in names if name not in self.deciding]

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: object) -> None:
        name = node.name.value
        if name not in self._seen:
            self._seen.add(name)
            visit(self._fragments[name], self)


class Execution(NamedTuple):
    """An operation with the values of its variables. Without a plan, graphql-core executes it."""

    operation: CompiledOperation
    plan: ExecutionPlan | None
    variables: VariableValues
    hide_suggestions: bool = False

    async def run(self, root: Any, context: Any) -> ExecutionResult:
        """Executes it. `root` is a subscription's event."""
        if self.plan is not None:
            return await self.plan.execute(root, context, self.variables, hide_suggestions=self.hide_suggestions)
        result: Any = await await_maybe(self._executor(root, context).execute_operation())
        return cast("ExecutionResult", result)

    async def subscribe(self, context: Any) -> AsyncGenerator[Any, None] | ExecutionResult:
        """Returns a subscription's source, or the errors that prevent it."""
        source: Any = await await_maybe(create_source_event_stream(self._executor(None, context)))
        return source  # type: ignore[no-any-return]

    @property
    def root_keys(self) -> list[str]:
        """The response keys of the root fields."""
        schema, node = self.operation.schema, self.operation.node
        root: Any = schema.get_root_type(node.operation)
        collected = collect_fields(schema, self.operation.fragment_details, self.variables, root, node)
        return [*collected.grouped_field_set]

    def _executor(self, root: Any, context: Any) -> StrawberryGraphQLCoreExecutionContext:
        operation = self.operation
        return StrawberryGraphQLCoreExecutionContext(
            operation.schema,
            operation.fragments,
            operation.fragment_details,
            root,
            context,
            operation.node,
            self.variables,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            is_awaitable=cast("Any", optimized_is_awaitable),
            hide_suggestions=self.hide_suggestions,
        )
