"""The command line, as its user meets it."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
import pytest
import websockets
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from bcom_graphql.cli.commands import COMMANDS, load
from bcom_graphql.cli.database import migrated
from bcom_graphql.cli.readme import settings_example
from bcom_graphql.secret_keys import SHORTEST
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.models import training
from resolvers.store.models import training_runs
from tests.conftest import SECRET, settings_of
from tests.helpers.places import ROOT
from tests.helpers.processes import COMMAND, Served, environment, free_port, run
from tests.helpers.settings import settings_from
from tests.helpers.shipped import shipped_version
from tests.helpers.support import Api, Factory, ago, iso, sql


def test_the_example_env_file_names_every_setting_with_its_default() -> None:
    assert (ROOT / ".env.example").read_text() == settings_example()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = load(name)

    assert (command.help or "").splitlines()[0] == COMMANDS[name].help


@pytest.mark.parametrize(
    ("arguments", "too_heavy"),
    [
        (["--help"], {"sqlalchemy", "numpy", "graphql"}),
        (["secret"], {"sqlalchemy", "numpy", "graphql"}),
        (["serve", "--port", "1", "--host", "192.0.2.1"], {"sqlalchemy", "numpy", "strawberry"}),
        (["settings"], {"sqlalchemy", "numpy", "strawberry"}),
    ],
)
def test_a_command_imports_no_more_than_it_needs(tmp_path: Path, arguments: list[str], too_heavy: set[str]) -> None:
    program = f"""
import atexit, sys
sys.argv = ["bcom-graphql", *{arguments}]
atexit.register(lambda: print("imported:", *sorted(set(sys.modules) & {too_heavy})))
from bcom_graphql.cli.commands import main
main()"""

    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path, SECRET_KEY="short"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.stdout.splitlines()[-1] == "imported:", result.stdout


async def test_a_command_that_fails_closes_its_database(database_url: str, services: Services) -> None:
    async def fail() -> None:
        async with migrated(settings_of(database_url)) as own:
            await sql(own, "SELECT 1 / 0")

    with pytest.raises(SQLAlchemyError, match="division by zero"):
        await fail()

    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with services.database.driver() as connection:
        assert await connection.fetchval(others) == 0


def test_secret_prints_a_key_that_serve_accepts(tmp_path: Path) -> None:
    printed = run(tmp_path, "secret").stdout.strip()

    assert len(printed) >= SHORTEST
    assert printed != run(tmp_path, "secret").stdout.strip()


@pytest.mark.parametrize("key", ["", "x" * (SHORTEST - 1)])
def test_serve_refuses_a_missing_or_short_secret_and_says_how_to_make_one(tmp_path: Path, key: str) -> None:
    result = run(tmp_path, "serve", SECRET_KEY=key)

    assert result.returncode == 1
    assert "SECRET_KEY" in result.stderr
    assert "bcom-graphql secret" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql+asyncpg://me:hush-hush@127.0.0.1:9/nothing",
            "cannot be reached at 127.0.0.1:9, database nothing: nobody listens there",
        ),
        ("mysql://me:hush-hush@127.0.0.1/nothing", "DATABASE_URL must look like postgresql://"),
    ],
)
def test_serve_says_that_the_database_is_not_there_and_keeps_its_password(tmp_path: Path, url: str, said: str) -> None:
    result = run(tmp_path, "serve", SECRET_KEY=SECRET, DATABASE_URL=url)

    assert result.returncode == 1
    assert said in result.stderr
    assert "hush-hush" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("TRUSTED_DOCUMENTS", "nowhere.json", "The trusted documents in nowhere.json cannot be read"),
        ("RATE_ANALYSES", "often", "RATE_ANALYSES must look like 100/hour"),
    ],
)
def test_serve_says_what_is_wrong_with_a_setting(tmp_path: Path, setting: str, value: str, said: str) -> None:
    result = run(tmp_path, "serve", "--port", str(free_port()), SECRET_KEY=SECRET, **{setting: value})

    assert result.returncode == 1
    assert said in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("rate_limit_storage", "memcached://x", "must look like redis://"),
        ("events_url", "kafka://x", "must look like nats://"),
        ("allowed_origins", "*", "must list origins such as"),
        ("max_depth", "0", "greater than or equal to 1"),
        ("introspection", "some", "'everybody', 'signed-in' or 'nobody'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_it_should_be(setting: str, value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings_from(**{setting: value})


def test_serve_says_that_its_port_is_taken_before_it_starts_anything(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run(tmp_path, "serve", "--port", port, SECRET_KEY=SECRET)

    assert result.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in result.stderr
    assert not (tmp_path / "postgres").exists()


def test_a_database_that_does_not_exist_is_named(tmp_path: Path, postgres: str) -> None:
    url = re.sub(r"/template_\w+", "/no_such_database", postgres)

    result = run(tmp_path, "migrate", DATABASE_URL=url)

    assert result.returncode == 1
    assert "no_such_database" in result.stderr
    assert "Traceback" not in result.stderr


async def test_import_reports_what_it_accepted_and_why_not(
    tmp_path: Path, database_url: str, services: Services, make: Factory
) -> None:
    await make.link(number=5)
    rows = [f"5,OB,{iso(ago(minutes=minute))},12.5" for minute in range(30, 0, -1)]
    rows += [f"6,OB,{iso(ago(minutes=1))},12.5", f"5,OB,{iso(ago(minutes=1))},99", f"5,XX,{iso(ago(minutes=2))},12"]
    file = tmp_path / "links.csv"
    file.write_text("\n".join(["link,direction,at,esnoDb", *rows]))

    first = run(tmp_path, "import", "--kind", "link", str(file), DATABASE_URL=database_url)
    again = run(tmp_path, "import", "--kind", "link", str(file), DATABASE_URL=database_url)

    assert first.returncode == 0, first.stderr
    assert numbers(first.stderr) == [33, 30, 0, 3, 0]
    assert "1 rejected: There is no link" in first.stderr
    assert "row 30 (line 32): There is no link with the number 6." in first.stderr
    assert "ESNO_DB must be between -20 and 40 dB" in first.stderr
    assert "direction must be IB or OB, and is XX." in first.stderr
    assert numbers(again.stderr) == [33, 0, 30, 3, 0]


def numbers(report: str) -> list[int]:
    """The only line of the report's table."""
    [line] = re.findall(r"│((?:\s+[\d,]+\s+│)+)", report)
    return [int(cell.replace(",", "")) for cell in line.split("│") if cell.strip()]


