"""Late samples are divided into stretches: those that are close are judged together, and the cost is bounded."""

import numpy as np

from ml.catalogue.metrics import TargetKind
from ml.catalogue.units import HOUR_MS
from ml.detection.features import NEVER, Memory
from resolvers.detection.stretches import choose_stretches
from resolvers.store.telemetry.streams import Streams


def streams(*cadences: float) -> Streams:
    count, metrics = len(cadences), 12
    memory = Memory.blank(count, metrics)
    memory.cadence_seconds[:] = cadences
    never, none, unknown = np.full(count, NEVER), np.zeros(count, dtype=np.int64), np.full(count, np.nan)
    wide = np.full((count, metrics), np.nan)
    keys = [(number, "OB") for number in range(count)]
    return Streams(TargetKind.LINK, keys, none, never, none, unknown, wide, wide, memory, none, never)


def test_samples_that_are_hours_apart_are_judged_apart() -> None:
    times = np.array([0, 5 * HOUR_MS, 12 * HOUR_MS])

    assert choose_stretches(streams(60.0), np.zeros(3, dtype=np.int64), times) == [
        (0, [0, 5 * HOUR_MS]),
        (0, [12 * HOUR_MS]),
    ]


def test_samples_of_a_daily_stream_that_are_days_apart_are_judged_together() -> None:
    times = 24 * HOUR_MS * np.arange(5)

    assert choose_stretches(streams(86_400.0), np.zeros(5, dtype=np.int64), times) == [(0, times.tolist())]


def test_each_stream_has_stretches_of_its_own() -> None:
    which, times = np.array([0, 0, 1]), np.array([0, 60_000, 120_000])

    assert choose_stretches(streams(60.0, np.nan), which, times) == [(0, [0, 60_000]), (1, [120_000])]
