"""/metrics: what Prometheus learns of the server, and who may ask."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.requests import Request

from bcom_graphql import __version__
from bcom_graphql.observability.prometheus import is_near
from ml.catalogue.metrics import TargetKind
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import AnomalyStatus
from tests.conftest import SECRET, settings_of
from tests.graphql.test_event_streams import following
from tests.helpers.places import ROOT
from tests.helpers.processes import Served
from tests.helpers.support import QUIET, Api, Factory, GraphQLFailed, Server, ago, id_of, record, record_levels, until

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
TOKEN = "a token for Prometheus"
WATCH = 'subscription Watch { anomalyDetected(changes: [ACKNOWLEDGED], after: "0") { cursor } }'
ACKNOWLEDGE = "mutation Acknowledge($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"
FOLLOW = "subscription ($link: ID!) { linkMetricsRecorded(links: [$link]) { link { number } } }"
FAMILIES = {
    "bcom_build_info": "gauge",
    "bcom_connections": "gauge",
    "bcom_database_connections_open": "gauge",
    "bcom_database_connections_used": "gauge",
    "bcom_database_pool_size": "gauge",
    "bcom_database_pool_timeouts_total": "counter",
    "bcom_database_up": "gauge",
    "bcom_embedded_postgres_restarts_total": "counter",
    "bcom_events_read_total": "counter",
    "bcom_feed_lag_events": "gauge",
    "bcom_feed_lag_seconds": "gauge",
    "bcom_follower_lag_events": "gauge",
    "bcom_followers": "gauge",
    "bcom_followers_lagged_total": "counter",
    "bcom_incident_analyses_failed_total": "counter",
    "bcom_incidents_never_told_total": "counter",
    "bcom_late_samples_total": "counter",
    "bcom_models_loaded": "gauge",
    "bcom_open_anomalies": "gauge",
    "bcom_operation_duration_seconds": "histogram",
    "bcom_operations_total": "counter",
    "bcom_operations_not_compiled_total": "counter",
    "bcom_resolver_duration_seconds": "summary",
    "bcom_retention_paused_total": "counter",
    "bcom_worker_failures_total": "counter",
    "bcom_samples_total": "counter",
    "bcom_samples_changed_total": "counter",
    "bcom_scoring_duration_seconds": "histogram",
    "bcom_connections_refused_total": "counter",
    "bcom_silence_round_seconds": "histogram",
    "bcom_silent_targets": "gauge",
    "bcom_subscription_messages_total": "counter",
    "bcom_subscriptions_failed_total": "counter",
}


class Scraped:
    """What one scrape said."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        samples = [sample for family in self.families.values() for sample in family.samples]
        self.values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}

    def __call__(self, name: str, **labels: str) -> float:
        """A sample's value; a counter that nothing was counted by is not there yet."""
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def labels(self, name: str, label: str) -> set[str]:
        return {value for sample, labels in self.values if sample == name for key, value in labels if key == label}


async def ask(api: Api, **headers: str | bytes) -> httpx.Response:
    return await api.http.get(api.url.replace("/graphql", "/metrics"), headers=headers)


async def scrape(api: Api) -> Scraped:
    response = await ask(api)
    assert response.status_code == 200, response.text
    return Scraped(response.text)


async def acknowledge(operator: Api, make: Factory) -> None:
    await operator.run(ACKNOWLEDGE, id=id_of(await make.anomaly()))


@pytest.fixture(autouse=True)
def _asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.base.shared_query.GOOD_FOR_SECONDS", 0.0)


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


# ---------------------------------------------------------------- what is told


async def test_what_cannot_be_compiled_is_counted(operator: Api) -> None:
    before = (await scrape(operator))("bcom_operations_not_compiled_total")

    await operator.run("query ($brief: Boolean!) { viewer { role email @skip(if: $brief) } }", brief=True)
    compiled = (await scrape(operator))("bcom_operations_not_compiled_total")
    answer = await operator.execute("query ($brief: Boolean = true) { viewer { email @skip(if: $brief) } }", brief=None)

    assert answer["errors"][0]["path"] == ["viewer"]
    assert compiled == before
    assert (await scrape(operator))("bcom_operations_not_compiled_total") == before + 1


