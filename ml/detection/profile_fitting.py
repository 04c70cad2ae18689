"""Fits each stream's profile to its history: robustly, so that some unnoticed faults do no harm."""

from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from ml.catalogue.units import DAY_MS, HOUR_MS
from ml.detection.calibration import KNOTS, fit_peaks, fit_tails
from ml.detection.features import (
    FEATURES,
    NOMINAL_CADENCE_SECONDS,
    Feature,
    Memory,
    SmoothingScales,
    StreamSamples,
    compute_features,
)
from ml.detection.profiles import CLIP_SPREADS, HOURS, JOINT_FEATURES, SCORERS, MetricScales, Profiles, standardize
from ml.detection.scorers import compute_base_scores, compute_ensemble_score, compute_log_magnitudes
from ml.numerics.arrays import Bools, Floats, Integers
from ml.numerics.robust import MAD_TO_SIGMA
from ml.numerics.trees import Forest

DEVIATION_SHARE: Final = (
    0.3  # of the standard deviation is the least spread: a calm series must not alarm at each spike
)
FLOOR_SHARE: Final = 0.02  # of the usual spread is the noise floor
EVEN_SHARE: Final = 0.75  # of the main cadence: samples that are closer come faster than it
MIN_FLOOR: Final = 1e-9  # keeps what never moves from a spread of nothing
MIN_VOLATILITY_SPREAD: Final = 0.15  # of a logarithm
CLIP_DEVIATIONS: Final = 8.0  # larger ones count as this in how metrics move together: outliers must not rule it
VARIANCE_FLOOR: Final = 0.05  # of the mean variance: directions in which normal samples hardly move count as this
MIN_HOURLY_DAYS: Final = 1.5  # of history from which hours of the day are told apart
MEDIAN_SHRINKAGE_DAYS: Final = 1.0  # of history at which an hour's own median counts for as much as the whole day's
VOLATILITY_SHRINKAGE_DAYS: Final = 5.0
MAX_HOURLY_RATIO: Final = 0.95  # hours are told apart where that leaves at most this much of the median deviation
MAX_SPREAD_ROWS: Final = 2000  # evenly chosen: a median and a spread need no more
TREES: Final = 100
ROWS_PER_TREE: Final = 256
MAX_FOREST_ROWS: Final = 8192  # evenly chosen


def fit_profiles(
    samples: StreamSamples, scales: MetricScales, forest: Forest, left_out: Bools | None = None
) -> Profiles:
    """Fits the profiles of all streams; that of a stream without rows scores nothing.

    left_out: rows that are not learned from, shape (rows,).
    """
    profiles, standardized = fit_scales(samples, scales, left_out)
    return calibrate_profiles(profiles, standardized, samples, forest, left_out)


def fit_scales(samples: StreamSamples, scales: MetricScales, left_out: Bools | None = None) -> tuple[Profiles, Floats]:
    """Fits profiles whose tails are still 0; also returns the standardized features, shape (rows, 6, metrics)."""
    metrics, values = samples.values.shape[1], _mask(samples.values, left_out)
    cadence = np.array([_measure_cadence(samples.at[rows]) for rows in samples.slices])
    level = np.stack([_measure_spread(values[rows])[1] for rows in samples.slices])
    floor = np.maximum(FLOOR_SHARE * level, np.maximum(scales.least_spread, MIN_FLOOR))
    smoothing = SmoothingScales(cadence, floor, CLIP_SPREADS * np.maximum(level, scales.least_spread))
    raw, _ = compute_features(Memory.blank(samples.streams, metrics), replace(samples, values=values), smoothing)
    fits = [
        _fit_stream_scales(raw[rows], samples.hours[rows], _count_days(samples.at[rows]), floor[stream])
        for stream, rows in enumerate(samples.slices)
    ]
    median, volatility, centre, spread = (np.stack(part).astype(np.float32) for part in zip(*fits, strict=True))
    counts = np.array([np.count_nonzero(~np.isnan(values[rows]).all(axis=1)) for rows in samples.slices])
    profiles = Profiles(
        samples=counts.astype(np.float32),
        cadence_seconds=cadence.astype(np.float32),
        hourly_median=median,
        hourly_volatility=volatility,
        noise_floor=floor.astype(np.float32),
        centre=centre,
        spread=spread,
        whitening=np.zeros((samples.streams, len(JOINT_FEATURES), metrics, metrics), dtype=np.float32),
        knots=np.zeros((samples.streams, SCORERS, KNOTS), dtype=np.float32),
        tail_scale=np.zeros((samples.streams, SCORERS), dtype=np.float32),
        peaks=np.zeros((samples.streams, 3), dtype=np.float32),
    )
    standardized = standardize(profiles, scales, samples, raw)
    for stream, rows in enumerate(samples.slices):
        profiles.whitening[stream] = fit_whitening(standardized[rows])
    return profiles, standardized


