"""From an operation as a client sent it to its answer, or to its stream of answers, whatever the transport.

    find the document → may this caller run it? → coerce variables → price it → spend → execute, within its time

Strawberry defines the types and resolves their fields; graphql-core's executor runs them. Only what goes on around that
is here, so that HTTP, WebSockets and event streams cannot differ in it.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self, cast

from graphql import ExecutionResult, OperationType, located_error
from graphql.execution import Executor, create_source_event_stream
from graphql.execution.collect_fields import collect_fields
from strawberry.execution import optimized_is_awaitable
from strawberry.schema import Schema
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.utils.await_maybe import await_maybe

from bcom_graphql.graphql.costs import Bill
from bcom_graphql.graphql.documents import Document, DocumentStore, Plan
from bcom_graphql.graphql.errors import Refused, Rejected, presented, too_complex
from bcom_graphql.graphql.gate import Gate
from bcom_graphql.graphql.inputs import Inputs
from bcom_graphql.graphql.limits import Introspection, Limits
from bcom_graphql.graphql.requests import Operation

Execution = Executor[Any]
LEAST_POINTS = 10  # what an operation costs the server besides its fields
NOTHING: list[object] = []  # stands in for a variable that is coerced already
CHARACTERS_OF_POINT = 4  # of a document that is new and must be read


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's body; `executed`: the document was valid and its variables fitted.

    `retry_after` is set when every root field was refused for now, in seconds. `event_id` is what an interrupted
    event stream may resume behind.
    """

    body: dict[str, Any]
    executed: bool = True
    cost: int = 0
    retry_after: int | None = None
    event_id: str | None = None

    @classmethod
    def of(cls, prepared: "Prepared", result: ExecutionResult, request_id: str, event_id: str | None = None) -> Self:
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body = {"errors": presented(result.errors, request_id), **body}
        retry_after = _retry_after(prepared.executor, result) if result.errors else None
        return cls(body, cost=prepared.cost, retry_after=retry_after, event_id=event_id)

    @classmethod
    def not_executed(cls, rejected: Rejected, request_id: str) -> Self:
        return cls({"errors": rejected.presented(request_id)}, executed=False)


