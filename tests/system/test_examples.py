"""The example clients as people run them, through restarts of the server."""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bcom_graphql import app
from bcom_graphql.demo_account import EMAIL, PASSWORD
from bcom_graphql.services import build_services
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.operations.maintenance import maintain
from tests.conftest import settings_of
from tests.helpers.faulted import BROKEN_REMOTE, built, fleet, recorded
from tests.helpers.places import FOLDER, ROOT
from tests.helpers.support import (
    EXTREME,
    LINK_CENTRE,
    LINK_SPREAD,
    QUIET,
    Api,
    Factory,
    Server,
    record_levels,
    serving,
    sql,
    until,
)

EXAMPLES = ROOT / "examples"
REGISTER = """mutation ($input: RegisterInput!) { register(input: $input) { __typename } }"""
INGESTED = """Link {0}:
6 accepted, 0 duplicates, 1 rejected
  row 5: There is no link with the number 0.
  1 left out of rxLevelDbm: must be between -150 and 10 dBm
The same once more, as after a lost answer:
0 accepted, 6 duplicates, 1 rejected
  row 5: There is no link with the number 0.
  1 left out of rxLevelDbm: must be between -150 and 10 dBm
"""
LANGUAGES = [
    "python",
    pytest.param(
        "typescript",
        marks=[
            pytest.mark.slow,  # npm ci
            pytest.mark.xdist_group("npm examples"),
            pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not here"),
        ],
    ),
]
At = Callable[[int], AbstractAsyncContextManager[Api]]


@pytest.fixture(scope="session")
def typescript() -> Path:
    """The example built as its README says, its packages installed once."""
    lock_file = EXAMPLES / "typescript" / "package-lock.json"
    home = FOLDER / f"example-{hashlib.sha256(lock_file.read_bytes()).hexdigest()[:8]}"
    copy = home / "examples" / "typescript"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "example.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unwanted = shutil.ignore_patterns("node_modules", "dist", "generated")
        shutil.copytree(EXAMPLES / "typescript", copy, dirs_exist_ok=True, ignore=unwanted)
        shutil.copytree(ROOT / "schema", home / "schema", dirs_exist_ok=True)
        if not (copy / "node_modules" / ".package-lock.json").exists():
            _npm(copy, "ci", "--no-audit", "--no-fund")
        _npm(copy, "run", "build")
    return copy


def _npm(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["npm", *arguments], cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Example:
    """A client in one of the languages, at one address."""

    commands: dict[str, list[str]]
    folder: Path

    async def start(self, command: str, url: str, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.commands[command],
            *arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**os.environ, "BCOM_URL": url, **environment},
        )

    async def run(self, command: str, url: str, *arguments: str, **environment: str) -> tuple[int | None, str, str]:
        """How it ended, what it said, what it complained of."""
        process = await self.start(command, url, *arguments, **environment)
        said, complained = await asyncio.wait_for(process.communicate(), 90)
        return process.returncode, said.decode(), complained.decode()

    @asynccontextmanager
    async def following(self, url: str) -> "AsyncIterator[Following]":
        process = await self.start("follow", url)
        assert process.stdout
        assert process.stderr
        try:
            yield Following(process.stdout, process.stderr)
        finally:
            process.kill()
            await process.communicate()


@dataclass(frozen=True)
class Following:
    events: asyncio.StreamReader
    remarks: asyncio.StreamReader

    async def link(self) -> str:
        """The link that the next event is about."""
        line = (await asyncio.wait_for(self.events.readline(), 20)).decode()
        assert line, (await self.remarks.read()).decode()
        [name] = re.findall(r"Link (Link \d+) OB", line)
        return str(name)

    async def remark(self, containing: str) -> str:
        async with asyncio.timeout(20):
            while containing not in (line := (await self.remarks.readline()).decode()):
                assert line, f"it ended without saying {containing}"
        return line.strip()


@pytest.fixture(params=LANGUAGES)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    names = ("topology", "ingest", "diagnose", "follow")
    if request.param == "python":
        return Example({name: [sys.executable, str(EXAMPLES / "python" / f"{name}.py")] for name in names}, tmp_path)
    built: Path = request.getfixturevalue("typescript") / "dist"
    return Example({name: ["node", str(built / f"{name}.js")] for name in names}, tmp_path)


@pytest.fixture
async def demo(api: Api) -> Api:
    """A server with the demo's account."""
    await api.run(REGISTER, input={"email": EMAIL, "password": PASSWORD})
    return api


@pytest.fixture
def at(database_url: str) -> At:
    """Starts a server on a port."""

    @asynccontextmanager
    async def start(port: int) -> AsyncIterator[Api]:
        settings = settings_of(database_url, profile="development")
        services = build_services(settings)
        async with serving(app.application(services, settings), port) as url, Api.to(url, services) as client:
            yield client

    return start


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
    return number


async def break_down(api: Api, make: Factory) -> str:
    """A link whose anomaly has just opened; its name."""
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    now = datetime.now(UTC)
    operator = await api.as_(Role.OPERATOR)
    recorded = await record_levels(operator, link, {now - timedelta(seconds=10): QUIET, now: EXTREME})
    assert recorded["anomalies"]
    return link.name


