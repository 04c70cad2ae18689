"""Trains a detector on a fleet's history or on simulated fleets, and measures it on what it has never seen."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import CATALOGUE, Kind
from ml.catalogue.models import DETECTORS, History, Measure, Progress, TooLittleHistory, Trained
from ml.catalogue.units import DAY_MS
from ml.detection import baselines
from ml.detection.calibration import peaks_over, tails
from ml.detection.detector import Detector, Verdicts, false_alarms_per_day, scales_of
from ml.detection.episodes import EpisodeState
from ml.detection.episodes import follow as follow_episodes
from ml.detection.features import Feature, Memory, Rows, follow
from ml.detection.held_out import STEP_MS, Trial, of_history, simulated, spans
from ml.detection.profile_fitting import GROWN_FROM, ROWS_PER_TREE, TREES, grown, learn, learn_scales
from ml.detection.profiles import HOURS, TOGETHER, Profiles, deviations
from ml.detection.scorers import View, fused, views
from ml.numerics.arrays import Floats
from ml.numerics.scores import calibration_error, vus_pr

ALGORITHM: Final = "eight views of each stream's own past (isolation forest among them), fused as tail probabilities"
HELD_OUT_SEED: Final = 900_001  # the same fleets for every version, so that versions compare; no training uses it
LEAST_SAMPLES: Final = 500  # of a stream that is to be learned from
LEAST_STREAMS: Final = 3
VUS_STREAMS: Final = 40  # with events, evenly chosen: enough for the mean
CAUTION: Final = 1.2  # of a prior's threshold: other fleets are unlike those it was learned from
VERDICT_WEIGHT: Final = 10.0  # of a row that somebody judged, against one of the simulator's
SLACK_MS: Final = 6 * STEP_MS  # an alarm so close to an event is no false one


def train(
    name: str,
    seed: int = 1,
    progress: Progress = lambda _done, _what: None,
    history: History | None = None,
    champion: Detector | None = None,
) -> Trained:
    """A version of the detector `name` from `history`, else from the simulator, measured on what it did not learn from.

    The same seed and history give the same artefact. Raises KeyError for a name that is none, TooLittleHistory.
    """
    kind = CATALOGUE[DETECTORS[name]]
    progress(0.0, "reading the past")
    history = _long_enough(history) if history else None
    trials = of_history(history, scales_of(kind), seed) if history else (simulated(kind, seed), None)
    calibration, own = trials
    progress(0.3, "learning what is ordinary")
    left_out = _within(history.confirmed, calibration.past) if history else None
    detector = fitted(kind, calibration.past, seed, left_out)
    progress(0.5, "calibrating the confidence")
    detector = confident(detector, calibration, history)
    progress(0.7, "measuring on what it has never seen")
    unseen = [trial for trial in (own, simulated(kind, HELD_OUT_SEED)) if trial]
    measures = [measure for trial in unseen for measure in measured(detector, trial)]
    rival = [measure for trial in unseen for measure in measured(champion, trial)] if champion else []
    progress(1.0, "done")
    return Trained(
        artefact=detector.to_bytes(),
        algorithm=ALGORITHM,
        features=tuple(f"{feature.name.lower()} of {column}" for feature in Feature for column in kind.columns),
        hyperparameters={"trees": TREES, "rows_per_tree": ROWS_PER_TREE, "grown_from": GROWN_FROM, "views": len(View)},
        seed=seed,
        samples=len(calibration.past.values),
        details=_details(calibration, history),
        measures=tuple(measures),
        rival_measures=tuple(rival),
    )


def _details(calibration: Trial, history: History | None) -> dict[str, object]:
    verdicts = {"confirmed": len(history.confirmed), "dismissed": len(history.dismissed)} if history else {}
    return {
        "trained_on": history.dataset if history else calibration.dataset,
        "streams": calibration.past.streams,
        "confidence_calibrated_on": calibration.dataset,
        "verdicts": verdicts,
    }


def _long_enough(history: History) -> History:
    """Only the streams that have enough samples, numbered anew. Raises TooLittleHistory."""
    counts = np.bincount(history.stream)
    enough = counts >= LEAST_SAMPLES
    if enough.sum() < LEAST_STREAMS:
        raise TooLittleHistory(
            f"The history has {int(enough.sum())} targets and directions with at least {LEAST_SAMPLES} samples;"
            f" {LEAST_STREAMS} are needed."
        )
    number = np.cumsum(enough) - 1
    rows = enough[history.stream]
    confirmed, dismissed = (_renumbered(windows, enough, number) for windows in (history.confirmed, history.dismissed))
    return replace(
        history,
        readings=history.readings[rows],
        stream=number[history.stream[rows]],
        at=history.at[rows],
        confirmed=confirmed,
        dismissed=dismissed,
    )


def _renumbered(windows: NDArray[np.int64], enough: NDArray[np.bool_], number: NDArray[np.int64]) -> NDArray[np.int64]:
    kept = windows[enough[windows[:, 0]]]
    return np.column_stack([number[kept[:, 0]], kept[:, 1:]]).astype(np.int64)


def _within(windows: NDArray[np.int64], rows: Rows) -> NDArray[np.bool_]:
    """Which rows lie in one of these windows (stream, first ms, last ms)."""
    inside = np.zeros(len(rows.at), dtype=bool)
    for stream, first, last in windows.tolist():
        inside |= (rows.stream == stream) & (rows.at >= first) & (rows.at <= last)
    return inside


# ---------------------------------------------------------------- fitting


def fitted(kind: Kind, past: Rows, seed: int, left_out: NDArray[np.bool_] | None = None) -> Detector:
    """Forest and prior from ordinary samples; it has no opinion on confidence yet."""
    profiles, found = learn_scales(past, scales_of(kind), left_out)
    values = past.values if left_out is None else np.where(left_out[:, None], np.nan, past.values)
    base = baselines.learn(kind, values, past.stream, past.streams)
    prior = _prior(profiles, found, base)
    detector = Detector(kind.kind, "", grown(found, seed), prior, np.zeros(2), np.zeros(2))
    return replace(detector, prior=_with_tails(detector, past, base))


def _prior(profiles: Profiles, found: Floats, base: baselines.Baselines) -> Profiles:
    """Half of the streams vary more, in units of their spread."""
    unit = base.spread[:, None, :]
    centre, spread = profiles.centre / unit, profiles.spread / unit
    centre[:, Feature.VOLATILITY] = profiles.centre[:, Feature.VOLATILITY] - np.log(base.spread)
    spread[:, Feature.VOLATILITY] = profiles.spread[:, Feature.VOLATILITY]
    centre[:, Feature.RESIDUAL] = 0.0
    spread[:, Feature.RESIDUAL] = 1.0
    metrics = found.shape[2]
    nothing = np.zeros((1, HOURS, metrics))
    arrays = (
        np.zeros(1),
        np.median(profiles.cadence, keepdims=True),
        nothing,
        nothing,
        _middle(profiles.floor / base.spread),
        _middle(centre),
        _middle(spread),
        np.tile(np.eye(metrics), (1, len(TOGETHER), 1, 1)),  # how metrics move together differs too much to presume
        np.zeros_like(profiles.knots[:1]),
        np.zeros_like(profiles.beyond[:1]),
        np.zeros_like(profiles.peaks[:1]),
    )
    return Profiles(*(array.astype(np.float32) for array in arrays))


def _middle(values: Floats) -> Floats:
    """The median over the streams that know it, else 1."""
    known = np.where(np.isnan(values).all(axis=0), 1.0, values)
    result: Floats = np.nanmedian(known, axis=0, keepdims=True)
    return result


def _with_tails(detector: Detector, past: Rows, base: baselines.Baselines) -> Profiles:
    """The prior with the tails of views on streams of which no more is known than centre and spread."""
    presumed = detector.presumed(base.centre, base.spread, base.samples)
    raw, _ = follow(Memory.blank(past.streams, past.values.shape[1]), past, presumed.pace)
    found = deviations(presumed, detector.scales, past, raw)
    odd = views(found, presumed.whiten, past.stream, detector.forest)
    knots, beyond = (values[None].astype(np.float32) for values in tails(odd))
    known = replace(presumed, knots=np.repeat(knots, past.streams, 0), beyond=np.repeat(beyond, past.streams, 0))
    together = fused(odd, known, past.stream)
    filled = [span for span in spans(past) if span.stop > span.start]
    peaks = np.array([peaks_over(together[span], float(presumed.cadence[0])) for span in filled])
    return replace(
        detector.prior,
        knots=knots,
        beyond=beyond,
        peaks=(np.median(peaks, axis=0, keepdims=True) * (CAUTION, CAUTION, 1.0)).astype(np.float32),
    )


# ---------------------------------------------------------------- measuring


def confident(detector: Detector, trial: Trial, history: History | None = None) -> Detector:
    """Fit the isotonic map from what the views say together to the probability of an event.

    What people said of anomalies in the trial's time weighs more: confirmed ones are events, dismissed ones are none.
    """
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - a server that only scores must not pay for it

    surprise, truth = judged(detector, trial).surprise, trial.faulty.astype(np.float64)
    weight = np.ones(len(truth))
    if history:
        said = [_within(windows, trial.ahead) for windows in (history.confirmed, history.dismissed)]
        truth = np.where(said[0], 1.0, np.where(said[1], 0.0, truth))
        weight[said[0] | said[1]] = VERDICT_WEIGHT
    fit = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    known = ~np.isnan(surprise)
    fit.fit(surprise[known], truth[known], sample_weight=weight[known])
    return replace(detector, confidence_x=fit.X_thresholds_, confidence_y=fit.y_thresholds_)


def judged(detector: Detector, trial: Trial, sensitivity: float = 0.5) -> Verdicts:
    """The verdicts on what lies ahead, by what was learned from the past."""
    past = trial.past
    profiles = learn(past, detector.scales, detector.forest)
    _, memory = follow(Memory.blank(past.streams, past.values.shape[1]), past, profiles.pace)
    return detector.judge(trial.ahead, profiles, memory, sensitivity)


def measured(detector: Detector, trial: Trial, sensitivity: float = 0.5) -> tuple[Measure, ...]:
    """VUS-PR, events found and false alarms at the budget, and calibration error of the confidence, on `trial`.

    An event is a run of faulty rows of a stream; it is found when an episode overlaps it. An episode that overlaps
    none, give or take half an hour, is a false alarm.
    """
    verdicts = judged(detector, trial, sensitivity)
    streams = list(spans(trial.ahead))
    counts = np.array([_tally(trial, span, verdicts.score[span]) for span in streams]).sum(axis=0)
    days = sum(float(np.ptp(trial.ahead.at[span])) / DAY_MS for span in streams if span.stop > span.start)
    values = {
        "vus_pr": _mean_vus(trial, verdicts.score, [span for span in streams if trial.faulty[span].any()]),
        "event_recall": counts[2] / max(1, counts[1]),
        "false_alarm_ratio": counts[0] / max(1e-9, days * false_alarms_per_day(sensitivity)),
        "calibration_error": calibration_error(verdicts.confidence, trial.faulty),
    }
    return tuple(Measure(name, float(value), len(trial.faulty), trial.dataset) for name, value in values.items())


def _mean_vus(trial: Trial, scores: Floats, chosen: list[slice]) -> float:
    """Over some of the streams with events."""
    some = chosen[:: max(1, len(chosen) // VUS_STREAMS)]
    known = np.nan_to_num(scores, nan=-1.0)
    return float(np.mean([vus_pr(trial.faulty[span], known[span]) for span in some])) if some else 0.0


def _tally(trial: Trial, rows: slice, scores: Floats) -> tuple[int, int, int]:
    """False alarms, events and events found of one stream."""
    at, faulty = trial.ahead.at[rows], trial.faulty[rows]
    episodes = follow_episodes(EpisodeState(), at, scores)[1]
    alarmed = [(one.started_at, one.last_seen_at or one.started_at) for one in episodes]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], faulty.astype(np.int8), [0]])))
    events = [(at[first], at[last - 1]) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    false = sum(not any(a <= end + SLACK_MS and b >= start - SLACK_MS for start, end in events) for a, b in alarmed)
    found = sum(any(a <= end and b >= start for a, b in alarmed) for start, end in events)
    return false, len(events), found
