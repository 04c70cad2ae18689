"""Wake-ups by NATS: quick while it is there, and not missed when it is away, but for a moment."""

import asyncio
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from pydantic import ValidationError
from structlog.testing import capture_logs

from bcom_graphql import app
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.services import Pace, build_services
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.events.database import EventDatabase
from resolvers.store.events.log import publish
from resolvers.store.events.nats import NatsWakeups, parse
from resolvers.store.events.wakeups import PAUSES, Channel
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate
from tests.conftest import settings_of
from tests.helpers.settings import settings_from
from tests.helpers.support import QUIET, Factory, Server, ago, id_of, record_levels, until
from tests.resolvers.store import test_event_log as event_log
from tests.resolvers.store.test_event_log import HERE, LAST, heard, taken, tell, told
from tests.resolvers.store.test_live_samples import following, levels, new, next_of

WATCH = "subscription { anomalyDetected(changes: [ACKNOWLEDGED]) { change } }"
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"
INTERRUPTED, GOES_ON = "background work is interrupted, trying again", "background work goes on"
DATABASE_AWAY, DATABASE_BACK = ("event feed", INTERRUPTED), ("event feed", GOES_ON)
AWAY, BACK = ("NATS", INTERRUPTED), ("NATS", GOES_ON)
UNPOLLED = Pace(poll_seconds=3600.0, retry_seconds=0.05)  # what is heard of is heard of by NATS
POLLED = replace(UNPOLLED, poll_seconds=0.1)
PASSWORD = "p@ss:w/rd, or so"
QUOTED = "p%40ss%3Aw%2Frd%2C%20or%20so"

Logs = list[MutableMapping[str, Any]]


class Nats:
    """A server that can be killed, and started again where it was."""

    def __init__(self, folder: Path) -> None:
        self._config = folder / "nats.conf"
        self._port = _quiet_port()
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_of("")

    def url_of(self, credentials: str, scheme: str = "nats") -> str:
        return f"{scheme}://{credentials}127.0.0.1:{self._port}"

    def start(self, config: str = "") -> None:
        self._config.write_text(config)
        command = ["nats-server", "--addr", "127.0.0.1", "--port", str(self._port), "--config", str(self._config)]
        self._running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._running.poll() is None, "nats-server has ended"
            assert time.monotonic() < deadline, "nats-server does not answer"
            time.sleep(0.005)

    def kill(self) -> None:
        if self._running:
            self._running.kill()
            self._running.wait()

    def _answers(self) -> bool:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self._port), timeout=1)) as connection:
            return connection.recv(4) == b"INFO"
        return False


def _quiet_port() -> int:
    """Below those that systems hand out, as it must be free again for a restart."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(15_000, 32_000))) as free:
            port: int = free.getsockname()[1]
            return port


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Nats]:
    """Which was not started yet."""
    if shutil.which("nats-server") is None:
        pytest.skip("nats-server is not here")
    server = Nats(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def nats(stopped: Nats) -> Nats:
    stopped.start()
    return stopped


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What is logged, warnings too."""
    configure_logging("json", "info")
    with capture_logs() as captured:
        yield captured
    configure_logging("json", "error")


@pytest.fixture
def server(server: Server) -> Server:
    """Starts servers that hear only of what NATS tells them."""
    return partial(server, pace=UNPOLLED)


def process(url: str, pace: Pace = UNPOLLED, **given: Any) -> AbstractAsyncContextManager[Services]:
    return event_log.process(url, pace, **given)


def is_connected(services: Services) -> bool:
    wakeups = services.database.wakeups
    assert isinstance(wakeups, NatsWakeups)
    return wakeups._connection is not None


async def connected(*processes: Services) -> None:
    await until(lambda: all(map(is_connected, processes)), 20)


async def disconnected(*processes: Services) -> None:
    await until(lambda: not any(map(is_connected, processes)), 20)


@asynccontextmanager
async def processes(url: str, nats: Nats, pace: Pace = UNPOLLED) -> AsyncIterator[tuple[Services, Services]]:
    """Two, which are connected by now."""
    async with process(url, pace, events_url=nats.url) as here, process(url, pace, events_url=nats.url) as there:
        await connected(here, there)
        yield here, there


