"""The detector on any labelled series, for the protocol of `evaluate`: what it learns, it learns on the way."""

from typing import Any, Final

import numpy as np

from ml.detection.features import Memory, Rows, follow
from ml.detection.profile_fitting import calibrate, grown, learn_scales
from ml.detection.profiles import Profiles, Scales, deviations
from ml.detection.scorers import fused, views
from ml.numerics.arrays import Floats

GROWTH: Final = 0.1  # a profile is learned again when its history has grown by this much
LEAST_ROWS: Final = 30  # or by this many rows
WINDOW_DAYS: Final = 30
WINDOW_ROWS: Final = 50_000
MEMORY: Final = 0.92  # of a suspicion, per sample: what is odd goes on mattering for a while


def score(train: Floats, test: Floats, context: dict[str, Any]) -> Floats:
    """How odd each row of `test` (rows, metrics) is after all before it, (rows,); nothing is known of the metrics.

    `context`: train_ts and test_ts (epoch s) and cadence_s. Causal: a row's score depends on no later one.
    """
    metrics = train.shape[1]
    scales = Scales(np.zeros(metrics), np.zeros(metrics))
    seconds = np.concatenate([context["train_ts"], context["test_ts"]])
    rows = Rows.of_one(np.concatenate([train, test]).astype(np.float64), seconds.astype(np.int64) * 1000)
    window = int(min(WINDOW_ROWS, WINDOW_DAYS * 86_400 / context["cadence_s"]))
    known, forest, scores = len(train), None, []
    while known < len(rows.values):
        history = _part(rows, max(0, known - window), known)
        profile, found = learn_scales(history, scales)
        forest = forest or grown(found, seed=1)
        profile = calibrate(profile, found, history, forest)
        until = known + max(LEAST_ROWS, int(GROWTH * len(history.values)))
        scores.append(
            _judged(profile, scales, forest, _part(rows, max(0, known - window), until))[len(history.values) :]
        )
        known = until
    return lasting(np.concatenate(scores))


def _part(rows: Rows, first: int, end: int) -> Rows:
    return Rows.of_one(rows.values[first:end], rows.at[first:end])


def _judged(profile: Profiles, scales: Scales, forest: Any, rows: Rows) -> Floats:
    memory = Memory.blank(1, rows.values.shape[1])
    raw, _ = follow(memory, rows, profile.pace)
    found = deviations(profile, scales, rows, raw)
    return fused(views(found, profile.whiten, rows.stream, forest), profile, rows.stream)


def lasting(scores: Floats) -> Floats:
    """Each score, or what is left of an earlier one, whichever is greater."""
    result = scores.copy()
    for place in range(1, len(result)):
        result[place] = max(result[place], MEMORY * result[place - 1])
    return result
