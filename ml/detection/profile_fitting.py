"""Learns the profile of each stream from its history: robustly, so that some unnoticed faults do no harm."""

from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.units import DAY_MS
from ml.detection.calibration import KNOTS, peaks_over, tails
from ml.detection.features import FEATURES, Feature, Memory, Pace, Rows, follow
from ml.detection.profiles import HOURS, REACH, TOGETHER, VIEWS, Profiles, Scales, deviations
from ml.detection.scorers import fused, log_sizes, views
from ml.numerics.arrays import Floats
from ml.numerics.robust import MAD_TO_SIGMA
from ml.numerics.trees import Forest

OUTLYING: Final = 0.3  # of the standard deviation: what is quiet but for spikes must not alarm at each of them
LEAST: Final = 0.02  # of the usual spread: smaller movements mean nothing
SMALLEST: Final = 1e-9  # keeps what never moves from a spread of nothing
LEAST_VOLATILITY: Final = 0.15  # of a logarithm
RANGE: Final = 8.0  # deviations beyond count as this in how metrics move together: outliers must not rule it
FLOOR: Final = 0.05  # of the mean variance: directions in which ordinary samples hardly move are trusted no further
LEAST_DAYS: Final = 1.5  # of history from which hours of the day are told apart
USUAL_DAYS: Final = 1.0  # of an hour at which its own median counts for as much as the whole day's
RESTLESS_DAYS: Final = 5.0
WORTH: Final = 0.95  # hours are told apart where that leaves at most this much of the median deviation
ENOUGH: Final = 2000  # rows, evenly: a median and a spread need no more
NOMINAL_SECONDS: Final = 300.0
TREES: Final = 100
ROWS_PER_TREE: Final = 256
GROWN_FROM: Final = 8192  # rows, evenly


def learn(rows: Rows, scales: Scales, forest: Forest, left_out: NDArray[np.bool_] | None = None) -> Profiles:
    """The profiles of all streams in `rows`; one without rows judges nothing. Rows `left_out` are not learned from."""
    profiles, found = learn_scales(rows, scales, left_out)
    return calibrate(profiles, found, rows, forest, left_out)


def learn_scales(rows: Rows, scales: Scales, left_out: NDArray[np.bool_] | None = None) -> tuple[Profiles, Floats]:
    """Profiles that know no tails yet, and the deviations (rows, 6, metrics) of the rows from them."""
    spans = _spans(rows)
    cadence = np.array([_cadence(rows.at[span]) for span in spans])
    values = _kept(rows.values, left_out)
    level = np.stack([_spread(values[span])[1] for span in spans])
    floor = np.maximum(LEAST * level, np.maximum(scales.least_spread, SMALLEST))
    pace = Pace(cadence, floor, REACH * np.maximum(level, scales.least_spread))
    raw, _ = follow(Memory.blank(rows.streams, rows.values.shape[1]), replace(rows, values=values), pace)
    learned = [
        _scales_of(raw[span], rows.hours[span], _days(rows.at[span]), floor[one]) for one, span in enumerate(spans)
    ]
    usual, restless, centre, spread = (np.stack(part).astype(np.float32) for part in zip(*learned, strict=True))
    samples = np.array([np.count_nonzero(~np.isnan(values[span]).all(axis=1)) for span in spans])
    metrics = rows.values.shape[1]
    profiles = Profiles(
        samples.astype(np.float32),
        cadence.astype(np.float32),
        usual,
        restless,
        floor.astype(np.float32),
        centre,
        spread,
        np.zeros((rows.streams, len(TOGETHER), metrics, metrics), dtype=np.float32),
        np.zeros((rows.streams, VIEWS, KNOTS), dtype=np.float32),
        np.zeros((rows.streams, VIEWS), dtype=np.float32),
        np.zeros((rows.streams, 3), dtype=np.float32),
    )
    found = deviations(profiles, scales, rows, raw)
    for one, span in enumerate(spans):
        profiles.whiten[one] = whitening(found[span])
    return profiles, found


def calibrate(
    profiles: Profiles, found: Floats, rows: Rows, forest: Forest, left_out: NDArray[np.bool_] | None = None
) -> Profiles:
    """The same profiles with the tails of their views, and of what these say together."""
    odd = np.concatenate([views(found[span], profiles.whiten, rows.stream[span], forest) for span in _spans(rows)])
    kept = np.ones(len(odd), dtype=bool) if left_out is None else ~left_out
    spans = [np.flatnonzero(kept[span]) + span.start for span in _spans(rows)]
    for one, span in enumerate(spans):
        profiles.knots[one], profiles.beyond[one] = tails(odd[span])
    for one, span in enumerate(spans):
        together = fused(odd[span], profiles, rows.stream[span])
        profiles.peaks[one] = peaks_over(together, float(profiles.cadence[one]))
    return profiles


