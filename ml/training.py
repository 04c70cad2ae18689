"""Trains a detector on simulated fleets and measures it on others that it has never seen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.baselines import learn
from ml.calibration import NORMAL, Tails
from ml.detector import Detector, baseline_view, false_alarms_per_day, fuse, harm, metric_surprises
from ml.episodes import EpisodeState, follow
from ml.faults import random_fault
from ml.fleet import demo_fleet
from ml.metrics import CATALOGUE, Floats, TargetKind
from ml.simulator import Samples, simulate
from ml.trees import Forest

MODELS: Final[dict[TargetKind, str]] = {
    TargetKind.NETWORK: "anomaly_network",
    TargetKind.SITE: "anomaly_site",
    TargetKind.LINK: "anomaly_link",
}
TREES: Final = 100
ROWS_PER_TREE: Final = 256
STEP_MS: Final = 300_000
HISTORY_DAYS: Final = 3  # baselines are learned from these days, without faults
JUDGED_DAYS: Final = 3
FAULTS_PER_DAY: Final = 10  # over the whole fleet
FLEETS: Final = {TargetKind.NETWORK: 10, TargetKind.SITE: 2, TargetKind.LINK: 2}
REMOTES: Final = {TargetKind.NETWORK: 36, TargetKind.SITE: 48, TargetKind.LINK: 42}
START_MS: Final = 1_767_225_600_000  # 2026-01-01: any day would do
LEAST_TAIL: Final = 1.0 / 6.0  # of log(1 + deviation): real series have tails at least as fat as power -6


@dataclass(frozen=True)
class Sample:
    """Judged days of one or more fleets: each row's deviations (rows, metrics), stream, time (ms) and truth."""

    deviations: Floats
    stream: NDArray[np.int64]
    at: NDArray[np.int64]
    faulty: NDArray[np.bool_]


def _silent(fraction: float, message: str) -> None:
    """Nobody watches."""


def train(
    kind: TargetKind, version: str = "1.0.0", seed: int = 1, progress: Callable[[float, str], None] = _silent
) -> Detector:
    """A detector for `kind`; the same seed gives the same detector. `progress` hears fractions done and what is next.

    The metadata says what it was trained and calibrated on and how it does on held-out simulated fleets.
    """
    progress(0.0, "simulating ordinary days")
    ordinary = _simulated(kind, seed * 1000, faults_per_day=0)
    progress(0.3, "growing the forest")
    detector = _calibrated(kind, version, seed, ordinary.deviations)
    progress(0.5, "simulating days with faults")
    detector = _confident(detector, _simulated(kind, seed * 1000 + 300, FAULTS_PER_DAY, weaker=True))
    progress(0.7, "measuring on fleets never seen")
    held_out = measure(detector, _simulated(kind, seed * 1000 + 600, FAULTS_PER_DAY))
    progress(1.0, "done")
    return replace(detector, metadata=detector.metadata | {"held_out": held_out})


def _simulated(kind: TargetKind, seed: int, faults_per_day: int, *, weaker: bool = False) -> Sample:
    parts = [_fleet_days(kind, seed + order, faults_per_day, weaker=weaker) for order in range(FLEETS[kind])]
    streams = np.cumsum([0] + [int(part.stream.max()) + 1 for part in parts])
    return Sample(
        np.concatenate([part.deviations for part in parts]),
        np.concatenate([part.stream + first for part, first in zip(parts, streams, strict=False)]),
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.faulty for part in parts]),
    )


