from functools import cache
from typing import Any

import numpy as np
import pytest

from ml.detection.series_detector import DECAY, hold_scores, score

TRAIN, TEST = 600, 200
STEP_SECONDS = 600


def context(train: int = TRAIN, test: int = TEST) -> dict[str, Any]:
    at = 1_700_000_000 + STEP_SECONDS * np.arange(train + test)
    return {"train_ts": at[:train], "test_ts": at[train:], "cadence_s": float(STEP_SECONDS)}


def wave(metrics: int = 2) -> np.ndarray:
    """A day's rhythm with noise."""
    phase = 2 * np.pi * np.arange(TRAIN + TEST) / 144
    noise = np.random.default_rng(1).normal(0, 0.1, (TRAIN + TEST, metrics))
    return np.sin(phase)[:, None] + noise


@cache
def faulty() -> tuple[np.ndarray, np.ndarray]:
    values = wave()
    values[TRAIN + 100 : TRAIN + 110, 0] += 2.0
    return values, score(values[:TRAIN], values[TRAIN:], context())


def test_a_fault_scores_above_everything_ordinary_before_it() -> None:
    scores = faulty()[1]

    assert scores.shape == (TEST,)
    assert scores[100:110].min() > scores[:100].max()


@pytest.mark.parametrize("rows", [1, 60, 105])
def test_a_score_depends_on_no_later_row(rows: int) -> None:
    values, whole = faulty()

    part = score(values[:TRAIN], values[TRAIN : TRAIN + rows], context(test=rows))

    assert part == pytest.approx(whole[:rows], abs=1e-9)


def test_scores_are_finite_where_much_is_missing_or_constant() -> None:
    values = wave(metrics=4)
    values[np.random.default_rng(2).random(len(values)) < 0.3, 0] = np.nan
    values[:, 1], values[:, 2] = 5.0, np.nan

    scores = score(values[:TRAIN], values[TRAIN:], context())

    assert np.isfinite(scores).all()


def test_the_same_series_has_the_same_scores() -> None:
    values, once = faulty()

    assert np.array_equal(score(values[:TRAIN], values[TRAIN:], context()), once)


def test_a_suspicion_lasts_a_while() -> None:
    assert hold_scores(np.array([0.0, 1.0, 0.0, 0.95, 0.0])) == pytest.approx([0.0, 1.0, DECAY, 0.95, 0.95 * DECAY])
