"""A server that several processes share: the first one starts it, the last one stops it."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO, Final
from urllib.parse import quote

import structlog

from resolvers.store.postgres.embedded import cluster, postmaster
from resolvers.store.postgres.embedded.processes import LOOK_SECONDS
from resolvers.store.postgres.embedded.programs import Account, EmbeddedFailed, account_for, run
from resolvers.store.postgres.embedded.sockets import PORT, socket_folder
from resolvers.store.postgres.embedded.supervision import Restarts, Supervisor

ANSWER_SECONDS: Final = 3.0
MADE_WHERE_MISSING: Final = """SELECT format('CREATE DATABASE %I', :'name')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec
"""

logger = structlog.get_logger(__name__)


@contextmanager
def embedded_postgres(folder: Path, database: str = "bcom") -> Iterator[str]:
    """Yields the URL of a database. The server runs until the last process that uses it has left.

    Raises EmbeddedFailed if it does not start.
    """
    try:
        server = Server(folder.resolve())
        server.enter()
    except OSError as error:
        raise EmbeddedFailed(f"The embedded PostgreSQL cannot use {folder.resolve()}: {error}") from error
    try:
        server.make(database)
        with Supervisor(server.revive):
            yield server.url(database)
    finally:
        server.leave()


class Server:
    """One process's use of the server.

    Each user holds a file lock, which the operating system releases if the process dies.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._data, self._log = folder / "postgres", folder / "postgres.log"
        self._account: Account = account_for(self._data)
        self._changing, self._users = folder / "postgres.lock", folder / "postgres.users"
        self._restarts = Restarts(folder)
        self._use: IO[str] | None = None
        self._leaving = Event()

    def enter(self) -> None:
        """Registers this process as a user and starts the server if necessary. Raises EmbeddedFailed."""
        with _locked(self._changing):
            self._use = self._users.open("a")
            fcntl.flock(self._use, fcntl.LOCK_SH)
            try:
                self._start()
            except BaseException:
                self._release()
                raise

    def leave(self) -> None:
        """Ends this process's use; the last user stops the server. Failures are logged, not raised."""
        self._leaving.set()
        try:
            with _locked(self._changing):
                self._release()
        except (EmbeddedFailed, OSError) as error:
            logger.warning("the embedded PostgreSQL may still run", reason=str(error))

    def revive(self) -> bool:
        """Restarts the server if it has ended; returns whether it had. Raises EmbeddedFailed, OSError."""
        if postmaster.find_postmaster(self._data) is not None:
            return False
        with _locked(self._changing):
            if self._leaving.is_set() or postmaster.find_postmaster(self._data) is not None:
                return False  # another process has restarted it
            self._start()
            self._restarts.count()
        return True

    def make(self, database: str) -> None:
        """Creates the database if it is missing. Raises EmbeddedFailed."""
        where = ("-h", str(socket_folder(self._data)), "-p", str(PORT), "-U", cluster.SUPERUSER)
        options = ("-X", "-v", "ON_ERROR_STOP=1", "-v", f"name={database}")
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                run(self._account, "psql", *where, *options, given=MADE_WHERE_MISSING, PGPASSWORD=self._password)
            except EmbeddedFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)
                self.revive()  # it was stopping when we connected
            else:
                return

    def url(self, database: str) -> str:
        where = f"host={quote(str(socket_folder(self._data)))}&port={PORT}"
        return f"postgresql+asyncpg://{cluster.SUPERUSER}:{self._password}@/{database}?{where}"

    @property
    def _password(self) -> str:
        return cluster.password(self._data)

    def _start(self) -> None:
        if self._data.exists():
            self._account.give(self._data)
        if not cluster.is_ready(self._data) or socket_folder(self._data) is None:
            postmaster.stop(self._data)
            cluster.prepare(self._data, self._account)
        postmaster.start(self._data, self._log, self._account, lambda: not self._leaving.is_set())

    def _release(self) -> None:
        """Ends this process's use. The caller holds the lock for changes, so that nobody enters meanwhile."""
        if self._use is None:
            return
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            postmaster.stop(self._data)
        except BlockingIOError:  # others use it
            pass
        finally:
            self._use.close()
            self._use = None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
