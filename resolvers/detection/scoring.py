"""What a batch is judged by, and the verdicts on it: by stored profiles and memories, off the event loop."""

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, Kind
from ml.detection.detector import Detector, Scores
from ml.detection.features import NEVER, Memory, StreamSamples, compute_features
from ml.detection.profiles import Profiles
from ml.numerics.arrays import Floats
from resolvers.base.counters import SCORING
from resolvers.base.readings import to_readings
from resolvers.detection import baselines
from resolvers.store.telemetry import series as readings
from resolvers.store.telemetry.profiles import StoredProfile, combine_profiles
from resolvers.store.telemetry.streams import Streams

NOTABLE_SHARE = 0.15  # a metric with less of the verdict does not count as taking part


@dataclass(frozen=True)
class ScoredBatch:
    """A batch with its scores, row by row: `readings` (rows, metrics)."""

    kind: Kind
    readings: Floats
    scores: Scores

    def contributions(self, row: int) -> list[dict[str, Any]]:
        """Each measured metric's part in the verdict, largest first."""
        scores, shares = self.scores, self.scores.compute_shares(row)
        order = np.argsort(-shares, kind="stable")
        return [
            {
                "metric": self.kind.metrics[index],
                "observed": readings.shorten(self.readings[row, index]),
                "expected": readings.shorten(scores.expected[row, index]),
                "deviation": round(float(scores.deviations[row, index]), 3),
                "share": round(float(shares[index]), 4),
            }
            for index in order.tolist()
            if not np.isnan(scores.deviations[row, index])
        ]

    def metrics(self, row: int) -> int:
        """How many metrics take part in the verdict."""
        return int((self.scores.compute_shares(row) >= NOTABLE_SHARE).sum())


@dataclass(frozen=True)
class BatchScorer:
    """What a batch's samples are judged by: the champion, what is known of each stream, how sensitive to be."""

    detector: Detector
    streams: Streams
    profiles: list[StoredProfile | None]
    sensitivity: float

    async def judge(self, frame: pl.DataFrame) -> ScoredBatch:
        """Scores on a batch sorted by `stream` and `at`. Off the event loop."""
        with SCORING[self.detector.kind].time():
            return await asyncio.to_thread(self._judge, frame)

    def _judge(self, frame: pl.DataFrame) -> ScoredBatch:
        kind, which, at = CATALOGUE[self.detector.kind], frame["stream"].to_numpy(), frame["at"].to_numpy()
        values, streams, memory = to_readings(frame, kind), len(self.streams.keys), self.streams.memory
        profiles = self._profiles
        late = at <= memory.at[which]
        if not late.any():
            return ScoredBatch(
                kind, values, self._verdicts(StreamSamples(values, at, which, streams), profiles, memory)
            )
        # Late rows are a course of their own, of which nothing is remembered.
        order = np.lexsort((at, which, late))
        rows = StreamSamples(values[order], at[order], (which + streams * late)[order], 2 * streams)
        twice = np.tile(np.arange(streams), 2)
        both = memory.take(twice)
        forgotten = Memory.blank(streams, values.shape[1])
        for part, nothing in ((both.values, forgotten.values), (both.count, forgotten.count), (both.at, forgotten.at)):
            part[streams:] = nothing
        scores = self._verdicts(rows, profiles.take(twice), both)
        return ScoredBatch(kind, values, scores.reorder(np.argsort(order), streams))

    def _verdicts(self, rows: StreamSamples, profiles: Profiles, memory: Memory) -> Scores:
        return self.detector.score(rows, profiles, memory, self.sensitivity)

    @cached_property
    def _profiles(self) -> Profiles:
        """As they are when the batch is judged: what its streams learn from it is for the next."""
        centre, spread = baselines.get_baselines(self.streams)
        return combine_profiles(
            self.detector, self.detector.make_prior_profiles(centre, spread, self.streams.learned), self.profiles
        )

    def update_memory(self, frame: pl.DataFrame, judged: ScoredBatch) -> Memory:
        """Of each stream behind the batch; where alarms are pending, behind the last sample before these."""
        since = {number: one.pending_since for number, one in self.streams.episode_states.items() if one.pending_since}
        memory = judged.scores.memory
        if not since:
            return memory
        numbers = np.array(sorted(since))
        which, at = frame["stream"].to_numpy(), frame["at"].to_numpy()
        cut = np.full(len(self.streams.keys), NEVER)
        cut[numbers] = [since[number] for number in numbers.tolist()]
        rows = (at < cut[which]) & (at > self.streams.memory.at[which])
        values = to_readings(frame.filter(pl.Series(rows)), CATALOGUE[self.detector.kind])
        place = np.searchsorted(numbers, which[rows])
        profiles = self._profiles.take(numbers)
        before = StreamSamples(values, at[rows], place, len(numbers))
        earlier = compute_features(self.streams.memory.take(numbers), before, profiles.smoothing_scales)[1]
        memory.values[numbers], memory.count[numbers], memory.at[numbers] = earlier.values, earlier.count, earlier.at
        return memory
