"""Follows a Dockerfile on this machine, without Docker.

All stages have one folder as their root, each in its turn: what the last stage did not copy is not there when it runs.
Absolute paths of ROOTS are taken inside of it, all others are the machine's own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tests.helpers.places import ROOT

ROOTS = re.compile(r"(?<![\w./*-])/(?=(build|opt|data)\b)")
CONTINUED = re.compile(r"\\\n\s*")


@dataclass
class Stage:
    """From one FROM to the next."""

    image: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        return [argument for name, argument in self.steps if name == instruction][-1]


def stages(dockerfile: str) -> list[Stage]:
    found: list[Stage] = []
    kept = "\n".join(line for line in dockerfile.splitlines() if line.strip() and not line.startswith("#"))
    for line in CONTINUED.sub(" ", kept).splitlines():
        instruction, argument = line.split(maxsplit=1)
        if instruction == "FROM":
            image, _, name = argument.partition(" AS ")
            found.append(Stage(image, name or str(len(found))))
        else:
            found[-1].steps.append((instruction, argument))
    return found


def context(source: Path, folder: Path) -> Path:
    """What .dockerignore lets pass."""
    rules = [line for line in (source / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=source, text=True)
    built = (str(path.relative_to(source)) for path in source.glob("bcom_graphql/static/graphiql/*"))
    for name in (*listed.splitlines(), *built):
        if not _ignored(Path(name), rules) and (source / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, folder / name)
    return folder


def _ignored(path: Path, rules: list[str]) -> bool:
    """The last rule that matches the file or a folder that it is in decides."""
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        matches = any(
            fnmatch(str(part), pattern) or fnmatch(f"/{part}", pattern.replace("**", "*"))
            for part in (path, *path.parents)
            if part != Path()
        )
        ignored = (rule[0] != "!") if matches else ignored
    return ignored


class Machine:
    """Where the stages are run, and the last one stays."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.root = folder / "root"
        self._folder = folder
        self._context = context(source, folder / "context")
        self.environment = {**os.environ, "PATH": f"{self._stand_ins()}:{os.environ['PATH']}"}
        self.folder = self.root

    def run(self, dockerfile: str) -> Stage:
        """Returns the last stage, whose root is there then."""
        *before, last = stages(dockerfile)
        for stage in before:
            self._stage(stage)
            self.root.rename(self._folder / f"stage-{stage.name}")
        self._stage(last)
        return last

    def _stage(self, stage: Stage) -> None:
        self.root.mkdir()
        self.folder = self.root
        for instruction, argument in stage.steps:
            self._step(instruction, argument)

    def inside(self, text: str) -> str:
        return ROOTS.sub(f"{self.root}/", text)

    def shell(self, command: str) -> None:
        done = subprocess.run(
            ["sh", "-ec", self.inside(command)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    def _step(self, instruction: str, argument: str) -> None:
        match instruction:
            case "RUN":
                self.shell(argument)
            case "WORKDIR":
                self.folder = Path(self.inside(argument))
                self.folder.mkdir(parents=True, exist_ok=True)
            case "ENV":
                self.environment |= dict(self._variables(argument))
            case "COPY":
                self._copy(argument)
            case "USER" | "EXPOSE" | "HEALTHCHECK" | "CMD":
                pass
            case _:
                raise AssertionError(f"{instruction} is new: teach it to tests/helpers/dockerfile.py")

    def _variables(self, argument: str) -> Iterator[tuple[str, str]]:
        for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', argument):
            yield name, self.inside(quoted or plain).replace("$PATH", self.environment["PATH"])

    def _copy(self, argument: str) -> None:
        words = argument.split()
        origin = self._context
        if words[0].startswith("--from="):
            origin = self._folder / f"stage-{words.pop(0).removeprefix('--from=')}"
        *sources, target = words
        for source in sources:
            to = self.folder / self.inside(target)
            found = origin / source.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, to, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(found, to / found.name if target.endswith("/") else to)

    def _stand_ins(self) -> Path:
        """What the images have and this machine has otherwise: a Python by this name, and users of their own."""
        folder = self._folder / "stand-ins"
        folder.mkdir()
        (folder / "python").symlink_to(_python())
        (folder / "useradd").write_text('#!/bin/sh\nwhile [ "$1" != --home-dir ]; do shift; done; mkdir -p "$2"\n')
        (folder / "useradd").chmod(0o755)
        return folder


def _python() -> str:
    """The Dockerfile's version, else the one that runs the tests."""
    named = re.search(r"python:(3\.\d+)", (ROOT / "Dockerfile").read_text())
    here = shutil.which(f"python{named[1]}") if named else None
    runs = here and subprocess.run([here, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0
    return str(here) if runs else str(Path(sys.executable).resolve())


def command(argument: str) -> list[str]:
    """Of an exec-form CMD, a health check's too."""
    found: list[str] = json.loads(argument[argument.index("[") :])
    return found
