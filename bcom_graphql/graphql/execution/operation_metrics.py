"""Counts and times operations, subscriptions and connections, for /metrics.

Clients choose the names of their operations, and every name costs memory here and in Prometheus. So only so many names
are told apart, and fewer for callers who have not signed in.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from functools import wraps
from inspect import iscoroutine
from types import TracebackType
from typing import Any, Final, Self

from graphql import GraphQLSchema, OperationType
from prometheus_client import Counter, Gauge, Histogram, Summary

from bcom_graphql.graphql.compiled.state import is_awaitable
from bcom_graphql.graphql.documents.reader import OperationPlan
from bcom_graphql.graphql.errors import INTERNAL, InvalidOperation, RequestError
from bcom_graphql.graphql.execution import spans

MAX_NAMES: Final = 200
MAX_ANONYMOUS_NAMES: Final = 50
MAX_NAME_CHARACTERS: Final = 100
ANONYMOUS, OTHER, UNKNOWN = "anonymous", "other", "unknown"
OK, CANCELLED = "ok", "CANCELLED"

_OPERATIONS = Counter(
    "bcom_operations_total",
    "Operations by their outcome: ok, or the code of the first error. Subscriptions count when they begin.",
    ["operation", "type", "outcome"],
)
_DURATION = Histogram(
    "bcom_operation_duration_seconds",
    "Time from an operation's arrival to its answer, or to a subscription's beginning.",
    ["operation", "type"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_RESOLVING = Summary(
    "bcom_resolver_duration_seconds", "Time in the resolvers of root fields, without what is below.", ["field"]
)
_CONNECTIONS = Gauge("bcom_connections", "WebSockets and event streams.", ["transport"], multiprocess_mode="livesum")
CONNECTIONS: Final = {transport: _CONNECTIONS.labels(transport) for transport in ("websocket", "sse")}
CONNECTIONS_REFUSED = Counter(
    "bcom_connections_refused_total", "Connections that were refused or closed before anybody was asked.", ["reason"]
)
SUBSCRIPTIONS_FAILED = Counter(
    "bcom_subscriptions_failed_total", "Subscriptions that had begun and ended with an error.", ["code"]
)
NOT_COMPILED = Counter(
    "bcom_operations_not_compiled_total",
    "Operations that graphql-core executed: they cannot be compiled, or compiling is off.",
)
MESSAGES = Counter("bcom_subscription_messages_total", "Answers that subscribers were sent.")


class OperationMeter:
    """Counts the outcomes and times of the operations of one name and type."""

    __slots__ = ("_duration", "_labels", "_outcomes")

    def __init__(self, name: str, type: str) -> None:
        self._labels = name, type
        self._duration = _DURATION.labels(name, type)
        self._outcomes: dict[str, Counter] = {}

    def count(self, outcome: str, seconds: float) -> None:
        counter = self._outcomes.get(outcome)
        if counter is None:
            counter = self._outcomes[outcome] = _OPERATIONS.labels(*self._labels, outcome)
        counter.inc()
        self._duration.observe(seconds)


class OperationMeters:
    """The meters of an engine, by operation name and type."""

    def __init__(self) -> None:
        self.unknown = OperationMeter(UNKNOWN, UNKNOWN)
        self._anonymous = {type: OperationMeter(ANONYMOUS, type.value) for type in OperationType}
        self._other = {type: OperationMeter(OTHER, type.value) for type in OperationType}
        self._named: dict[tuple[str, OperationType], OperationMeter] = {}

    def find(self, plan: OperationPlan, signed_in: Callable[[], bool]) -> OperationMeter:
        """Returns an operation's meter. `signed_in` is called only for a new name."""
        if plan.node.name is None:
            return self._anonymous[plan.type]
        name = plan.node.name.value
        return self._named.get((name, plan.type)) or self._new(name, plan.type, signed_in)

    def _new(self, name: str, type: OperationType, signed_in: Callable[[], bool]) -> OperationMeter:
        most = MAX_NAMES if len(self._named) < MAX_ANONYMOUS_NAMES or signed_in() else MAX_ANONYMOUS_NAMES
        if len(self._named) >= most or len(name) > MAX_NAME_CHARACTERS:
            return self._other[type]
        meter = self._named[name, type] = OperationMeter(name, type.value)
        return meter


class OperationTimer:
    """Times one operation. Counts it, and ends its span, when `end` is called or the `with` block raises."""

    __slots__ = ("_began", "_is_over", "_within", "meter", "seconds", "span")

    def __init__(self, meter: OperationMeter) -> None:
        self.meter = meter
        self.span = spans.start()
        self.seconds = 0.0  # set at the end
        self._is_over = False
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        self._within = spans.activate(self.span)
        self._within.__enter__()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._within.__exit__(None, None, None)
        if error is not None:
            self.end(_code_of(error))

    def end(self, outcome: str = OK) -> None:
        if not self._is_over:
            self._is_over = True
            self.seconds = time.perf_counter() - self._began
            self.meter.count(outcome, self.seconds)
            spans.end(self.span, outcome, well=outcome == OK)


def _code_of(error: BaseException) -> str:
    if isinstance(error, RequestError | InvalidOperation):
        return error.code
    return CANCELLED if isinstance(error, asyncio.CancelledError | GeneratorExit) else INTERNAL


# ---------------------------------------------------------------- root fields


def time_root_fields(schema: GraphQLSchema) -> None:
    """Wraps the resolvers of all queries and mutations of a schema; a second call changes nothing."""
    for root in filter(None, (schema.query_type, schema.mutation_type)):
        for name, field in root.fields.items():
            if field.resolve is not None and not hasattr(field.resolve, "wrapper"):
                full_name = f"{root.name}.{name}"
                field.resolve = _time_resolver(field.resolve, _RESOLVING.labels(full_name), full_name)


def _time_resolver(resolve: Callable[..., Any], duration: Summary, name: str) -> Callable[..., Any]:
    @wraps(resolve)
    def timed(source: Any, info: Any, /, **arguments: Any) -> Any:
        began = time.perf_counter()
        result = resolve(source, info, **arguments)
        if is_awaitable(result):
            return _TimedAwaitable(result, began, duration, name)
        duration.observe(time.perf_counter() - began)
        return result

    timed.wrapper = lambda other: _time_resolver(other, duration, name)  # type: ignore[attr-defined]  # for `compiled`
    return timed


class _TimedAwaitable:
    """What a resolver returned, timed until it is done."""

    __slots__ = ("_awaitable", "_began", "_duration", "_name")

    def __init__(self, awaitable: Awaitable[Any], began: float, duration: Summary, name: str) -> None:
        self._awaitable, self._began, self._duration, self._name = awaitable, began, duration, name

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            with spans.start_child(self._name):
                return (yield from self._awaitable.__await__())
        finally:
            self._duration.observe(time.perf_counter() - self._began)

    def close(self) -> None:
        """Closes what nobody is going to await."""
        if iscoroutine(self._awaitable):
            self._awaitable.close()