@asynccontextmanager
async def subscribed(nats: Nats, subject: str) -> AsyncIterator[tuple[Client, Subscription]]:
    """Somebody who takes down what is published."""
    client = Client()
    await client.connect(nats.url, allow_reconnect=False)
    subscription = await client.subscribe(subject)
    await client.flush()
    yield client, subscription
    await client.close()


def said(logs: Logs, *wanted: tuple[str, str]) -> list[tuple[str, str]]:
    """What workers logged of this, by their names."""
    entries = [(entry.get("worker", ""), entry["event"]) for entry in logs]
    return [entry for entry in entries if entry in wanted]


# ---------------------------------------------------------------- while it is there


async def test_an_event_wakes_a_subscription_of_another_process(server: Server, make: Factory, nats: Nats) -> None:
    async with server(events_url=nats.url) as here, server(events_url=nats.url) as there:
        await connected(here.services, there.services)
        operator = await here.as_(Role.OPERATOR)
        async with (await there.as_(Role.VIEWER)).socket() as socket:
            await socket.subscribe(WATCH)

            for _ in range(3):
                await operator.run(ACKNOWLEDGE, id=id_of(await make.anomaly()))

                assert await socket.next() == {"anomalyDetected": {"change": "ACKNOWLEDGED"}}


async def test_new_samples_wake_their_followers_in_another_process(server: Server, make: Factory, nats: Nats) -> None:
    link = await make.link()
    async with server(events_url=nats.url) as here, server(events_url=nats.url) as there:
        await connected(here.services, there.services)
        operator = await here.as_(Role.OPERATOR)
        async with following(await there.as_(Role.VIEWER), link) as socket:
            for second in range(3):
                await record_levels(operator, link, levels(-41.0, first=second))

                assert await next_of(socket, 20) == new(link, levels(-41.0, first=second))


async def test_postgres_neither_listens_nor_notifies(
    server: Server, services: Services, make: Factory, nats: Nats, database_url: str
) -> None:
    link, anomaly = await make.link(), await make.anomaly()
    notified: list[Any] = []
    listener = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    async with server(events_url=nats.url) as api:
        await connected(api.services)
        for channel in ("bcom_events", "bcom_samples"):
            await listener.add_listener(channel, lambda *heard: notified.append(heard[3]))
        operator = await api.as_(Role.OPERATOR)

        await operator.run(ACKNOWLEDGE, id=id_of(anomaly))
        await record_levels(operator, link, {ago(minutes=1): QUIET})
        query = f"SELECT count(*) {HERE} AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()"
        others = await listener.fetchval(f"{query} AND pid <> {listener.get_server_pid()}")

    await listener.execute("NOTIFY bcom_events, 'at last'")
    await until(lambda: "at last" in notified)
    await listener.close()
    assert (others, notified) == (0, ["at last"])


async def test_a_command_tells_before_it_ends(database_url: str, nats: Nats) -> None:
    async with process(database_url, events_url=nats.url) as server:
        await connected(server)
        follower = asyncio.create_task(heard(server.feed))
        command = build_services(settings_of(database_url, events_url=nats.url), pace=UNPOLLED)

        await tell(command, LAST)
        await command.database.close()

        assert await follower == [LAST]


async def test_many_commits_are_told_of_by_few_empty_messages(
    database_url: str, nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PAUSES, Channel.EVENTS, 0.5)  # type: ignore[arg-type]
    async with subscribed(nats, ">") as (client, messages), process(database_url, events_url=nats.url) as here:
        await connected(here)

        began = time.monotonic()
        await asyncio.gather(*(tell(here, f"{number}") for number in range(100)))
        await here.database.wakeups.close()
        seconds = time.monotonic() - began
        await client.flush()
        count = messages.pending_msgs
        first = await messages.next_msg()

    assert 1 <= count <= 2 + seconds / 0.5
    assert (first.subject, first.data) == ("bcom.events", b"")


async def test_the_urls_path_keeps_installations_apart(database_url: str, nats: Nats) -> None:
    north, south = f"{nats.url}/north", f"{nats.url}/south"
    async with (
        subscribed(nats, ">") as (client, messages),
        process(database_url, events_url=north) as here,
        process(database_url, events_url=south) as there,
    ):
        await connected(here, there)
        await tell(here, "a")
        await tell(there, "b")
        await here.database.wakeups.close()
        await there.database.wakeups.close()
        await client.flush()
        subjects = [(await messages.next_msg()).subject for _ in range(messages.pending_msgs)]

    assert sorted(set(subjects)) == ["north.events", "south.events"]


