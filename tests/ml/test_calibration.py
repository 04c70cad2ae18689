import numpy as np
import pytest

from ml.calibration import NORMAL, Tails

VALUES = np.random.default_rng(1).exponential(2.0, 200_000)


def test_surprise_counts_the_powers_of_ten_of_the_tail_probability() -> None:
    tails = Tails.learn([VALUES])

    surprise = tails.surprise(0, -2.0 * np.log([0.5, 0.1, 1e-3, 1e-5]))

    assert surprise == pytest.approx([np.log10(2), 1.0, 3.0, 5.0], rel=0.03)


def test_a_value_and_its_surprise_belong_together() -> None:
    tails = Tails.learn([VALUES])

    values = np.array([tails.value(0, surprise) for surprise in (0.4, 1.2, 2.0, 4.0)])

    assert tails.surprise(0, values) == pytest.approx([0.4, 1.2, 2.0, 4.0])


def test_a_value_that_most_have_is_no_surprise() -> None:
    tails = Tails.learn([np.repeat([0.0, 1.0], [900, 100])])

    surprise = tails.surprise(0, np.array([0.0, 1.0]))

    assert surprise[0] == 0.0
    assert surprise[1] == pytest.approx(1.0, abs=0.06)


def test_tails_are_never_nearer_or_thinner_than_required() -> None:
    tails = Tails.learn([np.zeros(1000)], 0.5, np.log1p(NORMAL))

    surprise = tails.surprise(0, np.log1p([1.96, 2.3263, 20.0]))

    assert surprise[0] == pytest.approx(-np.log10(0.05), abs=0.01)
    assert surprise[2] - surprise[1] == pytest.approx(np.log10(21 / 3.3263) / 0.5, rel=0.01)


def test_what_is_not_measured_has_no_surprise() -> None:
    assert np.isnan(Tails.learn([VALUES]).surprise(0, np.array([np.nan])))[0]
