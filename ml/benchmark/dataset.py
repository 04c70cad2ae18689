"""Labelled series in a folder of the uniform format: series.csv, and Parquet files that hold many series each."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.numerics.arrays import Floats

INDEX: Final = "series.csv"
INDEXED: Final = ("series_id", "file", "dataset", "n_metrics", "cadence_s", "train_end")
COLUMNS: Final = ("series_id", "timestamp", "is_anomaly")
METRIC: Final = re.compile(r"m\d+")


class BrokenFolder(ValueError):
    """A folder is not in the uniform format; the message says in a sentence what is missing or wrong."""


@dataclass(frozen=True)
class Entry:
    """A series as the index describes it; rows before `train_end` (epoch s) are history."""

    name: str
    file: str
    dataset: str
    metrics: int
    cadence_s: float
    train_end: int


@dataclass(frozen=True)
class Series:
    """at (rows,) epoch s, values (rows, metrics), truth (rows,): which rows lie in an event."""

    entry: Entry
    at: NDArray[np.int64]
    values: Floats
    truth: NDArray[np.bool_]


def read_index(folder: Path) -> list[Entry]:
    """All series of the folder, whose files are there and have the columns they must. Raises BrokenFolder."""
    if not folder.is_dir():
        raise BrokenFolder(f"There is no folder {folder}.")
    if not (folder / INDEX).is_file():
        raise BrokenFolder(f"{folder} holds no {INDEX}, which lists the series of a folder in the uniform format.")
    try:
        table = pl.read_csv(folder / INDEX, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BrokenFolder(f"{folder / INDEX} cannot be read: {_reason(error)}.") from error
    _need(folder / INDEX, INDEXED, table.columns)
    entries = [_entry(folder / INDEX, row) for row in table.select(INDEXED).iter_rows(named=True)]
    if not entries:
        raise BrokenFolder(f"{folder / INDEX} lists no series.")
    for file in sorted({entry.file for entry in entries}):
        _check(folder / file, max(entry.metrics for entry in entries if entry.file == file))
    return entries


def _entry(index: Path, row: dict[str, str | None]) -> Entry:
    name, file, dataset = row["series_id"], row["file"], row["dataset"]
    if not (name and file and dataset):
        raise BrokenFolder(f"{index} has a row without series_id, file or dataset.")
    try:
        metrics, train_end = int(row["n_metrics"] or ""), int(row["train_end"] or "")
        cadence = float(row["cadence_s"] or "")
    except ValueError:
        metrics, train_end, cadence = 0, 0, 0.0
    if metrics < 1 or not 0.0 < cadence < np.inf:
        needed = "n_metrics and train_end must be whole numbers, cadence_s a number of seconds"
        raise BrokenFolder(f"{index} is wrong about {name}: {needed}.")
    return Entry(name, file, dataset, metrics, cadence, train_end)


def _check(file: Path, metrics: int) -> None:
    if not file.is_file():
        raise BrokenFolder(f"{file}, which {INDEX} names, is missing.")
    try:
        schema = pl.read_parquet_schema(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BrokenFolder(f"{file} cannot be read as Parquet: {_reason(error)}.") from error
    _need(file, COLUMNS, schema)
    numeric = [name for name in _metric_columns(schema) if schema[name].is_numeric()]
    if len(numeric) < metrics:
        raise BrokenFolder(f"{file} has {len(numeric)} columns of numbers named m00, m01, …; {INDEX} says {metrics}.")
    if not isinstance(schema["timestamp"], pl.Datetime):
        raise BrokenFolder(f"{file} has a timestamp column that holds no points in time.")
    if not (schema["is_anomaly"].is_numeric() or schema["is_anomaly"] == pl.Boolean):
        raise BrokenFolder(f"{file} has an is_anomaly column that holds no 0 and 1.")


def _need(file: Path, wanted: Collection[str], present: Collection[str]) -> None:
    if missing := [name for name in wanted if name not in present]:
        raise BrokenFolder(f"{file} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")


def _metric_columns(columns: Collection[str]) -> list[str]:
    return sorted(name for name in columns if METRIC.fullmatch(name))


def _reason(error: Exception) -> str:
    """The first line: what follows are hints to programmers."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def read_series(folder: Path, entry: Entry) -> Series:
    """In the order of time; what was not measured is as it was last, and zero before that. Raises BrokenFolder."""
    file = folder / entry.file
    try:
        table = pl.scan_parquet(file).filter(pl.col("series_id") == entry.name).collect().sort("timestamp")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BrokenFolder(f"{file} cannot be read: {_reason(error)}.") from error
    if table.is_empty():
        raise BrokenFolder(f"{file} holds no rows of {entry.name}.")
    if any(table[name].null_count() for name in ("timestamp", "is_anomaly")):
        raise BrokenFolder(f"{file} has rows of {entry.name} without timestamp or is_anomaly.")
    measured = [pl.col(name).cast(pl.Float64) for name in _metric_columns(table.columns)[: entry.metrics]]
    values = table.select(column.fill_nan(None).forward_fill().fill_null(0.0) for column in measured)
    truth = table["is_anomaly"].cast(pl.Float64).to_numpy() > 0.0
    return Series(entry, table["timestamp"].dt.epoch("s").to_numpy(), values.to_numpy(), truth)


def chosen(entries: list[Entry], datasets: list[str], most: int | None) -> list[Entry]:
    """Those of these data sets (of all, if none is named), the first so many of each. Raises BrokenFolder."""
    known = {entry.dataset for entry in entries}
    if unknown := sorted(set(datasets) - known):
        raise BrokenFolder(f"There is no data set {' or '.join(unknown)} here, only {', '.join(sorted(known))}.")
    named = sorted(set(datasets) or known)
    return [one for name in named for one in [entry for entry in entries if entry.dataset == name][:most]]
