"""PostgreSQL's first process: found, started and stopped. No other process is ever signalled."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from resolvers.store.postgres.embedded.processes import LOOK_SECONDS, end_orphans, is_alive, left_after, resume_all
from resolvers.store.postgres.embedded.programs import Account, EmbeddedFailed, environment, last_words, program
from resolvers.store.postgres.embedded.sockets import PORT, forget_socket, make_socket_folder, socket_folder, socket_in

READY: Final = "ready"
START_SECONDS: Final = 600.0  # after a crash it first reads what it had logged
STOPS: Final = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))  # and how long each may take
# In a session of its own, without the terminal and its Ctrl-C, and nobody's child: who starts it may end before it.
DETACHED: Final = '"$@" </dev/null >&2 & echo $!'


def find_postmaster(data: Path) -> psutil.Process | None:
    """The one that runs on this data.

    What `postmaster.pid` says is believed only of a process that is one: numbers are given again. Its time of start is
    not compared: clocks are set, and a living server must never be taken for dead. So raises OSError when nobody can
    tell, as while this process has too many files open.
    """
    try:
        process = psutil.Process(_pid(data))
        return process if _is_server(process, data) else None
    except (FileNotFoundError, ValueError, IndexError, psutil.Error):
        return None


def is_ready(data: Path) -> bool:
    """Whether it takes connections."""
    with suppress(OSError, IndexError):
        return pid_file(data).read_text().splitlines()[7].strip() == READY
    return False


def start(data: Path, log: Path, account: Account, is_wanted: Callable[[], bool]) -> None:
    """Returns when it takes connections, or is not wanted any more. Nobody else may be at it. Raises EmbeddedFailed."""
    running = find_postmaster(data)
    if running is None:
        end_orphans(data)
        _clear(data)
    log.touch(0o600)
    said_before = log.stat().st_size
    pid = running.pid if running else _spawn(data, log, account)
    deadline = time.monotonic() + START_SECONDS
    while is_wanted() and not (find_postmaster(data) and is_ready(data)):
        if not is_alive(pid):
            raise EmbeddedFailed(f"The embedded PostgreSQL did not start: {_told(log, said_before)}. Its log: {log}")
        if time.monotonic() > deadline:
            raise EmbeddedFailed(f"The embedded PostgreSQL is not ready after {START_SECONDS:.0f} s. Its log: {log}")
        time.sleep(LOOK_SECONDS)


def stop(data: Path) -> None:
    """As politely as it takes, and what it has left goes."""
    if (process := find_postmaster(data)) is not None:
        resume_all(process)
        for number, seconds in STOPS:
            with suppress(psutil.Error):
                process.send_signal(number)
            if not left_after([process], seconds):
                break
    if find_postmaster(data) is None:
        _clear(data)


def pid_file(data: Path) -> Path:
    return data / "postmaster.pid"


def _pid(data: Path) -> int:
    return int(pid_file(data).read_text().split()[0])


def _is_server(process: psutil.Process, data: Path) -> bool:
    """Its own children have other titles. It works in its data, wherever that was moved since."""
    executable, *arguments = process.cmdline()
    is_one = Path(executable).name == "postgres" and arguments[:1] == ["-D"]
    return is_one and (arguments[1] == str(data) or Path(process.cwd()) == data)


def _clear(data: Path) -> None:
    """What a server that is gone has left. Raises EmbeddedFailed when another one has the data, unseen from here."""
    folders = {socket_folder(data) or data}
    with suppress(OSError, IndexError):
        folders.add(Path(pid_file(data).read_text().splitlines()[4]))
    if any(_is_listening(socket_in(folder)) for folder in folders):
        raise EmbeddedFailed(f"Another PostgreSQL, perhaps in another container, is at work in {data}.")
    for folder in folders:
        forget_socket(folder, data)
    pid_file(data).unlink(missing_ok=True)


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(1.0)
        client.connect(str(path))
        return True
    return False


def _spawn(data: Path, log: Path, account: Account) -> int:
    folder = str(make_socket_folder(data, account)).replace('"', '""')
    settings = {
        "port": str(PORT),
        "listen_addresses": "",
        "unix_socket_directories": f'"{folder}"',
        "unix_socket_permissions": "0700",
    }
    command = [str(program("postgres", account)), "-D", str(data)]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with log.open("a") as opened:
        begun = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", DETACHED, "sh", *command],
            cwd="/",
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=opened,
            start_new_session=True,
            **account.options(),
        )
    return int(begun.communicate()[0])


def _told(log: Path, said_before: int) -> str:
    with log.open("rb") as opened:
        opened.seek(said_before)
        return last_words(opened.read().decode(errors="replace"))
