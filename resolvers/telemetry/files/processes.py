"""Has files read by processes of their own: whatever is in a file, the server gets typed rows or a sentence."""

import asyncio
import io
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import IO, Final

import polars as pl
import structlog

from resolvers.base.errors import InvalidInput, Unavailable
from resolvers.base.files import Columns, Wanted
from resolvers.telemetry.files.messages import HEADER, LARGEST_MESSAGE, NUMBER, Job, Kind
from resolvers.telemetry.values.parsed import LEFT_OUT

MEMORY: Final = 512 << 20  # bytes that a process may take to read a file
SECONDS: Final = 900.0  # that it may take from one batch to the next
MAX_UNPACKED: Final = 4 << 30  # bytes that a compressed file may unpack to
BATCH_ROWS: Final = 25_000  # twice as many take 110 MB more memory, and as long
AT_ONCE: Final = 2  # files, in a server process
WAITING: Final = 8  # files, at most, until one of these is done
KEPT_BYTES: Final = 2000  # of what a process complains of, for the log
INHERITED: Final = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # no secrets
OWN: Final = {"POLARS_MAX_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
OUT_OF_MEMORY: Final = "reading it takes more than MAX_IMPORT_MEMORY; it is damaged, or its row groups are too large"
TOOK_TOO_LONG: Final = "reading it takes longer than MAX_UPLOAD_SECONDS"
CRASHED: Final = "its reader crashed; it is damaged"

logger = structlog.get_logger(__name__)


class FileReaders:
    """Reads files for this server process."""

    def __init__(
        self,
        memory: int = MEMORY,
        seconds: float = SECONDS,
        max_unpacked: int = MAX_UNPACKED,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._memory, self._seconds, self._batch_rows = memory, seconds, batch_rows
        self._max_unpacked = max_unpacked
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def open(self, file: IO[bytes], name: str, wanted: Wanted) -> AsyncIterator["OpenFile"]:
        """Opens a CSV or Parquet file.

        Raises InvalidInput, as reading does; Unavailable where too many are read already, or no process can be started.

        name: of the file, in error messages.
        """
        async with self._wait_for_turn():
            try:
                descriptor = await asyncio.to_thread(_flush_to_disk, file)
                job = self._make_job(descriptor, wanted)
                process = await _start(job)
            except OSError as error:
                raise Unavailable(f"No file can be read now ({error.strerror}). Try again shortly.") from error
            opened = OpenFile(process, name, job)
            try:
                await opened.begin()
                yield opened
            finally:
                await opened.end()

    def _make_job(self, descriptor: int, wanted: Wanted) -> Job:
        return Job(
            descriptor,
            [*wanted.required],
            [*wanted.units],
            self._batch_rows,
            self._memory,
            self._seconds,
            wanted.decimal,
            self._max_unpacked,
            {**wanted.units},
            {**wanted.columns},
            wanted.time_zone,
            wanted.time_unit,
        )

    @asynccontextmanager
    async def _wait_for_turn(self) -> AsyncIterator[None]:
        if self._waiting == WAITING:
            raise Unavailable(f"{AT_ONCE} files are being read, and {WAITING} wait for it. Try again shortly.")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


def _flush_to_disk(file: IO[bytes]) -> int:
    """Returns the file's descriptor, with all of its content on disk."""
    descriptor = file.fileno()
    file.flush()
    return descriptor


async def _start(job: Job) -> Process:
    """Starts the process. Its standard input, on which nothing is sent, tells it when we are gone. Raises OSError."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "resolvers.telemetry.files.reading", job.as_json()),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=inherited | OWN,
        pass_fds=(job.descriptor,),
        start_new_session=True,  # Ctrl-C is for us
    )


class OpenFile:
    """A file that is being read.

    rows: how many it says it has.
    columns: what was understood of its columns.
    notes: sentences on what was understood of its rows, when all are read.
    """

    def __init__(self, process: Process, name: str, job: Job) -> None:
        assert process.stdout is not None  # noqa: S101  both are pipes
        assert process.stderr is not None  # noqa: S101
        self._process, self._name, self._job = process, name, job
        self._output = process.stdout
        self._complaints = asyncio.create_task(_read_end(process.stderr))
        self._is_over = False  # it ends by itself; killing it then would confuse asyncio (Python 3.11)
        self.rows = 0
        self.columns = Columns()
        self.notes: list[str] = []

    async def begin(self) -> None:
        """Receives the columns, and the number of rows. Raises InvalidInput, as `batches` does."""
        self.columns = Columns.from_json((await self._receive())[1])
        self.rows = int((await self._receive())[1])

    async def batches(self) -> AsyncIterator[pl.DataFrame]:
        """Yields rows in order: their `line`, `number`, `at` (epoch ms), other required columns and metrics.

        `unreadable` says what is wrong with a row, `left_out` which metrics of it cannot be read.
        """
        while (message := await self._receive())[0] is not Kind.END:
            frame = await asyncio.to_thread(pl.read_ipc_stream, io.BytesIO(message[1]))
            if dict(frame.schema) != _list_types(self._job, frame.columns):
                raise self._make_error(CRASHED)
            yield frame
        self.notes = json.loads(message[1])

    async def end(self) -> None:
        """Ends the process, whether the file was read to its end or not."""
        if not self._is_over:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self._output.read()  # what is left would keep the pipe open
        await self._complaints
        await self._process.wait()

    async def _receive(self) -> tuple[Kind, bytes]:
        try:
            async with asyncio.timeout(self._job.seconds):
                kind, length = HEADER.unpack(await self._output.readexactly(HEADER.size))
                if length > LARGEST_MESSAGE:
                    raise self._make_error(CRASHED)
                content = await self._output.readexactly(length)
        except TimeoutError:
            raise self._make_error(TOOK_TOO_LONG) from None
        except asyncio.IncompleteReadError:
            self._is_over = True
            raise self._make_error(await self._explain_death()) from None
        self._is_over = Kind(kind) in (Kind.END, Kind.REFUSED)
        if Kind(kind) is Kind.REFUSED:
            raise InvalidInput(f"{self._name} {content.decode(errors='replace')}")
        return Kind(kind), content

    async def _explain_death(self) -> str:
        """Returns what the process died of."""
        code, complaints = await self._process.wait(), await self._complaints
        logger.warning("the reader of a file died", code=code, said=complaints.decode(errors="replace"))
        if code == -signal.SIGXCPU:
            return TOOK_TOO_LONG
        is_hungry = b"memory allocation of" in complaints or b"MemoryError" in complaints
        return OUT_OF_MEMORY if is_hungry or code == -signal.SIGKILL else CRASHED

    def _make_error(self, why: str) -> InvalidInput:
        return InvalidInput(f"{self._name} cannot be read: {why}.")


async def _read_end(stream: asyncio.StreamReader) -> bytes:
    """Returns the end of what comes, when all has come."""
    last = b""
    while read := await stream.read(KEPT_BYTES):
        last = (last + read)[-KEPT_BYTES:]
    return last


def _list_types(job: Job, columns: Sequence[str]) -> dict[str, type[pl.DataType] | pl.DataType]:
    """Returns the types of a batch that has these columns."""
    texts = {name: pl.String for name in job.required[1:] if name != "at"}
    metrics = {name: pl.Float64 for name in job.metrics if name in columns}
    told: dict[str, type[pl.DataType] | pl.DataType] = {"line": pl.Int64, "unreadable": pl.String, "left_out": LEFT_OUT}
    return {NUMBER: pl.Int64, "at": pl.Int64, **texts, **metrics, **told}
