"""What docs/deploying.md and the files for platforms promise."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import websockets
import yaml
from sqlalchemy import text

from bcom_graphql import app
from bcom_graphql.graphql.limits import Limits
from bcom_graphql.services import build_services
from bcom_graphql.settings import Settings
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.postgres.create_database import create_database
from resolvers.store.postgres.database_url import parse
from resolvers.store.postgres.embedded.programs import Account, program
from resolvers.store.postgres.migrations import pending
from tests.conftest import Clones, replace_database, settings_of
from tests.helpers.command_line import check_command
from tests.helpers.places import ROOT
from tests.helpers.processes import free_port
from tests.helpers.settings import settings_from
from tests.helpers.support import Api, Factory, id_of, serving

GUIDE = (ROOT / "docs" / "deploying.md").read_text()
POSTGRES_TOOLS = program("psql", Account()).parent
REQUIRED = {"SECRET_KEY": "QbV8jC2mWz4nX7kP0sT5rY1uD6aF9gHe", "POSTGRES_PASSWORD": "p"}
RESUME = """subscription ($after: String) {
  anomalyDetected(after: $after, changes: [ACKNOWLEDGED]) { cursor anomaly { id } } }"""
WATCH = "subscription { anomalyDetected(changes: [ACKNOWLEDGED]) { change } }"
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"


def snippet(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    return found


def loaded(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def interpolated(given: Any, **environment: str) -> Any:
    """As Compose and shells do it: $NAME, ${NAME:-default}, ${NAME:?why not}; in the strings of lists and mappings."""
    if isinstance(given, dict):
        return {name: interpolated(value, **environment) for name, value in given.items()}
    if isinstance(given, list):
        return [interpolated(value, **environment) for value in given]

    def value(match: re.Match[str]) -> str:
        name, operator, word = match[1] or match[2], match[3], match[4]
        if operator == ":?":
            assert name in environment, word
        return environment.get(name, word or "")

    variable = r"\$(?:(\w+)|\{(\w+)(?:(:[-?])([^}]*))?\})"
    return re.sub(variable, value, given) if isinstance(given, str) else given


# ---------------------------------------------------------------- Docker Compose


@pytest.fixture
def compose() -> dict[str, Any]:
    given: dict[str, Any] = interpolated(loaded("docker-compose.yml"), **REQUIRED)
    return given


def test_the_compose_file_is_what_the_specification_says() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]

    found = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout


def test_what_compose_services_refer_to_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for source in (volume.partition(":")[0] for volume in service.get("volumes", ())):
            assert source in compose["volumes"]
        for name, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[name]
            assert how.get("required", True) is not bool(services[name].get("profiles"))
        assert service["restart"] == "unless-stopped"
        assert "no-new-privileges:true" in service["security_opt"]
    assert services["postgres"]["image"] == "postgres:18"
    assert services["server"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_compose_s_server_is_set_up_by_settings_that_there_are(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = compose["services"]["server"]
    for name, value in server["environment"].items():
        monkeypatch.setenv(name, str(value))

    settings = settings_from()

    assert {name.lower() for name in server["environment"]} <= Settings.model_fields.keys()
    assert settings.database_url is not None
    address = parse(settings.database_url.get_secret_value())
    assert (address.user, address.password, str(address)) == ("bcom", "p", "postgres:5432, database bcom")
    assert settings.events_url is settings.rate_limit_storage is None
    assert int(server["stop_grace_period"].removesuffix("s")) > settings.shutdown_seconds + 10 + 5
    check_command(shlex.join(server["command"]))


def test_compose_s_profiles_are_wired_as_its_comment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said = dict(re.findall(r"^# +([A-Z_]+)=(\S+)$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE))
    compose = interpolated(loaded("docker-compose.yml"), **REQUIRED, **said)
    for name, value in compose["services"]["server"]["environment"].items():
        monkeypatch.setenv(name, str(value))

    settings = settings_from()

    assert settings.events_url is not None
    assert settings.events_url.get_secret_value() == "nats://nats:4222"
    assert settings.rate_limit_storage is not None
    assert settings.rate_limit_storage.get_secret_value() == "redis://redis:6379/0"
    assert {name for name, one in compose["services"].items() if one.get("profiles") == [name]} == {"nats", "redis"}


@pytest.mark.parametrize("name", REQUIRED)
def test_compose_does_not_start_without_secrets(name: str) -> None:
    rest = {other: value for other, value in REQUIRED.items() if other != name}

    with pytest.raises(AssertionError, match=rf"{name}.* into \.env"):
        interpolated(loaded("docker-compose.yml"), **rest)


# ---------------------------------------------------------------- platforms


def test_the_render_blueprint_holds_together(monkeypatch: pytest.MonkeyPatch) -> None:
    blueprint = loaded("render.yaml")
    [web], [database] = blueprint["services"], blueprint["databases"]
    variables = {variable["key"]: variable for variable in web["envVars"]}

    assert (ROOT / "Dockerfile").exists()
    assert (web["type"], web["runtime"], web["healthCheckPath"]) == ("web", "docker", "/health/ready")
    assert variables["DATABASE_URL"]["fromDatabase"] == {"name": database["name"], "property": "connectionString"}
    assert variables["SECRET_KEY"] == {"key": "SECRET_KEY", "generateValue": True}
    assert {name.lower() for name in variables.keys() - {"PORT"}} <= Settings.model_fields.keys()
    assert f"--port {variables['PORT']['value']}" in web["dockerCommand"]
    assert 30 <= web["maxShutdownDelaySeconds"] <= 300
    for line in (web["preDeployCommand"], web["dockerCommand"]):
        check_command(line)


def test_the_procfile_and_heroku_s_file_say_the_same() -> None:
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    heroku = loaded("heroku.yml")

    assert heroku["build"]["docker"] == {"web": "Dockerfile"}
    assert heroku["run"] == {"web": procfile["web"]}
    assert heroku["release"] == {"image": "web", "command": [procfile["release"]]}
    for line in procfile.values():
        check_command(interpolated(line, PORT="5000"))
        check_command(interpolated(line, PORT="5000", WEB_CONCURRENCY="4"))


def test_the_guide_names_settings_and_commands_that_there_are() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    told = set(re.findall(r"`([A-Z][A-Z_]+[A-Z])(?:=[^`]*)?`", GUIDE)) - {"BAD_USER_INPUT", "LISTEN", "TMPDIR"}
    lines = re.findall(r"`(bcom-graphql [^`]+)`", GUIDE) + re.findall(r"^(bcom-graphql .+?) +#", GUIDE, re.MULTILINE)

    assert told <= settings
    assert len(lines) >= 6
    for line in {line for line in lines if line.split()[1] != "user"}:
        check_command(line)


# ---------------------------------------------------------------- behind a proxy


def started(command: list[str], port: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            httpx.get(f"http://127.0.0.1:{port}/metrics")
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            break
    return process


def nginx(folder: Path, upstream: str, port: int) -> list[str]:
    """The guide's, but for addresses and TLS."""
    site = snippet("nginx").replace("127.0.0.1:8010", upstream).replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    site = re.sub(r"^ *ssl_.*\n", "", site, flags=re.MULTILINE)
    kept = "".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder / 'pid'}; error_log {folder / 'errors'}; events {{}}"
        f" http {{ access_log off; {kept}\n{site} }}"
    )
    command = ["nginx", "-c", str(config), "-e", str(folder / "errors")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    return command


def caddy(folder: Path, upstream: str, port: int) -> list[str]:
    site = snippet("caddy").replace("127.0.0.1:8010", upstream)
    config = folder / "Caddyfile"
    config.write_text("{\n\tadmin off\n}\n" + site.replace("bcom.example.com", f"http://127.0.0.1:{port}"))
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    subprocess.run(["caddy", "validate", *command[2:]], check=True, capture_output=True)
    return command


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts the one before a server at this address; the URL to ask instead."""
    if not shutil.which(request.param.__name__):
        pytest.skip(f"{request.param.__name__} is not installed")
    running: list[subprocess.Popen[bytes]] = []

    def start(upstream: str) -> str:
        port = free_port()
        running.append(started(request.param(tmp_path, upstream, port), port))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        process.wait(30)


async def test_sockets_streams_and_requests_pass_the_guide_s_proxies(
    proxy: Callable[[str], str], api: Api, make: Factory
) -> None:
    operator, anomaly = await api.as_(Role.OPERATOR), await make.anomaly()
    upstream = api.url.removeprefix("http://").removesuffix("/graphql")
    url = await asyncio.to_thread(proxy, upstream)
    streamed, subscribed = {**operator.headers, "accept": "text/event-stream"}, {"query": WATCH}
    async with (
        httpx.AsyncClient(timeout=10) as client,
        websockets.connect(
            f"{url.replace('http', 'ws')}/graphql",
            subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
            origin=websockets.Origin(url),
        ) as socket,
        client.stream("POST", f"{url}/graphql", json=subscribed, headers=streamed) as stream,
    ):
        for message in ({"type": "connection_init", "payload": operator.headers}, {"type": "ping"}):
            await socket.send(json.dumps(message))
            await socket.recv()
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": subscribed}))
        await asyncio.sleep(0.5)

        question = {"query": ACKNOWLEDGE, "variables": {"id": id_of(anomaly)}}
        answer = await client.post(f"{url}/graphql", json=question, headers=operator.headers)
        pushed = json.loads(await asyncio.wait_for(socket.recv(), 20))
        event = await asyncio.wait_for(anext(part async for part in stream.aiter_text() if "data:" in part), 20)
        metrics = await client.get(f"{url}/metrics")

    assert answer.json() == {"data": {"acknowledgeAnomaly": {"__typename": "Anomaly"}}}
    assert pushed["payload"]["data"] == {"anomalyDetected": {"change": "ACKNOWLEDGED"}}
    assert '"change":"ACKNOWLEDGED"' in event
    assert metrics.status_code == 404


def test_proxies_let_through_what_the_server_does() -> None:
    """The largest upload, for as long as one may take."""
    [nginx_gigabytes] = re.findall(r"client_max_body_size (\d+)g;", snippet("nginx"))
    [caddy_gigabytes] = re.findall(r"max_size (\d+)GiB", snippet("caddy"))
    [seconds] = re.findall(r"proxy_read_timeout (\d+)s;", snippet("nginx"))

    assert int(nginx_gigabytes) * 1024**3 >= Limits().upload
    assert int(caddy_gigabytes) * 1024**3 >= Limits().upload
    assert int(seconds) > Limits().upload_seconds


# ---------------------------------------------------------------- backup and restore


async def test_the_guide_s_backup_restores_everything_and_cursors_stay_honest(
    api: Api, make: Factory, services: Services, database_url: str, new_url: str, tmp_path: Path
) -> None:
    """The event that the backup lacks is not mistaken for the one that would get its number."""
    operator = await api.as_(Role.OPERATOR)
    known, lost, later = [await make.anomaly() for _ in range(3)]
    backup, restore, advance = re.findall(r"^((?:pg_dump|pg_restore|psql) .+?)(?: +#.*)?$", GUIDE, re.MULTILINE)
    tools = f"{POSTGRES_TOOLS}:{os.environ['PATH']}"
    urls = {"URL": database_url.replace("+asyncpg", ""), "NEW_URL": new_url.replace("+asyncpg", "")}

    async def execute(line: str) -> None:
        process = await asyncio.create_subprocess_shell(line, env={"PATH": tools, **urls}, cwd=tmp_path)
        assert await process.wait() == 0

    await operator.run(ACKNOWLEDGE, id=id_of(known))
    await execute(backup)
    await operator.run(ACKNOWLEDGE, id=id_of(lost))
    cursor = str(await newest(services))

    await create_database(new_url)
    await execute(restore)
    await execute(advance)

    restored = build_services(settings_of(new_url))
    async with serving(app.application(restored, settings_of(new_url))) as url, Api.to(url, restored) as client:
        assert not await pending(restored.database)
        same = client.with_token(operator.token)
        async with same.socket() as socket:
            await socket.send(type="subscribe", id="1", payload={"query": RESUME, "variables": {"after": cursor}})
            refused = await socket.receive()
            await same.run(ACKNOWLEDGE, id=id_of(later))
            await socket.send(type="subscribe", id="2", payload={"query": RESUME, "variables": {"after": cursor}})
            told = await socket.next()
    await restored.database.close()

    assert "ahead of the event log" in json.dumps(refused)
    assert told["anomalyDetected"]["anomaly"] == {"id": id_of(later)}


async def newest(services: Services) -> int:
    async with services.database.read() as session:
        number: int = (await session.execute(text("SELECT max(id) FROM events"))).scalar_one()
    return number


@pytest.fixture
def new_url(database_url: str, clones: Clones) -> Iterator[str]:
    """Of a database that is not there yet."""
    url = replace_database(database_url, f"test_{uuid4().hex}")
    yield url
    clones.give_back(url)
