"""docs/troubleshooting.md: each of its messages is what whoever has that trouble reads."""

import asyncio
import errno
import json
import re
import shutil
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import websockets
from structlog.testing import capture_logs

from bcom_graphql import app
from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.transports.spool import report_os_errors
from bcom_graphql.services import build_services
from resolvers.base.errors import Unavailable
from resolvers.base.roles import Role
from resolvers.base.tokens import Tokens
from resolvers.context import Services
from resolvers.operations.maintenance import maintain
from tests.conftest import SECRET, settings_of
from tests.helpers.places import ROOT
from tests.helpers.poolers import pgbouncer
from tests.helpers.processes import free_port, run
from tests.helpers.support import Api, Factory, Server, id_of, serving, sql

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
ENTRIES: dict[str, str] = dict(re.findall(r"^### (.+)\n\n```text\n(.+)\n```$", PAGE, re.MULTILINE))
NOWHERE = "postgresql://me:hush-hush@127.0.0.1:9/nothing"
VIEWER = "{ viewer { role } }"
DETECT = """mutation { detectLinkAnomaly(input: {
  throughputMbps: 0.8, utilizationPct: 96, errors: 420, discards: 135, uptimePct: 83.5 }) { __typename } }"""
REGISTER = """mutation { register(input: { email: "ada@example.com", password: "long enough" }) {
  __typename } }"""
LOGIN = """mutation { login(input: { email: "ada@example.com", password: "not this one" }) {
  __typename } }"""
EXPENSIVE = "{ networks(first: 500) { nodes { links(first: 500) { nodes { id } } } } }"
IMPORT = "mutation ($file: Upload!) { importMetrics(kind: LINK, file: $file) { __typename } }"
FOLLOW = 'subscription { anomalyDetected(after: "1") { cursor } }'


@dataclass(frozen=True)
class Stage:
    """What it takes to get into trouble."""

    folder: Path
    database_url: str
    services: Services
    api: Api
    server: Server
    make: Factory

    async def serve(self, *arguments: str, **settings: str) -> str:
        """What `serve` complains of."""
        return await self.command("serve", *arguments, **{"SECRET_KEY": SECRET, **settings})

    async def command(self, *arguments: str, **settings: str) -> str:
        result = await asyncio.to_thread(run, self.folder, *arguments, **settings)
        assert result.returncode == 1, result.stderr
        return result.stderr

    async def health(self) -> str:
        return (await self.api.http.get(self.api.url.replace("/graphql", "/health/ready"))).text


@pytest.fixture
def stage(tmp_path: Path, database_url: str, services: Services, api: Api, server: Server, make: Factory) -> Stage:
    return Stage(tmp_path, database_url, services, api, server, make)


async def answer(api: Api, document: str, **headers: str) -> str:
    """The body of a response."""
    response = await api.http.post(api.url, json={"query": document}, headers={**api.headers, **headers})
    return response.text


# ---------------------------------------------------------------- starting


async def no_secret(stage: Stage) -> str:
    return await stage.serve(SECRET_KEY="")


async def short_secret(stage: Stage) -> str:
    return await stage.serve(SECRET_KEY="short")


async def known_secret(stage: Stage) -> str:
    return await stage.serve(SECRET_KEY="your-super-secret-key-change-in-production")


async def port_in_use(stage: Stage) -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return await stage.serve("--port", str(taken.getsockname()[1]))


async def public_demo(stage: Stage) -> str:
    return await stage.serve("--demo", "--host", "0.0.0.0")


async def misspelt_setting(stage: Stage) -> str:
    return await stage.serve("--port", str(free_port()), DATABASE_URL=NOWHERE, RETENTION_DAY="30")


# ---------------------------------------------------------------- the database


async def no_postgres(stage: Stage) -> str:
    return await stage.serve("--port", str(free_port()), DATABASE_URL=NOWHERE)


async def no_database(stage: Stage) -> str:
    return await stage.command("migrate", DATABASE_URL=re.sub(r"/test_\w+", "/no_such_database", stage.database_url))


async def newer_database(stage: Stage) -> str:
    await sql(stage.services, "UPDATE alembic_version SET version_num = 'of the next release'")
    return await stage.command("migrate", DATABASE_URL=stage.database_url)


async def pooler(stage: Stage) -> str:
    if shutil.which("pgbouncer") is None:
        pytest.skip("there is no pgbouncer here")
    async with pgbouncer(stage.database_url, "transaction") as url:
        return await stage.command("migrate", DATABASE_URL=url)


async def database_went_away(stage: Stage) -> str:
    away = build_services(settings_of(NOWHERE))
    with pytest.raises(Unavailable) as failed:
        async with away.database.read() as session:
            await session.connection()
    return failed.value.message


async def full_disk(stage: Stage) -> str:
    await sql(
        stage.services,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$",
        "CREATE TRIGGER failing BEFORE INSERT ON users EXECUTE FUNCTION fail()",
    )
    return await answer(stage.api, REGISTER)


async def wrong_clock(stage: Stage) -> str:
    with capture_logs() as logs:
        await maintain(stage.services, clock=lambda: datetime.now(UTC) + timedelta(hours=2))
    return str([entry["event"] for entry in logs])


# ---------------------------------------------------------------- models


async def without_champion(stage: Stage) -> str:
    await sql(stage.services, "DELETE FROM champions WHERE model = 'anomaly_link'")
    return await stage.health()


async def detection_without_champion(stage: Stage) -> str:
    await sql(stage.services, "DELETE FROM champions WHERE model = 'anomaly_link'")
    async with stage.server() as api:
        return await answer(await api.as_(Role.OPERATOR), DETECT)


# ---------------------------------------------------------------- signing in


