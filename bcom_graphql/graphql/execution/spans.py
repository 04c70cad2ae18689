"""OpenTelemetry spans of operations, events and root fields; next to nothing unless they are collected.

Names and attributes follow the semantic conventions for GraphQL. They contain neither variables nor documents.
https://opentelemetry.io/docs/specs/semconv/graphql/graphql-spans/
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from graphql import OperationDefinitionNode
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode, Tracer, TracerProvider

TRACER: Tracer | None = None  # until `collect` is called
UNKNOWN_NAME = "GraphQL operation"  # until the document is read
NO_SPAN: Final = nullcontext()


def collect(provider: TracerProvider) -> None:
    """Starts to send spans to this provider."""
    global TRACER  # noqa: PLW0603  as OpenTelemetry's own provider is the process's
    TRACER = provider.get_tracer("bcom_graphql")


def start() -> Span:
    """Starts the span of an operation, as a child of the current one."""
    return INVALID_SPAN if TRACER is None else TRACER.start_span(UNKNOWN_NAME)


def describe(span: Span, operation: OperationDefinitionNode, document: str) -> None:
    """Names the span of an operation. `document`: the SHA-256."""
    if not span.is_recording():
        return
    type = operation.operation.value
    span.set_attributes({"graphql.operation.type": type, "bcom.document.hash": document})
    if operation.name is not None:
        span.set_attribute("graphql.operation.name", operation.name.value)
    span.update_name(f"{type} {operation.name.value}" if operation.name else type)


def end(span: Span, outcome: str, *, well: bool) -> None:
    """Ends a span. `outcome`: "ok", or an error's code."""
    if not span.is_recording():
        return
    if not well:
        span.set_attribute("error.type", outcome)
        span.set_status(Status(StatusCode.ERROR, outcome))
    span.end()


def activate(span: Span) -> AbstractContextManager[Any]:
    """Makes the span the parent of those that start within; does not end it."""
    if not span.is_recording():
        return NO_SPAN
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def is_recording() -> bool:
    """Tells whether the current span is recorded."""
    return TRACER is not None and trace.get_current_span().is_recording()


def start_child(name: str) -> AbstractContextManager[Any]:
    """Starts a child of the current span, if that is recorded."""
    if TRACER is None or not is_recording():
        return NO_SPAN
    return TRACER.start_as_current_span(name)
