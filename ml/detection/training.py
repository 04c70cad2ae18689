"""Trains a detector on a fleet's history or on simulated fleets, and measures it on data that it has never seen."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ml.catalogue.metrics import CATALOGUE, Kind
from ml.catalogue.models import DETECTORS, History, Measure, Progress, TooLittleHistory, Trained
from ml.catalogue.units import DAY_MS
from ml.detection.baselines import Baselines, fit_baselines
from ml.detection.calibration import fit_peaks, fit_tails
from ml.detection.detector import STREAMS_PER_TARGET, Detector, Scores, false_alarms_per_day, make_metric_scales
from ml.detection.episodes import Episode, EpisodeState, track_episodes
from ml.detection.features import Feature, Memory, StreamSamples, compute_features
from ml.detection.held_out import STEP_MS, Trial, simulate_trial, split_history
from ml.detection.profile_fitting import (
    MAX_FOREST_ROWS,
    ROWS_PER_TREE,
    TREES,
    fit_isolation_forest,
    fit_profiles,
    fit_scales,
)
from ml.detection.profiles import HOURS, JOINT_FEATURES, Profiles, standardize
from ml.detection.scorers import BaseScorer, compute_base_scores, compute_ensemble_score
from ml.numerics.arrays import Bools, Floats, Integers
from ml.numerics.scores import calibration_error, vus_pr

ALGORITHM: Final = "eight views of each stream's own past (isolation forest among them), fused as tail probabilities"
HELD_OUT_SEED: Final = 900_001  # the same fleets for every version, so that versions compare; no training uses it
MIN_STREAM_SAMPLES: Final = 500
MIN_STREAMS: Final = 3
VUS_STREAMS: Final = 40  # with events, evenly chosen: enough for the mean
PRIOR_MARGIN: Final = 1.2  # on a prior's threshold: other fleets are unlike those it was learned from
VERDICT_WEIGHT: Final = 10.0  # of a row that somebody judged, against one of the simulator's
SLACK_MS: Final = 6 * STEP_MS  # an alarm so close to an event is no false one


def train(
    name: str,
    seed: int = 1,
    progress: Progress = lambda _done, _what: None,
    history: History | None = None,
    champion: Detector | None = None,
) -> Trained:
    """Trains a version of the detector `name` on `history`, else on simulated fleets, and measures it on other data.

    The same seed and history give the same artefact. Raises KeyError for an unknown name, TooLittleHistory.
    """
    kind = CATALOGUE[DETECTORS[name]]
    progress(0.0, "reading the past")
    history = _drop_short_streams(history) if history else None
    trials = split_history(history, make_metric_scales(kind), seed) if history else (simulate_trial(kind, seed), None)
    calibration, own = trials
    progress(0.3, "learning what is ordinary")
    left_out = _mask_windows(history.confirmed, calibration.train) if history else None
    detector = fit_detector(kind, calibration.train, seed, left_out)
    progress(0.5, "calibrating the confidence")
    detector = calibrate_confidence(detector, calibration, history)
    progress(0.7, "measuring on what it has never seen")
    unseen = [trial for trial in (own, simulate_trial(kind, HELD_OUT_SEED)) if trial]
    measures = [measure for trial in unseen for measure in measure_detector(detector, trial)]
    rival = [measure for trial in unseen for measure in measure_detector(champion, trial)] if champion else []
    progress(1.0, "done")
    return Trained(
        artefact=detector.to_bytes(),
        algorithm=ALGORITHM,
        features=tuple(f"{feature.name.lower()} of {column}" for feature in Feature for column in kind.columns),
        hyperparameters={
            "trees": TREES,
            "rows_per_tree": ROWS_PER_TREE,
            "grown_from": MAX_FOREST_ROWS,
            "views": len(BaseScorer),
        },
        seed=seed,
        samples=len(calibration.train.values),
        details=_describe(calibration, history),
        measures=tuple(measures),
        rival_measures=tuple(rival),
    )


def _describe(calibration: Trial, history: History | None) -> dict[str, object]:
    verdicts = {"confirmed": len(history.confirmed), "dismissed": len(history.dismissed)} if history else {}
    return {
        "trained_on": history.dataset if history else calibration.dataset,
        "streams": calibration.train.streams,
        "confidence_calibrated_on": calibration.dataset,
        "verdicts": verdicts,
    }


def _drop_short_streams(history: History) -> History:
    """Returns only the streams with enough samples, numbered anew. Raises TooLittleHistory."""
    counts = np.bincount(history.stream)
    enough = counts >= MIN_STREAM_SAMPLES
    if enough.sum() < MIN_STREAMS:
        raise TooLittleHistory(
            f"The history has {int(enough.sum())} targets and directions with at least {MIN_STREAM_SAMPLES} samples;"
            f" {MIN_STREAMS} are needed."
        )
    number = np.cumsum(enough) - 1
    rows = enough[history.stream]
    confirmed, dismissed = (_renumber(windows, enough, number) for windows in (history.confirmed, history.dismissed))
    return replace(
        history,
        readings=history.readings[rows],
        stream=number[history.stream[rows]],
        at=history.at[rows],
        confirmed=confirmed,
        dismissed=dismissed,
    )


def _renumber(windows: Integers, enough: Bools, number: Integers) -> Integers:
    kept = windows[enough[windows[:, 0]]]
    return np.column_stack([number[kept[:, 0]], kept[:, 1:]]).astype(np.int64)


def _mask_windows(windows: Integers, samples: StreamSamples) -> Bools:
    """Returns which rows lie in one of the windows (stream, first ms, last ms), shape (rows,)."""
    inside = np.zeros(len(samples.at), dtype=bool)
    for stream, first, last in windows.tolist():
        inside |= (samples.stream == stream) & (samples.at >= first) & (samples.at <= last)
    return inside


# ---------------------------------------------------------------- fitting


def fit_detector(kind: Kind, samples: StreamSamples, seed: int, left_out: Bools | None = None) -> Detector:
    """Fits forest and prior to normal samples; the confidence stays 0 until `calibrate_confidence`.

    left_out: rows that are not learned from, shape (rows,).
    """
    profiles, standardized = fit_scales(samples, make_metric_scales(kind), left_out)
    values = samples.values if left_out is None else np.where(left_out[:, None], np.nan, samples.values)
    base = fit_baselines(kind, values, samples.stream, samples.streams)
    prior = _make_prior(profiles, standardized, base)
    forest = fit_isolation_forest(standardized, seed)
    detector = Detector(kind.kind, "", forest, prior, np.zeros(2), np.zeros(2))
    return replace(detector, prior=_fit_prior_tails(detector, samples, base))


def _make_prior(profiles: Profiles, standardized: Floats, base: Baselines) -> Profiles:
    """Returns the median profile of the streams in units of their baselines' spreads, without tails."""
    unit = base.spread[:, None, :]
    centre, spread = profiles.centre / unit, profiles.spread / unit
    centre[:, Feature.VOLATILITY] = profiles.centre[:, Feature.VOLATILITY] - np.log(base.spread)
    spread[:, Feature.VOLATILITY] = profiles.spread[:, Feature.VOLATILITY]
    centre[:, Feature.RESIDUAL] = 0.0
    spread[:, Feature.RESIDUAL] = 1.0
    metrics = standardized.shape[2]
    arrays: dict[str, Floats] = {
        "samples": np.zeros(1),
        "cadence_seconds": np.median(profiles.cadence_seconds, keepdims=True),
        "hourly_median": np.zeros((1, HOURS, metrics)),
        "hourly_volatility": np.zeros((1, HOURS, metrics)),
        "noise_floor": _median_or_one(profiles.noise_floor / base.spread),
        "centre": _median_or_one(centre),
        "spread": _median_or_one(spread),
        # How metrics move together differs too much between streams to assume anything.
        "whitening": np.tile(np.eye(metrics), (1, len(JOINT_FEATURES), 1, 1)),
        "knots": np.zeros_like(profiles.knots[:1]),
        "tail_scale": np.zeros_like(profiles.tail_scale[:1]),
        "peaks": np.zeros_like(profiles.peaks[:1]),
    }
    return Profiles(**{name: array.astype(np.float32) for name, array in arrays.items()})


