"""Sends OpenTelemetry traces by OTLP over HTTP: operations, root fields, events, and statements.

OpenTelemetry's own variables say where they go and how many are sampled: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER and so on.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from asyncpg.connection import LoggedQuery
from opentelemetry import context, propagate, trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bcom_graphql import __version__
from bcom_graphql.graphql.execution import spans

SERVICE = {"service.name": "bcom-graphql", "service.version": __version__}  # OTEL_SERVICE_NAME overrules the name


def check() -> None:
    """Raises ValueError if the libraries are missing."""
    try:
        import opentelemetry.exporter.otlp.proto.http  # noqa: F401, PLC0415  an extra
    except ImportError as error:
        message = "TRACES needs the extra `otel`: pip install 'bcom-graphql[otel]'."
        raise ValueError(message) from error


def start(engine: AsyncEngine) -> Callable[[], None]:
    """Starts sending traces. Returns a function that sends the rest, which may take a few seconds."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  an extra
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create(SERVICE).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    spans.collect(provider)
    trace_statements(engine)
    return provider.shutdown


class Continued:
    """ASGI middleware that continues the sender's trace (W3C Trace Context)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Sets the trace context of the request's or socket's own task."""
        if scope["type"] in ("http", "websocket"):
            context.attach(propagate.extract(dict(Headers(scope=scope))))
        return self._app(scope, receive, send)


def trace_statements(engine: AsyncEngine) -> None:
    """Traces statements within traced operations. Their text has placeholders instead of values."""

    def begin(_: Any, __: Any, statement: str, ___: Any, execution: Any, ____: Any) -> None:
        if spans.is_recording():
            execution.span = _begun(statement)

    def end(_: Any, __: Any, ___: Any, ____: Any, execution: Any, _____: Any) -> None:
        if span := getattr(execution, "span", None):
            span.end()

    def fail(failure: Any) -> None:
        if span := getattr(failure.execution_context, "span", None):
            spans.end(span, type(failure.original_exception).__name__, well=False)

    event.listen(engine.sync_engine, "connect", lambda made, _: made.driver_connection.add_query_logger(_log))
    event.listen(engine.sync_engine, "before_cursor_execute", begin)
    event.listen(engine.sync_engine, "after_cursor_execute", end)
    event.listen(engine.sync_engine, "handle_error", fail)


def _begun(statement: str, ago_seconds: float = 0.0) -> Span:
    if spans.TRACER is None:
        return INVALID_SPAN
    operation = statement.split(maxsplit=1)[0].rstrip(";")
    attributes = {"db.system.name": "postgresql", "db.query.text": statement}
    at = time.time_ns() - round(ago_seconds * 1e9)
    return spans.TRACER.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes, start_time=at)


def _log(query: LoggedQuery) -> None:
    """Traces a statement that the driver executed without SQLAlchemy, after it has ended."""
    if trace.get_current_span().get_span_context().trace_flags.sampled:  # which may have ended, too
        outcome = type(query.exception).__name__
        spans.end(_begun(query.query, query.elapsed), outcome, well=query.exception is None)
