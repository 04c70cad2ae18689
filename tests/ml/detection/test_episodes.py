import itertools

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from ml.detection.episodes import (
    CLEAR_COUNT,
    EXTREME,
    GAP_MS,
    MIN_ALARMS,
    Episode,
    EpisodeState,
    track_episodes,
)

MINUTE = 60_000
QUIET, MILD, EXTREME_ALARM, UNSCORED = -0.5, 0.1, EXTREME, np.nan

steps = st.lists(
    st.tuples(
        st.sampled_from([MINUTE, 5 * MINUTE, GAP_MS, GAP_MS + 1]),
        st.sampled_from([QUIET, QUIET, 0.0, MILD, 0.2, EXTREME_ALARM, 0.9, UNSCORED]),
    ),
    max_size=60,
)


def run(*scores: float, every: int = 5 * MINUTE) -> list[Episode]:
    return track_episodes(EpisodeState(), every * np.arange(len(scores)), np.array(scores))[1]


def split(times: np.ndarray, scores: np.ndarray, cuts: list[int]) -> tuple[EpisodeState, list[tuple[int, Episode]]]:
    """Follow batch by batch; each episode with the number of rows before its batch."""
    state, found, bounds = EpisodeState(), [], [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
    for first, last in itertools.pairwise(bounds):
        state, episodes = track_episodes(state, times[first:last], scores[first:last])
        found += [(first, episode) for episode in episodes]
    return state, found


def joined(parts: list[tuple[int, Episode]]) -> list[tuple[int, int | None, int, bool]]:
    """Start, last alarm, alarms and end of each episode, pieced together from what the batches reported."""
    whole: list[list] = []
    for _, part in parts:
        if part.opened:
            whole.append([part.started_at, part.last_seen_at, part.alarms, part.closed])
        else:
            whole[-1][1:] = [part.last_seen_at or whole[-1][1], whole[-1][2] + part.alarms, part.closed]
    return [tuple(one) for one in whole]


def test_an_extreme_alarm_opens_an_episode_at_once() -> None:
    episodes = run(QUIET, EXTREME_ALARM)

    assert episodes == [Episode(True, 5 * MINUTE, 5 * MINUTE, 1, 1, False)]


def test_mild_alarms_must_persist() -> None:
    assert run(*[MILD] * (MIN_ALARMS - 1)) == []
    assert run(*[MILD] * MIN_ALARMS) == [Episode(True, 0, 10 * MINUTE, 0, MIN_ALARMS, False)]


def test_mild_alarms_persist_over_small_holes_only() -> None:
    assert len(run(MILD, QUIET, QUIET, MILD, QUIET, MILD)) == 1
    assert run(MILD, MILD, QUIET, QUIET, QUIET, MILD) == []


def test_an_episode_ends_with_the_quiet_after_it() -> None:
    still_open = run(EXTREME_ALARM, *[QUIET] * (CLEAR_COUNT - 1), 0.7)
    ended = run(EXTREME_ALARM, *[QUIET] * CLEAR_COUNT, 0.7)

    assert [(one.alarms, one.closed, one.peak) for one in still_open] == [(2, False, 5)]
    assert [(one.alarms, one.closed, one.peak) for one in ended] == [(1, True, 0), (1, False, 6)]


def test_unscored_samples_are_neither_alarms_nor_quiet() -> None:
    episodes = run(EXTREME_ALARM, *[QUIET, UNSCORED, UNSCORED] * (CLEAR_COUNT - 1), MILD)

    assert [(one.alarms, one.closed) for one in episodes] == [(2, False)]


def test_a_long_silence_ends_what_was_open_and_forgets_what_was_pending() -> None:
    after_an_hour = run(EXTREME_ALARM, EXTREME_ALARM, every=GAP_MS)
    after_longer = run(EXTREME_ALARM, EXTREME_ALARM, every=GAP_MS + 1)
    pending = run(MILD, MILD, MILD, every=GAP_MS + 1)

    assert [one.closed for one in after_an_hour] == [False]
    assert [(one.last_seen_at, one.closed) for one in after_longer] == [(0, True), (GAP_MS + 1, False)]
    assert pending == []


def test_closing_in_a_later_batch_is_reported_without_an_alarm() -> None:
    times = MINUTE * np.arange(1 + CLEAR_COUNT)
    state, _ = track_episodes(EpisodeState(), times[:1], np.array([0.9]))

    state, episodes = track_episodes(state, times[1:], np.full(CLEAR_COUNT, QUIET))

    assert (episodes[0].opened, episodes[0].closed) == (False, True)
    assert (episodes[0].last_seen_at, episodes[0].peak, episodes[0].alarms) == (None, None, 0)
    assert not state.open


@example([(60_000, -0.5)] * 13 + [(60_000, 0.1)] + [(60_000, -0.5)] * 4, [17])  # cut after the pending alarm's end
@given(steps, st.lists(st.integers(0, 60), max_size=6))
def test_cutting_a_sequence_into_batches_changes_no_episode(sequence: list, cuts: list[int]) -> None:
    times = np.cumsum([step for step, _ in sequence], dtype=np.int64)
    scores = np.array([score for _, score in sequence], dtype=np.float64)

    state, whole = track_episodes(EpisodeState(), times, scores)
    state_of_parts, parts = split(times, scores, cuts)

    assert state == state_of_parts
    assert joined(parts) == [(one.started_at, one.last_seen_at, one.alarms, one.closed) for one in whole]


@given(steps, st.lists(st.integers(0, 60), max_size=6))
def test_a_peak_is_the_highest_alarm_of_its_episode_in_its_batch(sequence: list, cuts: list[int]) -> None:
    times = np.cumsum([step for step, _ in sequence], dtype=np.int64)
    scores = np.array([score for _, score in sequence], dtype=np.float64)

    _, parts = split(times, scores, cuts)

    for before, part in parts:
        if part.peak is not None and part.last_seen_at is not None:
            peak = before + part.peak
            during = (times >= max(part.started_at, times[before])) & (times <= part.last_seen_at)
            assert scores[peak] > 0
            assert during[peak]
            assert scores[peak] == np.nanmax(scores[during])


@given(steps)
def test_episodes_are_in_order_and_only_the_last_may_stay_open(sequence: list) -> None:
    times = np.cumsum([step for step, _ in sequence], dtype=np.int64)
    scores = np.array([score for _, score in sequence], dtype=np.float64)

    state, episodes = track_episodes(EpisodeState(), times, scores)

    assert all(one.closed for one in episodes[:-1])
    assert state.open == bool(episodes and not episodes[-1].closed)
    assert all(a.last_seen_at < b.started_at for a, b in itertools.pairwise(episodes))