def _median_or_one(values: Floats) -> Floats:
    """Returns the median over the streams that know it, else 1, with a first axis of length 1."""
    filled = np.where(np.isnan(values).all(axis=0), 1.0, values)
    result: Floats = np.nanmedian(filled, axis=0, keepdims=True)
    return result


def _fit_prior_tails(detector: Detector, samples: StreamSamples, base: Baselines) -> Profiles:
    """Returns the prior with the tails of scores of streams of which only centre and spread are known."""
    profiles = detector.make_prior_profiles(base.centre, base.spread, base.samples)
    memory = Memory.blank(samples.streams, samples.values.shape[1])
    raw, _ = compute_features(memory, samples, profiles.smoothing_scales)
    standardized = standardize(profiles, detector.scales, samples, raw)
    base_scores = compute_base_scores(standardized, profiles.whitening, samples.stream, detector.forest)
    knots, tail_scale = (values[None].astype(np.float32) for values in fit_tails(base_scores))
    tailed = replace(
        profiles,
        knots=np.repeat(knots, samples.streams, 0),
        tail_scale=np.repeat(tail_scale, samples.streams, 0),
    )
    ensemble = compute_ensemble_score(base_scores, tailed, samples.stream)
    filled = [rows for rows in samples.slices if rows.stop > rows.start]
    peaks = np.array([fit_peaks(ensemble[rows], float(profiles.cadence_seconds[0])) for rows in filled])
    return replace(
        detector.prior,
        knots=knots,
        tail_scale=tail_scale,
        peaks=(np.median(peaks, axis=0, keepdims=True) * (PRIOR_MARGIN, PRIOR_MARGIN, 1.0)).astype(np.float32),
    )


