"""While servers and PostgreSQL die and come back, every subscriber sees exactly the committed events, in order."""

import asyncio
import itertools
import json
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import websockets

from bcom_graphql.services import build_services
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.detection.anomalies import AnomalyChange
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate
from resolvers.store.tables.core import Link
from schema.relay import global_id
from tests.conftest import SECRET, settings_of
from tests.helpers.processes import Served
from tests.helpers.support import (
    EXTREME,
    LINK_CENTRE,
    LINK_SPREAD,
    QUIET,
    Api,
    Factory,
    build_baseline,
    id_of,
    ms,
    until,
)
from tests.system.test_crashes import World, copy_models, kill_postgres

pytestmark = pytest.mark.slow

SEED = 8
SUBSCRIBERS_OF_EACH_INTEREST = 4  # one of them over server-sent events
EPISODE = [EXTREME, *[QUIET] * 5]  # an anomaly opens, and five quiet minutes later it is over: two events
MINUTES = timedelta(minutes=len(EPISODE))
MACHINES = 3
TURNS = 300  # links of each writer: each link has one episode, as one of yesterday would be told to nobody
BURST = 800  # episodes in one transaction: more events than the server keeps for whoever cannot keep up
SETTINGS = {
    "SECRET_KEY": SECRET,
    "RATE_LIMITS": "off",
    "AUTOMATIC_INCIDENTS": "false",
    "AUTOMATIC_RECOMMENDATIONS": "false",
    "LEARNING_SECONDS": "3600",
    "SILENCE_SECONDS": "3600",
    "SHUTDOWN_SECONDS": "2",
}
WATCH = """subscription ($filter: AnomalyFilter, $changes: [AnomalyChange!], $after: String) {
  anomalyDetected(filter: $filter, changes: $changes, after: $after) {
    cursor change anomaly { id status target { ... on Link { name } } } } }"""
ACT = """mutation ($id: ID!, $note: String!) {
  acknowledgeAnomaly(id: $id, note: $note) { __typename }
  judgeAnomaly(id: $id, verdict: TRUE_ALARM, note: $note) { __typename } }"""
RECORD = "mutation ($columns: LinkColumns!) { recordLinkColumns(columns: $columns) { __typename } }"
COMMITTED = """SELECT id, change, subject FROM events
  WHERE topic = 'anomaly' AND change = ANY($1) AND ({}) ORDER BY id"""
NOTES = "SELECT note FROM audit_entries WHERE action LIKE 'JUDGED%'"
DISCONNECTED = (OSError, EOFError, httpx.TransportError, websockets.WebSocketException)

Told = tuple[int, str, str]  # an event's id, what changed, and the anomaly's global id