# ---------------------------------------------------------------- while it is away


async def test_without_nats_a_server_starts_and_serves_and_polls(
    server: Server, make: Factory, stopped: Nats, logs: Logs
) -> None:
    async with server(events_url=stopped.url_of(f"ada:{QUOTED}@"), pace=POLLED) as here:
        operator = await here.as_(Role.OPERATOR)
        async with operator.socket() as socket:
            await socket.subscribe(WATCH)

            await operator.run(ACKNOWLEDGE, id=id_of(await make.anomaly()))

            assert await socket.next() == {"anomalyDetected": {"change": "ACKNOWLEDGED"}}

    assert said(logs, AWAY) == [AWAY]
    assert PASSWORD not in str(logs)
    assert QUOTED not in str(logs)


async def test_when_nats_is_killed_commits_succeed_and_events_are_found_by_looking(
    database_url: str, nats: Nats, logs: Logs
) -> None:
    async with processes(database_url, nats, POLLED) as (here, there):
        nats.kill()
        await disconnected(here, there)
        await tell(here, *"abc", LAST)

        assert await heard(here.feed) == await heard(there.feed) == ["a", "b", "c", LAST]

    assert said(logs, AWAY, BACK) == [AWAY, AWAY]


async def test_when_nats_is_back_everybody_looks_once_and_is_woken_again(
    database_url: str, nats: Nats, logs: Logs
) -> None:
    async with processes(database_url, nats) as (here, there):
        follower = asyncio.create_task(heard(there.feed))
        await until(lambda: there.feed.followers == 1)
        nats.kill()
        await disconnected(here, there)
        await tell(here, "meanwhile")

        nats.start()
        await connected(here, there)
        await taken(there.feed, 1)
        await tell(here, LAST)

        assert await follower == ["meanwhile", LAST]

    assert said(logs, AWAY, BACK) == [AWAY, AWAY, BACK, BACK]


