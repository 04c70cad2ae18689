import importlib.util
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.numerics.arrays import Bools, Floats
from ml.numerics.scores import (
    Alarms,
    average_precision,
    calibration_error,
    count_alarms,
    count_episodes,
    find_events,
    find_threshold,
    mask_near_events,
    merge_gap_rows,
    sum_alarms,
    vus_pr,
    widest_buffer,
)
from tests.helpers.places import SHARED

JUDGE = SHARED / "tools" / "evaluate.py"

ROWS = st.integers(1, 150)
LABELLED = ROWS.flatmap(
    lambda rows: st.tuples(
        arrays(bool, rows, elements=st.sampled_from([False, False, False, True])),
        arrays(np.float64, rows, elements=st.integers(-20, 20).map(lambda number: number / 4)),
    )
)


def flags(*numbers: int) -> Bools:
    return np.array(numbers, dtype=bool)


def floats(*numbers: float) -> Floats:
    return np.array(numbers, dtype=np.float64)


def incident(rows: int = 400, first: int = 200, last: int = 219) -> Bools:
    truth = np.zeros(rows, dtype=bool)
    truth[first : last + 1] = True
    return truth


# ---------------------------------------------------------------- ranking


def test_events_are_runs_of_true_rows() -> None:
    assert find_events(flags(1, 1, 0, 0, 1, 0, 1)).tolist() == [[0, 1], [4, 4], [6, 6]]
    assert find_events(flags(0, 0)).shape == (0, 2)


def test_average_precision_is_the_mean_of_the_precision_at_each_true_row() -> None:
    assert average_precision(flags(0, 1, 0, 1), floats(0.9, 0.8, 0.7, 0.6)) == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_what_has_one_score_for_everything_has_the_precision_of_chance() -> None:
    assert average_precision(flags(0, 1, 0, 0), np.zeros(4)) == pytest.approx(0.25)


def test_without_events_there_is_nothing_to_rank() -> None:
    assert np.isnan(average_precision(flags(0, 0), floats(1, 2)))
    assert np.isnan(vus_pr(flags(0, 0), floats(1, 2)))


@pytest.mark.parametrize(("length", "widest"), [(1, 8), (10, 20), (500, 100)])
def test_the_widest_buffer_is_twice_an_event_within_bounds(length: int, widest: int) -> None:
    assert widest_buffer(np.array([[0, length - 1]])) == widest


def test_without_buffers_an_event_that_is_not_noticed_costs_recall_twice() -> None:
    truth, scores = flags(1, 0, 1), floats(0.9, 0.5, 0.1)

    volume = vus_pr(truth, scores, widest=0)

    # Half of the rows of half of the events at precision 1, then everything at precision 2/3.
    assert volume == pytest.approx(0.5 * 0.5 * 1 + 0.75 * 2 / 3)


def test_in_a_buffer_an_alarm_counts_in_part() -> None:
    truth, scores = flags(0, 0, 1, 0, 0), floats(0.0, 0.9, 0.8, 0.0, 0.0)
    share = np.sqrt(1 - 1 / 2)  # one row before the event, in a buffer of two

    volume = vus_pr(truth, scores, widest=2)

    plain, narrow = 1 / 2, 1 / 2  # a buffer of one has no half
    recall = share / (1 + share / 2)
    wide = recall * share + (1 - recall) * (1 + share) / 2
    assert volume == pytest.approx((plain + narrow + wide) / 3)


def test_a_perfect_score_ranks_far_above_a_random_one() -> None:
    truth, rng = incident(), np.random.default_rng(1)

    perfect, random = vus_pr(truth, truth + 0.01 * rng.random(400)), vus_pr(truth, rng.random(400))

    assert perfect > 0.9
    assert random < 0.3


def test_an_alarm_a_little_early_is_worth_more_than_one_out_of_the_blue() -> None:
    near, far = (vus_pr(incident(), incident(400, first, first + 9) * 1.0) for first in (188, 100))

    assert near > 2 * far