def _retry_after(executor: Execution, result: ExecutionResult) -> int | None:
    """How long to wait, when no root field was let in.

    Mutations run one after the other: once the first has failed where null is not allowed, the others do not begin.
    """
    refusals: dict[Any, int] = {
        error.path[0]: error.extensions["retryAfter"]
        for error in result.errors or ()
        if error.path and error.extensions and error.extensions.get("code") == "RATE_LIMITED"
    }
    if not refusals:
        return None
    root: Any = executor.schema.get_root_type(executor.operation.operation)
    asked = collect_fields(
        executor.schema, executor.fragments, executor.variable_values, root, executor.operation, hide_suggestions=True
    )
    names = [*asked.grouped_field_set]
    began = names if result.data is not None else names[:1]
    return max(refusals.values()) if refusals.keys() >= set(began) else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation that may begin."""

    plan: Plan
    executor: Execution
    cost: int


class WrongOperationType(Exception):
    """The transport does not carry operations of this type."""

    def __init__(self, type: OperationType) -> None:
        super().__init__(type)
        self.type = type


class Engine:
    """Prepares and executes operations against one schema."""

    def __init__(self, schema: Schema, gate: Gate, limits: Limits, documents: DocumentStore) -> None:
        self._schema = schema._schema  # noqa: SLF001  graphql-core's, which Strawberry has no other way to
        self._gate = gate
        self._limits = limits
        self._documents = documents
        self._inputs = Inputs(self._schema)

    async def prepare(self, asked: Operation, context: Any, allowed: Collection[OperationType]) -> Prepared:
        """Raises Refused or Rejected for what may not begin."""
        may_look = self._may_look(context)
        document = await self._document(asked, context)
        if document.errors:
            raise Rejected(document.errors if may_look else document.plain_errors, invalid_document=True)
        plan = document.plan(asked.name)
        if plan.type not in allowed:
            raise WrongOperationType(plan.type)
        if plan.introspects and not may_look:
            raise self._no_introspection()
        executor = self._executor(document, plan, asked, context, hide_suggestions=not may_look)
        cost = Bill(executor.variable_values.coerced, self._limits.page).total(plan.cost)
        if cost > self._limits.cost:
            message = f"This operation may cost {cost}; at most {self._limits.cost} is allowed. Ask for smaller pages."
            raise Rejected([too_complex(message)])
        await self._gate.spend(context, cost)
        return Prepared(plan, executor, cost)

    async def _document(self, asked: Operation, context: Any) -> Document:
        """Paid for before it is looked for, so that what is refused is not free."""
        is_new = asked.query is not None and not self._documents.knows(asked.query)
        reading = len(asked.query or "") // CHARACTERS_OF_POINT if is_new else 0
        await self._gate.spend(context, LEAST_POINTS + reading)
        if asked.query is None:
            return self._documents.named(asked.document_id or "")
        return self._documents.sent(asked.query, asked.document_id)

    def _may_look(self, context: Any) -> bool:
        """Whether the caller may learn what the schema has."""
        who = self._limits.introspection
        if who is Introspection.SIGNED_IN:
            return self._gate.identity(context).signed_in
        return who is Introspection.EVERYBODY

    def _no_introspection(self) -> Refused:
        if self._limits.introspection is Introspection.SIGNED_IN:
            return Refused("Sign in to see the schema.", {"code": "UNAUTHENTICATED"})
        return Refused("This server does not show its schema.", {"code": "FORBIDDEN"})

    def _executor(
        self, document: Document, plan: Plan, asked: Operation, context: Any, *, hide_suggestions: bool
    ) -> Execution:
        assert document.tree is not None  # noqa: S101  it has no errors
        variables = asked.variables or {}
        coerced = self._inputs.coerced(plan.node, variables)
        built = StrawberryGraphQLCoreExecutionContext.build(
            self._schema,
            document.tree,
            context_value=context,
            raw_variable_values=variables | dict.fromkeys(coerced, NOTHING),
            operation_name=asked.name or None,
            is_awaitable=cast("Any", optimized_is_awaitable),
            hide_suggestions=hide_suggestions,
        )
        if isinstance(built, list):
            raise Rejected(built)
        built.variable_values.coerced.update(coerced)
        return built

    # ------------------------------------------------------------ executing

    async def execute(self, prepared: Prepared, seconds: float | None = None) -> Answer:
        """A query's or mutation's answer. Raises Refused when it takes longer than it may."""
        result = await self._within_time(prepared.executor, seconds or self._limits.seconds)
        return Answer.of(prepared, result, self._gate.request_id())

    async def answers(self, prepared: Prepared) -> AsyncGenerator[Answer, None]:
        """One answer, or a subscription's many. Raises Rejected when it does not begin."""
        if prepared.plan.type is not OperationType.SUBSCRIPTION:
            return self._only(prepared)
        source: Any = await await_maybe(create_source_event_stream(prepared.executor))
        if isinstance(source, ExecutionResult):
            raise Rejected(source.errors or ())
        return self._each(prepared, source)

    async def _only(self, prepared: Prepared) -> AsyncGenerator[Answer, None]:
        try:
            yield await self.execute(prepared)
        except Refused as refused:
            yield Answer({"errors": refused.presented()}, executed=False)

    async def _each(self, prepared: Prepared, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Answer, None]:
        """Each event executed on its own. A source that fails ends the stream, with the error as its last answer."""
        request_id = self._gate.request_id()
        try:
            async with aclosing(source) as events:
                async for event in events:
                    yield await self._of_event(prepared, event, request_id)
        except Exception as error:  # noqa: BLE001  presented to the client, and logged where it is our fault
            located = located_error(error, [*prepared.executor.operation.selection_set.selections])
            yield Answer({"errors": presented([located], request_id)}, executed=False)

    async def _of_event(self, prepared: Prepared, event: object, request_id: str) -> Answer:
        cursor = getattr(event, "cursor", None)
        event_id = cursor if isinstance(cursor, str) else None
        try:
            executor = prepared.executor.build_per_event_executor(event)
            result = await self._within_time(executor, self._limits.seconds)
        except Refused as refused:
            return Answer({"errors": refused.presented()}, event_id=event_id)
        return Answer.of(prepared, result, request_id, event_id)

    async def _within_time(self, executor: Execution, seconds: float) -> ExecutionResult:
        try:
            async with asyncio.timeout(seconds):
                result: Any = await await_maybe(executor.execute_operation())
                return cast("ExecutionResult", result)
        except TimeoutError:
            message = f"This operation took longer than {seconds:g} seconds and was stopped."
            raise Refused(message, {"code": "TIMEOUT"}) from None
