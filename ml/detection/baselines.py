"""What is ordinary for each stream: every metric's robust centre and spread, and what to assume of strangers."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.catalogue.metrics import Kind
from ml.numerics.arrays import Floats
from ml.numerics.robust import MAD_TO_SIGMA

MIN_SAMPLES: Final = 60


@dataclass(frozen=True)
class Baselines:
    """Centre and spread, shape (streams, metrics), NaN where unknown; samples (streams,): rows each rests on."""

    centre: Floats
    spread: Floats
    samples: NDArray[np.int64]


def learn(kind: Kind, readings: Floats, stream: NDArray[np.int64], streams: int) -> Baselines:
    """Median and 1.4826 MAD per stream and metric, the spread no smaller than the catalogue's `least_spread`.

    `readings` (rows, metrics) in catalogue order, NaN = not measured; `stream` (rows,) says which of the `streams`
    each row belongs to. NaN where a stream has fewer than `MIN_SAMPLES` values of a metric. `samples` counts rows with
    at least one value. Both statistics withstand up to half of outliers (Rousseeuw and Croux, 1993). Raises ValueError
    for a stream outside 0 to `streams` - 1.
    """
    if len(stream) and not (stream.min() >= 0 and stream.max() < streams):
        msg = f"streams must be from 0 to {streams - 1}"
        raise ValueError(msg)
    counts, centre, mad = _grouped(kind, readings, stream, streams)
    unknown = counts < MIN_SAMPLES
    spread = np.maximum(MAD_TO_SIGMA * mad, kind.least_spread)
    anything = ~np.isnan(readings).all(axis=1)
    samples = np.bincount(stream[anything], minlength=streams).astype(np.int64)
    return Baselines(np.where(unknown, np.nan, centre), np.where(unknown, np.nan, spread), samples)


def _grouped(kind: Kind, readings: Floats, stream: NDArray[np.int64], streams: int) -> tuple[Floats, Floats, Floats]:
    """Count, median and median absolute deviation, each (streams, metrics)."""
    frame = pl.from_numpy(readings, schema=list(kind.columns)).fill_nan(None)
    values = [pl.col(name) for name in kind.columns]
    grouped = (
        frame.with_columns(pl.Series("stream", stream))
        .group_by("stream")
        .agg(
            *(value.count().cast(pl.Float64).name.prefix("n ") for value in values),
            *(value.median().name.prefix("c ") for value in values),
            *((value - value.median()).abs().median().name.prefix("s ") for value in values),
        )
    )
    table = np.full((streams, 3 * len(values)), np.nan)
    table[grouped["stream"].to_numpy()] = grouped.drop("stream").to_numpy()
    counts, centre, mad = np.split(table, 3, axis=1)
    return np.nan_to_num(counts), centre, mad


def pooled(kind: Kind, centre: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """One baseline for a target that nothing is known of, from the (streams, metrics) baselines of its kind.

    Centre (metrics,): the median of the centres. Spread (metrics,): how much one stream varies and how much streams
    differ, added in squares. The catalogue's usual values where no stream knows a metric.
    """
    known = ~np.isnan(centre).all(axis=0)
    middle, width = np.full(len(kind.specs), np.nan), np.full(len(kind.specs), np.nan)
    if known.any():
        middle[known] = np.nanmedian(centre[:, known], axis=0)
        between = MAD_TO_SIGMA * np.nanmedian(np.abs(centre[:, known] - middle[known]), axis=0)
        width[known] = np.sqrt(np.nanmedian(spread[:, known] ** 2, axis=0) + between**2)
    return or_usual(kind, middle, width)


def or_usual(kind: Kind, centre: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """The same baselines, (…, metrics), with the catalogue's usual value and spread where either is unknown (NaN)."""
    unknown = np.isnan(centre) | np.isnan(spread)
    return np.where(unknown, kind.usual, centre), np.where(unknown, kind.usual_spread, spread)
