"""Profiles: what is learned of a stream, and how far a sample is from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

from ml.detection.features import FEATURES, Feature, Memory, StreamSamples, compute_features
from ml.detection.profile_fitting import fit_profiles, fit_whitening
from ml.detection.profiles import MetricScales, Profiles, standardize
from ml.detection.scorers import BaseScorer, compute_base_scores
from ml.numerics.trees import Forest

METRICS = 2
DAY = 288
STEP_MS = 300_000
SCALES = MetricScales(np.full(METRICS, 0.01), np.array([0.0, -1.0]))
FOREST = Forest.from_sklearn(
    IsolationForest(n_estimators=20, random_state=1).fit(
        np.random.default_rng(1).exponential(size=(500, FEATURES * METRICS))
    )
)


def noise(days: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal([10.0, 0.0], [1.0, 0.1], (int(days * DAY), METRICS))


def rows_of(*streams: np.ndarray) -> StreamSamples:
    lengths = [len(one) for one in streams]
    at = np.concatenate([STEP_MS * np.arange(rows) for rows in lengths])
    return StreamSamples(np.concatenate(streams), at, np.repeat(np.arange(len(streams)), lengths), len(streams))


def found(profiles: Profiles, rows: StreamSamples) -> np.ndarray:
    raw, _ = compute_features(Memory.blank(rows.streams, METRICS), rows, profiles.smoothing_scales)
    return standardize(profiles, SCALES, rows, raw)


def test_centre_and_spread_are_those_of_the_noise() -> None:
    profiles = fit_profiles(rows_of(noise(10)), SCALES, FOREST)

    middle = profiles.hourly_median.mean(axis=1) + profiles.centre[:, Feature.RESIDUAL]
    assert middle[0] == pytest.approx([10.0, 0.0], abs=0.1)
    assert profiles.spread[0, Feature.RESIDUAL] == pytest.approx([1.0, 0.1], rel=0.1)
    assert profiles.spread[0, Feature.JUMP] == pytest.approx([2**0.5, 0.1 * 2**0.5], rel=0.1)
    assert (profiles.samples[0], profiles.cadence_seconds[0]) == (10 * DAY, 300.0)


def test_hours_of_the_day_are_told_apart_where_they_differ() -> None:
    values = noise(10)
    values[:, 0] += 5.0 * np.sin(2 * np.pi * np.arange(len(values)) / DAY)

    profiles = fit_profiles(rows_of(values), SCALES, FOREST)

    assert np.ptp(profiles.hourly_median[0, :, 0]) > 7.0
    assert np.ptp(profiles.hourly_median[0, :, 1]) < 0.01
    assert profiles.spread[0, Feature.RESIDUAL, 0] < 1.5


@settings(max_examples=20)
@given(streams=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_a_profile_survives_its_bytes(streams: int, seed: int) -> None:
    profiles = fit_profiles(rows_of(*[noise(0.3, seed + one) for one in range(streams)]), SCALES, FOREST)

    again = Profiles.from_bytes(profiles.to_bytes(), METRICS)

    assert again.to_bytes() == profiles.to_bytes()
    assert np.array_equal(again.spread, profiles.spread)
    assert len(again) == streams


def test_bytes_of_other_metrics_are_no_profile() -> None:
    profiles = fit_profiles(rows_of(noise(0.3)), SCALES, FOREST)

    with pytest.raises(ValueError, match="not a profile of 3 metrics"):
        Profiles.from_bytes(profiles.to_bytes(), METRICS + 1)


def test_a_stream_is_learned_alike_alone_and_in_company() -> None:
    one, other = noise(1.0), noise(2.0, seed=2) * 3.0

    both = fit_profiles(rows_of(one, other), SCALES, FOREST)

    for place, values in enumerate((one, other)):
        alone = fit_profiles(rows_of(values), SCALES, FOREST)
        assert np.allclose(both.spread[place], alone.spread[0], rtol=1e-5)
        assert np.allclose(both.knots[place], alone.knots[0], rtol=1e-4, atol=1e-5)
        assert np.allclose(both.peaks[place], alone.peaks[0], rtol=1e-3)


def test_a_confirmed_fault_that_is_left_out_leaves_about_the_profile_without_it() -> None:
    clean, spoilt = noise(4), noise(4)
    window = slice(500, 620)
    spoilt[window] -= [15.0, 5.0]
    left_out = np.zeros(len(spoilt), dtype=bool)
    left_out[window] = True

    one, other = (fit_profiles(rows_of(clean), SCALES, FOREST), fit_profiles(rows_of(spoilt), SCALES, FOREST, left_out))

    assert other.hourly_median == pytest.approx(one.hourly_median, abs=0.2)
    assert other.spread == pytest.approx(one.spread, rel=0.15)
    assert other.peaks[0, 0] == pytest.approx(one.peaks[0, 0], rel=0.25)
    assert other.samples[0] == len(spoilt) - 120


def test_some_unnoticed_faults_do_little_harm() -> None:
    clean, spoilt = noise(10), noise(10)
    spoilt[1000:1020] -= [15.0, 5.0]

    one, other = (fit_profiles(rows_of(values), SCALES, FOREST) for values in (clean, spoilt))

    still = [Feature.RESIDUAL, Feature.JUMP, Feature.DEVIATION]
    assert other.spread[0, still] == pytest.approx(one.spread[0, still], rel=0.4)


def test_a_constant_series_has_the_least_spread_that_matters() -> None:
    profiles = fit_profiles(rows_of(np.full((DAY, METRICS), 7.0)), SCALES, FOREST)

    assert profiles.spread[0, Feature.RESIDUAL] == pytest.approx([0.01, 0.01])
    assert np.isfinite(np.frombuffer(profiles.to_bytes()[0], dtype="<f4")).all()


def test_a_metric_that_was_never_measured_has_no_centre_and_the_others_do() -> None:
    values = noise(1)
    values[:, 1] = np.nan

    profiles = fit_profiles(rows_of(values), SCALES, FOREST)

    assert np.isnan(profiles.centre[0, Feature.RESIDUAL]).tolist() == [False, True]
    assert np.isfinite(profiles.whitening).all()
    assert np.isfinite(profiles.knots).all()


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_stream_of_hardly_any_rows_is_learned_without_harm_to_others(rows: int) -> None:
    profiles = fit_profiles(rows_of(noise(1), noise(1)[:rows]), SCALES, FOREST)

    alone = fit_profiles(rows_of(noise(1)), SCALES, FOREST)
    assert np.allclose(profiles.spread[0], alone.spread[0], rtol=1e-5)
    assert profiles.samples.tolist() == [DAY, rows]


def test_a_stream_of_which_everything_is_left_out_teaches_nothing() -> None:
    profiles = fit_profiles(rows_of(noise(1)), SCALES, FOREST, np.ones(DAY, dtype=bool))

    assert profiles.samples[0] == 0
    assert np.isnan(found(profiles, rows_of(noise(0.1)))).all()


def test_a_deviation_for_the_better_is_none_but_in_volatility() -> None:
    profiles, values = fit_profiles(rows_of(noise(4)), SCALES, FOREST), noise(1, seed=2)
    values[100:200, 1] -= 5.0

    apart = found(profiles, rows_of(values))

    assert np.nanmin(apart[:, : Feature.VOLATILITY, 1]) == 0.0
    assert np.abs(apart[100:103, Feature.VOLATILITY, 1]).max() > 1.5


def test_coming_home_is_no_deviation_but_leaving_is() -> None:
    profiles, values = fit_profiles(rows_of(noise(4)), SCALES, FOREST), np.tile([10.0, 0.0], (100, 1))
    values[30:60, 0] -= 8.0

    apart = found(profiles, rows_of(values))[:, :, 0]

    left, home = apart[30], apart[60]
    assert np.abs(left[[Feature.RESIDUAL, Feature.JUMP, Feature.SPIKE, Feature.DEVIATION]]).min() > 3.0
    assert np.abs(home[[Feature.JUMP, Feature.SPIKE, Feature.DEVIATION]]).max() == 0.0
    assert abs(home[Feature.RESIDUAL]) < 0.5


def test_whitened_deviations_are_uncorrelated() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=(5000, FEATURES, 1))
    together = np.clip(common + 0.5 * rng.normal(size=(5000, FEATURES, 3)), -8, 8)

    white = together[:, Feature.RESIDUAL] @ fit_whitening(together)[0]

    assert np.corrcoef(white.T) == pytest.approx(np.eye(3), abs=0.03)


def test_views_grow_with_deviations_and_take_a_missing_metric_for_none() -> None:
    apart = np.ones((3, FEATURES, METRICS))
    apart[1] *= 5.0
    apart[2, :, 0] = np.nan
    whiten = np.tile(np.eye(METRICS, dtype=np.float32), (1, 3, 1, 1))

    odd = compute_base_scores(apart, whiten, np.zeros(3, dtype=np.int64), FOREST)

    assert odd.shape == (3, len(BaseScorer))
    assert np.all(odd[1] > odd[0])
    assert np.isfinite(odd[2]).all()