@given(LABELLED)
def test_measures_of_ranking_lie_between_0_and_1(labelled: tuple[Bools, Floats]) -> None:
    truth, scores = labelled

    values = [vus_pr(truth, scores), average_precision(truth, scores)]

    assert all(0.0 <= value <= 1.0 + 1e-12 for value in values) if truth.any() else np.isnan(values).all()


@given(LABELLED)
def test_only_the_order_of_scores_matters_for_ranking(labelled: tuple[Bools, Floats]) -> None:
    truth, scores = labelled
    bent = np.exp(scores / 3) - 7

    for measure in (vus_pr, average_precision):
        assert measure(truth, bent) == pytest.approx(measure(truth, scores), abs=1e-12, nan_ok=True)


# ---------------------------------------------------------------- alarms


def test_alarms_that_are_near_each_other_are_one_episode() -> None:
    assert count_episodes(flags(1, 0, 1, 0, 0, 1), gap=2) == 2
    assert count_episodes(flags(1, 0, 1, 0, 0, 1), gap=3) == 1
    assert count_episodes(flags(0, 0), gap=3) == 0


@pytest.mark.parametrize(("cadence", "rows"), [(60, 30), (300, 6), (420, 5), (3600, 2), (1, 60)])
def test_near_is_half_an_hour_within_bounds(cadence: float, rows: int) -> None:
    assert merge_gap_rows(cadence) == rows


def test_the_threshold_takes_in_as_much_as_the_budget_allows() -> None:
    scores = floats(9, 8, 0, 0, 7, 0, 0, 6)

    thresholds = [find_threshold(scores, np.ones(8, dtype=bool), allowed, gap=1) for allowed in (1, 2, 3)]

    assert thresholds == [7.0, 6.0, np.nextafter(0.0, -1.0)]  # with the zeros, everything is one episode


def test_equal_scores_enter_together_or_not_at_all() -> None:
    assert find_threshold(floats(5, 0, 0, 5, 0, 0), np.ones(6, dtype=bool), 1, gap=1) == 5.0


def test_rows_that_do_not_count_cannot_cost_anything() -> None:
    counted = flags(0, 0, 1, 1)

    assert find_threshold(floats(9, 0, 0, 1), counted, 1, gap=1) == np.nextafter(0.0, -1.0)
    assert find_threshold(floats(9, 0, 0, 1), flags(0, 0, 0, 0), 1, gap=1) == -np.inf


BUDGETS = st.tuples(LABELLED, st.integers(1, 6), st.integers(1, 12))


@given(BUDGETS)
def test_a_threshold_never_exceeds_its_budget(case: tuple[tuple[Bools, Floats], int, int]) -> None:
    (truth, scores), allowed, gap = case
    counted = ~mask_near_events(truth)

    threshold = find_threshold(scores, counted, allowed, gap)

    assert count_episodes((scores > threshold) & counted, gap) <= allowed


@given(BUDGETS)
def test_one_level_lower_would_exceed_it(case: tuple[tuple[Bools, Floats], int, int]) -> None:
    (truth, scores), allowed, gap = case
    counted = ~mask_near_events(truth)

    threshold = find_threshold(scores, counted, allowed, gap)

    lower = (scores >= threshold) & counted
    assert not counted.any() or (scores > threshold)[counted].all() or count_episodes(lower, gap) > allowed


@given(BUDGETS)
def test_a_larger_budget_never_raises_the_threshold(case: tuple[tuple[Bools, Floats], int, int]) -> None:
    (truth, scores), allowed, gap = case

    small, large = (find_threshold(scores, ~truth, number, gap) for number in (allowed, allowed + 1))

    assert large <= small


def test_alarms_are_counted_by_event_and_by_episode() -> None:
    truth = flags(0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0)
    alarmed = [3, 4, 7, 8, 15]  # in the first event, near it, false, false, just after the second event
    scores = np.zeros(20)
    scores[alarmed] = 1.0

    found = count_alarms(truth, scores, 0.5, gap=2, days=2.0)

    assert found == Alarms(events=2, caught=2, false_alarms=1, days=2.0, delays=(1, 3))
    assert (found.recall, found.false_alarms_per_day, found.delay) == (1.0, 0.5, 2.0)
    assert found.precision == pytest.approx(2 / 3)


