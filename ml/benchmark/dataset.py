"""Labelled series, grouped into data sets."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml.numerics.arrays import Bools, Floats, Integers


class UnusableSeries(ValueError):
    """Series that cannot be measured; the message says in a sentence what is missing or wrong."""


@dataclass(frozen=True)
class SeriesInfo:
    """One series before its samples are read.

    metrics: how many.
    cadence_s: seconds between rows.
    train_end: epoch seconds; the rows before it are history.
    """

    name: str
    file: str
    dataset: str
    metrics: int
    cadence_s: float
    train_end: int


@dataclass(frozen=True)
class Series:
    """The samples of one series, by time.

    at: epoch seconds, shape (rows,).
    values: shape (rows, metrics), never NaN.
    truth: which rows lie in an event, shape (rows,).
    """

    info: SeriesInfo
    at: Integers
    values: Floats
    truth: Bools


def select_series(series: Sequence[SeriesInfo], datasets: Sequence[str], most: int | None) -> list[SeriesInfo]:
    """Returns the first `most` series of each of these data sets (of all, if none is named), by data set.

    Raises UnusableSeries for a data set that there is not.
    """
    available = {info.dataset for info in series}
    if unknown := sorted(set(datasets) - available):
        raise UnusableSeries(f"There is no data set {' or '.join(unknown)} here, only {', '.join(sorted(available))}.")
    names = sorted(set(datasets) or available)
    return [info for name in names for info in [info for info in series if info.dataset == name][:most]]
