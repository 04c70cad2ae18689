"""Robust centre and spread of every metric of a stream, and what to assume of a stream without history."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from ml.catalogue.metrics import Kind
from ml.numerics.arrays import Floats, Integers
from ml.numerics.robust import MAD_TO_SIGMA

MIN_SAMPLES: Final = 60


@dataclass(frozen=True)
class Baselines:
    """What is normal for each stream.

    centre, spread: in the metrics' units, shape (streams, metrics), NaN where unknown.
    samples: rows each stream's baseline rests on, shape (streams,).
    """

    centre: Floats
    spread: Floats
    samples: Integers


def fit_baselines(kind: Kind, readings: Floats, stream: Integers, streams: int) -> Baselines:
    """Fits the median and 1.4826 MAD of each stream and metric, but at least the catalogue's `least_spread`.

    Both withstand up to half of outliers (Rousseeuw and Croux, 1993).

    readings: in catalogue order, shape (rows, metrics), NaN where not measured.
    stream: the stream of each row, from 0 to `streams` - 1, shape (rows,).

    NaN where a stream has fewer than `MIN_SAMPLES` values of a metric. `samples` counts rows with at least one value.
    Raises ValueError for a stream out of range.
    """
    if len(stream) and not (stream.min() >= 0 and stream.max() < streams):
        msg = f"streams must be from 0 to {streams - 1}"
        raise ValueError(msg)
    counts, centre, mad = _aggregate(kind, readings, stream, streams)
    unknown = counts < MIN_SAMPLES
    spread = np.maximum(MAD_TO_SIGMA * mad, kind.least_spread)
    measured = ~np.isnan(readings).all(axis=1)
    samples = np.bincount(stream[measured], minlength=streams).astype(np.int64)
    return Baselines(np.where(unknown, np.nan, centre), np.where(unknown, np.nan, spread), samples)


def _aggregate(kind: Kind, readings: Floats, stream: Integers, streams: int) -> tuple[Floats, Floats, Floats]:
    """Returns count, median and median absolute deviation, each of shape (streams, metrics)."""
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


def pool_baselines(kind: Kind, centre: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Returns one centre and spread for a target without history, shape (metrics,), from those of its kind.

    centre, spread: baselines of streams, shape (streams, metrics), NaN where unknown.

    The centre is the median of the centres. The spread adds, in squares, how much one stream varies and how much
    streams differ. A metric that no stream knows gets the catalogue's values.
    """
    measured = ~np.isnan(centre).all(axis=0)
    middle, width = np.full(len(kind.specs), np.nan), np.full(len(kind.specs), np.nan)
    if measured.any():
        middle[measured] = np.nanmedian(centre[:, measured], axis=0)
        between = MAD_TO_SIGMA * np.nanmedian(np.abs(centre[:, measured] - middle[measured]), axis=0)
        width[measured] = np.sqrt(np.nanmedian(spread[:, measured] ** 2, axis=0) + between**2)
    return fill_from_catalogue(kind, middle, width)


def fill_from_catalogue(kind: Kind, centre: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Returns the baselines, shape (…, metrics), with the catalogue's values where either is unknown (NaN)."""
    unknown = np.isnan(centre) | np.isnan(spread)
    return np.where(unknown, kind.usual, centre), np.where(unknown, kind.usual_spread, spread)
