"""Reference detectors to beat: an Isolation Forest on raw values, and the distance from a median that never moves.

Called like `ml.detection.series_detector.score`: train and test of shape (rows, metrics) give scores of the test rows,
shape (rows,), the higher the more unusual.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sklearn.ensemble import IsolationForest

from ml.numerics.arrays import Floats
from ml.numerics.robust import MAD_TO_SIGMA

SEED: Final = 1
MIN_SPREAD_SHARE: Final = 0.1  # of a metric's standard deviation: a smaller spread means nothing


def score_isolation_forest(train: Floats, test: Floats, _context: Mapping[str, Any]) -> Floats:
    """Scores with scikit-learn's Isolation Forest as it comes (Liu, Ting and Zhou, 2008)."""
    forest = IsolationForest(n_estimators=100, random_state=SEED).fit(train)
    result: Floats = -forest.score_samples(test)
    return result


def score_median_mad(train: Floats, test: Floats, _context: Mapping[str, Any]) -> Floats:
    """Scores with the mean over the metrics of the distance from the median, in robust standard deviations."""
    centre = np.median(train, axis=0)
    spread = MAD_TO_SIGMA * np.median(np.abs(train - centre), axis=0)
    spread = np.maximum(spread, MIN_SPREAD_SHARE * train.std(axis=0))
    result: Floats = (np.abs(test - centre) / np.where(spread > 0.0, spread, 1.0)).mean(axis=1)
    return result
