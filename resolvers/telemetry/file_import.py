"""Imports CSV and Parquet files: in batches, by the same recording as the API's."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final
from uuid import UUID

import polars as pl
from sqlalchemy import select

from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import ClientError, InvalidInput, RateLimited
from resolvers.context import Context
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import Anomaly
from resolvers.telemetry import recording
from resolvers.telemetry.files.messages import make_printable
from resolvers.telemetry.import_options import ImportOptions, build_wanted
from resolvers.telemetry.import_report import FileReport, ImportedColumn
from resolvers.telemetry.left_out import LeftOutCells, add_counts
from resolvers.telemetry.mappings import apply_mapping
from resolvers.telemetry.recording import LISTED_REJECTIONS, RecordedBatch, Rejection, largest_batch

LONGEST_NAME: Final = 100  # characters of a file's name in a sentence
AS_IT_IS: Final = ImportOptions()


@dataclass(frozen=True)
class Progress:
    """One batch done.

    rows, total: read so far, and in the file.
    recorded: what became of the batch; its rejections count rows from the file's first, and name their lines.
    """

    rows: int
    total: int
    recorded: RecordedBatch


@dataclass
class Tally:
    """What became of a file so far. It grows only by the ids of anomalies."""

    accepted: int = 0
    duplicates: int = 0
    rejected_count: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    anomalies: set[UUID] = field(default_factory=set)
    merged: int = 0
    conflicting: int = 0
    replaced: int = 0
    left_out_count: int = 0
    left_out: list[LeftOutCells] = field(default_factory=list)
    report: FileReport = field(default_factory=FileReport)

    @property
    def rows(self) -> int:
        return self.report.rows

    @property
    def alarms(self) -> list[str]:
        """Sentences on large shares of the file that could not be used."""
        return self.report.list_alarms(self.rejected_count, self.left_out)

    @property
    def warnings(self) -> list[str]:
        """Sentences on what a person should look at, the alarms first."""
        return self.report.list_warnings(self.rejected_count, self.left_out)

    @property
    def columns(self) -> list[ImportedColumn]:
        """The columns that were read, with what became of their cells."""
        return self.report.list_columns(self.left_out)

    def add(self, batch: RecordedBatch) -> None:
        self.accepted += batch.accepted
        self.duplicates += batch.duplicates
        self.rejected_count += batch.rejected_count
        self.rejected += batch.rejected[: LISTED_REJECTIONS - len(self.rejected)]
        self.reasons.update(batch.reasons)
        self.anomalies.update(anomaly.id for anomaly in batch.anomalies)
        self.merged += batch.merged
        self.conflicting += batch.conflicting
        self.replaced += batch.replaced
        self.left_out_count += batch.left_out_count
        self.left_out = add_counts(self.left_out, batch.left_out)


@dataclass(frozen=True)
class ImportedFile:
    """What became of an uploaded file. recorded: all of its batches as if they had been one."""

    recorded: RecordedBatch
    tally: Tally


async def import_upload(
    context: Context, kind: TargetKind, name: str, content: IO[bytes], options: ImportOptions = AS_IT_IS
) -> ImportedFile:
    """Records an uploaded file, whatever it is called.

    Raises InvalidInput for a damaged file; the batches before the damage stay, and sending the file again is safe.
    """
    tally, shown = Tally(), make_printable(name, LONGEST_NAME) or "The file"
    try:
        async with aclosing(
            import_file(lambda: replace(context), kind, content, shown, options, tally.report)
        ) as steps:
            async for step in steps:
                tally.add(step.recorded)
    except ClientError as error:
        kept = f" {tally.accepted} samples before that were recorded; sending the file again is safe."
        told = error.message + (kept if tally.rows and not options.dry_run else "")
        if isinstance(error, InvalidInput):
            raise InvalidInput(told, error.path or ["file"]) from error
        error.message, error.args = told, (told,)
        raise
    return ImportedFile(await _combine(context, tally), tally)


async def _combine(context: Context, tally: Tally) -> RecordedBatch:
    """Returns the result of all batches as if they had been one."""
    query = select(Anomaly).where(is_among(Anomaly.id, tally.anomalies)).order_by(Anomaly.started_at, Anomaly.id)
    async with context.database.read() as session:
        touched = [*await session.scalars(query)]
    counts = (tally.accepted, tally.duplicates, tally.rejected_count)
    details = (tally.merged, tally.conflicting, tally.replaced, tally.left_out_count)
    return RecordedBatch(*counts, tally.rejected, dict(tally.reasons), touched, *details, left_out=tally.left_out)


def open_file(path: Path) -> IO[bytes]:
    """Opens a file. Raises InvalidInput for what is no file, or cannot be read."""
    if not path.is_file():
        raise InvalidInput(f"{path.name} is not a file.")
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error


async def import_file(
    open_context: Callable[[], Context],
    kind: TargetKind,
    file: IO[bytes],
    name: str,
    options: ImportOptions = AS_IT_IS,
    report: FileReport | None = None,
) -> AsyncGenerator[Progress, None]:
    """Records a file batch by batch, each in its own transaction; repeating an import only meets duplicates.

    Columns are named like the sample input's fields, in any spelling (`files/headings.py`), unless `options` say which
    is which. Batches are no larger than the caller's budget of samples ever allows. Raises InvalidInput for a file
    that is none.

    open_context: called for each batch, whose times are checked against its clock.
    report: is told what was understood of the file.
    """
    context = open_context()
    recording.require_recorder(context, replace=options.overwrite)
    options = await apply_mapping(context, kind, options)
    async with context.services.readers.open(file, name, build_wanted(kind, options)) as opened:
        report = report or FileReport()
        report.columns = opened.columns
        async for batch in opened.batches():
            for frame in batch.iter_slices(max(1, largest_batch(context))):
                recorded = await _handle_patiently(open_context, kind, frame.drop("line"), options)
                placed = [_place(entry, report.rows, frame["line"]) for entry in recorded.rejected]
                report.count(frame)
                yield Progress(report.rows, opened.rows, replace(recorded, rejected=placed))
        report.notes = opened.notes


def _place(entry: Rejection, done: int, lines: pl.Series) -> Rejection:
    """Returns a batch's rejection with its row and line in the file."""
    return Rejection(done + entry.row, entry.reason, lines[entry.row])


async def _handle_patiently(
    open_context: Callable[[], Context], kind: TargetKind, frame: pl.DataFrame, options: ImportOptions
) -> RecordedBatch:
    """Records or checks a batch as soon as the budget allows: a file may be larger, and must not be refused halfway."""
    if options.dry_run:
        return await recording.check(open_context(), kind, frame, replace=options.overwrite)
    while True:
        try:
            return await recording.record(open_context(), kind, frame, replace=options.overwrite)
        except RateLimited as limited:
            await asyncio.sleep(limited.retry_after)
