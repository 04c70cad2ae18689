from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.catalogue.metrics import Metric
from ml.catalogue.root_causes import RootCause
from ml.numerics.arrays import Floats
from ml.root_cause.report import READ, Request
from ml.root_cause.residuals import LOST_DB, Residuals, compute_residuals, estimate_noise_rise
from ml.simulation.fleet import demo_fleet
from ml.simulation.fleet_topology import build_topology
from tests.helpers.incidents import BEGINS, DAY_MS, MINUTE_MS, START_MS, STEP_MS, TOPOLOGY, asked, fault

ESNO = st.floats(3.0, 20.0)  # dB
CHANGE = st.floats(0.3, 15.0)  # dB
PAIR = build_topology(demo_fleet(seed=2, remotes=2))  # links of two networks
USUAL = {Metric.ESNO_DB: 12.0, Metric.RX_LEVEL_DBM: -45.0, Metric.GRADE: 9.5, Metric.UPTIME_PCT: 100.0}


def steady(
    reference: dict[Metric, float], *, since_ms: int = START_MS, hours: float = 6.0, step_ms: int = STEP_MS
) -> pl.DataFrame:
    """Both links of the pair, in both directions, with a tenth of noise; nothing else was measured."""
    at = np.arange(since_ms, since_ms + int(hours * 3_600_000), step_ms, dtype=np.int64)
    rows = [(link, way) for link in PAIR.links.tolist() for way in ("IB", "OB")]
    noise = np.random.default_rng(7).normal(0.0, 0.1, (len(rows) * len(at), len(READ)))
    keys = {
        "link": np.repeat([link for link, _ in rows], len(at)),
        "direction": np.repeat([way for _, way in rows], len(at)),
    }
    readings = {
        metric.column: noise[:, place] + reference[metric] if metric in reference else [None] * len(noise)
        for place, metric in enumerate(READ)
    }
    return pl.DataFrame(
        {**keys, "at": np.tile(at, len(rows)), **readings}, schema_overrides=dict.fromkeys(readings, pl.Float64)
    )


def window(frame: pl.DataFrame, hours: float = 6.0, reference: Floats | None = None) -> Request:
    return Request(frame, START_MS, START_MS + int(hours * 3_600_000), reference)


def arrays(found: Residuals) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(found).items() if isinstance(value, np.ndarray)}


def assert_same(one: Residuals, other: Residuals) -> None:
    for name, value in arrays(one).items():
        np.testing.assert_array_equal(value, arrays(other)[name], err_msg=name)


def level_change(esno: float, signal_db: float, noise_db: float) -> float:
    """What a meter of all power says, of a signal of 10^(esno/10) times the noise."""
    signal, change = 10.0 ** (esno / 10.0), (10.0 ** (signal_db / 10.0), 10.0 ** (noise_db / 10.0))
    return float(10.0 * np.log10((signal * change[0] + change[1]) / (signal + 1.0)))


def rise(esno: float, esno_change: float, level: float) -> float:
    return float(estimate_noise_rise(np.array([esno]), np.array([esno_change]), np.array([level]))[0])


# ---------------------------------------------------------------- noise


@given(ESNO, CHANGE)
def test_a_signal_that_only_gets_weaker_brings_no_noise(esno: float, loss: float) -> None:
    risen = rise(esno, -loss, level_change(esno, -loss, 0.0))

    assert risen == pytest.approx(0.0, abs=1e-4)


@given(ESNO, CHANGE)
def test_noise_that_is_added_is_seen_to_the_decibel(esno: float, noise: float) -> None:
    risen = rise(esno, -noise, level_change(esno, 0.0, noise))

    assert risen == pytest.approx(noise, abs=1e-3)


@given(ESNO, CHANGE, CHANGE)
def test_noise_is_told_from_the_loss_that_comes_with_it(esno: float, loss: float, noise: float) -> None:
    risen = rise(esno, -loss - noise, level_change(esno, -loss, noise))

    assert risen == pytest.approx(noise, abs=1e-3)


@given(ESNO, CHANGE)
def test_a_receiver_that_reports_the_carrier_alone_shows_some_of_the_noise(esno: float, noise: float) -> None:
    risen = rise(esno, -noise, 0.0)

    assert 0.0 < risen <= noise + 1e-4


