"""Scores a batch of samples by the profiles and memories of their streams, off the event loop."""

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, Kind
from ml.detection.detector import Detector, Scores
from ml.detection.features import (
    NEVER,
    NOMINAL_CADENCE_SECONDS,
    Memory,
    SmoothingScales,
    StreamSamples,
    compute_features,
)
from ml.detection.profiles import Profiles
from ml.detection.severity import grade_service
from ml.numerics.arrays import Floats, Integers
from resolvers.base.counters import SCORING
from resolvers.detection import baselines
from resolvers.store.telemetry import series as readings
from resolvers.store.telemetry.profiles import StoredProfile, combine_profiles
from resolvers.store.telemetry.readings import to_readings
from resolvers.store.telemetry.streams import Streams

NOTABLE_SHARE = 0.15  # a metric with less of the score does not count as taking part


@dataclass(frozen=True)
class ScoredBatch:
    """Samples and their scores, row by row; readings: shape (rows, metrics), NaN where not measured."""

    kind: Kind
    readings: Floats
    scores: Scores

    def list_contributions(self, row: int) -> list[dict[str, Any]]:
        """Returns each measured metric's share of the score, largest first."""
        scores, shares = self.scores, self.scores.compute_shares(row)
        order = np.argsort(-shares, kind="stable")
        return [
            {
                "metric": self.kind.metrics[index],
                "observed": readings.shorten_of(self.kind.kind, self.kind.metrics[index], self.readings[row, index]),
                "expected": readings.shorten(scores.expected[row, index]),
                "deviation": round(float(scores.deviations[row, index]), 3),
                "share": round(float(shares[index]), 4),
            }
            for index in order.tolist()
            if not np.isnan(scores.deviations[row, index])
        ]

    def grade_service(self, rows: list[int]) -> Floats:
        """Returns the service grade of these rows, 0 to 10, NaN where nothing measured tells, shape (len(rows),)."""
        return grade_service(self.kind, self.readings[rows], self.scores.expected[rows])

    def count_metrics(self, row: int) -> int:
        """Returns how many metrics have a notable share of the score."""
        return int((self.scores.compute_shares(row) >= NOTABLE_SHARE).sum())


@dataclass(frozen=True)
class BatchScorer:
    """Scores the samples of locked streams with the champion.

    profiles: each stream's own, None where it has none yet.
    sensitivity: from 0 to 1.
    """

    detector: Detector
    streams: Streams
    profiles: list[StoredProfile | None]
    sensitivity: float

    async def score(self, frame: pl.DataFrame) -> ScoredBatch:
        """Scores a batch sorted by `stream` and `at`, none older than its stream's newest, off the event loop."""
        with SCORING[self.detector.kind].time():
            return await asyncio.to_thread(self._score, frame)

    def _score(self, frame: pl.DataFrame) -> ScoredBatch:
        kind, which, at = CATALOGUE[self.detector.kind], frame["stream"].to_numpy(), frame["at"].to_numpy()
        values, streams, memory = to_readings(frame, kind), len(self.streams.keys), self.streams.memory
        samples = StreamSamples(values, at, which, streams)
        return ScoredBatch(kind, values, self.detector.score(samples, self._profiles, memory, self.sensitivity))

    def score_again(self, samples: StreamSamples, streams: Integers, memory: Memory, sensitivity: float) -> Scores:
        """Scores stretches of streams that were recorded before.

        samples: each stretch as a stream of its own.
        streams: the index of each one's stream.
        memory: before each stretch.
        """
        return self.detector.score(samples, self._profiles.take(streams), memory, sensitivity)

    def smoothing_scales(self, streams: Integers) -> SmoothingScales:
        """Returns the scales of these streams."""
        return self._profiles.take(streams).smoothing_scales

    @cached_property
    def _profiles(self) -> Profiles:
        """As they are when the batch is scored; what its streams learn from it counts from the next batch on."""
        centre, spread = baselines.get_baselines(self.streams)
        learned, seconds = self.streams.learned, self.streams.learned_seconds
        seconds = np.where(np.isnan(seconds), NOMINAL_CADENCE_SECONDS * learned, seconds)
        prior = self.detector.make_prior_profiles(centre, spread, learned, seconds)
        return combine_profiles(self.detector, prior, self.profiles)

    def compute_memory(self, frame: pl.DataFrame, scored: ScoredBatch) -> Memory:
        """Returns each stream's memory behind the batch, or behind the last sample before pending alarms."""
        states = self.streams.episode_states.items()
        pending_since = {number: state.pending_since for number, state in states if state.pending_since}
        memory = scored.scores.memory
        if not pending_since:
            return memory
        numbers = np.array(sorted(pending_since))
        which, at = frame["stream"].to_numpy(), frame["at"].to_numpy()
        cut = np.full(len(self.streams.keys), NEVER)
        cut[numbers] = [pending_since[number] for number in numbers.tolist()]
        rows = (at < cut[which]) & (at > self.streams.memory.at[which])
        values = to_readings(frame.filter(pl.Series(rows)), CATALOGUE[self.detector.kind])
        place = np.searchsorted(numbers, which[rows])
        before = StreamSamples(values, at[rows], place, len(numbers))
        scales = self._profiles.take(numbers).smoothing_scales
        earlier = compute_features(self.streams.memory.take(numbers), before, scales)[1]
        memory.replace_at(numbers, earlier)
        return memory
