"""Reads labelled series from a folder of the uniform format: series.csv, and Parquet files of many series each."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from ml.benchmark.dataset import Series, SeriesInfo, UnusableSeries

INDEX: Final = "series.csv"
INDEX_COLUMNS: Final = ("series_id", "file", "dataset", "n_metrics", "cadence_s", "train_end")
COLUMNS: Final = ("series_id", "timestamp", "is_anomaly")
METRIC: Final = re.compile(r"m\d+")


class BrokenFolder(UnusableSeries):
    """A folder is not in the uniform format; the message says in a sentence what is missing or wrong."""


def read_index(folder: Path) -> list[SeriesInfo]:
    """Returns all series of the folder. Raises BrokenFolder where a file or a column is missing or wrong."""
    if not folder.is_dir():
        raise BrokenFolder(f"There is no folder {folder}.")
    if not (folder / INDEX).is_file():
        raise BrokenFolder(f"{folder} holds no {INDEX}, which lists the series of a folder in the uniform format.")
    try:
        table = pl.read_csv(folder / INDEX, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BrokenFolder(f"{folder / INDEX} cannot be read: {_format_reason(error)}.") from error
    _require(folder / INDEX, INDEX_COLUMNS, table.columns)
    series = [_read_row(folder / INDEX, row) for row in table.select(INDEX_COLUMNS).iter_rows(named=True)]
    if not series:
        raise BrokenFolder(f"{folder / INDEX} lists no series.")
    for file in sorted({info.file for info in series}):
        _check_file(folder / file, max(info.metrics for info in series if info.file == file))
    return series


def _read_row(index: Path, row: dict[str, str | None]) -> SeriesInfo:
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
    return SeriesInfo(name, file, dataset, metrics, cadence, train_end)


def _check_file(file: Path, metrics: int) -> None:
    """Raises BrokenFolder unless the file has so many metrics, a time and a label."""
    if not file.is_file():
        raise BrokenFolder(f"{file}, which {INDEX} names, is missing.")
    try:
        schema = pl.read_parquet_schema(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BrokenFolder(f"{file} cannot be read as Parquet: {_format_reason(error)}.") from error
    _require(file, COLUMNS, schema)
    numeric = [name for name in _list_metrics(schema) if schema[name].is_numeric()]
    if len(numeric) < metrics:
        raise BrokenFolder(f"{file} has {len(numeric)} columns of numbers named m00, m01, …; {INDEX} says {metrics}.")
    if not isinstance(schema["timestamp"], pl.Datetime):
        raise BrokenFolder(f"{file} has a timestamp column that holds no points in time.")
    if not (schema["is_anomaly"].is_numeric() or schema["is_anomaly"] == pl.Boolean):
        raise BrokenFolder(f"{file} has an is_anomaly column that holds no 0 and 1.")


def _require(file: Path, wanted: Collection[str], present: Collection[str]) -> None:
    if missing := [name for name in wanted if name not in present]:
        raise BrokenFolder(f"{file} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")


def _list_metrics(columns: Collection[str]) -> list[str]:
    return sorted(name for name in columns if METRIC.fullmatch(name))


def _format_reason(error: Exception) -> str:
    """Returns the first line: what follows are hints to programmers."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def read_series(folder: Path, info: SeriesInfo) -> Series:
    """Returns the samples by time, gaps filled with the value before them, else with 0. Raises BrokenFolder."""
    file = folder / info.file
    try:
        table = pl.scan_parquet(file).filter(pl.col("series_id") == info.name).collect().sort("timestamp")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BrokenFolder(f"{file} cannot be read: {_format_reason(error)}.") from error
    if table.is_empty():
        raise BrokenFolder(f"{file} holds no rows of {info.name}.")
    if any(table[name].null_count() for name in ("timestamp", "is_anomaly")):
        raise BrokenFolder(f"{file} has rows of {info.name} without timestamp or is_anomaly.")
    measured = [pl.col(name).cast(pl.Float64) for name in _list_metrics(table.columns)[: info.metrics]]
    values = table.select(column.fill_nan(None).forward_fill().fill_null(0.0) for column in measured)
    truth = table["is_anomaly"].cast(pl.Float64).to_numpy() > 0.0
    return Series(info, table["timestamp"].dt.epoch("s").to_numpy(), values.to_numpy(), truth)