@given(ESNO, CHANGE)
def test_such_a_receiver_shows_no_noise_where_there_is_none(esno: float, loss: float) -> None:
    assert rise(esno, -loss, -loss) == pytest.approx(0.0, abs=1e-4)


def test_without_a_level_nothing_is_known_of_the_noise() -> None:
    assert np.isnan(rise(12.0, -3.0, np.nan))


# ---------------------------------------------------------------- what is missing


def test_a_missing_sample_is_unknown_and_no_fade() -> None:
    frame = steady(USUAL)
    lost = (pl.col("link") == PAIR.links[1]) & (pl.col("direction") == "OB") & (pl.col("at") == START_MS + 20 * STEP_MS)

    found = compute_residuals(PAIR, window(frame.filter(~lost)))

    assert np.argwhere(np.isnan(found.esno)).tolist() == [[3, 20]]
    assert np.isnan(found.noise[3, 20])
    assert np.nanmin(found.esno) > -1.0
    assert not found.outage.any()


def test_one_reading_that_is_missing_says_nothing_about_the_lock() -> None:
    frame = steady(USUAL)
    blank = (
        (pl.col("link") == PAIR.links[0]) & (pl.col("direction") == "IB") & (pl.col("at") == START_MS + 20 * STEP_MS)
    )

    found = compute_residuals(PAIR, window(frame.with_columns(esno_db=pl.when(~blank).then("esno_db"))))

    assert np.argwhere(np.isnan(found.esno)).tolist() == [[0, 20]]
    assert np.nanmin(found.esno) > -1.0


def test_a_receiver_without_lock_has_lost_as_much_as_counts() -> None:
    frame = steady(USUAL)
    unlocked = (pl.col("link") == PAIR.links[0]) & (pl.col("at") >= START_MS + 40 * STEP_MS)

    found = compute_residuals(PAIR, window(frame.with_columns(esno_db=pl.when(~unlocked).then("esno_db"))))

    assert (found.esno[0, 40:] == -LOST_DB).all()
    assert found.esno[:, :40].min() > -1.0


def test_links_without_any_sample_are_not_known() -> None:
    frame = steady(USUAL).filter(pl.col("link") == PAIR.links[0])

    found = compute_residuals(PAIR, window(frame))

    assert found.known.tolist() == [True, False, True, False]
    assert np.isnan(found.esno[[1, 3]]).all()


def test_without_a_sample_there_is_nothing_to_know() -> None:
    found = compute_residuals(PAIR, window(steady(USUAL).clear()))

    assert not found.known.any()
    assert np.isnan(found.esno).all()


# ---------------------------------------------------------------- what is usual


def faded(by: float) -> dict[Metric, float]:
    change = {Metric.ESNO_DB: by, Metric.RX_LEVEL_DBM: by}
    return {metric: value - change.get(metric, 0.0) for metric, value in USUAL.items()}


def test_a_window_that_is_odd_from_beginning_to_end_is_known_by_its_history() -> None:
    frame = pl.concat([steady(USUAL, since_ms=START_MS - DAY_MS, hours=24.0, step_ms=6 * STEP_MS), steady(faded(6.0))])

    found = compute_residuals(PAIR, window(frame))

    assert np.nanmedian(found.esno, axis=1) == pytest.approx([-6.0] * 4, abs=0.2)
    assert np.nanmedian(found.level, axis=1) == pytest.approx([-6.0] * 4, abs=0.2)
    assert found.reference_esno == pytest.approx([12.0] * 4, abs=0.2)


def test_without_history_it_is_known_by_what_is_said_to_be_usual() -> None:
    reference = np.tile([USUAL.get(metric, np.nan) for metric in READ], (4, 1))

    found = compute_residuals(PAIR, window(steady(faded(6.0)), reference=reference))

    assert np.nanmedian(found.esno, axis=1) == pytest.approx([-6.0] * 4, abs=0.2)


def test_what_is_said_to_be_usual_is_forgotten_where_a_stream_does_better() -> None:
    reference = np.tile([USUAL.get(metric, np.nan) for metric in READ], (4, 1))

    found = compute_residuals(PAIR, window(steady(faded(-3.0)), reference=reference))

    assert np.nanmedian(found.esno, axis=1) == pytest.approx([0.0] * 4, abs=0.2)


def test_with_neither_a_steady_window_is_usual() -> None:
    found = compute_residuals(PAIR, window(steady(faded(6.0))))

    assert np.nanmedian(found.esno, axis=1) == pytest.approx([0.0] * 4, abs=0.2)


