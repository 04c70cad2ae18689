"""Turns a document's text into executable operations: counts tokens, parses, measures and validates, in this order.

Each step bounds the cost of the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    ValuesOfCorrectTypeRule,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import ASTValidationRule, OverlappingFieldsCanBeMergedRule

from bcom_graphql.graphql.compiled import CompiledOperation
from bcom_graphql.graphql.documents.argument_limits import Arguments, Constraints
from bcom_graphql.graphql.documents.costs import CostAnalyzer, OperationCosts
from bcom_graphql.graphql.documents.document_limits import Measurer, find_excesses
from bcom_graphql.graphql.documents.literals import LiteralsRule
from bcom_graphql.graphql.documents.overlapping_fields import FieldsMergeRule
from bcom_graphql.graphql.documents.payload_variables import find_payload_variables
from bcom_graphql.graphql.documents.token_count import count_tokens
from bcom_graphql.graphql.documents.variable_uses import RootUses
from bcom_graphql.graphql.documents.variables import Variables
from bcom_graphql.graphql.errors import MAX_REQUEST_ERRORS, BadRequest, TooComplex
from bcom_graphql.graphql.limits import Limits
from bcom_graphql.graphql.threads import DOCUMENT_THREADS

MAX_TOKEN_CHARACTERS: Final = 40  # on average
CHARACTERS_PER_POINT: Final = 4  # of a short document; each of a long one is a point
INTROSPECTION_POINTS: Final = 20  # of a field below `__schema`, which is resolved for all types
SHORT_CHARACTERS: Final = 500  # read within some 20 ms
DOCUMENT_BYTES: Final = 2_000  # measured with tracemalloc, as the next two
TOKEN_BYTES: Final = 700  # with its part of the syntax tree
OPERATION_BYTES: Final = 10_000
Rule = type[ASTValidationRule]
REPLACED: Final[Mapping[Rule, Rule]] = {
    ValuesOfCorrectTypeRule: LiteralsRule,
    OverlappingFieldsCanBeMergedRule: FieldsMergeRule,
}
RULES: Final = tuple(REPLACED.get(rule, rule) for rule in specified_rules)


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """All that is computed about an operation before it is executed."""

    node: OperationDefinitionNode
    costs: OperationCosts
    introspection_points: int  # the cost of introspection, which fields' costs do not include
    payload_variables: frozenset[str]  # of a subscription; see the module of that name
    compiled: CompiledOperation
    variables: Variables
    uses: RootUses
    arguments: Arguments

    @property
    def type(self) -> OperationType:
        return self.node.operation

    @property
    def introspects(self) -> bool:
        return self.introspection_points > 0


class Operations:
    """The operations of a valid document by name; their plans are made when they are first needed."""

    def __init__(self, schema: GraphQLSchema, tree: DocumentNode, measurer: Measurer, limits: Limits) -> None:
        self._schema, self._tree, self._measurer = schema, tree, measurer
        self._cost_analyzer = CostAnalyzer(schema, tree, limits.page)
        self._constraints = Constraints(limits.string)
        nodes = [node for node in tree.definitions if isinstance(node, OperationDefinitionNode)]
        self._nodes = {node.name.value if node.name else None: node for node in nodes}
        self._plans: dict[str | None, OperationPlan] = {}

    @property
    def bytes(self) -> int:
        """The memory they take, without the syntax tree."""
        return len(self._nodes) * OPERATION_BYTES + sum(plan.compiled.bytes for plan in self._plans.values())

    def has_plan(self, name: str | None) -> bool:
        """Tells whether the operation's plan is made. Raises BadRequest."""
        return self._resolve_name(name or None) in self._plans

    def plan(self, name: str | None) -> OperationPlan:
        """Returns the plan of the operation of this name, or of the only one. Raises BadRequest."""
        name = self._resolve_name(name or None)
        plan = self._plans.get(name)
        if plan is None:
            plan = self._plans[name] = self._make_plan(self._nodes[name])
        return plan

    def _resolve_name(self, name: str | None) -> str | None:
        if name is None and len(self._nodes) > 1:
            raise BadRequest("The document has several operations; say which with `operationName`.")
        if not self._nodes:
            raise BadRequest("The document has no operation.")
        if name is not None and name not in self._nodes:
            raise BadRequest(f"The document has no operation named {name!r}.")
        return next(iter(self._nodes)) if name is None else name

    def _make_plan(self, node: OperationDefinitionNode) -> OperationPlan:
        return OperationPlan(
            node,
            self._cost_analyzer.costs(node),
            self._measurer.measure(node).introspection_fields * INTROSPECTION_POINTS,
            find_payload_variables(node, self._tree) if node.operation is OperationType.SUBSCRIPTION else frozenset(),
            compiled := CompiledOperation(self._schema, self._tree, node),
            Variables(self._schema, node),
            RootUses.from_operation(node, self._tree),
            Arguments(self._constraints, compiled),
        )


