"""How long a trained model takes, measured where it was trained: `ml` itself knows no clock."""

import time
from statistics import median
from typing import Final

import numpy as np

from ml.artefacts import Fitted
from ml.catalogue.metrics import CATALOGUE
from ml.catalogue.models import Measure
from ml.detection.detector import WARM_SAMPLES, Detector
from ml.detection.features import Memory, StreamSamples

SAMPLES: Final = 100


def measure_latency(fitted: Fitted) -> tuple[Measure, ...]:
    """Returns the median milliseconds that a whole detector takes for one sample on this machine."""
    if not isinstance(fitted, Detector):
        return ()  # it looks at a window of many links at once: most of its time is theirs
    detector = fitted
    took = []
    kind = CATALOGUE[detector.kind]
    profile = detector.make_prior_profiles(kind.usual[None], kind.usual_spread[None], np.array([WARM_SAMPLES]))
    rows = StreamSamples.of_one_stream(kind.usual[None], np.zeros(1, dtype=np.int64))
    memory = Memory.blank(1, len(kind.specs))
    for _ in range(SAMPLES):
        began = time.perf_counter()
        detector.score(rows, profile, memory)
        took.append(1000.0 * (time.perf_counter() - began))
    return (Measure("latency_ms", median(took), SAMPLES, "one sample at a time"),)