class Ended(Exception):
    """The server ended a subscription, or failed to tell of an event; the code says why."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        self.extensions: dict[str, Any] = errors[0]["extensions"]
        super().__init__(self.extensions["code"])


@dataclass(frozen=True)
class Interest:
    """What a subscriber asks for, and the same as a condition on the log: not in the words of our own code."""

    filter: dict[str, Any]
    changes: list[str]
    condition: str


@dataclass
class Fleet:
    """Two servers on a PostgreSQL of their own, and what is written through them."""

    world: World
    servers: list[Served]
    http: httpx.AsyncClient
    links: list[Link]  # whose anomalies people act on
    failing: list[Link]  # each once
    anomalies: list[str]
    troubles: Counter[str] = field(default_factory=Counter)  # that writers met
    turns: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def headers(self) -> dict[str, str]:
        return self.world.operator.headers

    async def insist(self, document: str, **variables: Any) -> Any:
        """The same again, to the other server, until one has done it."""
        body = {"query": document, "variables": variables}
        while True:
            server = self.servers[next(self.turns) % 2]
            try:
                answer = (await self.http.post(f"{server.url}/graphql", json=body, headers=self.headers)).json()
            except httpx.TransportError as error:
                self.troubles[type(error).__name__] += 1
            else:
                if "errors" not in answer:
                    return answer["data"]
                codes = [error["extensions"]["code"] for error in answer["errors"]]
                assert {*codes} == {"SERVICE_UNAVAILABLE"}, answer
                self.troubles.update(codes)
            await asyncio.sleep(0.5)

    async def act(self, number: int, note: str) -> None:
        """The first to come acknowledges it, and everybody has an opinion."""
        answer = await self.insist(ACT, id=self.anomalies[number % len(self.anomalies)], note=note)
        assert answer["judgeAnomaly"] == {"__typename": "Anomaly"}

    async def record(self, links: list[Link]) -> None:
        """An episode of each, which ends now."""
        began = datetime.now(UTC) - MINUTES
        columns = {
            "link": [link.number for link in links for _ in EPISODE],
            "direction": ["OB"] * len(EPISODE) * len(links),
            "at": [ms(began + timedelta(minutes=minute)) for _ in links for minute in range(len(EPISODE))],
            "rxLevelDbm": EPISODE * len(links),
        }
        answer = await self.insist(RECORD, columns=columns)
        assert answer == {"recordLinkColumns": {"__typename": "RecordedMetrics"}}

    async def committed(self, interest: Interest) -> list[Told]:
        rows = await self.world.fetch(COMMITTED.format(interest.condition), interest.changes)
        return [(row["id"], row["change"], global_id("Anomaly", row["subject"])) for row in rows]

    async def newest(self) -> int:
        [row] = await self.world.fetch("SELECT max(id) AS id FROM events")
        return row["id"] or 0


@dataclass
class Writer:
    """Does one thing after another, and insists on each: acts on anomalies, or has links of its own fail."""

    name: str
    fleet: Fleet
    links: list[Link] = field(default_factory=list)
    done: int = 0
    stopped: bool = False

    def note(self, number: int) -> str:
        return f"{self.name}, {number}"

    async def write(self) -> None:
        while not self.stopped:
            if not self.links:
                await self.fleet.act(self.done, self.note(self.done))
            elif self.done < len(self.links):
                await self.fleet.record([self.links[self.done]])
            self.done += 1
            await asyncio.sleep(0.05)


@dataclass
class Subscriber:
    """Follows the log with its last cursor, from server to server, whatever becomes of its connections."""

    name: str
    fleet: Fleet
    interest: Interest
    over_events: bool  # server-sent ones, else a WebSocket
    choices: random.Random
    after: str = "0"
    seen: list[Told] = field(default_factory=list)
    connections: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    pause: float = 0.0  # seconds before it reads on
    transport: Any = None

    async def follow(self) -> None:
        while True:
            server = self.choices.choice(self.fleet.servers)
            try:
                await (self._over_events if self.over_events else self._over_websocket)(f"{server.url}/graphql")
            except Ended as ended:
                self.ends[str(ended)] += 1
                self.after = ended.extensions.get("resumeAfter", self.after)
            except DISCONNECTED as error:
                self.ends[type(error).__name__] += 1
            self.transport = None
            await asyncio.sleep(self.choices.uniform(0.1, 0.9))

    def cut(self) -> bool:
        """Without a goodbye; whether there was anything to cut."""
        connected = self.transport is not None
        with suppress(OSError):  # it has ended already
            if isinstance(self.transport, asyncio.WriteTransport):
                self.transport.abort()
            elif connected:
                self.transport.shutdown(socket.SHUT_RDWR)
        self.transport = None
        return connected

    def _operation(self, **variables: Any) -> dict[str, Any]:
        given = {"filter": self.interest.filter, "changes": self.interest.changes, **variables}
        return {"query": WATCH, "variables": given}

    async def _over_websocket(self, url: str) -> None:
        protocol = websockets.Subprotocol("graphql-transport-ws")
        address = url.replace("http", "ws")
        async with websockets.connect(address, subprotocols=[protocol], max_queue=1, close_timeout=1) as opened:
            await opened.send(json.dumps({"type": "connection_init", "payload": self.fleet.headers}))
            await opened.recv()
            operation = self._operation(after=self.after)
            await opened.send(json.dumps({"type": "subscribe", "id": "1", "payload": operation}))
            self.connections, self.transport = self.connections + 1, opened.transport
            async for text in opened:
                message = json.loads(text)
                await self._hear(message["payload"] if message["type"] == "next" else {"errors": message["payload"]})
            self.ends[str(opened.close_code)] += 1

    async def _over_events(self, url: str) -> None:
        headers = {"accept": "text/event-stream", "last-event-id": self.after, **self.fleet.headers}
        async with self.fleet.http.stream("POST", url, json=self._operation(after="0"), headers=headers) as response:
            if response.status_code != 200:
                raise Ended(json.loads(await response.aread())["errors"])
            self.connections += 1
            self.transport = response.extensions["network_stream"].get_extra_info("socket")
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    await self._hear(json.loads(line.removeprefix("data: ")))
            self.ends["the stream's end"] += 1

    async def _hear(self, answer: dict[str, Any]) -> None:
        """An event that the server failed to tell of comes again behind the last that it told."""
        if "errors" in answer:
            raise Ended(answer["errors"])
        event = answer["data"]["anomalyDetected"]
        self.after = event["cursor"]
        self.seen.append((int(event["cursor"]), event["change"], event["anomaly"]["id"]))
        await asyncio.sleep(self.pause)

    def complaints(self, committed: list[Told]) -> dict[str, str]:
        """What is wrong with what it saw; nothing when it is what was committed."""
        later = itertools.pairwise(self.seen)
        found = {
            "missed": sorted({*committed} - {*self.seen}),
            "invented": sorted({*self.seen} - {*committed}),
            "repeated": [told for told, times in Counter(self.seen).items() if times > 1],
            "out of order": [second for first, second in later if second < first],
        }
        return {what: brief(events) for what, events in found.items() if events}


def brief(events: list[Told]) -> str:
    ids = [id for id, *_ in events]
    return f"{len(ids)} from {min(ids)} to {max(ids)}: {ids[:20]}"


@dataclass
class Monkey:
    """Cuts and slows down at random all the time, and brings about one outage after the other."""

    fleet: Fleet
    subscribers: list[Subscriber]
    writers: list[Writer]
    choices: random.Random
    cuts: int = 0
    marks: list[int] = field(default_factory=list)  # the newest event before, between and after outages
    written_meanwhile: list[int] = field(default_factory=list)  # events, while one of the servers was away
    logs: list[str] = field(default_factory=list)  # of servers that have ended

    async def tease(self) -> None:
        while True:
            await asyncio.sleep(self.choices.uniform(0, 0.15))
            victim = self.choices.choice(self.subscribers)
            if self.choices.random() < 0.7:
                self.cuts += victim.cut()
            else:
                victim.pause = self.choices.choice([0.0, 0.0, 0.0, 0.1])

    async def rampage(self) -> None:
        for outage in (self._kill_a_server, self._stop_a_server, self._kill_postgres, self._kill_both):
            await self._written()
            await asyncio.sleep(self.choices.uniform(0, 0.5))
            await outage()
        await self._written()

    async def _written(self) -> None:
        """Waits until every writer has been served some more, then notes how far the log is."""
        enough = {writer.name: writer.done + 3 for writer in self.writers}
        await until(lambda: all(writer.done >= enough[writer.name] for writer in self.writers), 30)
        self.marks.append(await self.fleet.newest())

    async def _kill_a_server(self) -> None:
        server = self.fleet.servers[0]
        server.kill()
        await self._start(server)

    async def _stop_a_server(self) -> None:
        server = self.fleet.servers[1]
        await asyncio.to_thread(server.stop)
        assert server.stopped == 0, server.log
        await self._start(server)

    async def _kill_postgres(self) -> None:
        """While there is much to tell."""
        await self.fleet.record(self.fleet.failing[-BURST:])
        await asyncio.sleep(self.choices.uniform(0.2, 0.7))
        await kill_postgres(self.fleet.world)

    async def _kill_both(self) -> None:
        server = self.fleet.servers[0]
        server.kill()
        await kill_postgres(self.fleet.world)
        await self._start(server)

    async def _start(self, server: Served) -> None:
        """Again; the other one is written through meanwhile."""
        self.logs.append(server.log)
        before = await self.fleet.newest()
        await asyncio.to_thread(server.start)
        self.written_meanwhile.append(await self.fleet.newest() - before)


@pytest.fixture
async def fleet(tmp_path: Path, postgres: str) -> AsyncIterator[Fleet]:
    # As root, PostgreSQL runs as another user, who is locked out of tmp_path whenever somebody else starts pytest.
    with TemporaryDirectory() as folder, ExitStack() as own:
        url = own.enter_context(embedded_postgres(Path(folder)))
        services = build_services(settings_of(url))
        await migrate(services.database)
        await copy_models(postgres, url)
        make = Factory(services)
        networks = [await make.network(satellite=await make.satellite(name)) for name in ("East", "West")]
        links = [await make.link(network=network) for network in networks * 2]
        failing = await make_links(services, links, MACHINES * TURNS + BURST)
        anomalies = [await make.anomaly(link, severity=level) for link, level in zip(links, Severity, strict=False)]
        with ExitStack() as running:
            servers = [running.enter_context(served(tmp_path / name, url)) for name in ("first", "second")]
            async with Api.to(f"{servers[0].url}/graphql", services) as api:
                operator = await api.as_(Role.OPERATOR)
                await services.database.close()
                world = World(Path(folder), own, url, servers[0], operator)
                yield Fleet(world, servers, api.http, links, failing, [id_of(anomaly) for anomaly in anomalies])


async def make_links(services: Services, models: list[Link], count: int) -> list[Link]:
    """Links at the sites and in the networks of these, in turn, and what is usual for each."""
    numbers = range(100_000, 100_000 + count)
    async with services.database.write() as session:
        links = [
            Link(number=number, name=f"Link {number}", network_id=model.network_id, site_id=model.site_id)
            for number, model in zip(numbers, itertools.cycle(models))
        ]
        session.add_all(links)
        await session.flush()
        session.add_all(build_baseline(link, LINK_CENTRE, LINK_SPREAD, "OB") for link in links)
    return links


def served(folder: Path, url: str) -> Served:
    folder.mkdir()
    return Served(folder, DATABASE_URL=url, **SETTINGS)


def interests(link: Link) -> dict[str, Interest]:
    everything = [*AnomalyChange]
    return {
        "all": Interest({}, everything, "true"),
        "opened": Interest({}, ["OPENED"], "true"),
        "of people": Interest({}, ["ACKNOWLEDGED", "JUDGED"], "true"),
        "of a satellite": Interest({"satellite": "East"}, everything, "facts->'satellites' ? 'East'"),
        "severe": Interest({"minSeverity": "HIGH"}, ["OPENED", "JUDGED"], "(facts->>'severity')::int >= 2"),
        "over": Interest({"statuses": ["RESOLVED"]}, everything, "facts->>'status' = 'RESOLVED'"),
        "of a link": Interest({"target": id_of(link)}, everything, f"facts->>'target_id' = '{link.id}'"),
        "of sites": Interest({"kind": "SITE"}, everything, "facts->>'kind' = 'SITE'"),  # never any: its cursor stays
    }


def subscribers_of(fleet: Fleet) -> list[Subscriber]:
    return [
        Subscriber(f"{name} {number}", fleet, interest, number == 0, random.Random(f"{SEED} {name} {number}"))
        for name, interest in interests(fleet.links[0]).items()
        for number in range(SUBSCRIBERS_OF_EACH_INTEREST)
    ]


@asynccontextmanager
async def meanwhile(works: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """These go on until this ends."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


