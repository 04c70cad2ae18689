"""Turns a request into its response, or a stream of responses, for every transport.

    find the document → may this caller run it? → coerce variables → price it → charge → execute within a time limit

Strawberry defines the types, and `compiled` executes operations on them. The steps around that are here, so that HTTP,
WebSockets and event streams cannot differ in them.
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
from bcom_graphql.graphql.documents.batch_inputs import BatchInputs
from bcom_graphql.graphql.documents.payload_variables import encode_variables
from bcom_graphql.graphql.documents.raw_variables import (
    check_list_lengths,
    count_variable_values,
    is_large,
    truncate_lists,
)
from bcom_graphql.graphql.documents.reader import Document, OperationPlan, count_reading_points
from bcom_graphql.graphql.documents.store import DocumentStore
from bcom_graphql.graphql.errors import InvalidOperation, RequestError, TooComplex, format_errors
from bcom_graphql.graphql.execution import spans
from bcom_graphql.graphql.execution.application import Gate
from bcom_graphql.graphql.execution.broadcast import Broadcast, CaughtUp, MakePayload, Sink, Subscriber
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.execution.operation_metrics import (
    MESSAGES,
    NOT_COMPILED,
    OK,
    SUBSCRIPTIONS_FAILED,
    OperationMeters,
    OperationTimer,
    time_root_fields,
)
from bcom_graphql.graphql.execution.response_encoding import ByteBudget
from bcom_graphql.graphql.execution.responses import GraphQLResponse, PreparedOperation
from bcom_graphql.graphql.limits import Introspection, Limits
from bcom_graphql.graphql.single_flight import SingleFlightCache
from bcom_graphql.graphql.threads import DOCUMENT_THREADS, VARIABLE_THREADS

logger = structlog.get_logger(__name__)

MIN_POINTS = 10  # what an operation costs the server besides its fields
UNAVAILABLE = "SERVICE_UNAVAILABLE"
PLACEHOLDER: list[object] = []  # stands in for a variable that is already coerced


class LiveSink(Sink[GraphQLResponse], Protocol):
    """A sink for one subscription. Responses are pushed to it once the subscription has caught up."""

    def begin(self, subscriber: Subscriber[GraphQLResponse]) -> None:
        """Says that responses are pushed from now on, until the subscriber leaves or `end` is called."""

    def end(self, last: GraphQLResponse) -> None:
        """Sends this error; nothing follows it."""


class StreamInterrupted(Exception):
    """An event cannot be executed for now. The stream ends before it, so that clients who resume get it."""

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
        """compiled: False lets graphql-core execute everything, not only what cannot be compiled."""
        self._schema = schema._schema  # noqa: SLF001  graphql-core's, which Strawberry has no other way to
        self._gate = gate
        self._limits = limits
        self._documents = documents
        self._inputs = BatchInputs(self._schema)
        self._compiled = compiled
        self._meters = OperationMeters()
        time_root_fields(self._schema)
        self._shared = SingleFlightCache[GraphQLResponse](lambda response: len(response.encoded))
        self._broadcasts: dict[Hashable, Broadcast[GraphQLResponse]] = {}

    async def prepare(
        self, request: GraphQLRequest, context: Any, allowed: Collection[OperationType]
    ) -> PreparedOperation:
        """Returns the operation, ready to be executed. Raises RequestError or InvalidOperation if it may not begin."""
        with OperationTimer(self._meters.unknown) as timer:
            return await self._prepare(timer, request, context, allowed)

    async def _prepare(
        self, timer: OperationTimer, request: GraphQLRequest, context: Any, allowed: Collection[OperationType]
    ) -> PreparedOperation:
        may_introspect = self._may_introspect(context)
        document = await self._read_document(request, context, hide_suggestions=not may_introspect)
        if document.errors:
            raise InvalidOperation(document.errors, invalid_document=True)
        plan = await document.load_plan(request.name)
        timer.meter = self._meters.find(plan, lambda: self._gate.identify(context).signed_in)
        spans.describe(timer.span, plan.node, document.hash)
        if plan.type not in allowed:
            timer.end("BAD_USER_INPUT")
            raise WrongOperationType(plan.type)
        if plan.introspects and not may_introspect:
            raise self._introspection_error()
        variables = await self._variables(plan, request.variables or {}, context, hide_suggestions=not may_introspect)
        cost = plan.costs.total(variables.coerced)
        if cost > self._limits.cost:
            message = f"This operation may cost {cost}; at most {self._limits.cost} is allowed. Ask for smaller pages."
            raise InvalidOperation([TooComplex(message)])
        has_plan = not self._compiled or plan.compiled.has_plan(variables)
        planning = 0 if has_plan else document.points
        await self._gate.charge(context, cost + plan.introspection_points + planning)
        if not has_plan and document.is_long:
            await DOCUMENT_THREADS.run(plan.compiled.prepare, variables)
        execution = self._execution(plan, variables, hide_suggestions=not may_introspect)
        self._look_ahead(execution, context)
        if not has_plan:
            self._documents.weigh(document)
        broadcast_key = self._make_broadcast_key(document, plan, request, context)
        return PreparedOperation(document.hash, plan, execution, context, cost, timer, broadcast_key)

    def _make_broadcast_key(
        self, document: Document, plan: OperationPlan, request: GraphQLRequest, context: Any
    ) -> Hashable | None:
        if plan.type is not OperationType.SUBSCRIPTION:
            return None
        permissions = self._gate.identify(context).permissions
        variables = encode_variables(plan.payload_variables, request.variables or {})
        return document.hash, request.name, variables, permissions

    async def _read_document(self, request: GraphQLRequest, context: Any, *, hide_suggestions: bool) -> Document:
        """Charges before it looks for the document, so that refused requests are not free."""
        text = request.query
        reading = 0 if text is None or self._documents.contains(text) else count_reading_points(text)
        await self._gate.charge(context, MIN_POINTS + reading)
        if text is None:
            return self._documents.get_registered(request.document_id or "")
        return await self._documents.load(text, request.document_id, hide_suggestions=hide_suggestions)

    def _may_introspect(self, context: Any) -> bool:
        """Tells whether the caller may learn what the schema contains."""
        who = self._limits.introspection
        if who is Introspection.SIGNED_IN:
            return self._gate.identify(context).signed_in
        return who is Introspection.EVERYBODY

    def _introspection_error(self) -> RequestError:
        if self._limits.introspection is Introspection.SIGNED_IN:
            return RequestError("Sign in to see the schema.", {"code": "UNAUTHENTICATED"})
        return RequestError("This server does not show its schema.", {"code": "FORBIDDEN"})

    def _execution(self, plan: OperationPlan, variables: VariableValues, *, hide_suggestions: bool) -> Execution:
        compiled = plan.compiled.plan(variables) if self._compiled else None
        if compiled is None:
            NOT_COMPILED.inc()
        return Execution(plan.compiled, compiled, variables, hide_suggestions)

    async def _variables(
        self, plan: OperationPlan, values: dict[str, Any], context: Any, *, hide_suggestions: bool
    ) -> VariableValues:
        """Coerces variables, except those of fields that the caller may not use. Raises as `prepare` does."""
        if values:
            root: Any = self._schema.get_root_type(plan.type)
            if unused := plan.uses.find_unused(partial(self._gate.may_use, context, root.name)):
                values = truncate_lists(values, unused)
        if not (values and is_large(values)):
            return self._coerce_variables(plan, values, hide_suggestions=hide_suggestions)
        coerce = partial(self._coerce_variables, plan, values, hide_suggestions=hide_suggestions)
        try:
            return await VARIABLE_THREADS.run(coerce)
        except (RequestError, InvalidOperation):
            await self._gate.charge(context, await VARIABLE_THREADS.run(count_variable_values, values))
            raise

    def _coerce_variables(
        self, plan: OperationPlan, values: dict[str, Any], *, hide_suggestions: bool
    ) -> VariableValues:
        """Raises RequestError or InvalidOperation for values that do not fit."""
        check_list_lengths(values, self._limits.list)
        plan.arguments.check(values)
        coerced = self._inputs.coerce(plan.node, values)
        values = values | dict.fromkeys(coerced, PLACEHOLDER) if coerced else values
        result = plan.variables.coerce(values, hide_suggestions=hide_suggestions)
        if isinstance(result, list):
            raise InvalidOperation(result)
        result.coerced.update(coerced)
        return result

    def _look_ahead(self, execution: Execution, context: Any) -> None:
        """Tells the application which fields are selected, before any is resolved."""
        plan = execution.plan
        if plan is None:
            return
        if plan.ahead is None:
            plan.ahead = self._gate.look_ahead(plan.selected)
        self._gate.begin_operation(context, plan.ahead)

    # ------------------------------------------------------------ executing

    async def execute(
        self, prepared: PreparedOperation, seconds: float | None = None, budget: ByteBudget | None = None
    ) -> GraphQLResponse:
        """Returns a query's or mutation's response. Raises RequestError if it takes too long or is too large."""
        try:
            with prepared.timer:
                seconds = seconds or self._limits.seconds
                result = await self._run_in_time(prepared, None, prepared.context, seconds)
                response = GraphQLResponse.from_result(prepared, result, self._gate.request_id())
                await response.encode_within(budget or self.new_budget())
            prepared.timer.end(response.outcome)
            return response
        finally:
            self._log_if_slow(prepared)

    def new_budget(self) -> ByteBudget:
        """Returns the bytes that a response, or a batch of them, may have."""
        return ByteBudget(self._limits.response)

    def _log_if_slow(self, prepared: PreparedOperation) -> None:
        """Logs a slow operation so that it can be found; without its variables, which may be secret."""
        plan, seconds = prepared.plan, prepared.timer.seconds
        if 0 < self._limits.slow_seconds <= seconds:
            name = plan.node.name.value if plan.node.name else None
            fields = {"operation": name, "type": plan.type.value, "document": prepared.document, "cost": prepared.cost}
            logger.warning("slow operation", seconds=round(seconds, 3), **fields)

    async def respond(
        self, prepared: PreparedOperation, sink: LiveSink | None = None
    ) -> AsyncGenerator[GraphQLResponse, None]:
        """Returns one response, or a subscription's many. Raises InvalidOperation if it cannot begin.

        With a `sink` the responses may end once past events are sent; later events are pushed to the sink.
        """
        if prepared.plan.type is not OperationType.SUBSCRIPTION:
            return self._respond_once(prepared)
        if sink is not None:
            self._gate.allow_push(prepared.context)
        with prepared.timer:
            source = await prepared.execution.subscribe(prepared.context)
            if isinstance(source, ExecutionResult):
                raise InvalidOperation(source.errors or ())
        prepared.timer.end()
        return self._respond_to_events(prepared, source, sink)

    async def _respond_once(self, prepared: PreparedOperation) -> AsyncGenerator[GraphQLResponse, None]:
        try:
            yield await self.execute(prepared)
        except RequestError as error:
            yield GraphQLResponse({"errors": error.format_errors()}, executed=False)

    async def _respond_to_events(
        self, prepared: PreparedOperation, source: AsyncGenerator[Any, None], sink: LiveSink | None
    ) -> AsyncGenerator[GraphQLResponse, None]:
        """Yields a response for each event. A source that fails ends the stream with the error as the last response."""
        request_id = self._gate.request_id()
        try:
            async with aclosing(source) as events:
                async for event in events:
                    if sink is not None and isinstance(event, CaughtUp):
                        self._push(prepared, event, request_id, sink)
                        return
                    response = await self._respond_to_event(prepared, event, request_id)
                    MESSAGES.inc()
                    yield response
        except Exception as error:  # noqa: BLE001  sent to the client, and logged where it is our fault
            yield _make_final_response(error, prepared.plan.node, request_id)

    def _push(self, prepared: PreparedOperation, source: CaughtUp, request_id: str, sink: LiveSink) -> None:
        """Has later events pushed to the sink: executed once for all subscribers with the same broadcast key."""
        broadcast = self._broadcasts.get(prepared.broadcast_key)
        if broadcast is None:
            broadcast = self._broadcasts[prepared.broadcast_key] = Broadcast(
                partial(self._respond_to_pushed_event, prepared, request_id),
                partial(self._gate.make_shared_context, prepared.context),
                partial(self._broadcasts.pop, prepared.broadcast_key),
            )
        operation = prepared.plan.node
        subscriber = Subscriber(
            broadcast, sink, lambda error: sink.end(_make_final_response(error, operation, request_id))
        )
        subscriber.take(source)
        sink.begin(subscriber)

    async def _respond_to_event(
        self, prepared: PreparedOperation, event: object, request_id: str, context: Any = None
    ) -> GraphQLResponse:
        """Responds to one event. If it has an id, it is executed once, without a user, and the response is shared."""
        event_id = getattr(event, "cursor", None)
        if not isinstance(event_id, str):
            return await self._execute_event(prepared, event, prepared.context, request_id)
        key = (prepared.broadcast_key, event_id)
        response = await self._shared.get_or_run(
            key, partial(self._execute_shared, prepared, event, request_id, event_id, context)
        )
        if "errors" in response.body:  # a later try may succeed
            self._shared.forget(key)
            if any(error["extensions"]["code"] == UNAVAILABLE for error in response.body["errors"]):
                raise StreamInterrupted(response.body["errors"])
        return response

    async def _respond_to_pushed_event(
        self, prepared: PreparedOperation, request_id: str, make_payload: MakePayload, event: Any, context: Any = None
    ) -> GraphQLResponse:
        """Responds to a pushed event. Events of one round share a context, whose loaders query the database once."""
        return await self._respond_to_event(prepared, make_payload(event), request_id, context)

    async def _execute_shared(
        self, prepared: PreparedOperation, event: object, request_id: str, event_id: str, context: Any
    ) -> GraphQLResponse:
        context = context or self._gate.make_shared_context(prepared.context)
        span = spans.start()
        spans.describe(span, prepared.plan.node, prepared.document)
        with spans.activate(span):
            response = await self._execute_event(prepared, event, context, request_id, event_id)
        spans.end(span, response.outcome, well=response.outcome == OK)
        return response

    async def _execute_event(
        self, prepared: PreparedOperation, event: object, context: Any, request_id: str, event_id: str | None = None
    ) -> GraphQLResponse:
        try:
            result = await self._run_in_time(prepared, event, context, self._limits.seconds)
            response = GraphQLResponse.from_result(prepared, result, request_id, event_id)
            await response.encode_within(self.new_budget())
        except RequestError as error:
            return GraphQLResponse({"errors": error.format_errors()}, event_id=event_id)
        return response

    async def _run_in_time(
        self, prepared: PreparedOperation, root: object, context: Any, seconds: float
    ) -> ExecutionResult:
        try:
            with Deadline(seconds):
                return await prepared.execution.run(root, context)
        except TimeoutError:
            message = f"This operation took longer than {seconds:g} seconds and was stopped."
            raise RequestError(message, {"code": "TIMEOUT"}) from None


def _make_final_response(error: Exception, operation: OperationDefinitionNode, request_id: str) -> GraphQLResponse:
    """Returns the last response of a stream that ends with an error."""
    if isinstance(error, StreamInterrupted):
        response = GraphQLResponse({"errors": error.errors}, executed=False)
    else:
        located = located_error(error, [*operation.selection_set.selections])
        response = GraphQLResponse({"errors": format_errors([located], request_id)}, executed=False)
    SUBSCRIPTIONS_FAILED.labels(response.outcome).inc()
    return response
