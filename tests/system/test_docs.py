"""The README and the docs: links lead somewhere, paths exist, what is made from the code is current, commands work."""

import asyncio
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import httpx
import orjson
import pytest

from bcom_graphql import permissions
from bcom_graphql.cli import readme
from tests.helpers.command_line import check_command
from tests.helpers.places import ROOT
from tests.helpers.processes import COMMAND, Served, environment
from tests.helpers.support import Factory, ago

DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
DEMO = {"email": "noc@example.com", "password": "demo-password"}
TOP = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
ELSEWHERE = {  # pages whose commands other tests follow
    "docs/deploying.md": "test_deploying.py",
    "docs/troubleshooting.md": "test_troubleshooting.py",
    "examples/python/README.md": "test_examples.py",
    "examples/typescript/README.md": "test_examples.py",
}
MAKE = {  # blocks that only call make: CI runs `make test`, the wheel's test `serve --demo`
    "make run": "run: .venv/installed web ##",
    "make test": "test: .venv/developing ##",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def of_each(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=name_of)


@cache
def blocks_of(page: Path) -> list[str]:
    """The shell commands of a page."""
    return re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)


def prose_of(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """As GitHub and the site make them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors_of(target))


@of_each(PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)) if not link.startswith("http")]

    assert [link for link in links if not leads_somewhere(page, link)] == []


@of_each(sorted(DOCS.rglob("*.md")))
def test_links_stay_on_the_site(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s#]+)", prose_of(page)) if not link.startswith("http")]

    assert [link for link in links if not (page.parent / link).resolve().is_relative_to(DOCS)] == []


@of_each(PAGES)
def test_paths_exist(page: Path) -> None:
    words = re.findall(r"`([^`\s*…<>=]+)`", prose_of(page))
    paths = [word for word in words if "/" in word and word.split("/")[0] in TOP]

    assert [path for path in paths if not (ROOT / path).exists()] == []


@of_each(PAGES)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)

    assert set(named) <= targets


@of_each(PAGES)
def test_commands_are_understood(page: Path) -> None:
    lines = re.findall(r"`(bcom-graphql [^`…]+)`", page.read_text())
    lines += re.findall(r"^(bcom-graphql [^#…\n]+?) *(?:#.*)?$", "\n".join(blocks_of(page)), re.MULTILINE)
    groups = ("bcom-graphql --help", "bcom-graphql user", "bcom-graphql models")

    for line in {line for line in lines if not line.startswith(groups)}:
        check_command(re.sub(r"\b(DIR|FILE)\b", ".", line).split(" > ")[0])


def test_every_page_is_listed() -> None:
    listed = set(re.findall(r"\]\(([^)#]+)", (DOCS / "index.md").read_text()))
    decisions = set(re.findall(r"\]\(([^)#]+)", (DOCS / "adr" / "index.md").read_text()))

    assert {path.name for path in DOCS.glob("*.md")} - {"index.md"} <= listed
    assert {path.name for path in (DOCS / "adr").glob("*.md")} - {"index.md"} <= decisions


def test_what_everybody_reads_first_is_short() -> None:
    assert README.stat().st_size <= 8 * 1024
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 80


def test_the_glossary_is_sorted_and_says_each_word_once() -> None:
    tables = (DOCS / "glossary.md").read_text().split("## ")[1:]
    words = [re.findall(r"^\| ([^|]+?) \| ", table, re.MULTILINE)[1:] for table in tables]

    assert words == [sorted(part, key=str.lower) for part in words]
    assert len({word for part in words for word in part}) == sum(map(len, words))


def test_the_changelog_has_the_version_that_this_is() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))

    assert text.index("## [Unreleased]") < text.index(f"## [{version}] - ")
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


# ---------------------------------------------------------------- made from the code


def test_the_table_of_settings_is_current() -> None:
    assert readme.settings_table() in (DOCS / "settings.md").read_text(), "run `make generated`"


def test_the_table_of_permissions_is_current() -> None:
    assert permissions.matrix() in (DOCS / "permissions.md").read_text(), "run `make generated`"


def test_a_part_without_marks_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="no part between"):
        readme.written("Nothing here", "settings", "")


# ---------------------------------------------------------------- commands


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bcom-graphql`, as if installed."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "bcom-graphql"
    command.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    return folder


def only(page: str, containing: str) -> str:
    """The block of a page that contains this."""
    [block] = [block for block in blocks_of(ROOT / page) if containing in block]
    return block


LOGIN = only("README.md", "login(")
START = only("docs/operations.md", "serve")
UPLOAD = only("docs/using-the-api.md", "importMetrics")
MODELS = only("docs/detection.md", "train --link")
DRY_RUN = only("docs/importing.md", "--dry-run")


def without_remarks(block: str) -> str:
    return re.sub(r" +#.*", "", block)


def test_no_command_is_forgotten_here() -> None:
    executed = {LOGIN, START, UPLOAD, MODELS, DRY_RUN}
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()
    pages = [page for page in PAGES if name_of(page) not in ELSEWHERE]
    rest = {block for page in pages for block in blocks_of(page)} - executed

    assert without_remarks(only("README.md", "serve")) == without_remarks(START)
    assert {block.strip() for block in rest} - {only("README.md", "serve").strip()} == {*MAKE}
    assert all(target in makefile for target in MAKE.values())
    assert "bcom-graphql serve --demo" in makefile
    assert "\nstep make test\n" in ci


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
async def test_commands_do_what_they_say(database_url: str, make: Factory, tmp_path: Path, installed: Path) -> None:
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

    *before, serve = without_remarks(START).strip().splitlines()
    before = [line for line in before if "DATABASE_URL" not in line]
    said = ran("\n".join(before), BCOM_PASSWORD="long enough")
    assert "ada@example.com is ADMIN" in said

    arguments = serve.removeprefix("bcom-graphql serve --host 0.0.0.0 --port 8010").split()
    assert arguments == ["--workers", "4"]
    secret = ran("bcom-graphql secret").strip()
    with Served(tmp_path, *arguments, DATABASE_URL=database_url, SECRET_KEY=secret) as server:
        ran(f"bcom-graphql user {DEMO['email']} --role operator", BCOM_PASSWORD=DEMO["password"])
        here = server.url.removeprefix("http://")
        token = orjson.loads(ran(LOGIN.replace("localhost:8010", here)))["data"]["login"]["accessToken"]
        (tmp_path / "samples.csv").write_text("link,direction,at,esnoDb\n1,OB,2020-01-01T00:00:00Z,9\n")
        answer = orjson.loads(ran(UPLOAD.replace("localhost:8010", here), TOKEN=token))
        ready = await asyncio.to_thread(httpx.get, f"{server.url}/health/ready")
    assert answer == {"data": {"importMetrics": {"accepted": 0, "rejectedCount": 1}}}

    await make.link(1)
    (tmp_path / "samples.csv").write_text(f"link;direction;time;Es/No [dB]\n1;OB;{ago().isoformat()};9\n")
    assert "esnoDb" in ran(DRY_RUN)
    assert ready.status_code == 200, ready.text

    assert "2.0.0" in ran(MODELS)
    assert (tmp_path / "artefacts" / "anomaly_link_v2.0.0" / "metadata.json").exists()
