from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.detection.features import (
    FEATURES,
    GAP_SECONDS,
    Feature,
    Memory,
    SmoothingScales,
    StreamSamples,
    compute_features,
)

METRICS = 3
MINUTE = 60_000
DAY = 86_400_000
GAP_MINUTES = int(GAP_SECONDS / 60)


def pace(streams: int, seed: int = 0, reach: float = 2.0) -> SmoothingScales:
    cadence = np.random.default_rng(seed).choice([60.0, 300.0, 900.0], streams)
    return SmoothingScales(cadence, np.full((streams, METRICS), 0.01), np.full((streams, METRICS), reach))


def stream(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Some values missing, some silences longer than an hour, some times twice."""
    values = rng.normal(0, 1, (rows, METRICS)).cumsum(axis=0)
    values[rng.random(values.shape) < 0.25] = np.nan
    return values, MINUTE * rng.choice([0, 1, 5, 90, 3000], rows, p=[0.1, 0.3, 0.4, 0.1, 0.1]).cumsum()


def joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> StreamSamples:
    values, at = (np.concatenate(part) for part in zip(*parts, strict=True))
    return StreamSamples(values, at, np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts]), len(parts))


def alone(values: list[float], step_minutes: float = 5.0) -> np.ndarray:
    """Features of one metric of one stream, (rows, 6)."""
    rows = StreamSamples.of_one_stream(
        np.array(values)[:, None], (step_minutes * MINUTE * np.arange(len(values))).astype(np.int64)
    )
    own = SmoothingScales(np.array([60.0 * step_minutes]), np.full((1, 1), 0.01), np.full((1, 1), 2.0))
    return compute_features(Memory.blank(1, 1), rows, own)[0][:, :, 0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), lengths=st.lists(st.integers(0, 25), min_size=1, max_size=4), cuts=st.integers(0, 4))
def test_batches_of_any_cut_give_the_same_features_and_memory(seed: int, lengths: list[int], cuts: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [stream(rng, rows) for rows in lengths]
    bounds = [[0, *np.sort(rng.integers(0, rows + 1, cuts)).tolist(), rows] for rows in lengths]
    whole, end = compute_features(Memory.blank(len(parts), METRICS), joined(parts), pace(len(parts), seed))

    memory, found = Memory.blank(len(parts), METRICS), [[np.empty((0, FEATURES, METRICS))] for _ in parts]
    for turn in range(cuts + 1):
        places = [slice(bound[turn], bound[turn + 1]) for bound in bounds]
        batch = joined([(values[span], at[span]) for (values, at), span in zip(parts, places, strict=True)])
        raw, memory = compute_features(memory, batch, pace(len(parts), seed))
        for one in range(len(parts)):
            found[one].append(raw[batch.stream == one])

    cut = np.concatenate([np.concatenate(one) for one in found])
    assert np.allclose(cut, whole, rtol=0, atol=1e-12, equal_nan=True)
    assert memory.to_bytes() == end.to_bytes()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), lengths=st.lists(st.integers(0, 25), min_size=2, max_size=6))
def test_a_stream_in_company_has_the_features_and_memory_it_has_alone(seed: int, lengths: list[int]) -> None:
    rng = np.random.default_rng(seed)
    parts, own = [stream(rng, rows) for rows in lengths], pace(len(lengths), seed)
    together, end = compute_features(Memory.blank(len(parts), METRICS), joined(parts), own)

    edges = np.cumsum([0, *lengths]).tolist()
    for one, (first, last) in enumerate(pairwise(edges)):
        single = SmoothingScales(own.cadence_seconds[[one]], own.noise_floor[[one]], own.clip_bound[[one]])
        raw, memory = compute_features(Memory.blank(1, METRICS), StreamSamples.of_one_stream(*parts[one]), single)
        assert np.allclose(raw, together[first:last], rtol=0, atol=1e-12, equal_nan=True)
        assert memory.to_bytes() == end.to_bytes()[one : one + 1]


@given(seed=st.integers(0, 10**6), streams=st.integers(1, 4))
def test_a_memory_survives_its_bytes_exactly(seed: int, streams: int) -> None:
    rng = np.random.default_rng(seed)
    rows = joined([stream(rng, 9) for _ in range(streams)])
    _, memory = compute_features(Memory.blank(streams, METRICS), rows, pace(streams))

    again = Memory.from_bytes(memory.to_bytes(), METRICS)

    assert np.array_equal(again.values, memory.values, equal_nan=True)
    assert np.array_equal(again.count, memory.count)
    assert np.array_equal(again.at, memory.at)


def test_bytes_of_nothing_or_of_other_metrics_are_a_blank_memory() -> None:
    memory = Memory.from_bytes([None, b"", Memory.blank(1, METRICS + 1).to_bytes()[0]], METRICS)

    assert memory.to_bytes() == Memory.blank(3, METRICS).to_bytes()


def test_a_step_is_a_jump_once_and_a_deviation_that_fades() -> None:
    found = alone([1.0] * 20 + [4.0] * 40)

    assert found[19:22, Feature.JUMP].tolist() == [0.0, 3.0, 0.0]
    assert found[20:23, Feature.SPIKE].tolist() == [3.0, -3.0, 0.0]
    assert found[20, Feature.DEVIATION] == 3.0
    assert np.all(np.diff(found[20:, Feature.DEVIATION]) < 0.0)
    assert abs(found[-1, Feature.DEVIATION]) < 0.1


def test_after_a_long_silence_a_sample_has_no_neighbour() -> None:
    silence = [0, 5, 10, GAP_MINUTES + 11, GAP_MINUTES + 16]
    rows = StreamSamples.of_one_stream(np.array([[0.0], [0.0], [0.0], [9.0], [9.5]]), MINUTE * np.array(silence))
    own = SmoothingScales(np.array([300.0]), np.full((1, 1), 0.01), np.full((1, 1), 2.0))

    raw, _ = compute_features(Memory.blank(1, 1), rows, own)

    assert raw[3:, Feature.JUMP, 0].tolist() == [0.0, 0.5]
    assert raw[3, Feature.DEVIATION, 0] == 0.0


def test_what_is_missing_has_no_features_and_stays_where_it_was() -> None:
    found = alone([1.0, 1.0, np.nan, np.nan, 3.0])

    assert np.isnan(found[2:4]).all()
    assert found[4, Feature.JUMP] == 2.0


def test_what_nobody_saw_was_not_calm() -> None:
    found = alone([1.0, 2.0] * 10 + [np.nan] * 50 + [1.0])

    assert found[-1, Feature.VOLATILITY] == pytest.approx(found[19, Feature.VOLATILITY], abs=0.1)


def test_rows_of_nothing_have_no_features_and_do_no_harm() -> None:
    found = alone([np.nan] * 5 + [1.0, 2.0] + [np.nan] * 5)

    assert np.isnan(found[:5]).all()
    assert found[5:7, Feature.JUMP].tolist() == [0.0, 1.0]


def test_averages_take_no_part_before_they_have_filled() -> None:
    found = alone([1.0, 2.0] * 10)

    assert np.isnan(found[:6, Feature.SHIFT :]).all()
    assert np.isfinite(found[7:]).all()


def test_an_outlier_moves_the_averages_by_no_more_than_the_reach() -> None:
    far, near = alone([0.0] * 50 + [1e6] + [0.0] * 5), alone([0.0] * 50 + [2.0] + [0.0] * 5)

    assert far[51:, Feature.DEVIATION] == pytest.approx(near[51:, Feature.DEVIATION])
    assert far[51:, Feature.VOLATILITY] == pytest.approx(near[51:, Feature.VOLATILITY])


@pytest.mark.parametrize("jump_ms", [3 * DAY, -60 * MINUTE, 0])
def test_a_clock_that_jumps_leaves_finite_features(jump_ms: int) -> None:
    first = StreamSamples.of_one_stream(np.ones((30, METRICS)), DAY + 5 * MINUTE * np.arange(30))
    _, memory = compute_features(Memory.blank(1, METRICS), first, pace(1))
    later = StreamSamples.of_one_stream(np.ones((30, METRICS)), first.at + 30 * 5 * MINUTE + jump_ms)

    raw, after = compute_features(memory, later, pace(1))

    assert np.isfinite(raw).all()
    assert after.count[0] == 60