async def old_token(stage: Stage) -> str:
    token, _ = stage.services.tokens.issue(1, uuid4(), datetime.now(UTC) - timedelta(hours=1))
    return await answer(stage.api.with_token(token), VIEWER)


async def token_of_another_key(stage: Stage) -> str:
    token, _ = Tokens("another key of at least 32 characters").issue(1, uuid4(), datetime.now(UTC))
    return await answer(stage.api.with_token(token), VIEWER)


async def closed_registration(stage: Stage) -> str:
    async with stage.server(registration="closed") as api:
        await api.as_(Role.ADMIN)
        return await answer(api, REGISTER)


async def hidden_schema(stage: Stage) -> str:
    async with stage.server(profile="production") as api:
        return await answer(api, "{ __schema { types { name } } }")


# ---------------------------------------------------------------- browsers and proxies


async def foreign_page(stage: Stage) -> str:
    headers = {"origin": "https://noc.example.com", "access-control-request-method": "POST"}
    async with stage.server(allowed_origins=["https://other.example.com"]) as api:
        return (await api.http.options(api.url, headers=headers)).text


async def foreign_socket(stage: Stage) -> str:
    url, origin = stage.api.url.replace("http", "ws"), websockets.Origin("https://noc.example.com")
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url, subprotocols=[websockets.Subprotocol("graphql-transport-ws")], origin=origin)
    return str(refused.value)


async def forged(stage: Stage) -> str:
    headers = {"origin": "https://noc.example.com"}
    return (await stage.api.http.get(stage.api.url, params={"query": VIEWER}, headers=headers)).text


async def foreign_name(stage: Stage) -> str:
    return await answer(stage.api, VIEWER, host="bcom.example.com")


async def unknown_proxy(stage: Stage) -> str:
    """Each client has an address of its own, and the server does not believe who says so."""
    settings = settings_of(stage.database_url, rate_sign_ins_by_address="2/hour")
    services = build_services(settings)
    application = app.application(services, settings)
    async with serving(application, forwarded_allow_ips="192.0.2.1") as url, Api.to(url, services) as api:
        return [await answer(api, LOGIN, **{"x-forwarded-for": f"10.0.0.{client}"}) for client in range(3)][-1]


# ---------------------------------------------------------------- limits


async def expensive(stage: Stage) -> str:
    return await answer(await stage.api.as_(Role.VIEWER), EXPENSIVE)


async def old_cursor(stage: Stage) -> str:
    operator = await stage.api.as_(Role.OPERATOR)
    for _ in range(2):
        anomaly = await stage.make.anomaly()
        await operator.run("mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }", id=id_of(anomaly))
    await sql(stage.services, "UPDATE events SET at = now() - interval '8 days'")
    await maintain(stage.services)
    async with operator.socket() as connection:
        await connection.send(type="subscribe", id="1", payload={"query": FOLLOW})
        return json.dumps(await connection.receive())


async def little_disk(stage: Stage) -> str:
    async with stage.server(min_free_disk=2**60, max_anonymous_body=1_000) as api:
        operator = await api.as_(Role.OPERATOR)
        operation = json.dumps({"query": IMPORT, "variables": {"file": None}})
        parts: Any = [("operations", (None, operation)), ("map", (None, '{"0": ["variables.file"]}'))]
        parts.append(("0", ("samples.csv", b"x" * 1_000, "text/csv")))
        return (await api.http.post(api.url, files=parts, headers=operator.headers)).text


async def many_files(stage: Stage) -> str:
    """As the uploads' folder meets it; the whole server is driven there by tests/system/test_crashes.py."""
    with pytest.raises(RequestError) as refused, report_os_errors():
        raise OSError(errno.EMFILE, "Too many open files")
    return str(refused.value)


SYMPTOMS: dict[str, Callable[[Stage], Awaitable[str]]] = {
    "SECRET_KEY is missing": no_secret,
    "SECRET_KEY is too short": short_secret,
    "SECRET_KEY is a placeholder": known_secret,
    "The port is in use": port_in_use,
    "The demo refuses an address": public_demo,
    "A setting has no effect": misspelt_setting,
    "The database cannot be reached": no_postgres,
    "The database does not exist": no_database,
    "The database is newer than the code": newer_database,
    "A pooler shares connections": pooler,
    "The database went away": database_went_away,
    "The database's disk is full": full_disk,
    "Nothing is dropped any more": wrong_clock,
    "A model is missing": without_champion,
    "Detection without a model": detection_without_champion,
    "The access token has expired": old_token,
    "The access token is not valid": token_of_another_key,
    "Registration is closed": closed_registration,
    "The schema is not shown": hidden_schema,
    "A page of another site cannot call the server": foreign_page,
    "A WebSocket is refused": foreign_socket,
    "A form or a GET request is refused": forged,
    "The server does not answer to its name (421)": foreign_name,
    "All clients share one limit behind a proxy": unknown_proxy,
    "The operation is too expensive": expensive,
    "A cursor is too old": old_cursor,
    "Too little free disk for uploads": little_disk,
    "Too many open files": many_files,
}


def test_every_entry_is_tried_and_says_cause_and_remedy() -> None:
    parts = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]

    assert [part.partition("\n")[0] for part in parts] == [*SYMPTOMS]
    assert [*ENTRIES] == [*SYMPTOMS]
    assert [part for part in parts if "- **Cause**: " not in part or "- **Remedy**: " not in part] == []


@pytest.mark.parametrize("trouble", SYMPTOMS)
async def test_the_message_is_what_is_read(stage: Stage, trouble: str) -> None:
    told = " ".join((await SYMPTOMS[trouble](stage)).split())

    pattern = ".*".join(re.escape(part) for part in ENTRIES[trouble].split("…"))
    assert re.search(pattern, told), told
