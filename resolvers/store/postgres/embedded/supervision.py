"""Watches over the server, and tells how it is.

Each process that uses it does so, in a thread, as its event loop may be at other work; a lock leaves it to one of them
to start the server again.
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
LONGEST_PAUSE_SECONDS: Final = 15.0  # between two attempts to start it again

logger = structlog.get_logger(__name__)


class Supervisor:
    """Calls `revive` again and again while it is entered; less and less often while that is in vain."""

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
        """Whether it had not ended. One that ends again and again is started less and less often, too."""
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
    """How often it was started again, in a file: those who tell of it are other processes than who does it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "postgres.restarts"

    @property
    def number(self) -> int:
        with suppress(OSError, ValueError):
            return int(self._file.read_text())
        return 0

    def count(self) -> None:
        """One more. Nobody else does at the same time. It is left out where the disk is full."""
        with suppress(OSError):
            new = self._file.with_suffix(".new")
            new.write_text(f"{self.number + 1}\n")
            new.replace(self._file)


class Supervised:
    """The embedded server, seen by whoever uses it."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "postgres"
        self._restarts = Restarts(folder)

    @classmethod
    def at(cls, url: str, folder: Path) -> "Supervised | None":
        """The one in this folder; None where the URL is another server's."""
        host = parse_qs(urlsplit(url).query).get("host")
        where = socket_folder(folder.resolve() / "postgres")
        return cls(folder.resolve()) if where is not None and host == [str(where)] else None

    @property
    def is_running(self) -> bool:
        """True where this process cannot tell: it has files enough for nothing else either."""
        try:
            return find_postmaster(self._data) is not None
        except OSError:
            return True

    @property
    def restarts(self) -> int:
        return self._restarts.number
