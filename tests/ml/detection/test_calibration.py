import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.detection.calibration import compute_surprisal, compute_threshold, find_opening_thresholds, fit_peaks, fit_tails
from ml.detection.episodes import EpisodeState, track_episodes

VALUES = np.random.default_rng(1).exponential(2.0, (100_000, 1))
STEP_SECONDS = 300.0
DAYS = 60


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).exponential(1.0, DAYS * 288)


def surprises(learned: np.ndarray, values: list[float] | np.ndarray) -> np.ndarray:
    knots, beyond = fit_tails(learned)
    return compute_surprisal(np.array(values)[:, None], knots[None], beyond[None])[:, 0]


def test_surprise_counts_the_powers_of_ten_of_the_tail_probability() -> None:
    found = surprises(VALUES, -2.0 * np.log([0.5, 0.1, 1e-3, 1e-5]))

    assert found == pytest.approx([np.log10(2), 1.0, 3.0, 5.0], rel=0.05)


def test_surprise_never_falls_as_a_value_grows() -> None:
    found = surprises(VALUES[:300], np.linspace(-1.0, 100.0, 500))

    assert found[0] == 0.0
    assert np.all(np.diff(found) >= 0.0)


def test_a_view_that_never_moved_is_surprised_but_finite() -> None:
    found = surprises(np.full((50, 1), 3.0), [3.0, 3.1])

    assert found[0] <= 1.4
    assert 10.0 < found[1] < np.inf


def test_each_row_is_judged_by_the_tails_of_its_own_stream() -> None:
    learned = [fit_tails(scale * VALUES) for scale in (1.0, 10.0)]
    knots, beyond = (np.stack(part) for part in zip(*learned, strict=True))

    found = compute_surprisal(np.array([[5.0], [50.0]]), knots, beyond)[:, 0]

    assert found[0] == pytest.approx(found[1])


def test_a_few_unnoticed_faults_hardly_move_a_tail() -> None:
    spoilt = VALUES[:20_000].copy()
    spoilt[:100] = 1000.0

    assert surprises(spoilt, [14.0])[0] == pytest.approx(surprises(VALUES[:20_000], [14.0])[0], rel=0.2)


def test_nothing_to_learn_from_gives_finite_tails() -> None:
    assert np.isfinite(surprises(np.empty((0, 1)), [0.0, 5.0])).all()


@pytest.mark.parametrize("per_day", [0.1, 0.5, 3.0])
def test_new_noise_opens_about_as_many_episodes_as_the_budget_allows(per_day: float) -> None:
    limit = compute_threshold(np.array([fit_peaks(noise(1), STEP_SECONDS)]), per_day)[0]

    fresh = np.concatenate([noise(seed) for seed in (2, 3, 4)])
    episodes = track_episodes(EpisodeState(), 300_000 * np.arange(len(fresh)), (fresh - limit) / (fresh + limit))[1]

    assert 0.4 < len(episodes) / (3 * DAYS * per_day) < 1.3


def test_a_smaller_budget_means_a_higher_threshold() -> None:
    peaks = np.array([fit_peaks(noise(1), STEP_SECONDS)])

    limits = [compute_threshold(peaks, per_day)[0] for per_day in (3.0, 1.0, 0.1, 1 / 30)]

    assert limits == sorted(set(limits))


@pytest.mark.parametrize("rows", [0, 1, 3, 11])
def test_the_shortest_stretch_has_a_threshold(rows: int) -> None:
    level, excess, rate = fit_peaks(np.ones(rows), STEP_SECONDS)

    assert (level > 0.0, excess > 0.0, rate > 0.0) == (True, True, True)


def test_some_true_faults_among_the_peaks_do_not_raise_the_threshold_much() -> None:
    spoilt = noise(1)
    spoilt[1000:1020] = 500.0

    clean, other = (compute_threshold(np.array([fit_peaks(one, STEP_SECONDS)]), 0.3)[0] for one in (noise(1), spoilt))

    assert other == pytest.approx(clean, rel=0.1)


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 40), step_seconds=st.sampled_from([60, 300, 7200]))
def test_a_threshold_just_below_the_opening_opens_an_episode(seed: int, rows: int, step_seconds: int) -> None:
    fused = np.random.default_rng(seed).exponential(1.0, rows) + 1e-3
    limit = 0.999 * find_opening_thresholds(fused, step_seconds).max()
    at, pace = 1000 * step_seconds * np.arange(rows), np.full(rows, float(step_seconds))

    episodes = track_episodes(EpisodeState(), at, (fused - limit) / (fused + limit), pace)[1]

    assert limit == 0.0 or len(episodes) > 0
