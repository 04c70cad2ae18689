"""Processes of a server, those that it has left too."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

PATIENCE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.05


def end_orphans(data: Path) -> None:
    """Processes of a server that was killed end by themselves, a moment later; until then no other one can start."""
    orphans = [process for process in psutil.process_iter() if _is_orphan(process, data)]
    left = left_after(orphans, PATIENCE_SECONDS)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    left_after(left, PATIENCE_SECONDS)


def resume_all(process: psutil.Process) -> None:
    """It and its children: one that somebody has suspended hears no request to stop."""
    with suppress(psutil.Error):
        for member in (process, *process.children()):
            with suppress(psutil.Error):
                member.resume()


def left_after(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended by then."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return left


def _runs(process: psutil.Process) -> bool:
    """A process that has ended may stay in the list until its parent looks at it."""
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