def _fleet_days(kind: TargetKind, seed: int, faults_per_day: int, *, weaker: bool) -> Sample:
    """One fleet's judged days against the baselines of its days before."""
    fleet, rng = demo_fleet(seed, REMOTES[kind]), np.random.default_rng([seed, 303])
    times = START_MS + STEP_MS * np.arange((HISTORY_DAYS + JUDGED_DAYS) * 86_400_000 // STEP_MS)
    judged_ms = int(times[0]) + HISTORY_DAYS * 86_400_000
    faults = []
    for _ in range(faults_per_day * JUDGED_DAYS):
        start, minutes = int(rng.integers(judged_ms, int(times[-1]))), int(rng.integers(25, 180))
        fault = random_fault(fleet, rng, start, minutes * 60_000)
        faults.append(replace(fault, strength=float(rng.uniform(0.15, 1.0))) if weaker else fault)
    samples = simulate(fleet, times, faults, seed)[kind]
    stream, before = _streams(samples), samples.at < judged_ms
    base = learn(CATALOGUE[kind], samples.readings[before], stream[before], int(stream.max()) + 1)
    after = stream[~before]
    deviations = (samples.readings[~before] - base.centre[after]) / base.spread[after]
    return Sample(deviations, after, samples.at[~before], samples.faulty[~before])


def _streams(samples: Samples) -> NDArray[np.int64]:
    outbound = samples.direction == "OB" if samples.direction is not None else np.zeros(len(samples.number), dtype=bool)
    stream: NDArray[np.int64] = np.unique(2 * samples.number + outbound, return_inverse=True)[1].astype(np.int64)
    return stream


def _calibrated(kind: TargetKind, version: str, seed: int, deviations: Floats) -> Detector:
    """Forest and tails from ordinary deviations; half of the rows measure only some metrics, as some links do."""
    features = harm(CATALOGUE[kind], deviations)
    typical = np.nanmedian(features, axis=0)
    forest = _grown(np.where(np.isnan(features), typical, features), seed)
    masked = _masked(kind, features, np.random.default_rng([seed, 404]))
    complete = np.where(np.isnan(masked), typical, masked)
    # The tails of the metrics first, as the views stand on them, and the views' before what is fused of them.
    values = [column[~np.isnan(column)] for column in features.T]
    tails = Tails.learn(values, LEAST_TAIL, np.log1p(NORMAL))
    surprises = metric_surprises(tails, masked)
    tails = tails.and_of(forest.score(complete)).and_of(baseline_view(surprises), 1.0 / np.log(10.0))
    tails = tails.and_of(fuse(tails, forest, complete, surprises))
    nothing = np.zeros(2)
    return Detector(kind, version, forest, typical, tails, nothing, nothing, _described(kind, seed, len(features)))


def _grown(features: Floats, seed: int) -> Forest:
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - a server that only scores must not pay for it

    forest = IsolationForest(n_estimators=TREES, max_samples=ROWS_PER_TREE, random_state=seed)
    return Forest.from_sklearn(forest.fit(features))


def _masked(kind: TargetKind, features: Floats, rng: np.random.Generator) -> Floats:
    """A quarter of the rows keep only the five metrics that are always asked for, a quarter a random few."""
    asked = np.array([spec.asked for spec in CATALOGUE[kind].specs])
    draw = rng.random(len(features))[:, None]
    few = rng.random(features.shape) < 0.5
    few[np.arange(len(few)), rng.integers(0, features.shape[1], len(few))] = True
    kept = np.where(draw < 0.5, True, np.where(draw < 0.75, asked, few))  # noqa: FBT003 - np.where takes values
    result: Floats = np.where(kept, features, np.nan)
    return result


def _confident(detector: Detector, sample: Sample) -> Detector:
    """Fit the isotonic map from fused surprise to the probability of an event."""
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - as above

    fused = _fused(detector, sample.deviations)
    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(fused, sample.faulty)
    return replace(detector, confidence_x=isotonic.X_thresholds_, confidence_y=isotonic.y_thresholds_)


def _fused(detector: Detector, deviations: Floats) -> Floats:
    features = harm(CATALOGUE[detector.kind], deviations)
    complete = np.where(np.isnan(features), detector.typical, features)
    return fuse(detector.tails, detector.forest, complete, metric_surprises(detector.tails, features))


def _described(kind: TargetKind, seed: int, rows: int) -> dict[str, Any]:
    return {
        "model": MODELS[kind],
        "algorithm": "isolation forest and robust baselines, fused as tail probabilities",
        "features": [f"log1p harmful deviation of {name}" for name in CATALOGUE[kind].columns],
        "hyperparameters": {"trees": TREES, "rows_per_tree": ROWS_PER_TREE, "least_tail": LEAST_TAIL},
        "seed": seed,
        "trained_on": {"dataset": "simulated", "rows": rows, "fleets": FLEETS[kind], "days": JUDGED_DAYS},
        "confidence_calibrated_on": f"simulated, {FAULTS_PER_DAY} faults per fleet and day",
    }


def measure(detector: Detector, sample: Sample, sensitivity: float = 0.5) -> dict[str, Any]:
    """False alarms per target-day, share of events found, and calibration error of the confidence, on `sample`.

    An event is a run of faulty rows of a stream; it is found when an episode overlaps it. An episode that overlaps
    none, give or take half an hour, is a false alarm.
    """
    unit = np.ones(sample.deviations.shape[1])
    plenty = np.full(len(sample.at), 10_000)
    verdicts = detector.judge(sample.deviations, 0.0 * unit, unit, plenty, sensitivity)
    order = np.argsort(sample.stream, kind="stable")
    ends = np.flatnonzero(np.diff(sample.stream[order])) + 1
    counts = np.array([_tally(sample, rows, verdicts.score[rows]) for rows in np.split(order, ends)]).sum(axis=0)
    return {
        "dataset": "simulated",
        "sensitivity": sensitivity,
        "promised_false_alarms_per_target_day": round(false_alarms_per_day(sensitivity), 4),
        "false_alarms_per_target_day": round(float(counts[0] / ((len(ends) + 1) * JUDGED_DAYS)), 4),
        "events": int(counts[1]),
        "event_recall": round(float(counts[2] / max(1, counts[1])), 4),
        "confidence_calibration_error": round(calibration_error(verdicts.confidence, sample.faulty), 4),
    }


def _tally(sample: Sample, rows: NDArray[np.intp], scores: Floats) -> tuple[int, int, int]:
    """False alarms, events and events found of one stream."""
    at, faulty = sample.at[rows], sample.faulty[rows]
    episodes = follow(EpisodeState(), at, scores)[1]
    alarmed = [(one.started_at, one.last_seen_at or one.started_at) for one in episodes]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], faulty.astype(np.int8), [0]])))
    events = [(at[first], at[last - 1]) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    false = sum(
        not any(a <= end + 6 * STEP_MS and b >= start - 6 * STEP_MS for start, end in events) for a, b in alarmed
    )
    found = sum(any(a <= end and b >= start for a, b in alarmed) for start, end in events)
    return false, len(events), found


def calibration_error(confidence: Floats, truth: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: |confidence - frequency| averaged over equal bins by rows (Guo et al., 2017)."""
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=confidence - truth, minlength=bins)
    return float(np.abs(gaps).sum() / max(1, len(truth)))