@dataclass(frozen=True, slots=True)
class Document:
    """A document: its operations, or the errors that prevent their execution."""

    hash: str
    errors: Sequence[GraphQLError] = ()
    operations: Operations | None = None
    points: int = 0  # the cost of reading it, and of each of its plans
    read_bytes: int = DOCUMENT_BYTES

    @property
    def bytes(self) -> int:
        """The memory it takes, roughly, with the plans made so far."""
        return self.read_bytes + (self.operations.bytes if self.operations else 0)

    @property
    def is_long(self) -> bool:
        """Tells whether it is read, planned and compiled in a thread."""
        return self.points > SHORT_CHARACTERS

    def plan(self, name: str | None) -> OperationPlan:
        """Returns the plan of the operation of this name, or of the only one. Raises BadRequest."""
        return self._operations.plan(name)

    async def load_plan(self, name: str | None) -> OperationPlan:
        """Does the same; makes the plan of a long document in a thread."""
        operations = self._operations
        if self.points > SHORT_CHARACTERS and not operations.has_plan(name):
            return await DOCUMENT_THREADS.run(operations.plan, name)
        return operations.plan(name)

    @property
    def _operations(self) -> Operations:
        assert self.operations is not None  # noqa: S101  whoever asks has looked at the errors
        return self.operations


def count_reading_points(text: str) -> int:
    """Returns what reading a document costs the sender, in points."""
    return len(text) // CHARACTERS_PER_POINT if len(text) <= SHORT_CHARACTERS else len(text)


class Reader:
    """Reads documents against one schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits

    def read(self, text: str, hash: str, *, hide_suggestions: bool = False) -> Document:
        """Reads a document. `hide_suggestions` leaves hints at the schema's names out of errors."""
        max_tokens = self._limits.tokens
        max_characters = max_tokens * MAX_TOKEN_CHARACTERS
        if len(text) > max_characters:
            return _make_too_large(
                hash, f"{len(text)} characters; at most {max_characters} are allowed. Use variables."
            )
        tokens = count_tokens(text)
        if tokens > max_tokens:
            return _make_too_large(
                hash, f"{tokens} tokens; at most {max_tokens} are allowed. Use variables for values."
            )
        try:
            tree = parse(text)
        except GraphQLError as error:
            return Document(hash, [error])
        measurer = Measurer(tree)
        errors = self._validate(tree, measurer, hide_suggestions=hide_suggestions)
        if errors:
            return Document(hash, errors)
        operations = Operations(self._schema, tree, measurer, self._limits)
        size = DOCUMENT_BYTES + len(text) + tokens * TOKEN_BYTES
        return Document(hash, (), operations, count_reading_points(text), size)

    def _validate(self, tree: DocumentNode, measurer: Measurer, *, hide_suggestions: bool) -> Sequence[GraphQLError]:
        excesses = [TooComplex(excess) for excess in find_excesses(measurer, self._limits)]
        return excesses or validate(
            self._schema, tree, RULES, max_errors=MAX_REQUEST_ERRORS - 1, hide_suggestions=hide_suggestions
        )


def _make_too_large(hash: str, what: str) -> Document:
    return Document(hash, [TooComplex(f"This document has {what}")])
