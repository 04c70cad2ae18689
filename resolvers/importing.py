"""CSV and Parquet files, streamed in batches into the same recording as the API's."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from uuid import UUID

import polars as pl
from polars import selectors
from sqlalchemy import select

from ml.metrics import CATALOGUE, TargetKind
from resolvers import metrics
from resolvers.context import Context
from resolvers.errors import ClientError, InvalidInput, RateLimited
from resolvers.metrics import LISTED_REJECTIONS, Recorded, Rejected
from resolvers.paging import among
from resolvers.store.tables import Anomaly, Role
from resolvers.tabular import Tabular, tabular

BATCH_ROWS = 50_000
SHOWN_CHARACTERS = 100  # of a cell that cannot be read
ISO_FORMATS = ("%+", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
PARQUET = b"PAR1"  # how such a file begins


@dataclass(frozen=True)
class Progress:
    """One batch done: rows read so far, of how many, and what became of the batch (rows counted in the file)."""

    rows: int
    total: int
    recorded: Recorded


@dataclass
class Tally:
    """What became of a file so far; as large after a thousand batches as after one, but for the anomalies' ids."""

    accepted: int = 0
    duplicates: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    anomalies: set[UUID] = field(default_factory=set)

    @property
    def rows(self) -> int:
        return self.accepted + self.duplicates + self.rejected_count

    def add(self, batch: Recorded) -> None:
        self.accepted += batch.accepted
        self.duplicates += batch.duplicates
        self.rejected_count += batch.rejected_count
        self.rejected += batch.rejected[: LISTED_REJECTIONS - len(self.rejected)]
        self.reasons.update(batch.reasons)
        self.anomalies.update(anomaly.id for anomaly in batch.anomalies)


async def import_upload(context: Context, kind: TargetKind, name: str, content: IO[bytes]) -> Recorded:
    """Record an uploaded file, whatever it is called: Parquet tells by its first bytes, anything else is CSV.

    Raises InvalidInput; batches before the damage are recorded then, and sending the file again is safe.
    """
    context.require(Role.OPERATOR, "record metrics")
    tally = Tally()
    with TemporaryDirectory(prefix="bcom-upload-") as folder:
        path = await asyncio.to_thread(_spooled, Path(folder), content)
        try:
            async for step in import_file(lambda: replace(context), kind, path):
                tally.add(step.recorded)
        except ClientError as error:
            kept = f" {tally.accepted} samples before that were recorded; sending the file again is safe."
            told = error.message.replace(path.name, name or "The file") + (kept if tally.rows else "")
            if isinstance(error, InvalidInput):
                raise InvalidInput(told, ["file"]) from error
            error.message, error.args = told, (told,)
            raise
    return await _together(context, tally)


def _spooled(folder: Path, content: IO[bytes]) -> Path:
    """Polars reads paths."""
    content.seek(0)
    path = folder / ("upload.parquet" if content.read(len(PARQUET)) == PARQUET else "upload.csv")
    content.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
    return path


async def _together(context: Context, tally: Tally) -> Recorded:
    """All batches as if they had been one."""
    query = select(Anomaly).where(among(Anomaly.id, tally.anomalies)).order_by(Anomaly.started_at, Anomaly.id)
    async with context.database.read() as session:
        touched = [*await session.scalars(query)]
    counts = (tally.accepted, tally.duplicates, tally.rejected_count)
    return Recorded(*counts, tally.rejected, dict(tally.reasons), touched)


async def import_file(open_context: Callable[[], Context], kind: TargetKind, path: Path) -> AsyncIterator[Progress]:
    """Record a file batch by batch, each in its own transaction; repeating an import only meets duplicates.

    `open_context` is called for each batch, whose times are checked against its clock. Columns are named like the
    sample input's fields, in camel or snake case; `at` is RFC 3339 with an offset, epoch milliseconds, or a Parquet
    timestamp (UTC where it has no zone). Raises InvalidInput for a file that is none.
    """
    with _readable_or_not(path):
        table, names = await asyncio.to_thread(_opened, kind, path)
        total, done = await asyncio.to_thread(table.rows), 0
        batches = _batches(table.pieces([*names]))
    while True:
        with _readable_or_not(path):
            raw = await asyncio.to_thread(next, batches, None)
            if raw is None:
                return
            frame = _typed(raw.rename(names), kind)
        recorded = await _recorded(open_context, kind, frame)
        shifted = [Rejected(done + entry.row, entry.reason) for entry in recorded.rejected]
        done += len(frame)
        yield Progress(done, total, replace(recorded, rejected=shifted))