async def test_every_family_is_there_with_its_type_and_the_docs_list_it(operator: Api, make: Factory) -> None:
    await operator.run("{ viewer { role } }")
    await acknowledge(operator, make)
    async with operator.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": WATCH})
        await socket.next()

        found = (await ask(operator)).text

    page = (ROOT / "docs" / "metrics.md").read_text()
    types = dict(line.split()[2:4] for line in found.splitlines() if line.startswith("# TYPE"))
    assert {name: type for name, type in types.items() if name.startswith("bcom_")} == FAMILIES
    assert "process_resident_memory_bytes" in types
    assert [name for name in FAMILIES if f"`{name}`" not in page] == []
    assert Scraped(found)("bcom_build_info", version=__version__) == 1


async def test_it_is_never_cached_and_speaks_openmetrics_too(api: Api) -> None:
    plain = await ask(api)
    open_metrics = await ask(api, accept=OPEN_METRICS)

    assert plain.headers["cache-control"] == open_metrics.headers["cache-control"] == "no-store"
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in openmetrics_families(open_metrics.text)} >= {"bcom_operations", "bcom_samples"}


async def test_operations_are_counted_by_name_type_and_outcome_whatever_the_transport(
    operator: Api, make: Factory
) -> None:
    before = await scrape(operator)
    await operator.run("query Who { viewer { role } }")
    await operator.run("{ viewer { role } }")
    await operator.execute("query Who { viewer { nonsense } }")
    await operator.execute("query Who { users { totalCount } }")
    await operator.execute("query Who($first: Int) { sites(first: $first) { totalCount } }", first="one")
    await operator.http.get(operator.url, params={"query": ACKNOWLEDGE, "variables": '{"id": "1"}'})
    async with operator.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": "query Who { viewer { role } }"})
        await socket.next()
        await socket.receive()  # it is complete
        await socket.send(type="subscribe", id="1", payload={"query": WATCH.replace('"0"', '"999"')})
        await socket.receive()
    async with following(operator, WATCH):
        after = await scrape(operator)

    def more(operation: str, type: str, outcome: str) -> float:
        labels = {"operation": operation, "type": type, "outcome": outcome}
        return after("bcom_operations_total", **labels) - before("bcom_operations_total", **labels)

    assert more("Who", "query", "ok") == 2
    assert more("anonymous", "query", "ok") == 1
    assert more("Who", "query", "FORBIDDEN") == 1
    assert more("Who", "query", "BAD_USER_INPUT") == 1
    assert more("Watch", "subscription", "ok") == 2
    failed = "bcom_subscriptions_failed_total"
    assert after(failed, code="BAD_USER_INPUT") - before(failed, code="BAD_USER_INPUT") == 1
    assert more("Acknowledge", "mutation", "BAD_USER_INPUT") == 1
    assert more("unknown", "unknown", "GRAPHQL_VALIDATION_FAILED") == 1
    name = "bcom_operation_duration_seconds_count"
    who = {"operation": "Who", "type": "query"}
    assert after(name, **who) - before(name, **who) == 4


async def test_an_operation_that_nobody_waits_for_any_more_is_counted_as_such(
    operator: Api, services: Services
) -> None:
    given_up = {"operation": "Slow", "type": "query", "outcome": "CANCELLED"}
    before = (await scrape(operator))("bcom_operations_total", **given_up)
    async with services.database.write() as session, operator.socket() as socket:
        await session.execute(text("LOCK TABLE sites IN ACCESS EXCLUSIVE MODE"))
        await socket.subscribe("query Slow { sites { totalCount } }")
        await socket.send(type="complete", id="1")
        await socket.send(type="ping")
        await socket.receive()

        async def is_counted() -> bool:
            return (await scrape(operator))("bcom_operations_total", **given_up) - before == 1

        await until(is_counted)