def test_an_alarm_before_an_event_does_not_catch_it_nor_is_it_false() -> None:
    found = count_alarms(flags(0, 0, 0, 1, 0, 0), floats(0, 1, 0, 0, 0, 0), 0.5, gap=1, days=1.0)

    assert (found.caught, found.false_alarms, found.recall) == (0, 0, 0.0)
    assert np.isnan([found.precision, found.delay]).all()


def test_series_are_pooled_by_their_events() -> None:
    both = sum_alarms([Alarms(1, 1, 0, 2.0, (4,)), Alarms(3, 0, 6, 1.0, ())])

    assert both == Alarms(4, 1, 6, 3.0, (4,))
    assert (both.recall, both.false_alarms_per_day) == (0.25, 2.0)


# ---------------------------------------------------------------- confidence


def test_confidence_that_keeps_its_word_has_no_calibration_error() -> None:
    assert calibration_error(np.full(10, 0.3), flags(1, 1, 1, 0, 0, 0, 0, 0, 0, 0)) == pytest.approx(0.0)


def test_calibration_error_weighs_bins_by_rows() -> None:
    confidence, truth = floats(0.05, 0.05, 0.05, 0.95), flags(0, 0, 0, 0)

    assert calibration_error(confidence, truth) == pytest.approx(0.75 * 0.05 + 0.25 * 0.95)


def test_rows_without_confidence_do_not_count() -> None:
    assert calibration_error(floats(np.nan, 1.0), flags(0, 1)) == 0.0
    assert np.isnan(calibration_error(floats(np.nan), flags(0)))


# ---------------------------------------------------------------- agreement


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    """The measurements by which others judge."""
    if not JUDGE.exists():
        pytest.skip("the judge's file is not here")
    spec = importlib.util.spec_from_file_location("judge", JUDGE)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_case(seed: int) -> tuple[Bools, Floats, Any]:
    rng = np.random.default_rng(seed)
    truth = np.zeros(int(rng.integers(30, 1500)), dtype=bool)
    for first in rng.integers(0, len(truth), 1 + seed % 9):
        truth[first : first + int(rng.integers(1, 3 + 10 * (seed % 8)))] = True
    scores = rng.normal(size=len(truth)) + truth * rng.choice([0.0, 2.0])
    return truth, np.round(scores, 1) if seed % 2 else scores, rng


@pytest.mark.parametrize("seed", range(24))
def test_ranking_agrees_with_the_judge(judge: ModuleType, seed: int) -> None:
    truth, scores, _ = random_case(seed)
    widest = widest_buffer(find_events(truth))

    assert vus_pr(truth, scores) == pytest.approx(judge.vus_pr(truth, scores, widest, max(1, widest // 20)), abs=1e-9)
    assert average_precision(truth, scores) == pytest.approx(judge.average_precision(truth, scores), abs=1e-9)


@pytest.mark.parametrize("seed", range(24))
def test_thresholds_and_alarms_agree_with_the_judge(judge: ModuleType, seed: int) -> None:
    truth, scores, rng = random_case(seed)
    gap, allowed, counted = int(rng.integers(1, 61)), int(rng.integers(1, 8)), ~mask_near_events(truth)

    threshold = find_threshold(scores, counted, allowed, gap)
    found = count_alarms(truth, scores, threshold, gap, 3.0)

    expected = judge.event_metrics(truth, scores, threshold, gap, 3.0)
    assert threshold == judge.threshold_for(scores, np.flatnonzero(counted), allowed, gap)
    assert (found.events, found.caught, found.false_alarms) == tuple(expected[key] for key in ("events", "hit", "fa"))
    assert list(found.delays) == expected["delays"]
