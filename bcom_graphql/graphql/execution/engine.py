"""From an operation as a client sent it to its answer, or to its stream of answers, whatever the transport.

    find the document → may this caller run it? → coerce variables → price it → spend → execute, within its time

Strawberry defines the types, and `compiled` executes what is asked of them. Only what goes on around that is here, so
that HTTP, WebSockets and event streams cannot differ in it.
"""

from collections.abc import AsyncGenerator, Collection, Hashable
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol

import structlog
from graphql import ExecutionResult, OperationDefinitionNode, OperationType, located_error
from graphql.execution.values import VariableValues
from strawberry.schema import Schema

from bcom_graphql.graphql.compiled import Execution
from bcom_graphql.graphql.deadlines import Deadline
from bcom_graphql.graphql.documents.batch_inputs import Inputs
from bcom_graphql.graphql.documents.payload_variables import encode_variables
from bcom_graphql.graphql.documents.raw_variables import are_many, count, cut, refuse_long_lists
from bcom_graphql.graphql.documents.reader import Document, Plan, points_of
from bcom_graphql.graphql.documents.store import DocumentStore
from bcom_graphql.graphql.errors import Refused, Rejected, presented, too_complex
from bcom_graphql.graphql.execution import spans
from bcom_graphql.graphql.execution.application import Gate
from bcom_graphql.graphql.execution.broadcast import Broadcast, CaughtUp, MakePayload, Sink, Subscriber
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.execution.operation_metrics import (
    MESSAGES,
    NOT_COMPILED,
    OK,
    SUBSCRIPTIONS_FAILED,
    Meters,
    Watch,
    time_root_fields,
)
from bcom_graphql.graphql.execution.response_encoding import Room
from bcom_graphql.graphql.execution.responses import Answer, Prepared
from bcom_graphql.graphql.limits import Introspection, Limits
from bcom_graphql.graphql.single_flight import Shared
from bcom_graphql.graphql.threads import COERCING, READING

logger = structlog.get_logger(__name__)

LEAST_POINTS = 10  # what an operation costs the server besides its fields
AWAY = "SERVICE_UNAVAILABLE"
NOTHING: list[object] = []  # stands in for a variable that is coerced already


class LiveSink(Sink[Answer], Protocol):
    """Where a subscription's events are pushed, once it has caught up."""

    def begin(self, subscriber: Subscriber[Answer]) -> None:
        """Events are pushed from now on, until the subscriber leaves or `end` is called."""

    def end(self, last: Answer) -> None:
        """Nothing more is pushed after this error."""


class Interrupted(Exception):
    """What an event needs is away: the stream ends before it, so that whoever comes back does not miss it."""

    def __init__(self, errors: list[Any]) -> None:
        super().__init__()
        self.errors = errors


class WrongOperationType(Exception):
    """The transport does not carry operations of this type."""

    def __init__(self, type: OperationType) -> None:
        super().__init__(type)
        self.type = type


