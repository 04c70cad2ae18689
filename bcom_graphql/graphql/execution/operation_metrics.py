"""What is counted and timed of operations, subscriptions and connections, for /metrics.

Clients choose the names of their operations, and every name costs memory here and in whatever reads this. So an engine
tells so many apart, of which callers who have not signed in can take only the first.
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
from bcom_graphql.graphql.documents.reader import Plan
from bcom_graphql.graphql.errors import INTERNAL, Refused, Rejected
from bcom_graphql.graphql.execution import spans

MOST_NAMES: Final = 200
NAMES_OF_STRANGERS: Final = 50
LONGEST_NAME: Final = 100
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


class Meter:
    """Of one kind of operation."""

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


class Meters:
    """An engine's, by operation name and type."""

    def __init__(self) -> None:
        self.unknown = Meter(UNKNOWN, UNKNOWN)
        self._anonymous = {type: Meter(ANONYMOUS, type.value) for type in OperationType}
        self._other = {type: Meter(OTHER, type.value) for type in OperationType}
        self._named: dict[tuple[str, OperationType], Meter] = {}

    def of(self, plan: Plan, signed_in: Callable[[], bool]) -> Meter:
        """`signed_in`: asked only of who brings a new name."""
        if plan.node.name is None:
            return self._anonymous[plan.type]
        name = plan.node.name.value
        return self._named.get((name, plan.type)) or self._new(name, plan.type, signed_in)

    def _new(self, name: str, type: OperationType, signed_in: Callable[[], bool]) -> Meter:
        most = MOST_NAMES if len(self._named) < NAMES_OF_STRANGERS or signed_in() else NAMES_OF_STRANGERS
        if len(self._named) >= most or len(name) > LONGEST_NAME:
            return self._other[type]
        meter = self._named[name, type] = Meter(name, type.value)
        return meter


class Watch:
    """Times one operation, and counts it when it ends: once, or when what is done with it fails; its span, too."""

    __slots__ = ("_began", "_is_over", "_within", "meter", "seconds", "span")

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.span = spans.begin()
        self.seconds = 0.0  # known when it is over
        self._is_over = False
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        self._within = spans.within(self.span)
        self._within.__enter__()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._within.__exit__(None, None, None)
        if error is not None:
            self.end(_code(error))

    def end(self, outcome: str = OK) -> None:
        if not self._is_over:
            self._is_over = True
            self.seconds = time.perf_counter() - self._began
            self.meter.count(outcome, self.seconds)
            spans.end(self.span, outcome, well=outcome == OK)


def _code(error: BaseException) -> str:
    if isinstance(error, Refused | Rejected):
        return error.code
    return CANCELLED if isinstance(error, asyncio.CancelledError | GeneratorExit) else INTERNAL


# ---------------------------------------------------------------- root fields


def time_root_fields(schema: GraphQLSchema) -> None:
    """Have the resolvers of queries and mutations timed, for all who use this schema; once is enough."""
    for root in filter(None, (schema.query_type, schema.mutation_type)):
        for name, field in root.fields.items():
            if field.resolve is not None and not hasattr(field.resolve, "around"):
                full_name = f"{root.name}.{name}"
                field.resolve = _timed(field.resolve, _RESOLVING.labels(full_name), full_name)


def _timed(resolve: Callable[..., Any], duration: Summary, name: str) -> Callable[..., Any]:
    @wraps(resolve)
    def timed(source: Any, info: Any, /, **arguments: Any) -> Any:
        began = time.perf_counter()
        result = resolve(source, info, **arguments)
        if is_awaitable(result):
            return _Timed(result, began, duration, name)
        duration.observe(time.perf_counter() - began)
        return result

    timed.around = lambda other: _timed(other, duration, name)  # type: ignore[attr-defined]  # for `compiled`
    return timed


class _Timed:
    """What a resolver awaits, with an end to its time."""

    __slots__ = ("_awaitable", "_began", "_duration", "_name")

    def __init__(self, awaitable: Awaitable[Any], began: float, duration: Summary, name: str) -> None:
        self._awaitable, self._began, self._duration, self._name = awaitable, began, duration, name

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            with spans.part(self._name):
                return (yield from self._awaitable.__await__())
        finally:
            self._duration.observe(time.perf_counter() - self._began)

    def close(self) -> None:
        """Nobody is going to wait for it."""
        if iscoroutine(self._awaitable):
            self._awaitable.close()
