"""Samples as models take them."""

import numpy as np
import polars as pl

from ml.catalogue.metrics import Kind
from ml.numerics.arrays import Floats


def to_readings(frame: pl.DataFrame, kind: Kind) -> Floats:
    """Returns the metrics of a frame of samples, shape (rows, metrics) in catalogue order; NaN where not measured."""
    readings = np.empty((len(frame), len(kind.columns)))
    for place, column in enumerate(kind.columns):
        readings[:, place] = frame[column].to_numpy()
    return readings