def calibrate_profiles(
    profiles: Profiles, standardized: Floats, samples: StreamSamples, forest: Forest, left_out: Bools | None = None
) -> Profiles:
    """Fits, in place, the tails of the base scores and the peaks of the ensemble score; returns the same profiles."""
    base_scores = np.concatenate(
        [
            compute_base_scores(standardized[rows], profiles.whitening, samples.stream[rows], forest)
            for rows in samples.slices
        ]
    )
    kept = np.ones(len(base_scores), dtype=bool) if left_out is None else ~left_out
    kept_rows = [np.flatnonzero(kept[rows]) + rows.start for rows in samples.slices]
    for stream, rows in enumerate(kept_rows):
        profiles.knots[stream], profiles.tail_scale[stream] = fit_tails(base_scores[rows])
    for stream, rows in enumerate(kept_rows):
        ensemble = compute_ensemble_score(base_scores[rows], profiles, samples.stream[rows])
        profiles.peaks[stream] = fit_peaks(ensemble, float(profiles.cadence_seconds[stream]))
    return profiles


def choose_even_rows(stream: Integers, at: Integers) -> Bools:
    """Returns which rows to learn from where a stream's cadence has changed, shape (rows,).

    The cadence is the one that covers most of the time; rows that come faster are thinned to it.

    stream: of each row, ascending, shape (rows,).
    at: epoch ms, ascending within a stream, shape (rows,).
    """
    kept: Bools = np.ones(len(at), dtype=bool)
    bounds = np.flatnonzero(np.diff(stream, prepend=-1, append=-1))
    for first, end in pairwise(bounds.tolist()):
        rows = slice(first, end)
        least = EVEN_SHARE * _find_main_gap(at[rows])
        if (np.diff(at[rows]) < least).any():
            kept[rows] = _thin(at[rows], least)
    return kept


def _find_main_gap(at: Integers) -> float:
    """Returns the gap in ms that half of the time lies below; a silence counts as an hour."""
    gaps = np.sort(np.diff(at))
    if not len(gaps):
        return 0.0
    covered = np.cumsum(np.minimum(gaps, HOUR_MS))
    return float(gaps[np.searchsorted(covered, covered[-1] / 2)])


def _thin(at: Integers, least: float) -> Bools:
    """Returns which rows to keep so that no two are closer than `least` ms, shape (rows,)."""
    kept, last = np.zeros(len(at), dtype=bool), -np.inf
    for row, now in enumerate(at.tolist()):
        if now - last >= least:
            kept[row], last = True, now
    return kept


def _mask(values: Floats, left_out: Bools | None) -> Floats:
    if left_out is None:
        return values
    return np.where(left_out[:, None], np.nan, values)


def _measure_cadence(at: Integers) -> float:
    """Returns the seconds between most samples."""
    return float(np.median(np.diff(at))) / 1000.0 if len(at) > 1 else NOMINAL_CADENCE_SECONDS


def _count_days(at: Integers) -> float:
    return float(at[-1] - at[0]) / DAY_MS if len(at) else 0.0


def _median(values: Floats) -> Floats:
    """Returns the median over the rows; NaN values are left out, and the result where there are no others."""
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    ordered = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(values)).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, np.maximum(count - 1, 0))
    pair = [np.take_along_axis(ordered, place[None], axis=0)[0] for place in (low, high)]
    result: Floats = 0.5 * (pair[0] + pair[1])
    return result


