"""What a command of `bcom-graphql` runs in: a fork of a process that has imported all commands, once for many tests.

A command is still a process with its own environment, folder, output and exit code, but takes no two seconds to import
what it needs.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bcom_graphql.cli.commands import COMMANDS, load, main

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
for _name in COMMANDS:
    load(_name)


def run_forked(
    arguments: list[str], environment: dict[str, str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """What became of a command, as of `subprocess.run`. Raises TimeoutExpired."""
    with tempfile.TemporaryDirectory() as outputs:
        said, complained = Path(outputs) / "stdout", Path(outputs) / "stderr"
        process = FORKS.Process(target=_run, args=(arguments, environment, folder, said, complained))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, seconds, said.read_text(), complained.read_text())
        return subprocess.CompletedProcess(arguments, process.exitcode, said.read_text(), complained.read_text())


def _run(arguments: list[str], environment: dict[str, str], folder: Path, said: Path, complained: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for path, stream in ((said, sys.stdout), (complained, sys.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    sys.argv = ["bcom-graphql", *arguments]
    main()