async def storm(monkey: Monkey) -> None:
    """Ends with everything up again, and every write acknowledged."""
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for writer in monkey.writers:
            group.create_task(writer.write())
        async with meanwhile([monkey.tease()]):
            await monkey.rampage()
        for writer in monkey.writers:
            writer.stopped = True


async def caught_up(subscribers: list[Subscriber], committed: dict[str, list[Told]]) -> None:
    """Waits for who is behind, but not for ever: what they miss is told in better words than a timeout's."""
    for subscriber in subscribers:
        subscriber.pause = 0.0
    with suppress(TimeoutError):
        await until(lambda: all(each.seen[-1:] == committed[each.name][-1:] for each in subscribers), 30)
    await asyncio.sleep(0.5)  # for what should not come


async def test_every_subscriber_sees_exactly_the_committed_events_in_order_whatever_dies_meanwhile(
    fleet: Fleet,
) -> None:
    subscribers = subscribers_of(fleet)
    people = [Writer(f"operator {number}", fleet) for number in range(4)]
    machines = [Writer(f"machine {number}", fleet, fleet.failing[number:-BURST:MACHINES]) for number in range(MACHINES)]
    monkey = Monkey(fleet, subscribers, [*people, *machines], random.Random(SEED))

    async with meanwhile(subscriber.follow() for subscriber in subscribers):
        await storm(monkey)
        committed = {each.name: await fleet.committed(each.interest) for each in subscribers}
        await caught_up(subscribers, committed)

    wrong = {each.name: found for each in subscribers if (found := each.complaints(committed[each.name]))}
    assert wrong == {}
    assert all(each.seen == committed[each.name] for each in subscribers)
    assert {each.name for each in subscribers if not each.seen} == {
        f"of sites {number}" for number in range(SUBSCRIBERS_OF_EACH_INTEREST)
    }
    assert await written_once(fleet) >= {writer.note(number) for writer in people for number in range(writer.done)}
    assert_there_was_chaos(monkey)


