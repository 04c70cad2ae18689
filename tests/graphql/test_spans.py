"""What traces tell of operations: of what they are a part, what is a part of them, what failed, and nothing secret."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from bcom_graphql import app
from bcom_graphql.graphql.execution import spans
from bcom_graphql.observability import tracing
from resolvers.base.roles import Role
from resolvers.context import Services
from tests.conftest import settings_of
from tests.helpers.support import Api, Factory, id_of, serving

SITES = "query Sites($search: String) { sites(search: $search) { totalCount } }"
WATCH = "subscription Watch { anomalyDetected(changes: [ACKNOWLEDGED]) { anomaly { id } } }"
ACKNOWLEDGE = "mutation Acknowledge($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"  # the specification's example

Collected = Callable[[], dict[str, ReadableSpan]]


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """The spans that have ended, by their names."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "TRACER", provider.get_tracer("tests"))
    yield lambda: {span.name: span for span in exporter.get_finished_spans()}
    provider.shutdown()


@pytest.fixture
async def api(services: Services, database_url: str) -> AsyncIterator[Api]:
    tracing.trace_statements(services.database.engine)
    application = app.application(services, settings_of(database_url, profile="development", traces=True))
    async with serving(application) as url, Api.to(url, services) as client:
        yield client


def parent(span: ReadableSpan) -> tuple[str, str]:
    """Its trace and the span that it is a part of."""
    assert span.context is not None
    assert span.parent is not None
    return trace.format_trace_id(span.context.trace_id), trace.format_span_id(span.parent.span_id)


def own(span: ReadableSpan) -> str:
    assert span.context is not None
    return trace.format_span_id(span.context.span_id)


async def test_an_operation_goes_on_with_its_senders_trace_down_to_the_statements(
    api: Api, collected: Collected
) -> None:
    viewer = await api.as_(Role.VIEWER)
    headers = viewer.headers | {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    await api.http.post(api.url, json={"query": SITES, "variables": {"search": "secret"}}, headers=headers)

    found = collected()
    operation, field, statement = found["query Sites"], found["Query.sites"], found["SELECT"]
    assert parent(operation) == (TRACE, SPAN)
    assert parent(field) == (TRACE, own(operation))
    assert parent(statement)[0] == TRACE
    assert operation.attributes is not None
    assert operation.attributes["graphql.operation.type"] == "query"
    assert operation.attributes["graphql.operation.name"] == "Sites"
    assert operation.status.status_code is StatusCode.UNSET
    assert "secret" not in str([span.to_json() for span in found.values()])


async def test_what_fails_says_how(api: Api, collected: Collected) -> None:
    await api.execute(SITES)
    await api.execute("{ nothing }")

    found = collected()
    for name, code in (("query Sites", "UNAUTHENTICATED"), (spans.UNKNOWN_NAME, "GRAPHQL_VALIDATION_FAILED")):
        assert found[name].status.status_code is StatusCode.ERROR
        assert (found[name].attributes or {})["error.type"] == code


async def test_an_event_is_one_span_for_all_who_ask_the_same(
    api: Api, make: Factory, collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await api.as_(Role.OPERATOR)
    async with operator.socket() as one, operator.socket() as other:
        await one.subscribe(WATCH)
        await other.subscribe(WATCH)
        begun: list[Any] = []
        begin = spans.start
        monkeypatch.setattr(spans, "start", lambda: begun.append(span := begin()) or span)

        await operator.run(ACKNOWLEDGE, id=id_of(await make.anomaly()))
        for socket in (one, other):
            await socket.next()

    assert [span.name for span in begun] == ["mutation Acknowledge", "subscription Watch"]
    assert collected()["subscription Watch"].parent is None


async def test_without_anybody_who_collects_nothing_is_recorded(services: Services, database_url: str) -> None:
    async with serving(app.application(services, settings_of(database_url))) as url, Api.to(url, services) as api:
        await (await api.as_(Role.VIEWER)).run(SITES)

    assert not spans.start().is_recording()


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Something that speaks OTLP over HTTP."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


async def test_they_reach_a_collector_by_the_usual_variables(
    services: Services,
    collector: tuple[str, list[ExportTraceServiceRequest]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    providers: list[Any] = []
    monkeypatch.setattr(trace, "set_tracer_provider", providers.append)  # it is the process's for ever
    monkeypatch.setattr(spans, "TRACER", None)

    end = tracing.start(services.database.engine)
    providers[0].get_tracer("tests").start_span("a span").end()
    await asyncio.to_thread(end)

    [spans_of_resource] = [each for request in received for each in request.resource_spans]
    resource = {each.key: each.value.string_value for each in spans_of_resource.resource.attributes}
    assert resource["service.name"] == "ours"
    assert [span.name for scope in spans_of_resource.scope_spans for span in scope.spans] == ["a span"]
