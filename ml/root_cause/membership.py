"""Membership: each stream's loading on a common-mode profile, and the probability that it shows the profile at all."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.numerics.arrays import Bools, Floats32
from ml.numerics.robust import logistic_threshold
from ml.numerics.runs import mask_runs
from ml.root_cause.common_modes import CommonMode
from ml.root_cause.degradation import Degradation

# Thresholds come with the width of their logistic transition (…_SOFT).
LOADING, LOADING_SOFT = 0.35, 0.06
CORRELATION, CORRELATION_SOFT = 0.5, 0.05
DEPTH_SOFT_DB: Final = 0.15
OWN_DB, OWN_SIGMAS, OWN_CORRELATION = 0.6, 2.0, 0.4  # of a single link's own directions: power control may hide one
GROUP_LOADING, GROUP_LOADING_SOFT = 0.2, 0.03  # of the group's own members
GROUP_CORRELATION, GROUP_CORRELATION_SAMPLES = 0.25, 2.5  # higher for short runs, where chance is more likely
ALONE_WANDER, GROUP_WANDER = 1.2, 0.8  # of the low-frequency noise: less may follow a slow fade by chance
PARTNERS: Final = 3  # opposite directions of affected links: fewer have no meaningful median
PARTNER_DB, PARTNER_CORRELATION = 0.3, 0.3  # of their medians
PARTNER_SHARE, PARTNER_SOFT, PARTNER_OWN_CORRELATION = 0.4, 0.1, 0.15  # of each: share of the median, correlation
MOST_RUNS: Final = 60
LEAST_MEASURED: Final = 0.3  # share of a run's samples
REPEATED_SHARE: Final = 0.45  # of the depth in the strongest run, in the median
LEAST_LOADING: Final = 0.3  # with which a stream's repeated depth is compared
SPARED_SHARE: Final = 0.1  # of the unaffected streams may be affected by something else meanwhile
MARGIN: Final = 8  # samples around a run, at least
ABOUT_DB, ABOUT = 1.0, 0.5  # by which a stream that has a fade differs from it: at least, and of its depth
MOST_LAG, LAG_STEP = 6, 2  # samples by which a rain cell may arrive at neighbours earlier or later
LAGGED_DB, LAGGED_CORRELATION = 1.0, 0.6


@dataclass(frozen=True)
class Membership:
    """Which streams show a common mode.

    runs: when they do, strongest first. loading: the factor on the profile, shape (streams,). probability: that the
    stream shows the profile at all, shape (streams,).
    """

    runs: list[slice]
    loading: Floats32
    probability: Floats32


@dataclass(frozen=True)
class _Fit:
    """loading: slope of the depth on the profile, shape (streams,). correlation: of the two, shape (streams,)."""

    loading: Floats32
    correlation: Floats32


def fit_membership(left: Degradation, common_mode: CommonMode, near: Bools | None) -> Membership:
    """Returns each stream's membership, fitted around the strongest run, with further runs of the same streams.

    near: for a single stream, which links have sites close to its own, shape (links,).
    """
    profile, times = common_mode.profile, len(common_mode.profile)
    main, *others = common_mode.runs
    span = _find_around(main, times, 0)
    fit = _fit(left, np.where(mask_runs(times, [main]), profile, 0.0), span, mask_runs(times, others))
    loading, probability = fit.loading.copy(), _probability(left, profile[main], fit, common_mode)
    if near is not None:
        close = np.flatnonzero(np.tile(near, 2))
        loading[close], probability[close] = _allow_lags(
            left.of(close), profile, main, loading[close], probability[close]
        )
    probability = _with_partners(profile[main], _Fit(loading, fit.correlation), probability)
    repeated = [run for run in others[: MOST_RUNS - 1] if _is_repeated(left, profile, run, loading, probability)]
    return Membership([main, *repeated], loading, probability)


def _find_around(run: slice, times: int, more: int) -> slice:
    """Returns the run with `more` samples before and after it, and a margin that grows with its length."""
    start, stop = max(0, run.start - more), min(times, run.stop + more)
    margin = max(MARGIN, (stop - start) // 2)
    return slice(max(0, start - margin), min(times, stop + margin))


def _fit(left: Degradation, profile: Floats32, span: slice, excluded: Bools) -> _Fit:
    """Fits every stream's depth to the profile by least squares, each with a level of its own.

    excluded: times to leave out, shape (times,), like unknown samples.
    """
    depth, known, model = left.depth[:, span], left.known[:, span] * ~excluded[span], profile[span]
    weight = np.maximum(known.sum(axis=1), 1e-6)
    mean_model, mean_depth = known @ model / weight, (known * depth).sum(axis=1) / weight
    together = (known * depth) @ model / weight - mean_model * mean_depth
    of_model = np.maximum(known @ model**2 / weight - mean_model**2, 1e-6)
    of_depth = np.maximum((known * depth**2).sum(axis=1) / weight - mean_depth**2, 1e-6)
    correlation = together / np.sqrt(of_model * of_depth)
    compares = known @ (model <= 0) > 0
    alone = _fit_without_level(depth, known * (model > 0), model)
    return _Fit(
        np.where(compares, together / of_model, alone.loading).astype(np.float32),
        np.where(compares, correlation, alone.correlation).astype(np.float32),
    )


def _fit_without_level(depth: Floats32, measured: Floats32, model: Floats32) -> _Fit:
    """Fits streams that have no sample beside the run to compare with.

    Instead of a correlation, 1 stands for a stream that has its depth at all times, 0 for one at half of them.
    """
    loading = (measured * depth) @ model / np.maximum(measured @ model**2, 1e-6)
    expected = loading[:, None] * model
    has_it = np.abs(depth - expected) <= np.maximum(ABOUT_DB, ABOUT * np.abs(expected))
    share = (measured * has_it).sum(axis=1) / np.maximum(measured.sum(axis=1), 1e-6)
    return _Fit(loading, 2.0 * share - 1.0)


def _probability(left: Degradation, profile: Floats32, fit: _Fit, common_mode: CommonMode) -> Floats32:
    """Returns the probability that each stream shows the profile, shape (streams,).

    Thresholds are lower for the common mode's own members: both directions of a single link, or those of a group.
    """
    loading, correlation = fit.loading, fit.correlation
    likely = logistic_threshold(loading, LOADING, LOADING_SOFT)
    likely = likely * logistic_threshold(correlation, CORRELATION, CORRELATION_SOFT)
    wander_db = (ALONE_WANDER if common_mode.alone else GROUP_WANDER) * left.low_frequency_noise
    likely = likely * logistic_threshold(loading * float(profile.max()), wander_db, DEPTH_SOFT_DB)
    if common_mode.alone:
        links = len(loading) // 2
        own = int(common_mode.members[0]) % links + np.array([0, links])
        least = np.maximum(OWN_DB, OWN_SIGMAS * left.sigma[own])
        plain = logistic_threshold(loading[own] * float(profile.max()), least, DEPTH_SOFT_DB)
        plain = plain * logistic_threshold(correlation[own], OWN_CORRELATION, CORRELATION_SOFT)
    else:
        own = common_mode.members
        least_correlation = max(GROUP_CORRELATION, GROUP_CORRELATION_SAMPLES / np.sqrt(len(profile)))
        plain = logistic_threshold(correlation[own], least_correlation, CORRELATION_SOFT)
        plain = plain * logistic_threshold(loading[own], GROUP_LOADING, GROUP_LOADING_SOFT)
    likely[own] = np.maximum(likely[own], plain)
    return likely.astype(np.float32)


def _allow_lags(
    close: Degradation, profile: Floats32, main: slice, loading: Floats32, probability: Floats32
) -> tuple[Floats32, Floats32]:
    """Returns loading and probability of neighbours in space, which may show the profile earlier or later."""
    times = len(profile)
    alone = np.where(mask_runs(times, [main]), profile, 0.0)
    span = _find_around(main, times, MOST_LAG)
    for lag in range(-MOST_LAG, MOST_LAG + 1, LAG_STEP):
        fit = _fit(close, np.roll(alone, lag), span, np.zeros(times, dtype=bool))
        own = logistic_threshold(fit.loading * float(profile[main].max()), LAGGED_DB, DEPTH_SOFT_DB)
        own = own * logistic_threshold(fit.correlation, LAGGED_CORRELATION, CORRELATION_SOFT)
        loading = np.where(own > probability, fit.loading, loading)
        probability = np.maximum(probability, own).astype(np.float32)
    return loading, probability


def _with_partners(profile: Floats32, fit: _Fit, probability: Floats32) -> Floats32:
    """Returns the probabilities with the opposite directions of affected links, if these show the profile together.

    Together they may show it weakly, and each must do so about as much as the others.
    """
    affected = probability > 0.5
    other = np.roll(affected, len(probability) // 2) & ~affected
    if other.sum() < PARTNERS:
        return probability
    mean = float(np.median(fit.loading[other]))
    if mean * float(profile.max()) < PARTNER_DB or float(np.median(fit.correlation[other])) < PARTNER_CORRELATION:
        return probability
    own = logistic_threshold(fit.loading[other], PARTNER_SHARE * mean, PARTNER_SOFT * mean)
    own = own * logistic_threshold(fit.correlation[other], PARTNER_OWN_CORRELATION, CORRELATION_SOFT)
    probability = probability.copy()
    probability[other] = np.maximum(probability[other], own)
    return probability


def _is_repeated(left: Degradation, profile: Floats32, run: slice, loading: Floats32, probability: Floats32) -> bool:
    """Returns whether the same streams, and hardly any others, are affected in another run."""
    known = left.known[:, run]
    expected = np.maximum(known @ profile[run], 1e-3)
    shown = (left.depth[:, run] * known).sum(axis=1) / expected / np.maximum(loading, LEAST_LOADING)
    seen = known.mean(axis=1) > LEAST_MEASURED
    affected, spared = shown[seen & (probability > 0.5)], shown[seen & (probability < 0.5)]
    if not len(affected) or np.median(affected) < REPEATED_SHARE:
        return False
    return not len(spared) or float((spared > 0.5).sum()) <= max(1.0, len(affected), SPARED_SHARE * len(spared))
