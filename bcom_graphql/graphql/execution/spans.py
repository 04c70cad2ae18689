"""OpenTelemetry's spans of operations, events and root fields: nothing, and cheap, unless somebody collects them.

Names and attributes follow its semantic conventions for GraphQL. Neither variables nor documents are in them.
https://opentelemetry.io/docs/specs/semconv/graphql/graphql-spans/
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from graphql import OperationDefinitionNode
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode, Tracer, TracerProvider

TRACER: Tracer | None = None  # until somebody collects
UNREAD = "GraphQL operation"  # until it is known which
NOTHING: Final = nullcontext()


def collect(provider: TracerProvider) -> None:
    """From now on."""
    global TRACER  # noqa: PLW0603  as OpenTelemetry's own provider is the process's
    TRACER = provider.get_tracer("bcom_graphql")


def begin() -> Span:
    """Of an operation, within whatever goes on."""
    return INVALID_SPAN if TRACER is None else TRACER.start_span(UNREAD)


def name(span: Span, operation: OperationDefinitionNode, document: str) -> None:
    """`document`: its SHA-256."""
    if not span.is_recording():
        return
    type = operation.operation.value
    span.set_attributes({"graphql.operation.type": type, "bcom.document.hash": document})
    if operation.name is not None:
        span.set_attribute("graphql.operation.name", operation.name.value)
    span.update_name(f"{type} {operation.name.value}" if operation.name else type)


def end(span: Span, outcome: str, *, well: bool) -> None:
    """`outcome`: ok, or an error's code."""
    if not span.is_recording():
        return
    if not well:
        span.set_attribute("error.type", outcome)
        span.set_status(Status(StatusCode.ERROR, outcome))
    span.end()


def within(span: Span) -> AbstractContextManager[Any]:
    """What begins in here is a part of it. It goes on."""
    if not span.is_recording():
        return NOTHING
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def is_collected() -> bool:
    """Whether what goes on is."""
    return TRACER is not None and trace.get_current_span().is_recording()


def part(name: str) -> AbstractContextManager[Any]:
    """Of what goes on, with a span of its own if that is collected."""
    if TRACER is None or not is_collected():
        return NOTHING
    return TRACER.start_as_current_span(name)