async def test_the_topology_is_listed_page_by_page(example: Example, demo: Api, make: Factory) -> None:
    networks = [await make.network() for _ in range(6)]
    links = [await make.link(network=networks[0]) for _ in range(21)]
    names = [network.name for network in networks] + [link.name for link in links]

    code, said, complained = await example.run("topology", demo.url)

    assert (code, complained) == (0, "")
    lines = said.splitlines()
    assert len(lines) == len(names)
    assert all(sum(name in line for line in lines) == 1 for name in names)


async def test_a_batch_is_ingested_and_told_of_row_by_row(example: Example, demo: Api, make: Factory) -> None:
    link = await make.link()

    code, said, complained = await example.run("ingest", demo.url, "--link", str(link.number))

    assert (code, said, complained) == (0, INGESTED.format(link.number), "")


async def test_an_ingested_fault_opens_an_anomaly(example: Example, demo: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")

    _, said, complained = await example.run("ingest", demo.url, "--link", str(link.number), "--fault")

    assert re.search(r"\n  anomaly: OPEN, \w+, confidence [01]\.\d\d\n", said), complained


async def test_a_reading_is_judged_and_something_recommended_where_nothing_was_recorded(
    example: Example, demo: Api, make: Factory
) -> None:
    link = await make.link()

    code, said, complained = await example.run("diagnose", demo.url, "--link", str(link.number))

    assert (code, complained) == (0, "")
    assert re.match(rf"Link {link.number}, {link.name}:\nDetection: an anomaly, score 0.\d\d, confidence", said)
    assert "\nNo analysis: " in said
    assert re.search(r"\nRecommended for the detection:\n  1. (HIGH|MEDIUM|LOW) +\w", said)


async def test_a_faulty_link_s_cause_is_told_and_something_recommended(
    example: Example, demo: Api, services: Services
) -> None:
    faulty = next(link for link in fleet().links if link.site == 1001)
    await built(services)
    await recorded(services, [BROKEN_REMOTE])

    code, said, complained = await example.run("diagnose", demo.url, "--link", str(faulty.number))

    assert (code, complained) == (0, "")
    assert re.search(r"\nAnalysis: \d+ links compared, \d patterns\n  REMOTE_EQUIPMENT, confidence [01]", said), said
    assert "\nRecommended for the analysis:\n" in said
    assert len(re.findall(r"^  \d. (?:HIGH|MEDIUM|LOW) ", said, re.MULTILINE)) >= 3


async def test_a_wrong_password_is_told_in_a_line(example: Example, demo: Api) -> None:
    code, said, complained = await example.run("topology", demo.url, BCOM_PASSWORD="not this one")

    assert (code, said) == (1, "")
    assert complained.splitlines() == ["This e-mail address and password do not match."]


async def test_a_server_that_is_away_is_told_in_a_line(example: Example, port: int) -> None:
    code, said, complained = await example.run("topology", f"http://127.0.0.1:{port}/graphql")

    assert (code, said) == (1, "")
    assert re.fullmatch(rf"http://127.0.0.1:{port}/graphql does not answer: .+\n", complained)


async def test_a_follower_goes_on_with_another_server_and_tells_of_each_event_once(
    example: Example, at: At, port: int, server: Server, make: Factory
) -> None:
    async with server() as elsewhere, example.following(f"http://127.0.0.1:{port}/graphql") as follower:
        await elsewhere.run(REGISTER, input={"email": EMAIL, "password": PASSWORD})
        await follower.remark("does not answer")
        async with at(port) as api:
            present = await break_down(api, make)
            assert await follower.link() == present
        await follower.remark("closed the connection")
        missed = await break_down(elsewhere, make)
        async with at(port) as api:
            assert await follower.link() == missed
            last = await break_down(api, make)
            assert await follower.link() == last


async def test_a_follower_that_is_started_again_goes_on_where_it_was(
    example: Example, demo: Api, make: Factory
) -> None:
    first = await break_down(demo, make)
    async with example.following(demo.url) as follower:
        assert await follower.link() == first
        await until(lambda: '"filter"' not in (example.folder / "anomalies.cursor").read_text())
    missed = await break_down(demo, make)

    async with example.following(demo.url) as follower:
        assert await follower.link() == missed


async def test_a_follower_outlives_its_access_token(example: Example, demo: Api, make: Factory) -> None:
    object.__setattr__(demo.services.tokens, "life", timedelta(seconds=2))
    object.__setattr__(demo.services.tokens, "leeway", timedelta(0))
    async with example.following(demo.url) as follower:
        await follower.remark("closed the connection (4403)")

        link = await break_down(demo, make)

        assert await follower.link() == link


async def test_a_follower_that_is_too_slow_goes_on_where_it_was(example: Example, demo: Api, make: Factory) -> None:
    demo.services.feed.queue_length = 0  # anybody is
    async with example.following(demo.url) as slow:
        await slow.remark("Connected")
        await asyncio.sleep(0.5)

        link = await break_down(demo, make)

        await slow.remark("fell too far behind")
        assert await slow.link() == link


async def test_a_follower_is_told_that_it_comes_too_late_and_goes_on(
    example: Example, demo: Api, make: Factory
) -> None:
    for _ in range(2):
        await break_down(demo, make)
    await sql(demo.services, "UPDATE events SET at = now() - interval '8 days'")
    await maintain(demo.services)
    (example.folder / "anomalies.cursor").write_text('{"after": "1"}')
    async with example.following(demo.url) as follower:
        await follower.remark("no longer kept")

        link = await break_down(demo, make)

        assert await follower.link() == link