def test_a_fade_is_held_against_the_hours_without_it() -> None:
    request = asked(fault(RootCause.EQUIPMENT_FAILURE, network=101))

    found = compute_residuals(TOPOLOGY, request)

    failing = np.flatnonzero(np.tile(TOPOLOGY.network, 2) == 0)[8:]  # outbound
    begins = int(BEGINS * 12)
    assert np.nanmedian(found.esno[failing, begins : begins + 36], axis=1) == pytest.approx([-8.0] * 8, abs=0.4)
    assert np.nanmedian(found.esno[failing, :begins], axis=1) == pytest.approx([0.0] * 8, abs=0.4)
    assert np.nanmedian(found.noise[failing, begins : begins + 36], axis=1) == pytest.approx([0.0] * 8, abs=0.4)


# ---------------------------------------------------------------- rows and times


@given(st.integers(0, 2**32 - 1))
def test_rows_may_come_in_any_order(seed: int) -> None:
    frame = steady(USUAL, hours=2.0)

    found = compute_residuals(PAIR, window(frame.sample(fraction=1.0, shuffle=True, seed=seed), hours=2.0))

    assert_same(found, compute_residuals(PAIR, window(frame, hours=2.0)))


def test_rows_may_come_in_any_order_where_history_is_dense_too() -> None:
    request = asked(step_ms=2 * MINUTE_MS, hours=6)
    shuffled = replace(request, frame=request.frame.sample(fraction=1.0, shuffle=True, seed=3))

    assert_same(compute_residuals(TOPOLOGY, shuffled), compute_residuals(TOPOLOGY, request))


def test_samples_of_other_links_and_of_later_times_change_nothing() -> None:
    frame = steady(USUAL)
    strangers = frame.with_columns(pl.col("link") + 77_000, pl.col("esno_db") - 9.0)
    later = steady(faded(9.0), since_ms=START_MS + 6 * 3_600_000)

    found = compute_residuals(PAIR, window(pl.concat([strangers, frame, later])))

    assert_same(found, compute_residuals(PAIR, window(frame)))


@pytest.mark.parametrize("minutes", [1, 2, 5])
def test_the_grid_has_the_cadence_of_the_samples(minutes: int) -> None:
    frame = steady(USUAL, step_ms=minutes * MINUTE_MS)

    found = compute_residuals(PAIR, window(frame))

    assert found.step_ms == minutes * MINUTE_MS
    assert found.at.tolist() == list(range(START_MS, START_MS + 360 * MINUTE_MS, minutes * MINUTE_MS))
    assert np.isfinite(found.esno).all()


def test_a_long_window_gets_a_coarser_grid() -> None:
    frame = steady(USUAL, hours=240.0, step_ms=MINUTE_MS)

    found = compute_residuals(PAIR, window(frame, hours=240.0))

    assert len(found.at) <= 4400
    assert found.step_ms == 4 * MINUTE_MS
    assert found.at[-1] < START_MS + 240 * 3_600_000 <= found.at[-1] + found.step_ms
    assert np.isfinite(found.esno).all()


def test_inbound_comes_before_outbound() -> None:
    frame = steady(USUAL).with_columns(
        esno_db=pl.col("esno_db") + pl.when(pl.col("direction") == "OB").then(3.0).otherwise(0.0)
    )

    found = compute_residuals(PAIR, window(frame))

    assert found.reference_esno == pytest.approx([12.0, 12.0, 15.0, 15.0], abs=0.2)


def test_what_has_no_signal_is_known_by_its_level_or_its_grade() -> None:
    begins = START_MS + 40 * STEP_MS
    late = pl.when(pl.col("at") >= begins).then(4.0).otherwise(0.0)
    frame = steady(USUAL).with_columns(esno_db=pl.lit(None, dtype=pl.Float64))
    by_level = frame.with_columns(rx_level_dbm=pl.col("rx_level_dbm") - late)
    by_grade = frame.with_columns(rx_level_dbm=pl.lit(None, dtype=pl.Float64), grade=pl.col("grade") - late)

    falls = [np.nanmedian(compute_residuals(PAIR, window(one)).esno[:, 40:]) for one in (by_level, by_grade)]

    assert falls == pytest.approx([-4.0, -0.6 * 4.0], abs=0.2)
