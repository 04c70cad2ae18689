"""What detectors are measured on: a stretch of telemetry to learn from, and one behind it with known faults."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import Kind, TargetKind
from ml.catalogue.models import History
from ml.catalogue.units import DAY_MS
from ml.detection.fault_injection import inject
from ml.detection.features import Rows
from ml.detection.profiles import Scales
from ml.simulation.fleet import demo_fleet
from ml.simulation.random_faults import random_fault
from ml.simulation.simulator import Samples, simulate

STEP_MS: Final = 300_000
PAST_DAYS: Final = 4
AHEAD_DAYS: Final = 3
FAULTS_PER_DAY: Final = 10  # over the whole fleet
WEAKEST: Final = 0.15  # strength of a fault, of 1
FLEETS: Final = {TargetKind.NETWORK: 5, TargetKind.SITE: 1, TargetKind.LINK: 1}
REMOTES: Final = {TargetKind.NETWORK: 24, TargetKind.SITE: 44, TargetKind.LINK: 24}
START_MS: Final = 1_767_225_600_000  # 2026-01-01: any day would do


@dataclass(frozen=True)
class Trial:
    """`past` holds no faults that anybody knows of; `faulty` (rows,) says which rows of `ahead` a true event is in."""

    dataset: str
    past: Rows
    ahead: Rows
    faulty: NDArray[np.bool_]


def simulated(kind: Kind, seed: int) -> Trial:
    """Fleets that nobody has seen but who has the same seed."""
    parts = [_fleet(kind.kind, 1000 * seed + order) for order in range(FLEETS[kind.kind])]
    past, ahead = _together([part[0] for part in parts]), _together([part[1] for part in parts])
    return Trial("simulated fleets", past, ahead, np.concatenate([part[2] for part in parts]))


def _fleet(kind: TargetKind, seed: int) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    fleet, rng = demo_fleet(seed, REMOTES[kind]), np.random.default_rng([seed, 303])
    times = START_MS + STEP_MS * np.arange((PAST_DAYS + AHEAD_DAYS) * DAY_MS // STEP_MS)
    ahead_ms = int(times[0]) + PAST_DAYS * DAY_MS
    faults = []
    for _ in range(FAULTS_PER_DAY * AHEAD_DAYS):
        start, minutes = int(rng.integers(ahead_ms, int(times[-1]))), int(rng.integers(25, 180))
        fault = random_fault(fleet, rng, start, minutes * 60_000)
        faults.append(replace(fault, strength=float(rng.uniform(WEAKEST, 1.0))))
    samples = simulate(fleet, times, faults, seed, kinds=(kind,))[kind]
    stream = _streams(samples)
    order = np.lexsort((samples.at, stream))
    whole = Rows(samples.readings[order], samples.at[order], stream[order], int(stream.max()) + 1)
    later = whole.at >= ahead_ms
    return whole.where(~later), whole.where(later), samples.faulty[order][later]


def _streams(samples: Samples) -> NDArray[np.int64]:
    outbound = samples.direction == "OB" if samples.direction is not None else np.zeros(len(samples.number), dtype=bool)
    stream: NDArray[np.int64] = np.unique(2 * samples.number + outbound, return_inverse=True)[1].astype(np.int64)
    return stream


def _together(parts: list[Rows]) -> Rows:
    first = np.cumsum([0] + [part.streams for part in parts])
    return Rows(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.stream + offset for part, offset in zip(parts, first, strict=False)]),
        int(first[-1]),
    )


def of_history(history: History, scales: Scales, seed: int) -> tuple[Trial, Trial]:
    """Two trials behind the first 60 % of a fleet's history, each with injected faults in a fifth of it.

    One to calibrate the confidence with, one to measure on.
    """
    rng = np.random.default_rng([seed, 505])
    first, last = int(history.at.min()), int(history.at.max())
    cuts = [first + int(share * (last - first)) for share in (0.6, 0.8)]
    whole = Rows(history.readings, history.at, history.stream, int(history.stream.max()) + 1)
    past = whole.where(whole.at < cuts[0])
    dataset = f"{history.dataset}, injected faults"
    return (
        _injected(dataset, past, whole.where((whole.at >= cuts[0]) & (whole.at < cuts[1])), scales, rng),
        _injected(dataset, whole.where(whole.at < cuts[1]), whole.where(whole.at >= cuts[1]), scales, rng),
    )


def _injected(dataset: str, past: Rows, ahead: Rows, scales: Scales, rng: np.random.Generator) -> Trial:
    values, faulty = ahead.values.copy(), np.zeros(len(ahead.values), dtype=bool)
    for span in spans(ahead):
        values[span], faulty[span] = inject(values[span], scales, rng)
    return Trial(dataset, past, replace(ahead, values=values), faulty)


def spans(rows: Rows) -> Iterator[slice]:
    """The rows of each stream."""
    bounds = np.searchsorted(rows.stream, np.arange(rows.streams + 1)).tolist()
    for first, end in pairwise(bounds):
        yield slice(first, end)
