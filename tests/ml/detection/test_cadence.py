"""False alarms keep to their budget however fast the samples come, also while little is known of a stream."""

from dataclasses import dataclass

import numpy as np
import pytest

from ml.catalogue.metrics import Metric, TargetKind
from ml.catalogue.units import DAY_MS, HOUR_MS
from ml.detection.baselines import fit_baselines
from ml.detection.detector import Detector, Scores, false_alarms_per_day
from ml.detection.episodes import EpisodeState, track_episodes
from ml.detection.features import NOMINAL_CADENCE_SECONDS, Memory, SmoothingScales, StreamSamples, compute_features
from ml.detection.profile_fitting import choose_even_rows, fit_profiles
from ml.detection.profiles import Profiles
from ml.numerics.arrays import Floats, Integers
from tests.helpers.detectors import LINK, START_MS, detector, place, watch

METRICS = len(LINK.specs)
SECOND = 1000

pytestmark = pytest.mark.xdist_group("detectors")  # trained once, in one process


def healthy(at: Integers, seed: int = 1) -> Floats:
    """Noise around what is usual, and more traffic by day than by night."""
    values = LINK.usual + np.random.default_rng(seed).normal(0, 1, (len(at), METRICS)) * LINK.least_spread
    values[:, place(Metric.UTILIZATION_PCT)] += 8.0 * np.sin(2.0 * np.pi * at / DAY_MS)
    return values


def every(seconds: int, hours: float, first_ms: int = START_MS) -> Integers:
    return first_ms + SECOND * seconds * np.arange(int(3600 * hours / seconds))


@dataclass(frozen=True)
class Stream:
    """Samples of one link direction."""

    at: Integers
    values: Floats

    @property
    def samples(self) -> StreamSamples:
        return StreamSamples.of_one_stream(self.values, self.at)


def after(past: Stream, profiles: Profiles) -> Memory:
    return compute_features(Memory.blank(1, METRICS), past.samples, profiles.smoothing_scales)[1]


def count(stream: Stream, scores: Scores) -> int:
    return len(track_episodes(EpisodeState(), stream.at, scores.score, scores.pace)[1])


def young(own: Detector, past: Stream) -> Profiles:
    base = fit_baselines(LINK, past.values, past.samples.stream, 1)
    return own.make_prior_profiles(base.centre, base.spread, base.samples, np.array([np.ptp(past.at) / SECOND]))


# ---------------------------------------------------------------- the budget


@pytest.mark.parametrize("seconds", [10, 60, 300])
def test_a_stream_that_is_some_hours_old_raises_hardly_a_false_alarm(seconds: int) -> None:
    past, own = Stream(at := every(seconds, 5.5), healthy(at)), detector(TargetKind.LINK)
    later = Stream(at := every(seconds, 5.5, int(past.at[-1]) + SECOND * seconds), healthy(at, seed=2))
    profiles = young(own, past)

    scores = own.score(later.samples, profiles, after(past, profiles), 1.0)

    assert count(later, scores) <= 1.3 * false_alarms_per_day(1.0) * 5.5 / 24 / 2 + 1


def test_a_profile_of_slow_samples_serves_fast_ones() -> None:
    past, own = Stream(at := every(300, 72), healthy(at)), detector(TargetKind.LINK)
    later = Stream(at := every(10, 12, int(past.at[-1]) + 10 * SECOND), healthy(at, seed=2))
    profiles = fit_profiles(past.samples, own.scales, own.forest)

    scores = own.score(later.samples, profiles, after(past, profiles), 1.0)

    assert count(later, scores) <= 1.3 * false_alarms_per_day(1.0) / 2 / 2 + 1


def test_a_profile_of_slow_samples_finds_a_fault_in_fast_ones_within_two_minutes() -> None:
    past, own = Stream(at := every(300, 72), healthy(at)), detector(TargetKind.LINK)
    later = Stream(at := every(10, 0.5, int(past.at[-1]) + 10 * SECOND), healthy(at, seed=2))
    later.values[60:, place(Metric.ESNO_DB)] -= 4.0
    profiles = fit_profiles(past.samples, own.scales, own.forest)

    scores = own.score(later.samples, profiles, after(past, profiles))

    assert count(Stream(later.at[:60], later.values), Scores(**{**vars(scores), **head(scores, 60)})) == 0
    assert count(Stream(later.at[:72], later.values), Scores(**{**vars(scores), **head(scores, 72)})) == 1


def head(scores: Scores, rows: int) -> dict[str, Floats]:
    return {"score": scores.score[:rows], "pace": scores.pace[:rows]}


def test_faster_samples_need_a_higher_score_and_slower_ones_a_lower() -> None:
    known = watch()
    pace = np.array([10.0, 60.0, 300.0, 3600.0, 7200.0])

    limits = known.detector.compute_thresholds(known.profiles, 0.5, np.zeros(5, dtype=np.int64), pace)

    assert np.all(np.diff(limits) < 0.0)
    assert limits[2] == pytest.approx(known.detector.compute_thresholds(known.profiles, 0.5)[0])


