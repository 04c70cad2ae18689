"""From a document's text to what can be executed: counted, parsed, measured and validated, in this order.

Each step bounds what the next one may cost.
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

from bcom_graphql.graphql.compiled import Compiled
from bcom_graphql.graphql.documents.complexity import Measurer, excesses
from bcom_graphql.graphql.documents.constraints import Arguments, Constraints
from bcom_graphql.graphql.documents.costs import Costs, Pricer
from bcom_graphql.graphql.documents.literals import LiteralsRule
from bcom_graphql.graphql.documents.overlapping_fields import FieldsMergeRule
from bcom_graphql.graphql.documents.payload_variables import find_payload_variables
from bcom_graphql.graphql.documents.token_count import count_tokens
from bcom_graphql.graphql.documents.variable_uses import RootUses
from bcom_graphql.graphql.documents.variables import Variables
from bcom_graphql.graphql.errors import MOST_REFUSALS, bad_request, too_complex
from bcom_graphql.graphql.limits import Limits
from bcom_graphql.graphql.threads import READING

LONGEST_TOKEN: Final = 40  # characters, on average: what is longer has no business in a document
CHARACTERS_OF_POINT: Final = 4  # of a short document; of a long one, each is a point
POINTS_OF_LOOK: Final = 20  # of a field below `__schema`, which is told of all types
SHORT: Final = 500  # characters that are read within some 20 ms
BYTES_OF_DOCUMENT: Final = 2_000  # these as measured with tracemalloc
BYTES_OF_TOKEN: Final = 700  # and of the syntax tree around it
BYTES_OF_OPERATION: Final = 10_000
Rule = type[ASTValidationRule]
REPLACED: Final[Mapping[Rule, Rule]] = {
    ValuesOfCorrectTypeRule: LiteralsRule,
    OverlappingFieldsCanBeMergedRule: FieldsMergeRule,
}
RULES: Final = tuple(REPLACED.get(rule, rule) for rule in specified_rules)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of an operation before it is executed."""

    node: OperationDefinitionNode
    costs: Costs
    looking_points: int  # what introspection costs, which no price of a field says
    payload_variables: frozenset[str]  # of a subscription; see the module of that name
    compiled: Compiled
    variables: Variables
    uses: RootUses
    arguments: Arguments

    @property
    def type(self) -> OperationType:
        return self.node.operation

    @property
    def introspects(self) -> bool:
        return self.looking_points > 0


class Operations:
    """Those of a valid document, by their names. What only one needs, its plan, is made when it is asked for."""

    def __init__(self, schema: GraphQLSchema, tree: DocumentNode, measurer: Measurer, limits: Limits) -> None:
        self._schema, self._tree, self._measurer = schema, tree, measurer
        self._pricer = Pricer(schema, tree, limits.page)
        self._constraints = Constraints(limits.string)
        nodes = [node for node in tree.definitions if isinstance(node, OperationDefinitionNode)]
        self._nodes = {node.name.value if node.name else None: node for node in nodes}
        self._plans: dict[str | None, Plan] = {}

    @property
    def bytes(self) -> int:
        """In memory, without the syntax tree."""
        return len(self._nodes) * BYTES_OF_OPERATION + sum(plan.compiled.bytes for plan in self._plans.values())

    def knows(self, name: str | None) -> bool:
        """Whether its plan is made. Raises Refused."""
        return self._known(name or None) in self._plans

    def plan(self, name: str | None) -> Plan:
        """Of this name, or the only one. Raises Refused."""
        name = self._known(name or None)
        plan = self._plans.get(name)
        if plan is None:
            plan = self._plans[name] = self._made(self._nodes[name])
        return plan

    def _known(self, name: str | None) -> str | None:
        if name is None and len(self._nodes) > 1:
            raise bad_request("The document has several operations; say which with `operationName`.")
        if not self._nodes:
            raise bad_request("The document has no operation.")
        if name is not None and name not in self._nodes:
            raise bad_request(f"The document has no operation named {name!r}.")
        return next(iter(self._nodes)) if name is None else name

    def _made(self, node: OperationDefinitionNode) -> Plan:
        return Plan(
            node,
            self._pricer.costs(node),
            self._measurer.operation(node).looked_at * POINTS_OF_LOOK,
            find_payload_variables(node, self._tree) if node.operation is OperationType.SUBSCRIPTION else frozenset(),
            compiled := Compiled(self._schema, self._tree, node),
            Variables(self._schema, node),
            RootUses.of(node, self._tree),
            Arguments(self._constraints, compiled),
        )


@dataclass(frozen=True, slots=True)
class Document:
    """A document as somebody sent it: its operations, or why it has none that can be executed."""

    hash: str
    errors: Sequence[GraphQLError] = ()
    operations: Operations | None = None
    points: int = 0  # what reading it costs, and again each of its plans
    read_bytes: int = BYTES_OF_DOCUMENT

    @property
    def bytes(self) -> int:
        """In memory, roughly, with the plans that were made so far."""
        return self.read_bytes + (self.operations.bytes if self.operations else 0)

    @property
    def is_long(self) -> bool:
        """Whether what is done with it for the first time is done beside the event loop."""
        return self.points > SHORT

    def plan(self, name: str | None) -> Plan:
        """The operation of this name, or the only one. Raises Refused."""
        return self._operations.plan(name)

    async def planned(self, name: str | None) -> Plan:
        """The same, made beside the event loop if that takes its time."""
        operations = self._operations
        if self.points > SHORT and not operations.knows(name):
            return await READING.run(operations.plan, name)
        return operations.plan(name)

    @property
    def _operations(self) -> Operations:
        assert self.operations is not None  # noqa: S101  whoever asks has looked at the errors
        return self.operations


def points_of(text: str) -> int:
    """What reading a document costs its sender: the longer, the more of it are fields that all rules look at."""
    return len(text) // CHARACTERS_OF_POINT if len(text) <= SHORT else len(text)


class Reader:
    """Reads documents against one schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits

    def read(self, text: str, hash: str, *, hide_suggestions: bool = False) -> Document:
        """The document, or why it is none. `hide_suggestions`: without a hint at what the schema has instead."""
        most = self._limits.tokens
        longest = most * LONGEST_TOKEN
        if len(text) > longest:
            return _beyond(hash, f"{len(text)} characters; at most {longest} are allowed. Use variables.")
        tokens = count_tokens(text)
        if tokens > most:
            return _beyond(hash, f"{tokens} tokens; at most {most} are allowed. Use variables for values.")
        try:
            tree = parse(text)
        except GraphQLError as error:
            return Document(hash, [error])
        measurer = Measurer(tree)
        errors = self._wrong(tree, measurer, hide_suggestions=hide_suggestions)
        if errors:
            return Document(hash, errors)
        operations = Operations(self._schema, tree, measurer, self._limits)
        size = BYTES_OF_DOCUMENT + len(text) + tokens * BYTES_OF_TOKEN
        return Document(hash, (), operations, points_of(text), size)

    def _wrong(self, tree: DocumentNode, measurer: Measurer, *, hide_suggestions: bool) -> Sequence[GraphQLError]:
        beyond = [too_complex(excess) for excess in excesses(measurer, self._limits)]
        return beyond or validate(
            self._schema, tree, RULES, max_errors=MOST_REFUSALS - 1, hide_suggestions=hide_suggestions
        )


def _beyond(hash: str, what: str) -> Document:
    return Document(hash, [too_complex(f"This document has {what}")])