# ---------------------------------------------------------------- measuring


def calibrate_confidence(detector: Detector, trial: Trial, history: History | None = None) -> Detector:
    """Fits the isotonic map from score to the probability of a true event.

    An anomaly counts by its peak, a sample without an alarm by itself. What people said of anomalies in the trial's
    time weighs more: confirmed ones are events, dismissed ones are none.
    """
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - a server that only scores must not pay for it

    scores = score_trial(detector, trial)
    truth, weight = trial.faulty.astype(np.float64), np.ones(len(trial.faulty))
    if history:
        confirmed, dismissed = (
            _mask_windows(windows, trial.test) for windows in (history.confirmed, history.dismissed)
        )
        truth = np.where(confirmed, 1.0, np.where(dismissed, 0.0, truth))
        weight[confirmed | dismissed] = VERDICT_WEIGHT
    peaks = find_peaks(scores, trial)
    quiet = np.flatnonzero(scores.score <= 0.0)
    truth[peaks.rows] = np.where(weight[peaks.rows] == 1.0, peaks.is_true, truth[peaks.rows])
    rows = np.concatenate([peaks.rows, quiet])
    fit = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fit.fit(scores.score[rows], truth[rows], sample_weight=weight[rows])
    return replace(detector, confidence_x=fit.X_thresholds_, confidence_y=fit.y_thresholds_, confidence_of="score")


@dataclass(frozen=True)
class Peaks:
    """The worst row of each anomaly, and whether it overlaps a true event; both of shape (anomalies,)."""

    rows: Integers
    is_true: Bools


