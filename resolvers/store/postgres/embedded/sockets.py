"""The private folder of the server's socket."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from resolvers.store.postgres.embedded.programs import Account

PORT: Final = 5432  # part of the socket's name; no TCP port is opened
LONGEST: Final = 100  # bytes; Linux takes 107, others 103


def socket_in(folder: Path) -> Path:
    return folder / f".s.PGSQL.{PORT}"


def socket_folder(data: Path) -> Path | None:
    """Returns the folder of the socket, None if none was chosen yet.

    It is the data folder. If that path is unsuitable for a socket, a file beside the data names another folder.
    """
    if _fits(data):
        return data
    with suppress(OSError):
        return Path(_pointer(data).read_text())
    return None


def make_socket_folder(data: Path, account: Account) -> Path:
    """Returns the folder of the socket, created if necessary.

    The earlier folder is kept, so that addresses stay valid, unless another user has taken it.
    """
    folder = socket_folder(data)
    if folder == data:
        return data
    if folder is not None:
        with suppress(OSError):
            folder.mkdir(mode=0o700)
            account.give(folder)
    if folder is None or not _is_private(folder, account):
        folder = _new_folder()
        account.give(folder)
        _pointer(data).write_text(str(folder))
    return folder


def forget_socket(folder: Path, data: Path) -> None:
    """Removes the socket files of a dead server."""
    for left in (socket_in(folder), socket_in(folder).with_suffix(f".{PORT}.lock")):
        with suppress(OSError):
            left.unlink()
    if folder != data:
        with suppress(OSError):
            folder.rmdir()


def _pointer(data: Path) -> Path:
    return data.with_name("postgres.socket")


def _fits(folder: Path) -> bool:
    """Returns whether the path is short enough, and has no comma, which separates hosts for PostgreSQL's clients."""
    return "," not in str(folder) and len(os.fsencode(socket_in(folder))) <= LONGEST


def _new_folder() -> Path:
    bases = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108  the folder inside is private
    fitting = [base for base in bases if _fits(base / "bcom-postgres-12345678")]
    return Path(tempfile.mkdtemp(prefix="bcom-postgres-", dir=fitting[0]))


def _is_private(folder: Path, account: Account) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    owner = os.geteuid() if account.uid is None else account.uid
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077
