"""The process that reads a file: `python -m resolvers.telemetry.files.reading JOB`, which speaks as `messages.py` says.

It knows polars and nothing of the server, has no secrets, and limits its own memory and time. It ends when its standard
input ends: the server no longer wants it, or is gone.
"""

import io
import json
import os
import resource
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from resolvers.base.files import Columns, ReadColumn
from resolvers.telemetry.files.cells import TypedRows, check_types, name_type, parse_cells
from resolvers.telemetry.files.headings import Field, Unsuitable, match_headings
from resolvers.telemetry.files.messages import HEADER, Job, Kind, make_printable
from resolvers.telemetry.files.pieces import TableFile, Unreadable
from resolvers.telemetry.files.tabular import open_table

NICENESS: Final = 5  # serving comes first
LONGEST_HEADING: Final = 50  # characters
LONGEST_REASON: Final = 300  # characters
UNPRINTABLE: Final = r"[\p{C}\p{Zl}\p{Zp}]"
PANICKED: Final = "it is damaged, or has something in it that polars cannot read"
STATUS: Final = Path("/proc/self/statm")
DATA_PAGES: Final = 5  # their place in it


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
            fields, columns = _understand_columns(table, job)
            yield Kind.COLUMNS, columns.as_json()
            yield Kind.ROWS, str(table.count_rows()).encode()
            forms = set[str]()
            for batch in _read_batches(table, fields, job):
                typed = _parse_batch(batch, job)
                forms |= typed.forms
                yield Kind.BATCH, _to_arrow(typed.frame)
            yield Kind.END, json.dumps([*table.notes, *_describe_times(forms, job)]).encode()
    except Unsuitable as error:
        yield Kind.REFUSED, str(error).encode()
    except pl.exceptions.PanicException:
        yield Kind.REFUSED, f"cannot be read as CSV or Parquet: {PANICKED}.".encode()
    except (Unreadable, OSError, pl.exceptions.PolarsError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        shown = make_printable(why, LONGEST_REASON).rstrip(".")
        yield Kind.REFUSED, f"cannot be read as CSV or Parquet: {shown}.".encode()


def _understand_columns(table: TableFile, job: Job) -> tuple[dict[str, str], Columns]:
    """Returns our names of the file's columns by its own, and what to tell of them. Raises Unsuitable."""
    matched = match_headings(table.headings, job)
    headings = {field: _show(table.headings[name]) for name, field in matched.fields.items()}
    types = {field: table.schema[name] for name, field in matched.fields.items()}
    check_types(types, headings, job)
    read = [ReadColumn(headings[field], Field(field, "").api_name, name_type(types[field])) for field in types]
    return matched.fields, Columns(read, matched.ignored, matched.hints)


def _show(heading: str) -> str:
    return make_printable(heading[:LONGEST_HEADING].strip(), LONGEST_HEADING)


def _read_batches(table: TableFile, fields: dict[str, str], job: Job) -> Iterator[pl.DataFrame]:
    """Yields rows by our names with their `line`; one that was refused is null in all columns, but for its `reason`."""
    for piece in table.read_pieces([*fields]):
        raw = piece.rows.rename(fields).with_columns(piece.lines.alias("line"))
        if len(piece.refused):
            raw = pl.concat([raw, piece.refused], how="diagonal").sort("line", maintain_order=True)
        yield from raw.iter_slices(job.batch_rows)


def _parse_batch(batch: pl.DataFrame, job: Job) -> TypedRows:
    typed = parse_cells(batch.drop("line", "reason", strict=False), job)
    reason = [batch["reason"]] if "reason" in batch.columns else []
    said = pl.coalesce(*reason, pl.col("unreadable")).str.replace_all(UNPRINTABLE, "?")
    return replace(typed, frame=typed.frame.with_columns(batch["line"], unreadable=said))


def _describe_times(forms: Collection[str], job: Job) -> list[str]:
    """Returns sentences on what was found out about times, or said of them."""
    guessed = [form for form in sorted(forms) if form.startswith("epoch") and not job.time_unit]
    notes = [f"Times are read as {' and '.join(guessed)}, by their size."] if guessed else []
    return [*notes, f"Times without an offset are those of {job.time_zone}."] if job.time_zone else notes


def _to_arrow(batch: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    batch.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())  # later ones send what slices leave out
    return stream.getvalue()


if __name__ == "__main__":
    main()
