"""Data to train and test detectors on: telemetry without known faults, and later telemetry with known ones."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ml.catalogue.metrics import Kind, TargetKind
from ml.catalogue.models import History
from ml.catalogue.units import DAY_MS, MINUTE_MS
from ml.detection.fault_injection import inject_faults
from ml.detection.features import StreamSamples
from ml.detection.profiles import MetricScales
from ml.numerics.arrays import Bools, Integers
from ml.simulation.fleet import demo_fleet
from ml.simulation.random_faults import random_fault
from ml.simulation.simulator import Samples, simulate

STEP_MS: Final = 300_000
TRAIN_DAYS: Final = 4
TEST_DAYS: Final = 3
FAULTS_PER_DAY: Final = 10  # over the whole fleet
MIN_STRENGTH: Final = 0.15  # of a fault, of 1
FLEETS: Final = {TargetKind.NETWORK: 5, TargetKind.SITE: 1, TargetKind.LINK: 1}
REMOTES: Final = {TargetKind.NETWORK: 24, TargetKind.SITE: 44, TargetKind.LINK: 24}
START_MS: Final = 1_767_225_600_000  # 2026-01-01: any day would do


@dataclass(frozen=True)
class Trial:
    """A stretch to train on and a later one to test on.

    train: no faults are known in it.
    faulty: which rows of `test` lie in a true event, shape (rows of test,).
    """

    dataset: str
    train: StreamSamples
    test: StreamSamples
    faulty: Bools


def simulate_trial(kind: Kind, seed: int) -> Trial:
    """Returns simulated train and test data, reproducible by seed."""
    parts = [_simulate_fleet(kind.kind, 1000 * seed + order) for order in range(FLEETS[kind.kind])]
    train, test = _concatenate([part[0] for part in parts]), _concatenate([part[1] for part in parts])
    return Trial("simulated fleets", train, test, np.concatenate([part[2] for part in parts]))


def _simulate_fleet(kind: TargetKind, seed: int) -> tuple[StreamSamples, StreamSamples, Bools]:
    fleet, rng = demo_fleet(seed, REMOTES[kind]), np.random.default_rng([seed, 303])
    times = START_MS + STEP_MS * np.arange((TRAIN_DAYS + TEST_DAYS) * DAY_MS // STEP_MS)
    test_ms = int(times[0]) + TRAIN_DAYS * DAY_MS
    faults = []
    for _ in range(FAULTS_PER_DAY * TEST_DAYS):
        start, minutes = int(rng.integers(test_ms, int(times[-1]))), int(rng.integers(25, 180))
        fault = random_fault(fleet, rng, start, minutes * MINUTE_MS)
        faults.append(replace(fault, strength=float(rng.uniform(MIN_STRENGTH, 1.0))))
    samples = simulate(fleet, times, faults, seed, kinds=(kind,))[kind]
    stream = _number_streams(samples)
    order = np.lexsort((samples.at, stream))
    whole = StreamSamples(samples.readings[order], samples.at[order], stream[order], int(stream.max()) + 1)
    is_test = whole.at >= test_ms
    return whole.where(~is_test), whole.where(is_test), samples.faulty[order][is_test]


def _number_streams(samples: Samples) -> Integers:
    """Returns the stream of each row, shape (rows,): one per target and direction."""
    outbound = samples.direction == "OB" if samples.direction is not None else np.zeros(len(samples.number), dtype=bool)
    stream: Integers = np.unique(2 * samples.number + outbound, return_inverse=True)[1].astype(np.int64)
    return stream


def _concatenate(parts: list[StreamSamples]) -> StreamSamples:
    first = np.cumsum([0] + [part.streams for part in parts])
    return StreamSamples(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.stream + offset for part, offset in zip(parts, first, strict=False)]),
        int(first[-1]),
    )


def split_history(history: History, scales: MetricScales, seed: int) -> tuple[Trial, Trial]:
    """Returns two trials of a fleet's history, to calibrate the confidence with and to test on.

    Each tests on a fifth of the time, with injected faults: the fourth fifth and the last. Reproducible by seed.
    """
    rng = np.random.default_rng([seed, 505])
    first, last = int(history.at.min()), int(history.at.max())
    cuts = [first + int(share * (last - first)) for share in (0.6, 0.8)]
    whole = StreamSamples(history.readings, history.at, history.stream, int(history.stream.max()) + 1)
    early = whole.where(whole.at < cuts[0])
    dataset = f"{history.dataset}, injected faults"
    return (
        _make_trial(dataset, early, whole.where((whole.at >= cuts[0]) & (whole.at < cuts[1])), scales, rng),
        _make_trial(dataset, whole.where(whole.at < cuts[1]), whole.where(whole.at >= cuts[1]), scales, rng),
    )


def _make_trial(
    dataset: str, train: StreamSamples, test: StreamSamples, scales: MetricScales, rng: np.random.Generator
) -> Trial:
    values, faulty = test.values.copy(), np.zeros(len(test.values), dtype=bool)
    for rows in test.slices:
        values[rows], faulty[rows] = inject_faults(values[rows], scales, rng)
    return Trial(dataset, train, replace(test, values=values), faulty)
