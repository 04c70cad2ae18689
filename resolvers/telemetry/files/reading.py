"""The process that reads a file: `python -m resolvers.telemetry.files.reading JOB`, which speaks as `messages.py` says.

It knows polars and nothing of the server, has no secrets, and limits its own memory and time. It ends when its standard
input ends: the server no longer wants it, or is gone.
"""

import io
import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import polars as pl

from resolvers.telemetry.files.cells import parse_cells
from resolvers.telemetry.files.messages import HEADER, Job, Kind, make_printable
from resolvers.telemetry.files.pieces import TableFile, Unreadable
from resolvers.telemetry.files.tabular import open_table

NICENESS: Final = 5  # serving comes first
NUMBER: Final = "number"
NAMED_COLUMNS: Final = 20  # columns that the message names where ours are missing
NAMED_CHARACTERS: Final = 50  # of each
LONGEST_REASON: Final = 300  # characters
UNPRINTABLE: Final = r"[\p{C}\p{Zl}\p{Zp}]"
PANICKED: Final = "it is damaged, or has something in it that polars cannot read"
STATUS: Final = Path("/proc/self/statm")
DATA_PAGES: Final = 5  # their place in it


class Unsuitable(Exception):
    """The table lacks what samples need; the message follows the file's name."""


def main() -> None:
    """Reads the file, and sends what it reads."""
    job = Job.from_json(sys.argv[1])
    threading.Thread(target=_end_with_input, daemon=True).start()
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no message
    limit_resources(job.memory)
    try:
        for kind, content in _produce_messages(job):
            output.write(HEADER.pack(kind.value, len(content)))
            output.write(content)
            output.flush()
            _allow_seconds(job.seconds)
    except BrokenPipeError:
        pass
    os._exit(0)  # without tidying up what may be damaged


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def limit_resources(memory: int) -> None:
    """Lets this process take only so many bytes from now on, write no file and leave no core dump.

    Memory has no limit where the system does not tell how much is in use (macOS).
    """
    os.nice(NICENESS)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_FSIZE, 0)
    if STATUS.exists():
        data = int(STATUS.read_text().split()[DATA_PAGES]) * resource.getpagesize()
        _set(resource.RLIMIT_DATA, data + memory)


def _allow_seconds(seconds: float) -> None:
    """Lets this process use a processor for so long from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)


def _set(what: int, amount: int) -> None:
    """Sets a soft limit, at most the hard one that somebody has set."""
    _, hard = resource.getrlimit(what)
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (amount if hard == resource.RLIM_INFINITY else min(amount, hard), hard))


def _produce_messages(job: Job) -> Iterator[tuple[Kind, bytes]]:
    """Yields the messages. Expected failures, polars' panics included, become the last one."""
    _allow_seconds(job.seconds)
    try:
        with os.fdopen(job.descriptor, "rb") as file:
            table = open_table(file, job.decimal, job.max_unpacked)
            names = _match_columns(table, job)
            yield Kind.ROWS, str(table.count_rows()).encode()
            metrics = [name for name in job.metrics if name in names.values()]
            for batch in _read_batches(table, names, metrics, job.batch_rows):
                yield Kind.BATCH, _to_arrow(batch)
        yield Kind.END, b""
    except Unsuitable as error:
        yield Kind.REFUSED, str(error).encode()
    except pl.exceptions.PanicException:
        yield Kind.REFUSED, f"cannot be read as CSV or Parquet: {PANICKED}.".encode()
    except (Unreadable, OSError, pl.exceptions.PolarsError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        shown = make_printable(why, LONGEST_REASON).rstrip(".")
        yield Kind.REFUSED, f"cannot be read as CSV or Parquet: {shown}.".encode()


def _read_batches(table: TableFile, names: dict[str, str], metrics: list[str], rows: int) -> Iterator[pl.DataFrame]:
    """Yields typed rows; one that was refused is null in all columns, and `unreadable` says why."""
    for piece in table.read_pieces([*names]):
        raw = piece.rows.rename(names).with_columns(piece.lines.alias("line"))
        if len(piece.refused):
            raw = pl.concat([raw, piece.refused], how="diagonal").sort("line", maintain_order=True)
        for batch in raw.iter_slices(rows):
            yield _parse_batch(batch, metrics)


def _parse_batch(batch: pl.DataFrame, metrics: list[str]) -> pl.DataFrame:
    typed = parse_cells(batch.drop("line", "reason", strict=False), metrics)
    reason = [batch["reason"]] if "reason" in batch.columns else []
    said = pl.coalesce(*reason, pl.col("unreadable")).str.replace_all(UNPRINTABLE, "?")
    return typed.with_columns(unreadable=said)


def _to_arrow(batch: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    batch.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())  # later ones send what slices leave out
    return stream.getvalue()


def _match_columns(table: TableFile, job: Job) -> dict[str, str]:
    """Returns our names of the file's columns, by its own. Raises Unsuitable, Unreadable."""
    ours = {_to_snake_case(column): column for column in table.schema}
    missing = [name for name in job.required if name not in ours]
    metrics = [name for name in job.metrics if name in ours]
    if missing or not metrics:
        wanted = ", ".join(missing) or f"any of {', '.join(job.metrics)}"
        raise Unsuitable(f"lacks the column {wanted}; it has {_format_columns(table.schema.names())}.")
    for name in (*job.required, *metrics):
        if table.schema[ours[name]].is_nested():
            raise Unreadable(f"its column {name} holds lists or structs")
    number = job.required[0]
    return {ours[name]: NUMBER if name == number else name for name in (*job.required, *metrics)}


def _format_columns(columns: list[str]) -> str:
    shown = [make_printable(column, NAMED_CHARACTERS) for column in columns[:NAMED_COLUMNS]]
    return ", ".join(shown if len(columns) <= NAMED_COLUMNS else [*shown, "…"])


def _to_snake_case(column: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in column.strip())


if __name__ == "__main__":
    main()