async def test_import_says_what_it_understood_and_fails_loudly_where_that_is_little(
    tmp_path: Path, database_url: str, make: Factory
) -> None:
    await make.link(number=5)
    rows = [f"5;OB;{ago(minutes=minute):%Y-%m-%d %H:%M:%S};12,5;x" for minute in range(30, 0, -1)]
    file = tmp_path / "links.csv"
    file.write_text("\n".join(["link;direction;time;Rauschabstand;remark", *rows]))
    said = ("--map", "Rauschabstand=esnoDb", "--time-zone", "UTC")

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return run(tmp_path, "import", "--kind", "link", *said, *more, str(file), DATABASE_URL=database_url)

    dry, wrong, right = call("--decimal", ",", "--dry-run"), call(), call("--decimal", ",")
    bad = run(tmp_path, "import", "--kind", "link", "--map", "Es/No", str(file), DATABASE_URL=database_url)

    assert dry.returncode == 0, dry.stderr
    assert re.search(r"Rauschabstand +│ esnoDb +│ text +│ 30 +│ 0 +│ 0", dry.stderr)
    assert "30 rows, 0 of them rejected. Nothing was recorded: this was a dry run." in dry.stderr
    assert "Columns not read: remark." in dry.stderr
    assert wrong.returncode == 3
    assert "Warning: 30 of 30 rows were rejected." in wrong.stderr
    assert numbers(right.stderr)[:4] == [30, 30, 0, 0]
    assert bad.returncode == 1
    assert "--map Es/No: this must be HEADING=FIELD, such as 'Es/No [dB]=esnoDb'." in bad.stderr