async def test_names_are_told_apart_up_to_a_bound_and_strangers_take_the_first_only(
    operator: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bcom_graphql.graphql.execution.operation_metrics.MAX_NAMES", 3)
    monkeypatch.setattr("bcom_graphql.graphql.execution.operation_metrics.MAX_ANONYMOUS_NAMES", 1)
    stranger = operator.with_token(None)
    before = await scrape(operator)
    for name in ("StrangeA", "StrangeB", "StrangeB"):
        await stranger.run(f"query {name} {{ viewer {{ role }} }}")
    for name in ("OursA", "X" * 101, "OursB", "OursC", "OursA"):
        await operator.run(f"query {name} {{ viewer {{ role }} }}")
    after = await scrape(operator)

    new = after.labels("bcom_operations_total", "operation") - before.labels("bcom_operations_total", "operation")
    other = {"operation": "other", "type": "query", "outcome": "ok"}
    assert new - {"other"} == {"StrangeA", "OursA", "OursB"}
    assert after("bcom_operations_total", **other) - before("bcom_operations_total", **other) == 4


async def test_root_fields_are_timed_and_no_others(operator: Api, make: Factory) -> None:
    before = await scrape(operator)
    await operator.run("{ viewer { role } again: viewer { email } }")
    await acknowledge(operator, make)
    with pytest.raises(GraphQLFailed):
        await operator.run("{ users { totalCount } }")
    after = await scrape(operator)

    name = "bcom_resolver_duration_seconds_count"
    fields = ("Query.viewer", "Mutation.acknowledgeAnomaly", "Query.users")
    assert [after(name, field=field) - before(name, field=field) for field in fields] == [2, 1, 1]
    assert {field.split(".")[0] for field in after.labels(name, "field")} == {"Query", "Mutation"}


async def test_rows_are_counted_by_what_became_of_them(operator: Api, make: Factory) -> None:
    link = await make.link()
    before = await scrape(operator)
    await record_levels(operator, link, {ago(minutes=2): QUIET, ago(minutes=1): QUIET})
    await record_levels(operator, link, {ago(minutes=1): QUIET, ago(minutes=0.5): 1e9})
    await record(operator, TargetKind.SITE, site=[0], at=[0])
    after = await scrape(operator)

    def more(kind: str, result: str) -> float:
        labels = {"kind": kind, "result": result}
        return after("bcom_samples_total", **labels) - before("bcom_samples_total", **labels)

    assert [more("link", result) for result in ("accepted", "duplicate", "rejected")] == [2, 1, 1]
    assert [more("site", result) for result in ("accepted", "duplicate", "rejected")] == [0, 0, 1]
    scored = "bcom_scoring_duration_seconds_count"
    assert after(scored, kind="link") - before(scored, kind="link") == 1
    assert after("bcom_models_loaded") >= 1


async def test_anomalies_that_have_not_ended_are_told_by_severity(api: Api, make: Factory) -> None:
    for status in (AnomalyStatus.OPEN, AnomalyStatus.OPEN, AnomalyStatus.ACKNOWLEDGED, AnomalyStatus.RESOLVED):
        await make.anomaly(status=status, severity=Severity.HIGH)

    scraped = await scrape(api)

    assert scraped("bcom_open_anomalies", severity="high", status="open") == 2
    assert scraped("bcom_open_anomalies", severity="high", status="acknowledged") == 1
    assert scraped("bcom_open_anomalies", severity="critical", status="open") == 0
    assert len(scraped.families["bcom_open_anomalies"].samples) == 8


# ---------------------------------------------------------------- live


async def test_subscribers_their_connections_and_what_they_are_sent_are_counted(operator: Api, make: Factory) -> None:
    before = await scrape(operator)
    async with operator.socket() as socket, following(operator, WATCH) as stream:
        await socket.send(type="subscribe", id="1", payload={"query": WATCH})
        await acknowledge(operator, make)
        await socket.next()
        await stream.next()
        await acknowledge(operator, make)  # by now the socket's is pushed
        await socket.next()
        await stream.next()
        during = await scrape(operator)
    await until(lambda: operator.services.feed.followers_by_topic["anomaly"] == 0)
    after = await scrape(operator)

    def more(name: str, **labels: str) -> list[float]:
        return [scraped(name, **labels) - before(name, **labels) for scraped in (during, after)]

    assert more("bcom_connections", transport="websocket") == [1, 0]
    assert more("bcom_connections", transport="sse") == [1, 0]
    assert during("bcom_followers", topic="anomaly") == 2
    assert after("bcom_followers", topic="anomaly") == 0
    assert during("bcom_followers", topic="access") == 1  # the server's own
    assert more("bcom_subscription_messages_total") == [4, 4]
    assert more("bcom_events_read_total", topic="anomaly") == [2, 2]


async def test_who_falls_behind_is_counted_by_topic(operator: Api, make: Factory) -> None:
    before = await scrape(operator)
    link = await make.link()
    feed, live = operator.services.feed, operator.services.live
    async with operator.socket() as socket:
        await socket.subscribe(WATCH)
        await socket.subscribe(FOLLOW, id="2", link=id_of(link))
        await until(lambda: (feed.followers_by_topic.get("anomaly"), live.followers) == (1, 1))
        watching = await scrape(operator)
        feed.queue_length = live.queue_length = 0  # one event is one too many
        await acknowledge(operator, make)
        await record_levels(operator, link, {ago(minutes=1): QUIET})
        ended = {(await socket.receive())["id"] for _ in range(2)}
        after = await scrape(operator)

    name = "bcom_followers_lagged_total"
    assert ended == {"1", "2"}
    assert watching("bcom_followers", topic="samples") == 1
    assert [after(name, topic=topic) - before(name, topic=topic) for topic in ("anomaly", "samples")] == [1, 1]


async def test_how_far_the_feed_is_behind_the_log_is_told(operator: Api, services: Services, make: Factory) -> None:
    level = await scrape(operator)
    await services.feed.stop()
    for _ in range(3):
        await acknowledge(operator, make)
    behind = await scrape(operator)

    assert level("bcom_feed_lag_events") == level("bcom_feed_lag_seconds") == 0
    assert behind("bcom_feed_lag_events") == 3
    assert 0 < behind("bcom_feed_lag_seconds") < 60


# ---------------------------------------------------------------- the database


async def test_connections_of_the_pool_are_told(api: Api, services: Services) -> None:
    database = services.database
    async with database.connection(), database.connection(), database.connection():
        scraped = await scrape(api)

    assert scraped("bcom_database_pool_size") == 10
    assert 10 >= scraped("bcom_database_connections_open") >= scraped("bcom_database_connections_used") >= 3


async def test_a_database_that_does_not_answer_fails_no_scrape(api: Api, services: Services) -> None:
    async with services.database.write() as session:
        await session.execute(text("LOCK TABLE anomalies, events IN ACCESS EXCLUSIVE MODE"))
        answering = waiting = await scrape(api)

    async def is_up_again() -> bool:  # a statement that was given up may take a moment to end
        nonlocal answering
        answering = await scrape(api)
        return answering("bcom_database_up") == 1

    await until(is_up_again)

    assert waiting("bcom_database_up") == 0
    assert "bcom_open_anomalies" not in waiting.families
    assert "bcom_open_anomalies" in answering.families


async def test_scrapes_in_a_row_ask_the_database_once(
    api: Api, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.base.shared_query.GOOD_FOR_SECONDS", 60.0)
    statements.clear()

    await asyncio.gather(*(scrape(api) for _ in range(5)))

    assert sum("FROM anomalies" in statement for statement in statements) == 1


# ---------------------------------------------------------------- who may ask


async def test_without_a_token_only_who_is_near_and_asks_directly_may(api: Api) -> None:
    direct = await ask(api)
    by_a_proxy = await ask(api, **{"x-forwarded-for": "10.0.0.7"})

    assert (direct.status_code, by_a_proxy.status_code) == (200, 403)
    assert by_a_proxy.headers["cache-control"] == "no-store"
    assert "METRICS_TOKEN" in by_a_proxy.text


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.1.1", True),
        ("::1", True),
        ("fd00::7", True),
        ("::ffff:10.1.2.3", True),
        ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("a socket", False),
    ],
)
def test_loopback_and_private_addresses_are_near(address: str, near: bool) -> None:
    assert is_near(Request({"type": "http", "client": (address, 1), "headers": []})) is near