async def written_once(fleet: Fleet) -> set[str]:
    """The notes of what people did, each of which has an event."""
    [row] = await fleet.world.fetch("SELECT count(*) FROM events WHERE change = 'JUDGED'")
    notes = [row["note"] for row in await fleet.world.fetch(NOTES)]
    assert row["count"] == len(notes)
    return {*notes}


def assert_there_was_chaos(monkey: Monkey) -> None:
    """Else the test has proven nothing; and clients were told nothing worse than to come again."""
    ends = sum((each.ends for each in monkey.subscribers), Counter[str]())
    logs = [*monkey.logs, *(server.log for server in monkey.fleet.servers)]
    assert monkey.marks[0] > 0
    assert all(before < after for before, after in itertools.pairwise(monkey.marks)), monkey.marks
    assert all(events > 0 for events in monkey.written_meanwhile), monkey.written_meanwhile
    assert monkey.cuts > len(monkey.subscribers)
    assert all(each.connections > 1 for each in monkey.subscribers)
    assert "1001" in ends, ends
    assert len(ends) > 2, ends  # however the deaths looked from outside: resets and half-read answers alike
    assert monkey.fleet.troubles["SERVICE_UNAVAILABLE"] > 0, monkey.fleet.troubles
    assert {end for end in ends if end.isupper()} <= {"LAGGED", "SERVICE_UNAVAILABLE"}, (ends, logs)
    assert [log for log in logs if "Traceback" in log] == []