def _spans(rows: Rows) -> list[slice]:
    bounds = np.searchsorted(rows.stream, np.arange(rows.streams + 1)).tolist()
    return [slice(first, end) for first, end in pairwise(bounds)]


def _kept(values: Floats, left_out: NDArray[np.bool_] | None) -> Floats:
    if left_out is None:
        return values
    return np.where(left_out[:, None], np.nan, values)


def _cadence(at: NDArray[np.int64]) -> float:
    """Seconds between most samples."""
    return float(np.median(np.diff(at))) / 1000.0 if len(at) > 1 else NOMINAL_SECONDS


def _days(at: NDArray[np.int64]) -> float:
    return float(at[-1] - at[0]) / DAY_MS if len(at) else 0.0


def _median(values: Floats) -> Floats:
    """Over the rows, NaN left out; NaN where there are none."""
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    ordered = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(values)).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, np.maximum(count - 1, 0))
    pair = [np.take_along_axis(ordered, place[None], axis=0)[0] for place in (low, high)]
    result: Floats = 0.5 * (pair[0] + pair[1])
    return result


def _spread(values: Floats) -> tuple[Floats, Floats]:
    """Median and robust standard deviation over the rows."""
    centre = _median(values)
    away = np.abs(values - centre)
    known = ~np.isnan(values)
    square = np.where(known, away, 0.0) ** 2
    deviation = np.sqrt(square.sum(axis=0) / np.maximum(1, known.sum(axis=0)))
    return centre, np.maximum(MAD_TO_SIGMA * _median(away), OUTLYING * deviation)


def _scales_of(
    raw: Floats, hours: NDArray[np.int64], days: float, floor: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """usual, restless, centre and spread of one stream's raw features."""
    level, restless = raw[:, Feature.RESIDUAL], raw[:, Feature.VOLATILITY]
    usual = _by_hour(level, hours, days, USUAL_DAYS)
    residual = np.abs(level - usual[hours])
    flat = np.broadcast_to(_median(level), usual.shape)
    worth = _median(residual) <= WORTH * _median(np.abs(level - flat[0]))
    usual = np.where(worth, usual, flat)
    noise = _by_hour(restless, hours, days, RESTLESS_DAYS) - _median(restless)
    raw = raw.copy()
    raw[:, Feature.RESIDUAL] -= usual[hours]
    raw[:, Feature.VOLATILITY] -= np.nan_to_num(noise)[hours]
    centre, spread = _spread(raw[:: max(1, len(raw) // ENOUGH)])
    least = np.tile(floor, (FEATURES, 1))
    least[Feature.VOLATILITY] = LEAST_VOLATILITY
    return usual, np.nan_to_num(noise), centre, np.maximum(spread, np.maximum(least, SMALLEST))


def _by_hour(values: Floats, hours: NDArray[np.int64], days: float, half: float) -> Floats:
    """Medians (24, metrics), drawn towards the whole day's where history is short."""
    overall = _median(values)
    table = np.tile(overall, (HOURS, 1))
    if days < LEAST_DAYS:
        return table
    own = days / (days + half)
    for hour in range(HOURS):
        those = values[hours == hour]
        if len(those) >= 2:
            median = _median(those)
            table[hour] = np.where(np.isnan(median), overall, own * median + (1.0 - own) * overall)
    return table


def whitening(found: Floats) -> Floats:
    """(3, metrics, metrics): principal axes over their standard deviations, for each feature judged together."""
    apart = np.clip(np.nan_to_num(found[:, TOGETHER]), -RANGE, RANGE)
    return np.stack([_axes(apart[:, place]) for place in range(len(TOGETHER))])


def _axes(deviations: Floats) -> Floats:
    variance, axes = np.linalg.eigh(deviations.T @ deviations / max(1, len(deviations)))
    variance = np.maximum(variance, max(FLOOR * float(variance.mean()), 1e-6))
    result: Floats = axes / np.sqrt(variance)
    return result


def grown(found: Floats, seed: int) -> Forest:
    """An isolation forest over all features of deviations (rows, 6, metrics); the same seed grows the same."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - a server that only scores must not pay for it

    logs = log_sizes(found).reshape(len(found), -1)
    logs = logs[np.linspace(0, len(logs) - 1, min(len(logs), GROWN_FROM)).astype(np.int64)]
    forest = IsolationForest(n_estimators=TREES, max_samples=min(ROWS_PER_TREE, len(logs)), random_state=seed)
    return Forest.from_sklearn(forest.fit(logs))