async def test_import_of_what_is_no_file_is_a_sentence(tmp_path: Path, database_url: str) -> None:
    result = run(tmp_path, "import", "--kind", "site", str(tmp_path / "nothing.csv"), DATABASE_URL=database_url)

    assert result.returncode == 1
    assert "nothing.csv is not a file" in result.stderr
    assert "Traceback" not in result.stderr


async def test_user_creates_an_account_with_a_role(tmp_path: Path, database_url: str, make: Factory) -> None:
    await make.user(role=Role.ADMIN)

    result = run(
        tmp_path,
        "user",
        "noc@example.com",
        "--role",
        "operator",
        DATABASE_URL=database_url,
        BCOM_PASSWORD="long enough",
    )

    assert result.returncode == 0, result.stderr
    assert "noc@example.com is OPERATOR." in result.stderr


def test_train_wants_to_be_told_what(tmp_path: Path) -> None:
    result = run(tmp_path, "train")

    assert result.returncode == 2
    assert "--all" in result.stderr


def test_root_causes_are_not_learned_from_the_fleet_s_past(tmp_path: Path) -> None:
    result = run(tmp_path, "train", "--root-cause", "--days", "3")

    assert result.returncode == 2
    assert "Root causes are learned from the simulator alone" in result.stderr


async def test_train_says_why_it_does_not(tmp_path: Path, database_url: str, services: Services) -> None:
    queued = await training.queue(Context(services, SYSTEM), "anomaly_link")
    async with training_runs.hold_run_lock(services.database, queued.id):
        train = ("train", "--network", "--site", "--link", "--days", "3")
        result = await asyncio.to_thread(run, tmp_path, *train, DATABASE_URL=database_url)
    taken = shipped_version("anomaly_network")
    existing = await asyncio.to_thread(
        run, tmp_path, "train", "--network", "--version", taken, DATABASE_URL=database_url
    )

    assert (result.returncode, existing.returncode) == (1, 1)
    assert "A training of anomaly_link is not finished yet" in result.stderr
    assert "anomaly_site: No site reported anything" in result.stderr
    assert f"anomaly_network {taken} exists already" in existing.stderr
    assert "Traceback" not in result.stderr + existing.stderr


@pytest.mark.slow
async def test_a_model_trained_under_a_new_version_is_the_one_that_serves(
    tmp_path: Path, database_url: str, api: Api
) -> None:
    operator = await api.as_(Role.OPERATOR)
    detect = """mutation { detectSiteAnomaly(input: {
      responseTimeMs: 640, errorRate: 0, uptimePct: 100, cpuPct: 30, memoryPct: 50
    }) { ... on Detection { modelVersion } } }"""
    train = ("train", "--site", "--version", "2.0.0")

    trained = await asyncio.to_thread(run, tmp_path, *train, DATABASE_URL=database_url)
    served = (await operator.run(detect))["detectSiteAnomaly"]

    assert trained.returncode == 0, trained.stderr
    assert "anomaly_site 2.0.0 serves from now on." in trained.stderr
    assert re.search(r"event_recall +│ simulated( fleets)? +│ 0\.\d+ +│ 0\.\d+ ", trained.stderr)
    assert served == {"modelVersion": "2.0.0"}


@pytest.mark.slow
async def test_what_measures_worse_serves_only_by_force(tmp_path: Path, database_url: str, services: Services) -> None:
    await sql(
        services,
        "CREATE FUNCTION worsen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.value := 0.1; RETURN NEW; END $$",
        "CREATE TRIGGER worse BEFORE INSERT ON model_metrics FOR EACH ROW WHEN"
        " (NEW.name = 'event_recall' AND NEW.version_id > 3) EXECUTE FUNCTION worsen()",
    )

    refused = await asyncio.to_thread(run, tmp_path, "train", "--site", DATABASE_URL=database_url)
    before = (await services.registry.champion("anomaly_site")).version
    forced = await asyncio.to_thread(run, tmp_path, "train", "--site", "--force", DATABASE_URL=database_url)
    services.registry.forget()
    after = (await services.registry.champion("anomaly_site")).version

    assert (refused.returncode, before) == (1, shipped_version("anomaly_site"))
    assert "anomaly_site 1.1.0 is not promoted. Its recall of events" in refused.stderr
    assert "bcom-graphql models promote anomaly_site 1.1.0 --force" in refused.stderr
    assert (forced.returncode, after) == (0, "1.2.0")


