import numpy as np
import pytest

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection.baselines import MIN_SAMPLES, fill_from_catalogue, fit_baselines, pool_baselines

NETWORK = CATALOGUE[TargetKind.NETWORK]
WIDTH = len(NETWORK.specs)


def ordinary(rows: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(100.0, 10.0, (rows, WIDTH))


def test_thirty_per_cent_of_outliers_hardly_move_a_baseline() -> None:
    readings = ordinary(4000)
    readings[::10] = readings[3::10] = readings[7::10] = 1e6

    base = fit_baselines(NETWORK, readings, np.zeros(4000, dtype=np.int64), 1)

    assert np.abs(base.centre - 100.0).max() < 7.0
    assert np.all((base.spread > 8.0) & (base.spread < 20.0))


def test_each_stream_gets_the_median_and_scaled_mad_of_its_own_rows() -> None:
    readings, stream = ordinary(900), np.random.default_rng(2).integers(0, 3, 900)

    base = fit_baselines(NETWORK, readings, stream, 4)

    for which in range(3):
        own = readings[stream == which]
        assert base.centre[which] == pytest.approx(np.median(own, axis=0))
        mad = np.median(np.abs(own - np.median(own, axis=0)), axis=0)
        assert base.spread[which] == pytest.approx(1.4826 * mad)
    assert base.samples.tolist() == [*np.bincount(stream), 0]


def test_a_metric_with_too_few_values_stays_unknown() -> None:
    readings = ordinary(MIN_SAMPLES)
    readings[0, 1] = np.nan
    readings[:, 2] = np.nan

    base = fit_baselines(NETWORK, readings, np.zeros(MIN_SAMPLES, dtype=np.int64), 1)

    assert np.isnan(base.centre[0]).tolist() == [False, True, True, False, False]
    assert np.isnan(base.spread[0]).tolist() == [False, True, True, False, False]
    assert base.samples.tolist() == [MIN_SAMPLES]


def test_a_flat_series_keeps_the_least_spread() -> None:
    base = fit_baselines(NETWORK, np.full((100, WIDTH), 3.0), np.zeros(100, dtype=np.int64), 1)

    assert base.spread[0] == pytest.approx(NETWORK.least_spread)


def test_nothing_at_all_can_be_learned_from_nothing() -> None:
    base = fit_baselines(NETWORK, np.empty((0, WIDTH)), np.empty(0, dtype=np.int64), 2)

    assert np.isnan(base.centre).all()
    assert base.samples.tolist() == [0, 0]


def test_a_stream_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        fit_baselines(NETWORK, ordinary(1), np.array([2]), 2)


def test_the_fleet_baseline_holds_both_kinds_of_variation() -> None:
    centre = np.tile(np.array([[10.0], [20.0], [30.0]]), WIDTH)

    middle, width = pool_baselines(NETWORK, centre, np.full((3, WIDTH), 3.0))

    assert middle == pytest.approx(np.full(WIDTH, 20.0))
    assert width == pytest.approx(np.full(WIDTH, np.hypot(3.0, 14.826)))


def test_what_nobody_knows_comes_from_the_catalogue() -> None:
    unknown = np.full((2, WIDTH), np.nan)

    middle, width = pool_baselines(NETWORK, unknown, unknown)
    centre, spread = fill_from_catalogue(NETWORK, unknown, unknown)

    assert middle == pytest.approx(NETWORK.usual)
    assert width == pytest.approx(NETWORK.usual_spread)
    assert centre[1] == pytest.approx(NETWORK.usual)
    assert spread[1] == pytest.approx(NETWORK.usual_spread)
