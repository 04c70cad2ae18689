"""The docs as a folder of static files: built from what is here, strict, and without anything from the network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.places import ROOT

ZENSICAL = Path(sys.executable).with_name("zensical")
LOADED = re.compile(r"""<(?:script|img|iframe)[^>]*\ssrc=["']?([^"'\s>]+)|<link[^>]*\shref=["']?([^"'\s>]+)""")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the site is built from."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    return tmp_path


def build(project: Path) -> subprocess.CompletedProcess[str]:
    command = [ZENSICAL, "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=60)


def test_every_page_is_built_and_loads_nothing_from_elsewhere(project: Path) -> None:
    built = build(project)

    assert built.returncode == 0, built.stdout + built.stderr
    pages = {str(path.relative_to(project / "docs").with_suffix("")) for path in project.glob("docs/**/*.md")}
    files = {str(path.relative_to(project / "site").with_suffix("")): path for path in project.glob("site/**/*.html")}
    assert pages | {"404"} == {*files}
    loaded = {match[1] or match[2] for path in files.values() for match in LOADED.finditer(path.read_text())}
    assert any(address.endswith(".css") for address in loaded)
    assert [address for address in loaded if re.match(r"(https?:)?//", address)] == []


@pytest.mark.parametrize("link", ["nowhere.md", "deploying.md#nothing-of-this-name"])
def test_a_dead_link_fails(project: Path, link: str) -> None:
    with (project / "docs" / "tutorial.md").open("a") as page:
        page.write(f"\n[somewhere]({link})\n")

    built = build(project)

    assert built.returncode != 0
    assert "does not exist" in built.stdout + built.stderr
