"""Samples in any cut and any order give the same episodes, once late ones are judged with their neighbours."""

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection.detector import Detector, Scores
from ml.detection.episodes import EpisodeState, estimate_spacing, track_episodes
from ml.detection.features import Memory, StreamSamples
from ml.detection.profiles import Profiles
from ml.detection.replay import remember_stretches, replay_episodes
from tests.helpers import detectors

LINK = CATALOGUE[TargetKind.LINK]
LEVEL = LINK.columns.index("rx_level_dbm")
QUIET, MILD, EXTREME = -45.0, -42.5, -65.0
MINUTE = 60_000
CENTRE = np.array([4.0, 45.0, 1.0, 1.0, 100.0, 12.0, -45.0, 33.0, 600.0, 12.0, 0.1, 9.5])
SPREAD = np.array([1.0, 8.0, 2.0, 2.0, 0.5, 0.3, 0.3, 0.3, 8.0, 2.0, 0.1, 0.15])


@dataclass
class Recorder:
    """One stream as the server keeps it: samples, memory and the episode's state."""

    detector: Detector
    stored: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = Memory.blank(1, len(LINK.specs))
        self.state = EpisodeState()

    @property
    def profiles(self) -> Profiles:
        return self.detector.make_prior_profiles(CENTRE[None], SPREAD[None], np.array([1000]))

    def score(self, samples: StreamSamples, memory: Memory) -> Scores:
        return self.detector.score(samples, self.profiles, memory)

    def record(self, rows: list[tuple[int, float]]) -> None:
        newest = max(self.stored, default=None)
        late = [at for at, _ in rows if newest is not None and at <= newest]
        self.stored.update(rows)
        if late:
            self.judge_again(min(late))
        else:
            samples = to_samples(dict(sorted(rows)))
            scores = self.score(samples, self.memory)
            self.state, _ = track_episodes(self.state, samples.at, scores.score, scores.spacing)
            self.memory = scores.memory

    def judge_again(self, first: int) -> None:
        samples, blank = to_samples(dict(sorted(self.stored.items()))), Memory.blank(1, len(LINK.specs))
        scores = self.score(samples, blank)
        stretches = replay_episodes(samples, scores, np.array([first]))
        self.state, self.memory = stretches[0].state, scores.memory


def to_samples(levels: dict[int, float]) -> StreamSamples:
    values = np.full((len(levels), len(LINK.specs)), np.nan)
    values[:, LEVEL] = list(levels.values())
    return StreamSamples.of_one_stream(values, np.array(list(levels), dtype=np.int64))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return detectors.detector()


def course(*values: float, every: int = MINUTE) -> dict[int, float]:
    return {every * number: value for number, value in enumerate(values, start=1)}


PARTS = st.lists(
    st.tuples(st.sampled_from([QUIET, QUIET, MILD, EXTREME]), st.integers(1, 10), st.sampled_from([1, 1, 1, 15])),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(
    parts=PARTS,
    every=st.sampled_from([1, 10, 60, 3600, 7200, 86_400]),
    order=st.randoms(use_true_random=False),
    cuts=st.sets(st.integers(0, 60), max_size=6),
)
def test_any_cut_and_any_order_leave_a_stream_in_the_same_state(
    detector: Detector, parts: list, every: int, order: Random, cuts: set[int]
) -> None:
    rows, at = [], 0
    for value, count, gap in parts:
        at += 1000 * every * (gap - 1)
        for _ in range(count):
            at += 1000 * every
            rows.append((at, value))
    whole, mixed = Recorder(detector), Recorder(detector)
    whole.record(rows)
    shuffled = order.sample(rows, len(rows))
    borders = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]

    for first, end in pairwise(borders):
        if end > first:
            mixed.record(shuffled[first:end])

    assert mixed.state == whole.state
    assert np.allclose(mixed.memory.values, whole.memory.values, equal_nan=True)
    assert mixed.memory.gap_seconds.tolist() == pytest.approx(whole.memory.gap_seconds.tolist(), nan_ok=True)


def test_a_replay_leaves_episodes_alone_that_ended_before_its_first_late_sample(detector: Detector) -> None:
    levels = course(*[QUIET] * 5, *[EXTREME] * 3, *[QUIET] * 10, *[EXTREME] * 3, *[QUIET] * 10)
    samples, recorder = to_samples(levels), Recorder(detector)
    scores = recorder.score(samples, recorder.memory)

    [replayed] = replay_episodes(samples, scores, samples.at[17:18])

    assert [episode.started_at for episode in replayed.episodes] == [int(samples.at[18])]


def test_a_replay_includes_the_episode_that_was_open_before_its_first_late_sample(detector: Detector) -> None:
    levels = course(*[QUIET] * 5, *[EXTREME] * 3, *[QUIET] * 10)
    samples, recorder = to_samples(levels), Recorder(detector)
    scores = recorder.score(samples, recorder.memory)

    [replayed] = replay_episodes(samples, scores, samples.at[9:10])

    assert [(one.started_at, one.closed) for one in replayed.episodes] == [(int(samples.at[5]), True)]


def test_the_memory_behind_a_replay_ends_before_alarms_that_are_pending(detector: Detector) -> None:
    levels = course(*[QUIET] * 40, MILD, MILD)
    samples, recorder = to_samples(levels), Recorder(detector)
    blank = Memory.blank(1, len(LINK.specs))
    scores = recorder.score(samples, blank)
    stretches = replay_episodes(samples, scores, samples.at[3:4])

    behind = remember_stretches(blank, samples, scores, stretches, recorder.profiles.smoothing_scales)

    assert stretches[0].state.alarms == 2
    assert behind.at.tolist() == [int(samples.at[39])]
    assert scores.memory.at.tolist() == [int(samples.at[41])]


# ---------------------------------------------------------------- what a silence is


def test_a_gap_like_the_one_before_is_no_silence() -> None:
    pace, before = np.full(3, 60.0), np.array([60.0, 7200.0, np.nan])

    spacing = estimate_spacing(pace, before, np.ones(3, dtype=bool))

    assert (12.0 * spacing >= 7200.0).tolist() == [False, True, False]


@pytest.mark.parametrize("every", [1, 60, 3540, 3605, 7200, 86_400])
@pytest.mark.parametrize("known", [0, 40])
def test_an_outage_is_one_episode_at_any_cadence(detector: Detector, every: int, known: int) -> None:
    """A stream may have come each minute until then, or never before."""
    before = {number * MINUTE: QUIET for number in range(-known, 0)}
    levels = before | {number * every * 1000: EXTREME for number in range(1, 13)}
    recorder = Recorder(detector)
    samples, profiles = to_samples(levels), recorder.profiles
    if not known:
        profiles = detector.make_prior_profiles(CENTRE[None], SPREAD[None], np.array([0]))
    scores = detector.score(samples, profiles, recorder.memory, 1.0)
    extreme = np.where(samples.values[:, LEVEL] == EXTREME, 0.9, -0.5)

    episodes = track_episodes(EpisodeState(), samples.at, extreme, scores.spacing)[1]

    assert [(one.started_at, one.last_seen_at) for one in episodes] == [(1000 * every, 12_000 * every)]
