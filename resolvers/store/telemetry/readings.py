"""Samples as models take them."""

import numpy as np
import polars as pl

from ml.catalogue.metrics import Kind
from ml.numerics.arrays import Floats


def to_readings(frame: pl.DataFrame, kind: Kind) -> Floats:
    """Returns the metrics of a frame of samples, shape (rows, metrics) in catalogue order; NaN where not measured."""
    return np.stack([frame[column].to_numpy() for column in kind.columns], axis=1).astype(np.float64, copy=False)
