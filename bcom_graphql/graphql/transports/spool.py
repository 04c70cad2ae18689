"""What bodies take while they are received and read, together: memory those of strangers, disk those with files.

Never the last of the disk.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO, Final, cast

import structlog

from bcom_graphql.graphql.errors import Refused
from bcom_graphql.graphql.limits import Limits

logger = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 30
FREE: Final = 16 * 1024  # bytes: of a usual request
NO_HANDLES = (errno.EMFILE, errno.ENFILE)


class Spool:
    """Of one process."""

    def __init__(self, limits: Limits, folder: Path | None = None) -> None:
        """`folder`: the system's for temporary files, unless another is given."""
        self._limits = limits
        self.folder = str(folder) if folder else None
        self.in_memory = limits.anonymous_body  # bytes of each file: strangers write nothing to disk
        self.held = 0
        self.strangers = Strangers(limits.anonymous_bodies)

    def lease(self) -> "Lease":
        return Lease(self)

    def refuse_beyond(self, more: int) -> None:
        """Raises Refused when so many more bytes are more than there may be, or than the disk can spare."""
        if self.held + more > self._limits.spooled:
            raise _refused("The server is receiving as many files as it has room for. Try again later.")
        free = shutil.disk_usage(self.folder or gettempdir()).free
        if free - more < self._limits.free_disk:
            logger.error("an upload was refused: the disk is almost full", free=free, wanted=more)
            raise _refused("The server has too little free disk for files. Try again later.", 507)


class Strangers:
    """The memory of bodies whose senders are strangers still. The first bytes of each are free: all can sign in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def place(self) -> "Place":
        return Place(self)

    def take(self, more: int) -> bool:
        """Whether there was room for so many more bytes."""
        if self._held + more > self._most:
            return False
        self._held += more
        return True


class Place:
    """What one request takes of it, until it is left."""

    def __init__(self, strangers: Strangers) -> None:
        self._strangers = strangers
        self._taken = 0

    def fits(self, size: int) -> bool:
        """Whether there is room for so many bytes in all."""
        more = max(0, size - FREE - self._taken)
        if not self._strangers.take(more):
            return False
        self._taken += more
        return True

    def leave(self) -> None:
        self._strangers.take(-self._taken)
        self._taken = 0


class Lease:
    """What one request holds of it, until it is closed."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._held = 0
        self._files = list[IO[bytes]]()

    def hold(self, size: int) -> None:
        """Room for so many bytes in all. Raises Refused."""
        more = max(0, size - self._held)
        with explained():
            self._spool.refuse_beyond(more)
        self._spool.held += more
        self._held += more

    def open(self) -> IO[bytes]:
        """A file that is gone when it is closed, or when the process dies."""
        file = cast("IO[bytes]", SpooledTemporaryFile(self._spool.in_memory, dir=self._spool.folder))  # noqa: SIM115  see `close`
        self._files.append(file)
        return file

    def close(self) -> None:
        """For a thread: it takes a while to free a large file."""
        for file in self._files:
            file.close()
        self._spool.held -= self._held
        self._held = 0


@contextmanager
def explained() -> Iterator[None]:
    """Raises Refused for files that cannot be written, with what an operator has to know in the log."""
    try:
        yield
    except OSError as error:
        logger.error("an upload cannot be stored", error=str(error))  # noqa: TRY400  its trace says nothing more
        if error.errno in NO_HANDLES:
            raise _refused("The server has too many files and connections open. Try again later.") from error
        raise _refused("The server cannot store files now. Try again later.", 507) from error


def crowded() -> Refused:
    """For a stranger for whom there is no room."""
    return _refused("The server receives as much from strangers as it has room for. Sign in, or try again later.")


def _refused(message: str, status: int = 503) -> Refused:
    code = "SERVICE_UNAVAILABLE" if status == 503 else "INSUFFICIENT_STORAGE"
    return Refused(message, {"code": code}, status, {"retry-after": str(RETRY_SECONDS)})
