"""The Dockerfile's steps, followed without Docker: what they make serves."""

import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from bcom_graphql import demo_account
from tests.conftest import SECRET
from tests.helpers.dockerfile import Machine, Stage, command, context, stages
from tests.helpers.places import ROOT
from tests.helpers.processes import free_port

MEGABYTE = 1_000_000
BASE_IMAGE = 125 * MEGABYTE  # python:3.13-slim
LARGEST = 700 * MEGABYTE
FIRST_START = 60.0  # seconds


class Image:
    """What the Dockerfile makes."""

    def __init__(self, machine: Machine, stage: Stage) -> None:
        self.machine, self.stage = machine, stage

    @contextmanager
    def running(self, *arguments: str, **settings: str) -> Iterator["Container"]:
        """Its CMD, at a free port; other arguments take the place of the CMD's options."""
        port = str(free_port())
        given = [*arguments] or command(self.stage.last("CMD"))
        started = Container(self, [word.replace("8010", port) for word in given], port, settings)
        try:
            yield started
        finally:
            started.end()

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        """Nothing of the checkout and of the tests' own environment: a container has neither."""
        kept = {name: value for name, value in self.machine.environment.items() if name in ("PATH", "DATA_FOLDER")}
        return {**kept, "HOME": str(self.machine.folder), **settings}


class Container:
    """A process of the image."""

    def __init__(self, image: Image, arguments: list[str], port: str, settings: dict[str, str]) -> None:
        self.url, self._image, self._port = f"http://127.0.0.1:{port}", image, port
        self._environment = image.environment(settings)
        self._log = image.machine.root.parent / f"{port}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                arguments, cwd=image.machine.folder, env=self._environment, stdout=log, stderr=log
            )

    def is_healthy(self) -> bool:
        """By the image's own HEALTHCHECK."""
        check = [word.replace("8010", self._port) for word in command(self._image.stage.last("HEALTHCHECK"))]
        return (
            subprocess.run(check, env=self._environment, capture_output=True, check=False, timeout=30).returncode == 0
        )

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_healthy():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.5)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """In a folder that everybody may enter: where root runs this, the embedded PostgreSQL is another user's."""
    with TemporaryDirectory(prefix="bcom-image-") as name:
        (folder := Path(name)).chmod(0o755)
        machine = Machine(folder, ROOT)
        yield Image(machine, machine.run((ROOT / "Dockerfile").read_text()))


def test_the_image_does_not_run_as_root_and_looks_after_itself() -> None:
    last = stages((ROOT / "Dockerfile").read_text())[-1]

    user = last.last("USER").partition(":")[0]
    assert int(user) >= 1000
    assert f"--uid {user}" in last.last("RUN")
    assert command(last.last("CMD"))[:2] == ["bcom-graphql", "serve"]
    assert last.last("EXPOSE") in command(last.last("CMD"))
    assert "/health/ready" in command(last.last("HEALTHCHECK"))[-1]


def test_the_image_contains_no_secret() -> None:
    variables = [argument for stage in stages((ROOT / "Dockerfile").read_text()) for argument in stage.steps]

    assert not any("SECRET" in argument or "PASSWORD" in argument for _, argument in variables)


def test_only_what_the_image_needs_is_sent_to_docker(tmp_path: Path) -> None:
    (sent := tmp_path / "sent").mkdir()

    context(ROOT, sent)
    names = {str(path.relative_to(sent)) for path in sent.rglob("*") if path.is_file()}

    assert {name.split("/")[0] for name in names} == {
        *("alembic", "bcom_graphql", "ml", "resolvers", "schema", "web"),
        *("pyproject.toml", "README.md", "requirements.lock"),
    }
    assert not any("node_modules" in name or "__pycache__" in name or "static/graphiql/" in name for name in names)


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_the_wheel_has_migrations_static_files_and_the_playbook_and_no_tests(image: Image) -> None:
    [wheel] = (image.machine.root.parent / "stage-python" / "build" / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    migrations = {f"bcom_graphql/migrations/versions/{path.name}" for path in ROOT.glob("alembic/versions/*.py")}
    assert migrations | {"bcom_graphql/migrations/env.py", "schema/schema.graphql"} <= names
    playbook = {f"ml/recommendation/playbook/{path.name}" for path in ROOT.glob("ml/recommendation/playbook/*.toml")}
    assert playbook
    assert playbook <= names
    assert {"bcom_graphql/static/graphiql.html", "bcom_graphql/static/graphiql/graphiql.js"} <= names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"bcom_graphql", "schema", "resolvers", "ml"}


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_the_image_is_small_enough(image: Image) -> None:
    files = (path for path in image.machine.root.rglob("*") if path.is_file() and not path.is_symlink())

    size = BASE_IMAGE + sum(path.stat().st_size for path in files)

    assert size < LARGEST, f"{size / MEGABYTE:.0f} MB"


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_the_image_serves_a_database_and_stops_when_told_to(image: Image, database_url: str) -> None:
    with image.running(DATABASE_URL=database_url, SECRET_KEY=SECRET) as server:
        server.wait(120)
        page = httpx.get(f"{server.url}/graphql", headers={"accept": "text/html"}).text
        script = httpx.get(f"{server.url}/static/graphiql/graphiql.js")
        answer = httpx.post(f"{server.url}/graphql", json={"query": "{ viewer { id } }"}).json()
        health = httpx.get(f"{server.url}/health").json()
        code = server.end()

    assert "graphiql/graphiql.js" in page
    assert "cdn.jsdelivr.net" not in page
    assert script.status_code == 200
    assert answer == {"data": {"viewer": None}}
    assert health["status"] == "ok"
    assert code == 0
    assert "Traceback" not in server.log


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_the_image_demonstrates_itself_in_an_empty_folder(image: Image) -> None:
    assert not any(image.machine.folder.iterdir())
    login = f"""mutation {{ login(input: {{email: "{demo_account.EMAIL}", password: "{demo_account.PASSWORD}"}}) {{
      ... on Session {{ accessToken }} }} }}"""

    with image.running("bcom-graphql", "serve", "--demo", "--port", "8010") as server:
        server.wait(FIRST_START)
        session = httpx.post(f"{server.url}/graphql", json={"query": login}).json()["data"]["login"]
        headers = {"authorization": f"Bearer {session['accessToken']}"}
        query = {"query": "{ links { totalCount } }"}
        answer = httpx.post(f"{server.url}/graphql", json=query, headers=headers).json()
        code = server.end()

    assert answer["data"]["links"]["totalCount"] == 120
    assert code == 0
    assert "Traceback" not in server.log
    assert not (image.machine.folder / "postgres" / "postmaster.pid").exists()
