"""Processes of a server, including those that it left behind."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

PATIENCE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.05


def end_orphans(data: Path) -> None:
    """Waits for the processes of a killed server to end, then kills the rest.

    They usually end by themselves a moment later; until then, no other server can start on the data.
    """
    orphans = [process for process in psutil.process_iter() if _is_orphan(process, data)]
    left = left_after(orphans, PATIENCE_SECONDS)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    left_after(left, PATIENCE_SECONDS)


def resume_all(process: psutil.Process) -> None:
    """Resumes a process and its children: a suspended process does not react to a request to stop."""
    with suppress(psutil.Error):
        for member in (process, *process.children()):
            with suppress(psutil.Error):
                member.resume()


def left_after(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Returns the processes that are still running after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return left


def _runs(process: psutil.Process) -> bool:
    """Returns whether the process runs. One that has ended stays listed as a zombie until its parent collects it."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_orphan(process: psutil.Process, data: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == data
    except psutil.Error:
        return False


def is_alive(pid: int) -> bool:
    try:
        return _runs(psutil.Process(pid))
    except psutil.Error:
        return False