async def _recorded(open_context: Callable[[], Context], kind: TargetKind, frame: pl.DataFrame) -> Recorded:
    """A file is larger than a budget: it takes its time instead of being refused halfway."""
    while True:
        try:
            return await metrics.record(open_context(), kind, frame)
        except RateLimited as limited:
            await asyncio.sleep(limited.retry_after)


@contextmanager
def _readable_or_not(path: Path) -> Iterator[None]:
    """Turns what polars says of a damaged file into InvalidInput, its panics included."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0].replace(f"{path.parent}/", "")
        raise InvalidInput(f"{path.name} cannot be read as CSV or Parquet: {why}") from error


def _batches(pieces: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for piece in pieces:
        yield from piece.iter_slices(BATCH_ROWS)


def _opened(kind: TargetKind, path: Path) -> tuple[Tabular, dict[str, str]]:
    """The file, and our names of its columns. CSV cells stay text, to tell the unreadable from the missing."""
    if not path.is_file():
        raise InvalidInput(f"{path.name} is no file.")
    table = tabular(path)
    ours = {_snake(column): column for column in table.columns}
    required = [kind.value.lower(), "at", *(["direction"] if kind is TargetKind.LINK else [])]
    missing = [name for name in required if name not in ours]
    known = [name for name in CATALOGUE[kind].columns if name in ours]
    if missing or not known:
        wanted = ", ".join(missing) or f"any of {', '.join(CATALOGUE[kind].columns)}"
        raise InvalidInput(f"{path.name} lacks the column {wanted}; it has {', '.join(table.columns)}.")
    return table, {ours[name]: "number" if name == kind.value.lower() else name for name in (*required, *known)}


def _snake(column: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in column.strip())


def _typed(raw: pl.DataFrame, kind: TargetKind) -> pl.DataFrame:
    """Typed columns, and in `unreadable` what could not be typed."""
    raw = raw.with_columns(selectors.string().str.strip_chars().replace("", None))
    typed = {
        "number": _whole(pl.col("number"), raw.schema["number"]),
        "at": _epoch_ms(raw.schema["at"]),
        **{c: pl.col(c).cast(pl.Float64, strict=False) for c in CATALOGUE[kind].columns if c in raw.columns},
    }
    unreadable: pl.Expr = pl.lit(None, pl.String)
    for name, expression in typed.items():
        lost = expression.is_null() & pl.col(name).is_not_null()
        cell = pl.col(name).cast(pl.String).str.head(SHOWN_CHARACTERS)
        words = pl.format("{} cannot be read: {}.", pl.lit(name), cell)
        unreadable = pl.when(lost).then(words).otherwise(unreadable)
    kept = {name: pl.col(name).cast(pl.String) for name in raw.columns if name not in typed}
    return raw.select(**kept, **typed, unreadable=unreadable)


def _whole(number: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Parquet has whole numbers as fractions where some are missing; a cast would cut 7.5 down to 7."""
    whole = pl.when(number == number.floor()).then(number) if dtype.is_float() else number
    return whole.cast(pl.Int64, strict=False)


def _epoch_ms(dtype: pl.DataType) -> pl.Expr:
    at = pl.col("at")
    if dtype == pl.String:
        numeric = at.cast(pl.Int64, strict=False)
        parsed = [
            at.str.to_datetime(f, time_unit="ms", time_zone="UTC", strict=False).dt.epoch("ms") for f in ISO_FORMATS
        ]
        return pl.coalesce(numeric, *parsed)
    if dtype.is_temporal():
        return at.cast(pl.Datetime("ms")).dt.epoch("ms")
    return at.cast(pl.Int64, strict=False)
