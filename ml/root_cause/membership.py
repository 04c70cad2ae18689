"""Who follows a course: each stream's share of it, and the probability that it shows it at all."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.numerics.arrays import Bools, Floats32
from ml.numerics.robust import logistic_threshold
from ml.numerics.runs import mask_runs
from ml.root_cause.common_modes import CommonMode
from ml.root_cause.degradation import Degradation

FOLLOWS_FROM, FOLLOWS_SOFT = 0.35, 0.06  # of the common course
ALIKE_FROM, ALIKE_SOFT = 0.5, 0.05  # correlation with it
DEPTH_SOFT_DB: Final = 0.15
OWN_LEAST_DB, OWN_SIGMAS, OWN_ALIKE = 0.6, 2.0, 0.4  # of the link's other direction, which power control may hide
GROUP_FOLLOWS, GROUP_FOLLOWS_SOFT = 0.2, 0.03  # of the group's own members
GROUP_ALIKE, GROUP_ALIKE_SAMPLES = 0.25, 2.5  # of theirs, more where a short course makes chance more likely
PARTNERS: Final = 3  # other directions of links that are hit: of fewer no mean says anything
PARTNER_DB, PARTNER_ALIKE = 0.3, 0.3  # of them all, in the median
PARTNER_SHARE, PARTNER_SOFT, PARTNER_OWN_ALIKE = 0.4, 0.1, 0.15  # of that median, of each
MOST_RUNS: Final = 60
LEAST_MEASURED: Final = 0.3  # of a run's samples must be measured
AGAIN: Final = 0.45  # of what the streams showed in the strongest run, in the median
LEAST_SHARE: Final = 0.3  # of the course, to tell whether a stream shows it again
SPARED_SHARE: Final = 0.1  # of the streams spared may be hit by something else meanwhile
MARGIN: Final = 8  # samples around a run, at least
MOST_LAG, LAG_STEP = 6, 2  # samples, by which a rain cell may arrive at neighbours earlier or later
LATE_DB, LATE_ALIKE = 1.0, 0.6


@dataclass(frozen=True)
class Membership:
    """runs: times at which the same streams degraded, the first one strongest.

    follows (streams,): how much of the course each one shows; hit (streams,): probability that it does at all.
    """

    runs: list[slice]
    loading: Floats32
    probability: Floats32


@dataclass(frozen=True)
class _Fit:
    """(streams,): slope of the depth on the course, and their correlation."""

    loading: Floats32
    alike: Floats32


def fit_membership(left: Degradation, common_mode: CommonMode, near: Bools) -> Membership:
    """Fit the course to every stream, around its strongest run; more runs of the same streams belong to it.

    near (links, links): whose sites are close to each other.
    """
    profile, times = common_mode.profile, len(common_mode.profile)
    main, *others = common_mode.runs
    span = _around(main, times, 0)
    fit = _fitted(left, np.where(mask_runs(times, [main]), profile, 0.0), span, mask_runs(times, others))
    loading, probability = fit.loading.copy(), _probability(left, profile[main], fit, common_mode)
    if common_mode.alone:
        close = np.flatnonzero(np.tile(near[int(common_mode.members[0]) % len(near)], 2))
        loading[close], probability[close] = _sooner_or_later(
            left.of(close), profile, main, loading[close], probability[close]
        )
    probability = _with_partners(profile[main], _Fit(loading, fit.alike), probability)
    again = [run for run in others[: MOST_RUNS - 1] if _again(left, profile, run, loading, probability)]
    return Membership([main, *again], loading, probability)


def _around(run: slice, times: int, more: int) -> slice:
    """With `more` samples before and behind, and a margin by the run's length."""
    start, stop = max(0, run.start - more), min(times, run.stop + more)
    margin = max(MARGIN, (stop - start) // 2)
    return slice(max(0, start - margin), min(times, stop + margin))


def _fitted(left: Degradation, profile: Floats32, span: slice, aside: Bools) -> _Fit:
    """Of every stream's depth on the course, with a level of its own.

    Left out are unknown samples, and those that are to be put aside (times,).
    """
    depth, known, model = left.depth[:, span], left.known[:, span] * ~aside[span], profile[span]
    if not ((model <= 0) & ~aside[span]).any():  # nothing beside it to compare with: as much as it is deep
        loading = (known * depth) @ model / max(float(model @ model), 1e-6)
        return _Fit(loading.astype(np.float32), np.ones(len(depth), dtype=np.float32))
    weight = np.maximum(known.sum(axis=1), 1e-6)
    mean_model, mean_depth = known @ model / weight, (known * depth).sum(axis=1) / weight
    together = (known * depth) @ model / weight - mean_model * mean_depth
    of_model = np.maximum(known @ model**2 / weight - mean_model**2, 1e-6)
    of_depth = np.maximum((known * depth**2).sum(axis=1) / weight - mean_depth**2, 1e-6)
    alike = together / np.sqrt(of_model * of_depth)
    return _Fit((together / of_model).astype(np.float32), alike.astype(np.float32))


def _probability(left: Degradation, profile: Floats32, fit: _Fit, common_mode: CommonMode) -> Floats32:
    """(streams,): of the candidate's own link, whatever is plainly there follows; of a group, what is no chance."""
    loading, alike = fit.loading, fit.alike
    likely = logistic_threshold(loading, FOLLOWS_FROM, FOLLOWS_SOFT) * logistic_threshold(alike, ALIKE_FROM, ALIKE_SOFT)
    if common_mode.alone:
        links = len(loading) // 2
        own = int(common_mode.members[0]) % links + np.array([0, links])
        least = np.maximum(OWN_LEAST_DB, OWN_SIGMAS * left.sigma[own])
        plain = logistic_threshold(loading[own] * float(profile.max()), least, DEPTH_SOFT_DB)
        plain = plain * logistic_threshold(alike[own], OWN_ALIKE, ALIKE_SOFT)
    else:
        own = common_mode.members
        plain = logistic_threshold(
            alike[own], max(GROUP_ALIKE, GROUP_ALIKE_SAMPLES / np.sqrt(len(profile))), ALIKE_SOFT
        )
        plain = plain * logistic_threshold(loading[own], GROUP_FOLLOWS, GROUP_FOLLOWS_SOFT)
    likely[own] = np.maximum(likely[own], plain)
    return likely.astype(np.float32)


def _sooner_or_later(
    close: Degradation, profile: Floats32, main: slice, loading: Floats32, probability: Floats32
) -> tuple[Floats32, Floats32]:
    """Neighbours in space (streams,) may follow somewhat earlier or later."""
    times = len(profile)
    alone = np.where(mask_runs(times, [main]), profile, 0.0)
    span = _around(main, times, MOST_LAG)
    for lag in range(-MOST_LAG, MOST_LAG + 1, LAG_STEP):
        fit = _fitted(close, np.roll(alone, lag), span, np.zeros(times, dtype=bool))
        own = logistic_threshold(fit.loading * float(profile[main].max()), LATE_DB, DEPTH_SOFT_DB)
        own = own * logistic_threshold(fit.alike, LATE_ALIKE, ALIKE_SOFT)
        loading = np.where(own > probability, fit.loading, loading)
        probability = np.maximum(probability, own).astype(np.float32)
    return loading, probability


def _with_partners(profile: Floats32, fit: _Fit, probability: Floats32) -> Floats32:
    """The other directions of the links hit, where together they follow, however little: each as much as the rest."""
    struck = probability > 0.5
    other = np.roll(struck, len(probability) // 2) & ~struck
    if other.sum() < PARTNERS:
        return probability
    mean = float(np.median(fit.loading[other]))
    if mean * float(profile.max()) < PARTNER_DB or float(np.median(fit.alike[other])) < PARTNER_ALIKE:
        return probability
    own = logistic_threshold(fit.loading[other], PARTNER_SHARE * mean, PARTNER_SOFT * mean)
    probability = probability.copy()
    probability[other] = np.maximum(
        probability[other], own * logistic_threshold(fit.alike[other], PARTNER_OWN_ALIKE, ALIKE_SOFT)
    )
    return probability


def _again(left: Degradation, profile: Floats32, run: slice, loading: Floats32, probability: Floats32) -> bool:
    """Whether in another run it is the same streams that follow, and no others."""
    known = left.known[:, run]
    expected = np.maximum(known @ profile[run], 1e-3)
    shown = (left.depth[:, run] * known).sum(axis=1) / expected / np.maximum(loading, LEAST_SHARE)
    seen = known.mean(axis=1) > LEAST_MEASURED
    struck, spared = shown[seen & (probability > 0.5)], shown[seen & (probability < 0.5)]
    if not len(struck) or np.median(struck) < AGAIN:
        return False
    return not len(spared) or float((spared > 0.5).sum()) <= max(1.0, len(struck), SPARED_SHARE * len(spared))