async def test_what_could_not_be_told_is_told_when_its_writer_is_back(
    database_url: str, nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakeups = NatsWakeups(nats.url, retry_seconds=UNPOLLED.retry_seconds)
    database = EventDatabase(database_url, wakeups=wakeups)
    async with processes(database_url, nats) as (here, there):
        with monkeypatch.context() as away:
            away.setattr(NatsWakeups, "_begin", lambda _: None)
            async with database.write() as session:
                publish(session, told(LAST))
            await until(lambda: wakeups._owed == {Channel.EVENTS})

        wakeups._begin()

        assert await heard(here.feed) == await heard(there.feed) == [LAST]
    await database.close()


async def test_it_tries_again_for_ever_and_says_so_once(database_url: str, logs: Logs) -> None:
    attempts = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with process(database_url, events_url=f"nats://127.0.0.1:{port}"):
            await until(lambda: attempts > 5, 20)

    assert said(logs, AWAY, BACK) == [AWAY]


async def test_the_next_of_several_servers_is_tried(database_url: str, nats: Nats, logs: Logs) -> None:
    urls = f"nats://127.0.0.1:9,{nats.url}"
    async with process(database_url, events_url=urls) as here, process(database_url, events_url=nats.url) as there:
        await connected(here, there)
        await tell(here, LAST)

        assert await heard(there.feed) == [LAST]

    assert said(logs, AWAY, BACK) == [AWAY, BACK]


async def test_an_outage_of_the_database_is_survived(tmp_path: Path, nats: Nats, logs: Logs) -> None:
    hooked: list[str] = []
    with ExitStack() as postgres:
        url = postgres.enter_context(embedded_postgres(tmp_path / "data"))
        first = build_services(settings_of(url))
        await migrate(first.database)
        await first.database.close()
        async with process(url, events_url=nats.url) as here:
            here.feed.add_hook("any", lambda: hooked.append("called"))
            await until(lambda: hooked == ["called"], 20)
            postgres.close()  # stops the server
            await until(lambda: DATABASE_AWAY in said(logs, DATABASE_AWAY), 20)
            postgres.enter_context(embedded_postgres(tmp_path / "data"))
            await until(lambda: hooked == ["called", "called"], 20)
            await tell(here, LAST)

            assert await heard(here.feed) == [LAST]

    assert said(logs, DATABASE_AWAY, DATABASE_BACK, AWAY) == [DATABASE_AWAY, DATABASE_BACK]


# ---------------------------------------------------------------- who may


LOCKED = f"""authorization {{ users = [
  {{ user: ada, password: "{PASSWORD}" }}
  {{ user: deaf, password: "x", permissions: {{ subscribe: {{ deny: ["bcom.>"] }} }} }}
] }}"""


@pytest.mark.parametrize(
    ("config", "credentials"),
    [
        pytest.param(LOCKED, f"ada:{QUOTED}@", id="password"),
        pytest.param(f'authorization {{ token: "{PASSWORD}" }}', f"{QUOTED}@", id="token"),
    ],
)
async def test_credentials_are_taken_from_the_url(
    database_url: str, stopped: Nats, config: str, credentials: str
) -> None:
    stopped.start(config)
    async with process(database_url, events_url=stopped.url_of(credentials)) as here:
        await connected(here)


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [("ada:hush@", "Authorization Violation"), ("deaf:x@", "permissions violation for subscription")],
)
async def test_who_is_not_let_in_is_told_why_and_once(
    database_url: str, stopped: Nats, credentials: str, reason: str, logs: Logs
) -> None:
    stopped.start(LOCKED)
    async with process(database_url, events_url=stopped.url_of(credentials)) as here:
        await until(lambda: bool(said(logs, AWAY)), 20)
        await asyncio.sleep(0.2)

        assert not is_connected(here)

    assert said(logs, AWAY, BACK) == [AWAY]
    assert reason.lower() in str(logs).lower()
    assert "hush" not in str(logs)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """That this process trusts; the server's configuration with it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=nats"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    return f'tls {{ cert_file: "{made}", key_file: "{key}" }}'


async def test_a_tls_url_is_encrypted(database_url: str, stopped: Nats, certificate: str) -> None:
    stopped.start(f"{certificate}\n{LOCKED}")
    url = stopped.url_of(f"ada:{QUOTED}@", "tls")
    async with process(database_url, events_url=url) as here, process(database_url, events_url=url) as there:
        await connected(here, there)
        await tell(here, LAST)

        assert await heard(there.feed) == [LAST]


async def test_a_server_that_does_not_encrypt_is_sent_nothing_by_a_tls_url(database_url: str, logs: Logs) -> None:
    received: list[bytes] = []

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"auth_required": true, "max_payload": 1048576}\r\n')
        received.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(pretend, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with process(database_url, events_url=f"tls://ada:hush@127.0.0.1:{port}"):
            await until(lambda: len(received) > 1, 20)

    assert set(received) == {b""}
    away = [entry["reason"] for entry in logs if (entry.get("worker"), entry["event"]) == AWAY]
    assert away == ["nats: secure connection required"]


# ---------------------------------------------------------------- the setting


def test_several_servers_have_credentials_of_their_own_and_one_prefix() -> None:
    servers, prefix = parse(f"nats://ada:{QUOTED}@a.example.com:4223, tls://token@[::1], nats://c.example.com/my.own")

    assert [server.url for server in servers] == ["nats://a.example.com:4223", "tls://[::1]", "nats://c.example.com"]
    assert [server.credentials for server in servers] == [{"user": "ada", "password": PASSWORD}, {"token": "token"}, {}]
    assert prefix == "my.own"
    assert PASSWORD not in str(servers)


@pytest.mark.parametrize(
    "url",
    [
        "http://hush@host:4222",
        "host:4222",
        "nats://",
        "nats://hush@",
        "nats://hush@host:99999",
        "nats://hush@host:http",
        "nats://hush@host/two/levels",
        "nats://hush@host/every.>",
        "nats://hush@host/with blank",
        "nats://hush@host/prefix,nats://other",
        "nats://hush@host,",
        "nats://hush@host?tls=true",
    ],
)
def test_what_is_no_url_of_nats_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings_from(events_url=url)

    [error] = refused.value.errors()
    assert error["loc"] == ("events_url",)
    assert "must look like nats://user:password@host:4222/prefix" in error["msg"]
    assert "hush" not in error["msg"]


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)

    with pytest.raises(ValueError, match=r"pip install 'bcom-graphql\[nats\]'"):
        app.check(settings_of("postgresql://nobody@nowhere/nothing", events_url="nats://127.0.0.1"))