class Engine:
    """Prepares and executes operations against one schema."""

    def __init__(
        self, schema: Schema, gate: Gate, limits: Limits, documents: DocumentStore, *, compiled: bool = True
    ) -> None:
        """`compiled`: else graphql-core executes everything, as it does what cannot be compiled."""
        self._schema = schema._schema  # noqa: SLF001  graphql-core's, which Strawberry has no other way to
        self._gate = gate
        self._limits = limits
        self._documents = documents
        self._inputs = Inputs(self._schema)
        self._compiled = compiled
        self._meters = Meters()
        time_root_fields(self._schema)
        self._shared = Shared[Answer](lambda answer: len(answer.encoded))
        self._broadcasts: dict[Hashable, Broadcast[Answer]] = {}

    async def prepare(self, asked: GraphQLRequest, context: Any, allowed: Collection[OperationType]) -> Prepared:
        """Raises Refused or Rejected for what may not begin."""
        with Watch(self._meters.unknown) as watch:
            return await self._prepared(watch, asked, context, allowed)

    async def _prepared(
        self, watch: Watch, asked: GraphQLRequest, context: Any, allowed: Collection[OperationType]
    ) -> Prepared:
        may_look = self._may_look(context)
        document = await self._document(asked, context, hide_suggestions=not may_look)
        if document.errors:
            raise Rejected(document.errors, invalid_document=True)
        plan = await document.planned(asked.name)
        watch.meter = self._meters.of(plan, lambda: self._gate.identity(context).signed_in)
        spans.name(watch.span, plan.node, document.hash)
        if plan.type not in allowed:
            watch.end("BAD_USER_INPUT")
            raise WrongOperationType(plan.type)
        if plan.introspects and not may_look:
            raise self._no_introspection()
        variables = await self._variables(plan, asked.variables or {}, context, hide_suggestions=not may_look)
        cost = plan.costs.total(variables.coerced)
        if cost > self._limits.cost:
            message = f"This operation may cost {cost}; at most {self._limits.cost} is allowed. Ask for smaller pages."
            raise Rejected([too_complex(message)])
        is_planned = not self._compiled or plan.compiled.knows(variables)
        planning = 0 if is_planned else document.points
        await self._gate.spend(context, cost + plan.looking_points + planning)
        if not is_planned and document.is_long:
            await READING.run(plan.compiled.prepare, variables)
        execution = self._execution(plan, variables, hide_suggestions=not may_look)
        self._look_ahead(execution, context)
        if not is_planned:
            self._documents.weigh(document)
        share = self._share(document, plan, asked, context)
        return Prepared(document.hash, plan, execution, context, cost, watch, share)

    def _share(self, document: Document, plan: Plan, asked: GraphQLRequest, context: Any) -> Hashable | None:
        if plan.type is not OperationType.SUBSCRIPTION:
            return None
        standing = self._gate.identity(context).standing
        return document.hash, asked.name, encode_variables(plan.payload_variables, asked.variables or {}), standing

    async def _document(self, asked: GraphQLRequest, context: Any, *, hide_suggestions: bool) -> Document:
        """Paid for before it is looked for, so that what is refused is not free."""
        text = asked.query
        reading = 0 if text is None or self._documents.knows(text) else points_of(text)
        await self._gate.spend(context, LEAST_POINTS + reading)
        if text is None:
            return self._documents.named(asked.document_id or "")
        return await self._documents.received(text, asked.document_id, hide_suggestions=hide_suggestions)

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

    def _execution(self, plan: Plan, variables: VariableValues, *, hide_suggestions: bool) -> Execution:
        compiled = plan.compiled.plan(variables) if self._compiled else None
        if compiled is None:
            NOT_COMPILED.inc()
        return Execution(plan.compiled, compiled, variables, hide_suggestions)

    async def _variables(
        self, plan: Plan, given: dict[str, Any], context: Any, *, hide_suggestions: bool
    ) -> VariableValues:
        """Those for fields that the caller may not use are not looked through. Raises Refused or Rejected."""
        if given:
            root: Any = self._schema.get_root_type(plan.type)
            if idle := plan.uses.idle(partial(self._gate.may, context, root.name)):
                given = cut(given, idle)
        if not (given and are_many(given)):
            return self._coerced(plan, given, hide_suggestions=hide_suggestions)
        coerce = partial(self._coerced, plan, given, hide_suggestions=hide_suggestions)
        try:
            return await COERCING.run(coerce)
        except (Refused, Rejected):
            await self._gate.spend(context, await COERCING.run(count, given))
            raise

    def _coerced(self, plan: Plan, given: dict[str, Any], *, hide_suggestions: bool) -> VariableValues:
        """Raises Refused or Rejected for those that do not fit."""
        refuse_long_lists(given, self._limits.list)
        plan.arguments.check(given)
        coerced = self._inputs.coerced(plan.node, given)
        given = given | dict.fromkeys(coerced, NOTHING) if coerced else given
        values = plan.variables.coerced(given, hide_suggestions=hide_suggestions)
        if isinstance(values, list):
            raise Rejected(values)
        values.coerced.update(coerced)
        return values

    def _look_ahead(self, execution: Execution, context: Any) -> None:
        """Have the application know what is selected, before it resolves anything."""
        plan = execution.plan
        if plan is None:
            return
        if plan.ahead is None:
            plan.ahead = self._gate.look_ahead(plan.selected)
        self._gate.begin(context, plan.ahead)

    # ------------------------------------------------------------ executing

    async def execute(self, prepared: Prepared, seconds: float | None = None, room: Room | None = None) -> Answer:
        """A query's or mutation's answer. Raises Refused when it takes longer, or more `room`, than it may."""
        try:
            with prepared.watch:
                seconds = seconds or self._limits.seconds
                result = await self._within_time(prepared, None, prepared.context, seconds)
                answer = Answer.of(prepared, result, self._gate.request_id())
                await answer.write(room or self.room())
            prepared.watch.end(answer.outcome)
            return answer
        finally:
            self._tell_if_slow(prepared)

    def room(self) -> Room:
        """For an answer, or for a batch of them."""
        return Room(self._limits.response)

    def _tell_if_slow(self, prepared: Prepared) -> None:
        """Whoever runs the server, with what it takes to find it; but not with its variables, which may be secret."""
        plan, seconds = prepared.plan, prepared.watch.seconds
        if 0 < self._limits.slow_seconds <= seconds:
            name = plan.node.name.value if plan.node.name else None
            what = {"operation": name, "type": plan.type.value, "document": prepared.document, "cost": prepared.cost}
            logger.warning("slow operation", seconds=round(seconds, 3), **what)

    async def answers(self, prepared: Prepared, sink: LiveSink | None = None) -> AsyncGenerator[Answer, None]:
        """One answer, or a subscription's many. Raises Rejected when it does not begin.

        With `sink` this may end when the events that have been are told, and those to come are pushed there.
        """
        if prepared.plan.type is not OperationType.SUBSCRIPTION:
            return self._only(prepared)
        if sink is not None:
            self._gate.push(prepared.context)
        with prepared.watch:
            source = await prepared.execution.events(prepared.context)
            if isinstance(source, ExecutionResult):
                raise Rejected(source.errors or ())
        prepared.watch.end()
        return self._each(prepared, source, sink)

    async def _only(self, prepared: Prepared) -> AsyncGenerator[Answer, None]:
        try:
            yield await self.execute(prepared)
        except Refused as refused:
            yield Answer({"errors": refused.presented()}, executed=False)

    async def _each(
        self, prepared: Prepared, source: AsyncGenerator[Any, None], sink: LiveSink | None
    ) -> AsyncGenerator[Answer, None]:
        """What each event gives. A source that fails ends the stream, with the error as its last answer."""
        request_id = self._gate.request_id()
        try:
            async with aclosing(source) as events:
                async for event in events:
                    if sink is not None and isinstance(event, CaughtUp):
                        self._push(prepared, event, request_id, sink)
                        return
                    answer = await self._of_event(prepared, event, request_id)
                    MESSAGES.inc()
                    yield answer
        except Exception as error:  # noqa: BLE001  presented to the client, and logged where it is our fault
            yield _last(error, prepared.plan.node, request_id)

    def _push(self, prepared: Prepared, source: CaughtUp, request_id: str, sink: LiveSink) -> None:
        """Pushes events to all who asked the same together; the first of them stands for all."""
        broadcast = self._broadcasts.get(prepared.share)
        if broadcast is None:
            broadcast = self._broadcasts[prepared.share] = Broadcast(
                partial(self._of_pushed, prepared, request_id),
                partial(self._gate.fresh, prepared.context),
                partial(self._broadcasts.pop, prepared.share),
            )
        operation = prepared.plan.node
        subscriber = Subscriber(broadcast, sink, lambda error: sink.end(_last(error, operation, request_id)))
        subscriber.take(source)
        sink.begin(subscriber)

    async def _of_event(self, prepared: Prepared, event: object, request_id: str, context: Any = None) -> Answer:
        """Executed for all who share it where the event can be told from others, in this context of nobody's own."""
        event_id = getattr(event, "cursor", None)
        if not isinstance(event_id, str):
            return await self._executed(prepared, event, prepared.context, request_id)
        key = (prepared.share, event_id)
        answer = await self._shared.of(key, partial(self._for_all, prepared, event, request_id, event_id, context))
        if "errors" in answer.body:  # whoever comes later may have better luck
            self._shared.forget(key)
            if any(error["extensions"]["code"] == AWAY for error in answer.body["errors"]):
                raise Interrupted(answer.body["errors"])
        return answer

    async def _of_pushed(
        self, prepared: Prepared, request_id: str, make_payload: MakePayload, event: Any, context: Any = None
    ) -> Answer:
        """Those that are executed together share a context: its loaders ask the database once for all of them."""
        return await self._of_event(prepared, make_payload(event), request_id, context)

    async def _for_all(self, prepared: Prepared, event: object, request_id: str, event_id: str, context: Any) -> Answer:
        context = context or self._gate.fresh(prepared.context)
        span = spans.begin()
        spans.name(span, prepared.plan.node, prepared.document)
        with spans.within(span):
            answer = await self._executed(prepared, event, context, request_id, event_id)
        spans.end(span, answer.outcome, well=answer.outcome == OK)
        return answer

    async def _executed(
        self, prepared: Prepared, event: object, context: Any, request_id: str, event_id: str | None = None
    ) -> Answer:
        try:
            result = await self._within_time(prepared, event, context, self._limits.seconds)
            answer = Answer.of(prepared, result, request_id, event_id)
            await answer.write(self.room())
        except Refused as refused:
            return Answer({"errors": refused.presented()}, event_id=event_id)
        return answer

    async def _within_time(self, prepared: Prepared, root: object, context: Any, seconds: float) -> ExecutionResult:
        try:
            with Deadline(seconds):
                return await prepared.execution.run(root, context)
        except TimeoutError:
            message = f"This operation took longer than {seconds:g} seconds and was stopped."
            raise Refused(message, {"code": "TIMEOUT"}) from None


def _last(error: Exception, operation: OperationDefinitionNode, request_id: str) -> Answer:
    """Of a stream that ends with an error."""
    if isinstance(error, Interrupted):
        last = Answer({"errors": error.errors}, executed=False)
    else:
        located = located_error(error, [*operation.selection_set.selections])
        last = Answer({"errors": presented([located], request_id)}, executed=False)
    SUBSCRIPTIONS_FAILED.labels(last.outcome).inc()
    return last