def _measure_spread(values: Floats) -> tuple[Floats, Floats]:
    """Returns median and robust standard deviation over the rows."""
    centre = _median(values)
    distance = np.abs(values - centre)
    measured = ~np.isnan(values)
    square = np.where(measured, distance, 0.0) ** 2
    deviation = np.sqrt(square.sum(axis=0) / np.maximum(1, measured.sum(axis=0)))
    return centre, np.maximum(MAD_TO_SIGMA * _median(distance), DEVIATION_SHARE * deviation)


def _fit_stream_scales(
    raw: Floats, hours: Integers, days: float, floor: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Returns hourly median, hourly volatility, centre and spread of one stream's raw features (rows, 6, metrics)."""
    level, volatility = raw[:, Feature.RESIDUAL], raw[:, Feature.VOLATILITY]
    hourly = _compute_hourly_medians(level, hours, days, MEDIAN_SHRINKAGE_DAYS)
    residual = np.abs(level - hourly[hours])
    flat = np.broadcast_to(_median(level), hourly.shape)
    is_worth_it = _median(residual) <= MAX_HOURLY_RATIO * _median(np.abs(level - flat[0]))
    hourly = np.where(is_worth_it, hourly, flat)
    excess = _compute_hourly_medians(volatility, hours, days, VOLATILITY_SHRINKAGE_DAYS) - _median(volatility)
    raw = raw.copy()
    raw[:, Feature.RESIDUAL] -= hourly[hours]
    raw[:, Feature.VOLATILITY] -= np.nan_to_num(excess)[hours]
    centre, spread = _measure_spread(raw[:: max(1, len(raw) // MAX_SPREAD_ROWS)])
    min_spread = np.tile(floor, (FEATURES, 1))
    min_spread[Feature.VOLATILITY] = MIN_VOLATILITY_SPREAD
    return hourly, np.nan_to_num(excess), centre, np.maximum(spread, np.maximum(min_spread, MIN_FLOOR))


def _compute_hourly_medians(values: Floats, hours: Integers, days: float, shrinkage_days: float) -> Floats:
    """Returns medians by hour, shape (24, metrics), drawn towards the whole day's where history is short."""
    overall = _median(values)
    table = np.tile(overall, (HOURS, 1))
    if days < MIN_HOURLY_DAYS:
        return table
    own = days / (days + shrinkage_days)
    for hour in range(HOURS):
        within = values[hours == hour]
        if len(within) >= 2:
            median = _median(within)
            table[hour] = np.where(np.isnan(median), overall, own * median + (1.0 - own) * overall)
    return table


def fit_whitening(standardized: Floats) -> Floats:
    """Fits principal axes over their standard deviations for each joint feature, shape (3, metrics, metrics).

    standardized: shape (rows, 6, metrics), NaN where not measured.
    """
    joint = np.clip(np.nan_to_num(standardized[:, JOINT_FEATURES]), -CLIP_DEVIATIONS, CLIP_DEVIATIONS)
    return np.stack([_fit_axes(joint[:, place]) for place in range(len(JOINT_FEATURES))])


def _fit_axes(deviations: Floats) -> Floats:
    variance, axes = np.linalg.eigh(deviations.T @ deviations / max(1, len(deviations)))
    variance = np.maximum(variance, max(VARIANCE_FLOOR * float(variance.mean()), 1e-6))
    result: Floats = axes / np.sqrt(variance)
    return result


def fit_isolation_forest(standardized: Floats, seed: int) -> Forest:
    """Fits an isolation forest to the logarithmic magnitudes of all features; the same seed gives the same forest.

    standardized: shape (rows, 6, metrics), NaN where not measured.
    """
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - a server that only scores must not pay for it

    logs = compute_log_magnitudes(standardized).reshape(len(standardized), -1)
    logs = logs[np.linspace(0, len(logs) - 1, min(len(logs), MAX_FOREST_ROWS)).astype(np.int64)]
    forest = IsolationForest(n_estimators=TREES, max_samples=min(ROWS_PER_TREE, len(logs)), random_state=seed)
    return Forest.from_sklearn(forest.fit(logs))
