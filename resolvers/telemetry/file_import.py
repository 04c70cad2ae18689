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

from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.errors import ClientError, InvalidInput, RateLimited
from resolvers.context import Context
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import Anomaly
from resolvers.telemetry import recording
from resolvers.telemetry.files.messages import make_printable
from resolvers.telemetry.left_out import LeftOutCells, add_counts
from resolvers.telemetry.recording import LISTED_REJECTIONS, RecordedBatch, Rejection, largest_batch

LONGEST_NAME: Final = 100  # characters of a file's name in a sentence


@dataclass(frozen=True)
class Progress:
    """One batch done.

    rows, total: read so far, and in the file.
    recorded: what became of the batch; its rejections count rows from the file's first.
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

    @property
    def rows(self) -> int:
        return self.accepted + self.duplicates + self.rejected_count

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


async def import_upload(
    context: Context, kind: TargetKind, name: str, content: IO[bytes], *, overwrite: bool = False
) -> RecordedBatch:
    """Records an uploaded file, whatever it is called.

    Raises InvalidInput for a damaged file; the batches before the damage stay, and sending the file again is safe.
    """
    tally, shown = Tally(), make_printable(name, LONGEST_NAME) or "The file"
    try:
        async with aclosing(import_file(lambda: replace(context), kind, content, shown, overwrite=overwrite)) as steps:
            async for step in steps:
                tally.add(step.recorded)
    except ClientError as error:
        kept = f" {tally.accepted} samples before that were recorded; sending the file again is safe."
        told = error.message + (kept if tally.rows else "")
        if isinstance(error, InvalidInput):
            raise InvalidInput(told, ["file"]) from error
        error.message, error.args = told, (told,)
        raise
    return await _combine(context, tally)


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
    open_context: Callable[[], Context], kind: TargetKind, file: IO[bytes], name: str, *, overwrite: bool = False
) -> AsyncGenerator[Progress, None]:
    """Records a file batch by batch, each in its own transaction; repeating an import only meets duplicates.

    Columns are named like the sample input's fields, in camel or snake case; `at` is RFC 3339 with an offset, epoch
    milliseconds, or a Parquet timestamp (UTC where it has no zone). Batches are no larger than the caller's budget of
    samples ever allows. Raises InvalidInput for a file that is none.

    open_context: called for each batch, whose times are checked against its clock.
    overwrite: replace stored values with the file's.
    """
    context = open_context()
    recording.require_recorder(context, replace=overwrite)
    required = [kind.value.lower(), "at", *(["direction"] if kind is TargetKind.LINK else [])]
    async with context.services.readers.open(file, name, required, CATALOGUE[kind].columns) as opened:
        done = 0
        async for batch in opened.batches():
            for frame in batch.iter_slices(max(1, largest_batch(context))):
                recorded = await _record_patiently(open_context, kind, frame, overwrite=overwrite)
                shifted = [Rejection(done + entry.row, entry.reason) for entry in recorded.rejected]
                done += len(frame)
                yield Progress(done, opened.rows, replace(recorded, rejected=shifted))


async def _record_patiently(
    open_context: Callable[[], Context], kind: TargetKind, frame: pl.DataFrame, *, overwrite: bool
) -> RecordedBatch:
    """Records a batch as soon as the budget allows: a file may be larger than that, and must not be refused halfway."""
    while True:
        try:
            return await recording.record(open_context(), kind, frame, replace=overwrite)
        except RateLimited as limited:
            await asyncio.sleep(limited.retry_after)