async def test_with_a_token_whoever_has_it_may_and_nobody_else(server: Server) -> None:
    async with server(metrics_token=TOKEN) as api:
        without = await ask(api)
        wrong = await ask(api, authorization=f"Bearer {TOKEN}s")
        not_ascii = await ask(api, authorization="Bearer Ünsinn".encode())
        right = await ask(api, authorization=f"Bearer {TOKEN}", **{"x-forwarded-for": "8.8.8.8"})

    refusals = (without, wrong, not_ascii)
    assert [refused.status_code for refused in refusals] == [401, 401, 401]
    assert {refused.headers["www-authenticate"] for refused in refusals} == {"Bearer"}
    assert right.status_code == 200
    assert TOKEN not in right.text


def test_a_token_that_could_be_guessed_is_not_accepted(database_url: str) -> None:
    with pytest.raises(ValueError, match="at least 16 characters"):
        settings_of(database_url, metrics_token="short")


async def test_it_can_be_off(server: Server) -> None:
    async with server(metrics=False) as api:
        response = await ask(api)

    assert response.status_code == 404


# ---------------------------------------------------------------- several processes


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    asyncio.run(until(condition, seconds))


@pytest.mark.slow
def test_several_workers_are_scraped_as_one_also_when_one_was_killed(tmp_path: Path, database_url: str) -> None:
    settings: dict[str, Any] = {"SECRET_KEY": SECRET, "DATABASE_URL": database_url, "TMPDIR": str(tmp_path)}
    asked = {"operation": "Asked", "type": "query", "outcome": "ok"}
    with Served(tmp_path, "--workers", "2", **settings) as server:

        def scraped() -> Scraped:
            return Scraped(httpx.get(f"{server.url}/metrics", timeout=30).text)

        def pids() -> set[str]:
            return scraped().labels("process_resident_memory_bytes", "pid")

        eventually(lambda: len(pids()) == 2 and scraped()("bcom_database_pool_size") == 20)
        for _ in range(20):
            server.ask(None, "query Asked { viewer { role } }")
        counts = {scraped()("bcom_operations_total", **asked) for _ in range(10)}
        killed = min(pids())
        os.kill(int(killed), signal.SIGSTOP)
        time.sleep(1.5)  # the supervisor asks each every half second, and now waits for this one's answer
        os.kill(int(killed), signal.SIGKILL)
        eventually(lambda: killed not in pids() and len(pids()) == 2)
        eventually(lambda: scraped()("bcom_database_pool_size") == 20)
        after = scraped()("bcom_operations_total", **asked)
        open_metrics = httpx.get(f"{server.url}/metrics", headers={"accept": OPEN_METRICS}, timeout=30).text

    assert counts == {20}
    assert "bcom_operations" in {family.name for family in openmetrics_families(open_metrics)}
    assert after == 20
    assert server.stopped == 0
    assert not [*tmp_path.glob("bcom-metrics-*")]