@pytest.mark.slow
async def test_who_interrupts_a_training_has_it_marked(tmp_path: Path, database_url: str, services: Services) -> None:
    settings = environment(tmp_path, DATABASE_URL=database_url)
    command = [*COMMAND, "train", "--site"]
    process = await asyncio.create_subprocess_exec(*command, env=settings, stderr=PIPE, stdout=PIPE)
    newest = text("SELECT status, message FROM training_runs ORDER BY id DESC LIMIT 1")
    for _ in range(200):
        async with services.database.read() as session:
            row = (await session.execute(newest)).first()
        if row and row.message.startswith("learning"):
            break
        await asyncio.sleep(0.05)

    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()

    async with services.database.read() as session:
        status, message = (await session.execute(newest)).one()
    assert (process.returncode, status) == (130, "FAILED")
    assert message.startswith("It was interrupted")
    assert b"Traceback" not in said


@pytest.mark.slow
def test_serve_with_the_demo_answers_and_resumes_in_seconds(tmp_path: Path) -> None:
    with Served(tmp_path, "--demo") as first:
        session = first.sign_in("noc@example.com", "demo-password")
        counted = first.ask(session, "{ satellites { totalCount } networks { totalCount } links { totalCount } }")
        found = first.ask(session, "{ anomalies { totalCount } sites(role: HUB) { totalCount } }")
    with Served(tmp_path, "--demo") as again:
        resumed = again.seconds

    assert counted["satellites"]["totalCount"] >= 3
    assert counted["networks"]["totalCount"] >= 6
    assert counted["links"]["totalCount"] >= 120
    assert found["sites"]["totalCount"] >= 4
    assert found["anomalies"]["totalCount"] > 0
    assert resumed < first.seconds
    assert first.stopped == again.stopped == 0
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


@pytest.mark.slow
async def test_several_workers_share_one_database(tmp_path: Path, database_url: str) -> None:
    settings = {"SECRET_KEY": SECRET, "DATABASE_URL": database_url, "REGISTRATION": "open"}
    with Served(tmp_path, "--workers", "2", **settings) as server:
        register = """mutation { register(input: {email: "a@example.com", password: "long enough"}) {
          ... on Session { accessToken } } }"""
        token = server.ask(None, register)["register"]["accessToken"]
        roles = {server.ask(token, "{ viewer { role } }")["viewer"]["role"] for _ in range(20)}

    assert roles == {"ADMIN"}


@pytest.mark.slow
async def test_what_is_open_ends_at_once_when_the_server_is_told_to_stop(
    tmp_path: Path, database_url: str, api: Api
) -> None:
    viewer = await api.as_(Role.VIEWER)
    watch = {"query": "subscription { anomalyDetected { cursor } }"}
    with Served(tmp_path, SECRET_KEY=SECRET, DATABASE_URL=database_url, MAX_MESSAGE="1000") as server:
        protocols = [websockets.Subprotocol("graphql-transport-ws")]
        url, headers = f"{server.url}/graphql", {"accept": "text/event-stream", **viewer.headers}
        async with (
            websockets.connect(url.replace("http", "ws"), subprotocols=protocols) as socket,
            websockets.connect(url.replace("http", "ws"), subprotocols=protocols) as wordy,
            httpx.AsyncClient(timeout=30) as client,
            client.stream("POST", url, json=watch, headers=headers) as stream,
        ):
            await socket.send(json.dumps({"type": "connection_init", "payload": viewer.headers}))
            await socket.recv()
            await wordy.send("x" * 2000)
            await wordy.wait_closed()
            await asyncio.to_thread(server.stop)
            await socket.wait_closed()
            streamed = await stream.aread()

    assert socket.protocol.extensions == [], "compression would take 64 KiB of memory for each socket instead of 14"
    assert (wordy.close_code, socket.close_code) == (1009, 1001)
    assert streamed == b"", "no `complete`: the client comes back"
    assert server.stopped == 0
    assert "Traceback" not in server.log, "what does not end by itself is cut off after 10 seconds, and says so"
