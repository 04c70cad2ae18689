"""Watches the server, restarts it when it has ended, and reports its state.

Each process that uses the server watches it in a thread, as its event loop may be busy. A lock makes sure that only one
of them restarts it.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Final
from urllib.parse import parse_qs, urlsplit

import structlog

from resolvers.store.postgres.embedded.postmaster import find_postmaster
from resolvers.store.postgres.embedded.programs import EmbeddedFailed
from resolvers.store.postgres.embedded.sockets import socket_folder

LOOK_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0  # between two attempts to restart it

logger = structlog.get_logger(__name__)


class Supervisor:
    """Calls `revive` repeatedly while it is entered, with growing pauses while the server does not stay up."""

    def __init__(self, revive: Callable[[], bool]) -> None:
        self._revive = revive
        self._left = Event()
        self._thread = Thread(target=self._watch, name="postgres", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._left.set()
        self._thread.join(LOOK_SECONDS)

    def _watch(self) -> None:
        pause = LOOK_SECONDS
        while not self._left.wait(pause):
            pause = LOOK_SECONDS if self._is_well() else min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _is_well(self) -> bool:
        """Returns whether the server was running. If it keeps ending, pauses grow as well."""
        try:
            if not self._revive():
                return True
            logger.error("the embedded PostgreSQL had ended, and runs again")
        except EmbeddedFailed as error:
            logger.error("the embedded PostgreSQL has ended and does not start, trying again", reason=str(error))  # noqa: TRY400
        except OSError as error:
            logger.error("nobody can tell how the embedded PostgreSQL is, looking again", reason=str(error))  # noqa: TRY400
        except Exception:  # the outermost loop of a worker: log and try again
            logger.exception("watching over the embedded PostgreSQL failed, trying again")
        return False


class Restarts:
    """The number of restarts, in a file, as other processes report it than those that restart the server."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "postgres.restarts"

    @property
    def number(self) -> int:
        with suppress(OSError, ValueError):
            return int(self._file.read_text())
        return 0

    def count(self) -> None:
        """Adds one, unless the disk is full. The caller holds the lock for changes."""
        with suppress(OSError):
            new = self._file.with_suffix(".new")
            new.write_text(f"{self.number + 1}\n")
            new.replace(self._file)


class Supervised:
    """The state of the embedded server, as its users see it."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "postgres"
        self._restarts = Restarts(folder)

    @classmethod
    def at(cls, url: str, folder: Path) -> "Supervised | None":
        """Returns the server in this folder, None if the URL belongs to another server."""
        host = parse_qs(urlsplit(url).query).get("host")
        where = socket_folder(folder.resolve() / "postgres")
        return cls(folder.resolve()) if where is not None and host == [str(where)] else None

    @property
    def is_running(self) -> bool:
        """Returns whether the server runs; True if unknown, because this process has too many open files."""
        try:
            return find_postmaster(self._data) is not None
        except OSError:
            return True

    @property
    def restarts(self) -> int:
        return self._restarts.number
