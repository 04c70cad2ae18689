"""Compares scoring and training with scikit-learn's Isolation Forest alone, on as many rows in the same run.

    make bench          (or: python -m benchmarks.detection)

Rounds of what is compared alternate, so that a noisy neighbour disturbs both alike; figures are medians. The telemetry
is simulated.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.ensemble import IsolationForest

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection.detector import Detector
from ml.detection.features import FEATURES, Memory, StreamSamples, compute_features
from ml.detection.profile_fitting import MAX_FOREST_ROWS, ROWS_PER_TREE, TREES, fit_profiles
from ml.detection.profiles import Profiles
from ml.detection.training import fit_detector
from ml.numerics.arrays import Floats
from ml.numerics.trees import Forest

LINK = CATALOGUE[TargetKind.LINK]
METRICS = len(LINK.specs)
HISTORY = 288 * 15  # 15 days of five minutes
STEP_MS = 300_000
START_MS = 1_767_225_600_000
# What, streams, samples of each, seconds that it may take, rounds.
ONE = ("one sample", 1, 1, 0.5e-3, 400)
MANY = ("10 000 samples of 1 000 targets", 1000, 10, 150e-3, 15)


def main() -> None:
    past = telemetry(streams=4, rows=HISTORY // 4)
    detector = fit_detector(LINK, past, seed=1)
    rival = IsolationForest(n_estimators=TREES, max_samples=ROWS_PER_TREE, random_state=1).fit(wide(MAX_FOREST_ROWS))
    print("| What | Ours | scikit-learn's forest on as many rows | Ratio | Target |\n|---|---|---|---|---|")
    compare_scoring(detector, fit_profiles(past, detector.scales, detector.forest), rival)
    learning(detector, rival)
    forests(rival)


def telemetry(streams: int, rows: int, first: int = 0) -> StreamSamples:
    """Returns samples of healthy links, each around its own level; the same for the same arguments."""
    rng = np.random.default_rng([streams, first])
    level = LINK.usual + rng.normal(0, 0.3, (streams, 1, METRICS)) * LINK.usual_spread
    values = level + rng.normal(0, 1, (streams, rows, METRICS)) * LINK.least_spread
    at = START_MS + STEP_MS * np.arange(first, first + rows)
    return StreamSamples(
        values.reshape(-1, METRICS), np.tile(at, streams), np.repeat(np.arange(streams), rows), streams
    )


def wide(rows: int) -> Floats:
    """Returns as many columns as the detector's forest has features."""
    return np.random.default_rng(rows).exponential(size=(rows, FEATURES * METRICS))


# ---------------------------------------------------------------- what is measured


def compare_scoring(detector: Detector, fitted: Profiles, rival: IsolationForest) -> None:
    """Compares scoring: of one sample, and of a batch of many targets, each with its own profile and memory."""
    for what, streams, rows, target, rounds in (ONE, MANY):
        profiles = fitted.take(np.resize(np.arange(len(fitted)), streams))
        _, memory = compute_features(Memory.blank(streams, METRICS), telemetry(streams, 100), profiles.smoothing_scales)
        batch = telemetry(streams, rows, first=100)
        score = partial(detector.score, batch, profiles, memory)
        ours, theirs = compared(score, partial(rival.score_samples, wide(len(batch.values))), rounds)
        tell(f"{what} through the whole detector", ours, theirs, target)


def learning(detector: Detector, rival: IsolationForest) -> None:
    history = telemetry(1, HISTORY)
    study = partial(fit_profiles, history, detector.scales, detector.forest)
    ours, theirs = compared(study, partial(rival.score_samples, wide(HISTORY)), 9)
    tell(f"one profile learned from {spaced(HISTORY)} samples", ours, theirs)


def forests(rival: IsolationForest) -> None:
    forest = Forest.from_sklearn(rival)
    for rows, rounds in ((1, 200), (1000, 20)):
        features = wide(rows)
        ours, theirs = compared(partial(forest.score, features), partial(rival.score_samples, features), rounds)
        tell(f"the forest alone, rows: {spaced(rows)}", ours, theirs)


# ---------------------------------------------------------------- how


def spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compared(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Returns the median seconds of each; they take turns."""
    both = [(seconds(one), seconds(other)) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in both), statistics.median(pair[1] for pair in both)


def tell(what: str, ours: float, theirs: float, target: float | None = None) -> None:
    missed = "" if target is None or ours <= target else " MISSED"
    aim = f"≤ {target * 1e3:g} ms" if target else "–"
    print(f"| {what} | {ours * 1e3:.3g} ms | {theirs * 1e3:.3g} ms | {ours / theirs:.2g} | {aim}{missed} |", flush=True)


if __name__ == "__main__":
    main()