def find_peaks(scores: Scores, trial: Trial) -> Peaks:
    """Returns the peaks of the anomalies of all streams."""
    rows, is_true = list[int](), list[bool]()
    for stream in trial.test.slices:
        at = trial.test.at[stream]
        events = _find_events(at, trial.faulty[stream])
        for episode in track_episodes(EpisodeState(), at, scores.score[stream], scores.pace[stream])[1]:
            if episode.peak is not None:
                rows.append(stream.start + episode.peak)
                is_true.append(any(_meet(episode, event, SLACK_MS) for event in events))
    return Peaks(np.array(rows, dtype=np.int64), np.array(is_true, dtype=bool))


def score_trial(detector: Detector, trial: Trial, sensitivity: float = 0.5) -> Scores:
    """Returns the scores of the test samples, with profiles fitted to the train samples."""
    samples = trial.train
    profiles = fit_profiles(samples, detector.scales, detector.forest)
    blank = Memory.blank(samples.streams, samples.values.shape[1])
    _, memory = compute_features(blank, samples, profiles.smoothing_scales)
    return detector.score(trial.test, profiles, memory, sensitivity)


def measure_detector(detector: Detector, trial: Trial, sensitivity: float = 0.5) -> tuple[Measure, ...]:
    """Measures VUS-PR, event recall and false alarms at the budget, and the calibration error of anomalies' confidence.

    An event is a run of faulty rows of a stream; it counts as recalled when an episode overlaps it. An episode that
    overlaps no event, give or take half an hour, is a false alarm.
    """
    scores = score_trial(detector, trial, sensitivity)
    streams = trial.test.slices
    peaks = find_peaks(scores, trial)
    counts = [_count_recalled(trial, rows, scores.score[rows], scores.pace[rows]) for rows in streams]
    events, recalled = np.array(counts).sum(axis=0)
    days = sum(float(np.ptp(trial.test.at[rows])) / DAY_MS for rows in streams if rows.stop > rows.start)
    allowed = days / STREAMS_PER_TARGET[detector.kind] * false_alarms_per_day(sensitivity)
    values = {
        "vus_pr": _average_vus(trial, scores.score, [rows for rows in streams if trial.faulty[rows].any()]),
        "event_recall": recalled / max(1, events),
        "false_alarm_ratio": np.count_nonzero(~peaks.is_true) / max(1e-9, allowed),
        "calibration_error": calibration_error(scores.confidence[peaks.rows], peaks.is_true),
    }
    return tuple(Measure(name, float(value), len(trial.faulty), trial.dataset) for name, value in values.items())


def _average_vus(trial: Trial, scores: Floats, eventful: list[slice]) -> float:
    """Returns the mean over some of the streams with events."""
    chosen = eventful[:: max(1, len(eventful) // VUS_STREAMS)]
    scored = np.nan_to_num(scores, nan=-1.0)
    return float(np.mean([vus_pr(trial.faulty[rows], scored[rows]) for rows in chosen])) if chosen else 0.0


def _count_recalled(trial: Trial, rows: slice, scores: Floats, pace: Floats) -> tuple[int, int]:
    """Returns one stream's events, and how many of them are recalled."""
    at = trial.test.at[rows]
    episodes = track_episodes(EpisodeState(), at, scores, pace)[1]
    events = _find_events(at, trial.faulty[rows])
    return len(events), sum(any(_meet(episode, event, 0) for episode in episodes) for event in events)


def _find_events(at: Integers, faulty: Bools) -> list[tuple[int, int]]:
    """Returns the first and the last epoch ms of each run of faulty rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], faulty.astype(np.int8), [0]])))
    return [(int(at[first]), int(at[last - 1])) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _meet(episode: Episode, event: tuple[int, int], slack_ms: int) -> bool:
    """Returns whether an episode overlaps an event, give or take this time."""
    start, end = event
    return episode.started_at <= end + slack_ms and (episode.last_seen_at or episode.started_at) >= start - slack_ms
