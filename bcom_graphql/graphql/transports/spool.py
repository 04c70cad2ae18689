"""Bounds what all request bodies take together: memory for those of anonymous senders, disk for uploads.

Uploads never take the last of the disk.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO, Final, cast

import structlog

from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.limits import Limits

logger = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 30
FREE_BYTES: Final = 16 * 1024  # of each request: as much as a usual one has
OUT_OF_HANDLES = (errno.EMFILE, errno.ENFILE)


class Spool:
    """What the request bodies of one process take."""

    def __init__(self, limits: Limits, folder: Path | None = None) -> None:
        """`folder`: by default the system's for temporary files."""
        self._limits = limits
        self.folder = str(folder) if folder else None
        self.in_memory = limits.anonymous_body  # bytes of each file: anonymous senders write nothing to disk
        self.reserved = 0  # bytes of disk
        self.anonymous_memory = AnonymousMemory(limits.anonymous_bodies)

    def new_reservation(self) -> "DiskReservation":
        return DiskReservation(self)

    def check_room(self, more: int) -> None:
        """Raises RequestError if so many more bytes exceed the limit, or what the disk can spare."""
        if self.reserved + more > self._limits.spooled:
            raise _make_capacity_error("The server is receiving as many files as it has room for. Try again later.")
        free = shutil.disk_usage(self.folder or gettempdir()).free
        if free - more < self._limits.free_disk:
            logger.error("an upload was refused: the disk is almost full", free=free, wanted=more)
            raise _make_capacity_error("The server has too little free disk for files. Try again later.", 507)


class AnonymousMemory:
    """The memory for bodies of anonymous senders. The first bytes of each are free, so that all can sign in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    def new_reservation(self) -> "MemoryReservation":
        return MemoryReservation(self)

    def take(self, more: int) -> bool:
        """Takes so many more bytes, if there is room. Returns whether there was."""
        if self._taken + more > self._most:
            return False
        self._taken += more
        return True


class MemoryReservation:
    """The memory that one request's body takes, until it is released."""

    def __init__(self, anonymous_memory: AnonymousMemory) -> None:
        self._memory = anonymous_memory
        self._taken = 0

    def reserve(self, size: int) -> bool:
        """Reserves so many bytes in all. Returns whether there was room."""
        more = max(0, size - FREE_BYTES - self._taken)
        if not self._memory.take(more):
            return False
        self._taken += more
        return True

    def release(self) -> None:
        self._memory.take(-self._taken)
        self._taken = 0


class DiskReservation:
    """The disk that one request's files take, until they are closed."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._reserved = 0
        self._files = list[IO[bytes]]()

    def reserve(self, size: int) -> None:
        """Reserves so many bytes in all. Raises RequestError if there is no room."""
        more = max(0, size - self._reserved)
        with report_os_errors():
            self._spool.check_room(more)
        self._spool.reserved += more
        self._reserved += more

    def open(self) -> IO[bytes]:
        """Returns a file that is gone when it is closed, or when the process dies."""
        file = cast("IO[bytes]", SpooledTemporaryFile(self._spool.in_memory, dir=self._spool.folder))  # noqa: SIM115  see `close`
        self._files.append(file)
        return file

    def close(self) -> None:
        """Closes the files and releases the disk. Call it in a thread: it takes a while to free a large file."""
        for file in self._files:
            file.close()
        self._spool.reserved -= self._reserved
        self._reserved = 0


@contextmanager
def report_os_errors() -> Iterator[None]:
    """Turns OSErrors into RequestErrors, and logs what an operator has to know."""
    try:
        yield
    except OSError as error:
        logger.error("an upload cannot be stored", error=str(error))  # noqa: TRY400  its trace says nothing more
        if error.errno in OUT_OF_HANDLES:
            raise _make_capacity_error(
                "The server has too many files and connections open. Try again later."
            ) from error
        raise _make_capacity_error("The server cannot store files now. Try again later.", 507) from error


def make_memory_error() -> RequestError:
    """Returns the error for anonymous senders when there is no memory left."""
    return _make_capacity_error(
        "The server receives as much from strangers as it has room for. Sign in, or try again later."
    )


def _make_capacity_error(message: str, status: int = 503) -> RequestError:
    code = "SERVICE_UNAVAILABLE" if status == 503 else "INSUFFICIENT_STORAGE"
    return RequestError(message, {"code": code}, status, {"retry-after": str(RETRY_SECONDS)})
