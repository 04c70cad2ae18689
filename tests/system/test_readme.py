"""The README: its links lead somewhere, what is made from the code is current, and its commands do what they say."""

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import orjson
import pytest

from bcom_graphql.cli import readme
from tests.helpers.places import ROOT
from tests.helpers.processes import COMMAND, Served, environment

TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^ *```sh\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)
DEMO = {"email": "noc@example.com", "password": "demo-password"}
ELSEWHERE = {  # commands of which more is needed than a server
    "make run": "run: .venv/installed web ##",
    "make test": "test: .venv/developing ##",
}


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    broken = [
        link
        for link in links
        if not link.startswith("http")
        and not (link.removeprefix("#") in headings if link.startswith("#") else (ROOT / link).exists())
    ]

    assert len(links) > 20
    assert broken == []


def test_the_table_of_settings_is_current() -> None:
    assert readme.settings_table() in TEXT, "run `bcom-graphql settings --write README.md`"


def test_a_part_without_marks_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="no part between"):
        readme.written("Nothing here", "settings", "")


def test_no_command_is_forgotten_here() -> None:
    """Those of make are what `.ci/run` and `serve --demo` in the wheel's test do."""
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()

    assert {block.strip() for block in BLOCKS if "make " in block} == {*ELSEWHERE}
    assert all(target in makefile for target in ELSEWHERE.values())
    assert "bcom-graphql serve --demo" in makefile
    assert "\nmake test\n" in ci


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bcom-graphql`, as if installed."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "bcom-graphql"
    command.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_its_commands_do_what_they_say(database_url: str, tmp_path: Path, installed: Path) -> None:
    """In their order, against a server and a database of this test's own instead of the ones that they name."""

    def ran(block: str, **given: str) -> str:
        own = environment(tmp_path, DATABASE_URL=database_url, **given)
        own["PATH"] = f"{installed}:{own['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            env=own,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    [login, upload, models, start] = [block for block in BLOCKS if "make " not in block]
    *before, serve = start.strip().splitlines()
    before = [line for line in before if "DATABASE_URL" not in line]
    said = ran("\n".join(before), BCOM_PASSWORD="long enough")
    assert "ada@example.com is ADMIN" in said

    arguments = serve.removeprefix("bcom-graphql serve --host 0.0.0.0 --port 8010").split()
    assert arguments == ["--workers", "4"]
    secret = ran("bcom-graphql secret").strip()
    with Served(tmp_path, *arguments, DATABASE_URL=database_url, SECRET_KEY=secret) as server:
        ran(f"bcom-graphql user {DEMO['email']} --role operator", BCOM_PASSWORD=DEMO["password"])
        here = server.url.removeprefix("http://")
        token = orjson.loads(ran(login.replace("localhost:8010", here)))["data"]["login"]["accessToken"]
        (tmp_path / "samples.csv").write_text("link,direction,at,esnoDb\n1,OB,2020-01-01T00:00:00Z,9\n")
        answer = orjson.loads(ran(upload.replace("localhost:8010", here), TOKEN=token))
        ready = httpx.get(f"{server.url}/health/ready")
    assert answer == {"data": {"importMetrics": {"accepted": 0, "rejectedCount": 1}}}
    assert ready.status_code == 200, ready.text

    assert "2.0.0" in ran(models)
    assert (tmp_path / "artefacts" / "anomaly_link_v2.0.0" / "metadata.json").exists()
