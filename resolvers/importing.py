"""CSV and Parquet files, streamed in batches into the same recording as the API's."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import polars as pl
from polars import selectors

from ml.metrics import CATALOGUE, TargetKind
from resolvers import metrics
from resolvers.context import Context
from resolvers.errors import InvalidInput, RateLimited
from resolvers.metrics import LISTED_REJECTIONS, Recorded, Rejected
from resolvers.store.tables import Role

BATCH_ROWS = 50_000
ISO_FORMATS = ("%+", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
PARQUET = b"PAR1"  # how such a file begins


@dataclass(frozen=True)
class Progress:
    """One batch done: rows read so far, of how many, and what became of the batch (rows counted in the file)."""

    rows: int
    total: int
    recorded: Recorded


async def import_upload(context: Context, kind: TargetKind, name: str, content: IO[bytes]) -> Recorded:
    """Record an uploaded file, whatever it is called: Parquet tells by its first bytes, anything else is CSV.

    Raises InvalidInput; batches before the damage are recorded then, and sending the file again is safe.
    """
    context.require(Role.OPERATOR, "record metrics")
    done: list[Recorded] = []
    with TemporaryDirectory(prefix="bcom-upload-") as folder:
        path = await asyncio.to_thread(_spooled, Path(folder), content)
        try:
            async for step in import_file(lambda: replace(context), kind, path):
                done.append(step.recorded)  # noqa: PERF401  what came before a failure is told of
        except InvalidInput as error:
            accepted = sum(recorded.accepted for recorded in done)
            told = error.message.replace(path.name, name or "The file")
            kept = f" {accepted} samples before that were recorded; sending the file again is safe." if done else ""
            raise InvalidInput(told + kept, ["file"]) from error
    return _together(done)


def _spooled(folder: Path, content: IO[bytes]) -> Path:
    """Polars reads paths."""
    content.seek(0)
    path = folder / ("upload.parquet" if content.read(len(PARQUET)) == PARQUET else "upload.csv")
    content.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
    return path


def _together(done: list[Recorded]) -> Recorded:
    return Recorded(
        sum(recorded.accepted for recorded in done),
        sum(recorded.duplicates for recorded in done),
        sum(recorded.rejected_count for recorded in done),
        [rejected for recorded in done for rejected in recorded.rejected][:LISTED_REJECTIONS],
        dict(sum((Counter(recorded.reasons) for recorded in done), Counter[str]())),
        [*{anomaly.id: anomaly for recorded in done for anomaly in recorded.anomalies}.values()],
    )


async def import_file(open_context: Callable[[], Context], kind: TargetKind, path: Path) -> AsyncIterator[Progress]:
    """Record a file batch by batch, each in its own transaction; repeating an import only meets duplicates.

    `open_context` is called for each batch, whose times are checked against its clock. Columns are named like the
    sample input's fields, in camel or snake case; `at` is RFC 3339 with an offset, epoch milliseconds, or a Parquet
    timestamp (UTC where it has no zone). Raises InvalidInput for a file that is none.
    """
    with _readable_or_not(path):
        lazy, names = await asyncio.to_thread(_opened, kind, path)
        total, done = await asyncio.to_thread(_rows, lazy), 0
        batches = _batches(lazy.select(names.keys()))
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
    """Turns what polars says of a damaged file into InvalidInput."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0].replace(f"{path.parent}/", "")
        raise InvalidInput(f"{path.name} cannot be read as CSV or Parquet: {why}") from error


def _rows(lazy: pl.LazyFrame) -> int:
    return int(lazy.select(pl.len()).collect().item())


def _batches(lazy: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    for batch in lazy.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        yield from batch.iter_slices(BATCH_ROWS)


def _opened(kind: TargetKind, path: Path) -> tuple[pl.LazyFrame, dict[str, str]]:
    """The file, and our names of its columns. CSV cells stay text, to tell the unreadable from the missing."""
    if not path.is_file():
        raise InvalidInput(f"{path.name} is no file.")
    is_parquet = path.suffix.lower() == ".parquet"
    lazy = pl.scan_parquet(path, glob=False) if is_parquet else pl.scan_csv(path, infer_schema=False, glob=False)
    columns = lazy.collect_schema().names()
    ours = {_snake(column): column for column in columns}
    required = [kind.value.lower(), "at", *(["direction"] if kind is TargetKind.LINK else [])]
    missing = [name for name in required if name not in ours]
    known = [name for name in CATALOGUE[kind].columns if name in ours]
    if missing or not known:
        wanted = ", ".join(missing) or f"any of {', '.join(CATALOGUE[kind].columns)}"
        raise InvalidInput(f"{path.name} lacks the column {wanted}; it has {', '.join(columns)}.")
    return lazy, {ours[name]: "number" if name == kind.value.lower() else name for name in (*required, *known)}


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
        words = pl.format("{} cannot be read: {}.", pl.lit(name), pl.col(name).cast(pl.String))
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
