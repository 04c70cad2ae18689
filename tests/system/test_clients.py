"""The clients that people really use, from npm, against our server."""

import asyncio
import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import orjson
import pytest

from resolvers.base.roles import Role
from tests.helpers.places import FOLDER, ROOT
from tests.helpers.support import Api, Factory, id_of

CLIENTS = ROOT / "tests" / "clients"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not here")]


@pytest.fixture(scope="session")
def clients() -> Path:
    """The npm packages, installed once for all processes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    home = FOLDER / f"clients-{hashlib.sha256((CLIENTS / 'package-lock.json').read_bytes()).hexdigest()[:8]}"
    with (FOLDER / "clients.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copytree(CLIENTS, home, dirs_exist_ok=True)
        if not (home / "node_modules" / ".package-lock.json").exists():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=home, check=True, capture_output=True)
    return home


async def node(*arguments: object, cwd: Path | None = None) -> asyncio.subprocess.Process:
    words, pipe = [str(argument) for argument in arguments], subprocess.PIPE
    return await asyncio.create_subprocess_exec("node", *words, stdout=pipe, stderr=pipe, cwd=cwd)


async def line(process: asyncio.subprocess.Process) -> bytes:
    """The next line that it prints; what it complained of when there is none."""
    assert process.stdout
    assert process.stderr
    said = await asyncio.wait_for(process.stdout.readline(), 20)
    assert said, (await process.stderr.read()).decode()
    return said.strip()


async def acknowledge(operator: Api, make: Factory) -> str:
    """What a client should hear of: the id of an anomaly that has just been acknowledged."""
    id = id_of(await make.anomaly())
    await operator.run("mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }", id=id)
    return id


def event(anomaly: str) -> object:
    return {"data": {"anomalyDetected": {"anomaly": {"id": anomaly}}}}


async def test_all_checks_of_the_official_audit_pass(api: Api, clients: Path) -> None:
    audit = await node(clients / "audit.mjs", api.url)

    said, complaints = await audit.communicate()

    assert said.decode().strip() == "61 checks, 0 failed", complaints.decode()


async def test_the_usual_websocket_client_hears_of_an_event(api: Api, clients: Path, make: Factory) -> None:
    operator = await api.as_(Role.OPERATOR)
    watch = await node(clients / "watch.mjs", api.url.replace("http", "ws"), operator.token)
    assert await line(watch) == b"ready"

    await acknowledge(operator, make)
    said, complaints = await watch.communicate()

    assert orjson.loads(said) == {"data": {"anomalyDetected": {"change": "ACKNOWLEDGED"}}}, complaints.decode()


async def test_the_usual_websocket_client_queries_and_leaves_a_subscription_in_one_socket(
    api: Api, clients: Path, make: Factory
) -> None:
    operator = await api.as_(Role.OPERATOR)
    converse = await node(clients / "converse.mjs", api.url.replace("http", "ws"), operator.token)
    viewer = {"data": {"viewer": {"role": "OPERATOR"}}}
    assert orjson.loads(await line(converse)) == viewer

    anomaly = await acknowledge(operator, make)

    assert orjson.loads(await line(converse)) == event(anomaly)
    assert orjson.loads(await line(converse)) == viewer
    assert await line(converse) == b"closed 1000"
    assert await converse.wait() == 0


async def test_the_usual_websocket_client_is_told_that_its_token_is_refused(api: Api, clients: Path) -> None:
    refused = await node(clients / "refused.mjs", api.url.replace("http", "ws"), "nonsense")

    said, complaints = await refused.communicate()

    assert said.decode().strip() == "4403 This access token is not valid; sign in again.", complaints.decode()


async def test_the_usual_event_stream_client_hears_of_past_and_present_events(
    api: Api, clients: Path, make: Factory
) -> None:
    operator = await api.as_(Role.OPERATOR)
    past = await acknowledge(operator, make)
    stream = await node(clients / "stream.mjs", api.url, operator.token)
    assert await line(stream) == b"ready"
    assert orjson.loads(await line(stream)) == event(past)

    present = await acknowledge(operator, make)

    assert orjson.loads(await line(stream)) == event(present)
    assert await stream.wait() == 0
