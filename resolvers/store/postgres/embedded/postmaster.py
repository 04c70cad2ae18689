"""Finds, starts and stops the postmaster, PostgreSQL's main process. Never signals any other process."""

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
START_SECONDS: Final = 600.0  # after a crash it replays its log first
STOPS: Final = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))  # signals, and seconds to wait
# In its own session, so that Ctrl-C in the terminal does not reach it; and orphaned, as it may outlive its starter.
DETACHED: Final = '"$@" </dev/null >&2 & echo $!'


def find_postmaster(data: Path) -> psutil.Process | None:
    """Returns the postmaster that runs on this data, None if there is none.

    Process ids are reused, so the process named in `postmaster.pid` must look like a postmaster. Start times are not
    compared, because clocks can be changed, and a running server must never be taken for dead. For the same reason,
    raises OSError if it cannot be determined, for instance because this process has too many open files.
    """
    try:
        process = psutil.Process(_pid(data))
        return process if _is_server(process, data) else None
    except (FileNotFoundError, ValueError, IndexError, psutil.Error):
        return None


def is_ready(data: Path) -> bool:
    """Returns whether the server accepts connections."""
    with suppress(OSError, IndexError):
        return pid_file(data).read_text().splitlines()[7].strip() == READY
    return False


def start(data: Path, log: Path, account: Account, is_wanted: Callable[[], bool]) -> None:
    """Starts the server; returns once it accepts connections, or `is_wanted` says no. Raises EmbeddedFailed.

    No other process may start or stop it meanwhile.
    """
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
    """Stops the server, with stronger signals if it does not react, and removes its leftover files."""
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
    """Returns whether the process is the postmaster of this data, even if the data was moved since it started.

    Its children have other titles.
    """
    executable, *arguments = process.cmdline()
    is_one = Path(executable).name == "postgres" and arguments[:1] == ["-D"]
    return is_one and (arguments[1] == str(data) or Path(process.cwd()) == data)


def _clear(data: Path) -> None:
    """Removes the files that a dead server left behind.

    Raises EmbeddedFailed if a server that is invisible from here still uses the data.
    """
    folders = {socket_folder(data) or data}
    with suppress(OSError, IndexError):
        folders.add(Path(pid_file(data).read_text().splitlines()[4]))
    if any(_is_listening(socket_in(folder)) for folder in folders):
        raise EmbeddedFailed(f"Another PostgreSQL, perhaps in another container, uses {data}.")
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
