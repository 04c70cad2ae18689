"""What a process gives its resolvers and they know by these methods only: made in `bcom_graphql.app`."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import IO, Protocol
from uuid import UUID

import polars as pl

from resolvers.base.files import Columns, Wanted


class Trainers(Protocol):
    """Works on training runs, away from the server's event loop."""

    async def launch(self, run_id: UUID) -> None:
        """Begins the work on a waiting run. Raises OSError if no process can be started."""

    async def stop(self) -> None:
        """Ends all work, because the server stops."""


class PasswordHasher(Protocol):
    """Hashes passwords, a few at a time; callers from the same network queue behind each other."""

    async def hash(self, password: str, network: str = "", *, is_known: bool = False) -> str:
        """Returns the hash of a password that was checked. Raises Busy."""

    async def match(self, password: str, hash: str | None, network: str = "", *, is_known: bool = False) -> bool:
        """Returns whether the password has this hash; takes as long where there is none. Raises Busy."""


class OpenFile(Protocol):
    """A file of samples that is being read."""

    rows: int  # as many as the file says it has
    columns: Columns
    notes: list[str]  # sentences on what was understood of its rows, when all are read

    def batches(self) -> AsyncIterator[pl.DataFrame]:
        """Yields the rows in the file's order. Raises InvalidInput."""


class FileReaders(Protocol):
    """Reads files in processes of their own."""

    def open(self, file: IO[bytes], name: str, wanted: Wanted) -> AbstractAsyncContextManager[OpenFile]:
        """Opens a CSV or Parquet file. Raises InvalidInput, Unavailable."""
