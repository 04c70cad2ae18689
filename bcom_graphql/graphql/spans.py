"""OpenTelemetry's spans of operations, events and root fields: nothing, and cheap, unless somebody collects them.

Names and attributes follow its semantic conventions for GraphQL. Neither variables nor documents are in them.
https://opentelemetry.io/docs/specs/semconv/graphql/graphql-spans/
"""

from collections.abc import Iterator
from contextlib import contextmanager

from graphql import OperationDefinitionNode
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

TRACER = trace.get_tracer("bcom_graphql")
UNREAD = "GraphQL operation"  # until it is known which


def begin() -> Span:
    """Of an operation, within whatever goes on."""
    return TRACER.start_span(UNREAD)


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
    if span.is_recording() and not well:
        span.set_attribute("error.type", outcome)
        span.set_status(Status(StatusCode.ERROR, outcome))
    span.end()


@contextmanager
def within(span: Span) -> Iterator[None]:
    """What begins in here is a part of it. It goes on."""
    if not span.is_recording():
        yield
        return
    with trace.use_span(span, record_exception=False, set_status_on_exception=False):
        yield


def is_collected() -> bool:
    """Whether what goes on is."""
    return trace.get_current_span().is_recording()