def test_many_samples_of_an_hour_make_no_stream_old() -> None:
    own, centre, spread = detector(TargetKind.LINK), LINK.usual[None], LINK.least_spread[None]

    fast, slow = (own.make_prior_profiles(centre, spread, np.array([360]), np.array([s])) for s in (3600, 108_000))

    assert np.all(fast.spread[:, :2] > 2.0 * slow.spread[:, :2])
    assert fast.samples[0] == 12


# ---------------------------------------------------------------- the pace


def make_memory(at: Integers) -> Memory:
    scales = SmoothingScales(np.array([NOMINAL_CADENCE_SECONDS]), np.full((1, 1), 0.01), np.full((1, 1), 2.0))
    return compute_features(Memory.blank(1, 1), StreamSamples.of_one_stream(np.zeros((len(at), 1)), at), scales)[1]


def test_a_stream_remembers_how_fast_its_samples_come() -> None:
    faster = make_memory(np.concatenate([every(300, 2), START_MS + 2 * HOUR_MS + SECOND * 10 * np.arange(10)]))
    slower = make_memory(every(7200, 60))
    gappy = make_memory(np.delete(every(300, 4), [20, 21, 30]))

    assert faster.cadence_seconds[0] == pytest.approx(10.0, rel=0.05)
    assert slower.cadence_seconds[0] == pytest.approx(7200.0, rel=0.05)
    assert gappy.cadence_seconds[0] == pytest.approx(300.0, rel=0.05)
    assert gappy.observed_seconds[0] == 47 * 300


def test_a_memory_stored_before_cadences_were_remembered_is_read() -> None:
    memory = make_memory(every(300, 2))
    stored = memory.to_bytes()[0][:-24]

    [again] = [Memory.from_bytes([stored], 1)]

    assert np.array_equal(again.values, memory.values, equal_nan=True)
    assert np.isnan(again.cadence_seconds[0])
    assert again.observed_seconds[0] == 24 * NOMINAL_CADENCE_SECONDS


def test_a_memory_stored_before_gaps_were_remembered_is_read() -> None:
    memory = make_memory(every(600, 2))

    [again] = [Memory.from_bytes([memory.to_bytes()[0][:-8]], 1)]

    assert np.array_equal(again.values, memory.values, equal_nan=True)
    assert again.cadence_seconds[0] == memory.cadence_seconds[0]
    assert np.isnan(again.gap_seconds[0])
    assert memory.gap_seconds[0] == 600


def test_where_the_cadence_has_changed_only_evenly_spaced_rows_are_learned_from() -> None:
    slow, fast = every(300, 48), every(10, 6, START_MS + 48 * HOUR_MS)
    at = np.concatenate([slow, fast, slow])
    stream = np.repeat([0, 1], [len(slow) + len(fast), len(slow)])

    kept = choose_even_rows(stream, at)

    assert kept[: len(slow)].all()
    assert kept[len(slow) : len(slow) + len(fast)].sum() == pytest.approx(6 * 12, abs=25)
    assert kept[len(slow) + len(fast) :].all()


# ---------------------------------------------------------------- episodes


def follow(scores: list[float], seconds: int) -> list[tuple[int, int | None, bool]]:
    pace = np.full(len(scores), float(seconds))
    at = SECOND * seconds * np.arange(len(scores))
    found = track_episodes(EpisodeState(), at, np.array(scores), pace)[1]
    return [(one.alarms, one.last_seen_at, one.closed) for one in found]


def test_mild_alarms_persist_for_a_minute_at_least() -> None:
    assert follow([0.1] * 6, 10) == []
    assert follow([0.1] * 7, 10) == [(7, 60_000, False)]


def test_an_episode_of_fast_samples_ends_after_five_quiet_minutes() -> None:
    assert follow([0.9] + [-0.5] * 29 + [0.9], 10) == [(2, 300_000, False)]
    assert [closed for *_, closed in follow([0.9] + [-0.5] * 30 + [0.9], 10)] == [True, False]


def test_samples_of_every_second_hour_belong_together() -> None:
    assert follow([0.1] * 3, 7200) == [(3, 14_400_000, False)]


# ---------------------------------------------------------------- confidence


def test_confidence_never_contradicts_the_verdict() -> None:
    values = healthy(every(300, 48))
    values[::7, place(Metric.ESNO_DB)] -= np.linspace(0.0, 6.0, len(values[::7]))

    for sensitivity in (0.0, 0.5, 1.0):
        scores = watch().score(values, sensitivity=sensitivity)

        assert (scores.score > 0).any()
        assert np.array_equal(scores.confidence >= 0.5, scores.score > 0)
