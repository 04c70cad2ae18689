"""Judges recorded stretches of streams again, as if all their samples had come in time and in order."""

from dataclasses import dataclass

import numpy as np

from ml.detection.detector import Scores
from ml.detection.episodes import Episode, EpisodeState, track_episodes
from ml.detection.features import Memory, SmoothingScales, StreamSamples, compute_features
from ml.numerics.arrays import Integers


@dataclass(frozen=True)
class ReplayedStretch:
    """What one stretch of a stream says; times are epoch ms.

    rows: of the batch.
    changed_at: the first sample that was not known before.
    episodes: those that this sample or a later one can have changed, by time, each as a whole.
    state: behind the last row.
    """

    rows: slice
    changed_at: int
    episodes: list[Episode]
    state: EpisodeState


def replay_episodes(samples: StreamSamples, scores: Scores, changed_at: Integers) -> list[ReplayedStretch]:
    """Returns what each stretch says.

    samples: each stretch as a stream of its own, with the samples before it that its judgement rests on.
    scores: of these.
    changed_at: the first sample of each stretch that was not known before, epoch ms, shape (stretches,).
    """
    return [
        _replay_stretch(rows, samples.at[rows], scores, first)
        for rows, first in zip(samples.slices, changed_at.tolist(), strict=True)
    ]


def _replay_stretch(rows: slice, at: Integers, scores: Scores, changed_at: int) -> ReplayedStretch:
    score, spacing = scores.score[rows], scores.spacing[rows]
    old_rows = int(np.searchsorted(at, changed_at))
    before, _ = track_episodes(EpisodeState(), at[:old_rows], score[:old_rows], spacing[:old_rows])
    state, episodes = track_episodes(EpisodeState(), at, score, spacing)
    earliest = before.alarmed_at if before.open and before.alarmed_at is not None else changed_at
    changed = [one for one in episodes if (one.last_seen_at or one.started_at) >= earliest]
    return ReplayedStretch(rows, changed_at, changed, state)


def remember_stretches(
    memory: Memory, samples: StreamSamples, scores: Scores, stretches: list[ReplayedStretch], scales: SmoothingScales
) -> Memory:
    """Returns the memory behind each stretch, or behind its last sample before alarms that are still pending.

    memory: before each stretch; the rest as in `replay_episodes`.
    """
    pending = [s.state.since if not s.state.open and s.state.alarms else None for s in stretches]
    numbers = np.array([number for number, since in enumerate(pending) if since is not None], dtype=np.int64)
    result = scores.memory.take(np.arange(len(stretches)))
    if not len(numbers):
        return result
    cut = np.array([np.iinfo(np.int64).max if since is None else since for since in pending])
    rows = np.isin(samples.stream, numbers) & (samples.at < cut[samples.stream])
    place = np.searchsorted(numbers, samples.stream[rows])
    before = StreamSamples(samples.values[rows], samples.at[rows], place, len(numbers))
    result.replace_at(numbers, compute_features(memory.take(numbers), before, scales.take(numbers))[1])
    return result
