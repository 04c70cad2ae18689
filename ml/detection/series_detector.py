"""Scores any series with our detector, for `evaluate`. It fits profiles again as the history grows."""

from typing import Any, Final

import numpy as np

from ml.catalogue.units import DAY_SECONDS
from ml.detection.features import Memory, StreamSamples, compute_features
from ml.detection.profile_fitting import calibrate_profiles, fit_isolation_forest, fit_scales
from ml.detection.profiles import MetricScales, Profiles, standardize
from ml.detection.scorers import compute_base_scores, compute_ensemble_score
from ml.numerics.arrays import Floats
from ml.numerics.trees import Forest

REFIT_GROWTH: Final = 0.1  # the profile is fitted again when its history has grown by this share
REFIT_MIN_ROWS: Final = 30  # or by this many rows, whichever is more
WINDOW_DAYS: Final = 30
WINDOW_ROWS: Final = 50_000
DECAY: Final = 0.92  # of a score, per sample: what is unusual goes on mattering for a while
SEED: Final = 1


def score(train: Floats, test: Floats, context: dict[str, Any]) -> Floats:
    """Returns how unusual each row of `test` is after all before it, shape (rows of test,).

    Nothing is assumed of the metrics. A row's score depends on no later one.

    train, test: shape (rows, metrics), NaN where not measured.
    context: train_ts and test_ts, epoch seconds of the rows; cadence_s, seconds between rows.
    """
    metrics = train.shape[1]
    scales = MetricScales(np.zeros(metrics), np.zeros(metrics))
    at_ms = np.concatenate([context["train_ts"], context["test_ts"]]).astype(np.int64) * 1000
    samples = StreamSamples.of_one_stream(np.concatenate([train, test]).astype(np.float64), at_ms)
    window = int(min(WINDOW_ROWS, WINDOW_DAYS * DAY_SECONDS / context["cadence_s"]))
    begin, forest, scores = len(train), None, []
    while begin < len(samples.values):
        history = _cut(samples, max(0, begin - window), begin)
        profile, standardized = fit_scales(history, scales)
        forest = forest or fit_isolation_forest(standardized, SEED)
        profile = calibrate_profiles(profile, standardized, history, forest)
        end = begin + max(REFIT_MIN_ROWS, int(REFIT_GROWTH * len(history.values)))
        window_samples = _cut(samples, max(0, begin - window), end)
        scores.append(_score_window(profile, scales, forest, window_samples)[len(history.values) :])
        begin = end
    return hold_scores(np.concatenate(scores))


def _cut(samples: StreamSamples, first: int, end: int) -> StreamSamples:
    return StreamSamples.of_one_stream(samples.values[first:end], samples.at[first:end])


def _score_window(profile: Profiles, scales: MetricScales, forest: Forest, samples: StreamSamples) -> Floats:
    """Returns ensemble scores, shape (rows,)."""
    memory = Memory.blank(1, samples.values.shape[1])
    raw, _ = compute_features(memory, samples, profile.smoothing_scales)
    standardized = standardize(profile, scales, samples, raw)
    base_scores = compute_base_scores(standardized, profile.whitening, samples.stream, forest)
    return compute_ensemble_score(base_scores, profile, samples.stream)


def hold_scores(scores: Floats) -> Floats:
    """Returns each score, or the decayed rest of an earlier one if that is greater, shape (rows,)."""
    result = scores.copy()
    for place in range(1, len(result)):
        result[place] = max(result[place], DECAY * result[place - 1])
    return result
