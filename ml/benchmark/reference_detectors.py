"""What a detector must beat: a plain Isolation Forest on raw values, and the distance from a median that never moves.

Like `ml.detection.series_detector.score`: train and test (rows, metrics), scores of the test's rows, the higher the
odder.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sklearn.ensemble import IsolationForest

from ml.numerics.arrays import Floats
from ml.numerics.robust import MAD_TO_SIGMA

SEED: Final = 1
LEAST_SHARE: Final = 0.1  # of a metric's standard deviation: below, a spread means nothing


def isolation_forest(train: Floats, test: Floats, _context: Mapping[str, Any]) -> Floats:
    """As scikit-learn brings it."""
    forest = IsolationForest(n_estimators=100, random_state=SEED).fit(train)
    result: Floats = -forest.score_samples(test)
    return result


def median_mad(train: Floats, test: Floats, _context: Mapping[str, Any]) -> Floats:
    """The mean over the metrics of the distance from the median, in robust deviations."""
    centre = np.median(train, axis=0)
    spread = MAD_TO_SIGMA * np.median(np.abs(train - centre), axis=0)
    spread = np.maximum(spread, LEAST_SHARE * train.std(axis=0))
    result: Floats = (np.abs(test - centre) / np.where(spread > 0.0, spread, 1.0)).mean(axis=1)
    return result
