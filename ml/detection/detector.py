"""Scores samples by an ensemble that compares each with its own stream's past."""

import json
import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import CATALOGUE, Kind, TargetKind
from ml.catalogue.units import DAY_SECONDS
from ml.detection.baselines import MIN_SAMPLES
from ml.detection.calibration import compute_threshold
from ml.detection.episodes import estimate_spacing
from ml.detection.features import FEATURES, NOMINAL_CADENCE_SECONDS, Feature, Memory, StreamSamples, walk_samples
from ml.detection.profiles import HOURS, MetricScales, Profiles, list_profile_shapes, standardize
from ml.detection.scorers import CHUNK_ROWS, BaseScorer, compute_base_scores, compute_ensemble_score
from ml.numerics.arrays import Bools, Floats, Floats32, Integers
from ml.numerics.artefacts import name_damage, read_arrays, write_arrays
from ml.numerics.trees import Forest

WARM_SAMPLES: Final = 500  # a profile that rests on fewer is young, and the confidence built on it capped
COLD_CONFIDENCE: Final = 0.5  # the cap without any baseline of the target's own
BELOW_HALF: Final = 0.499  # the greatest confidence without an alarm
COLD_START_SPREAD: Final = 1.5  # a target without a baseline may differ from its fleet in several metrics at once
THRESHOLD_SHRINKAGE_DAYS: Final = 2.0  # of history at which a stream's own threshold counts for as much as the fleet's
OPTIMISM_DAYS: Final = 3.0  # of history that double the promised alarms: a profile fits the past it learned from best
# Streams share their target's budget. The two directions of a link cross the same air: some false alarms coincide.
STREAMS_PER_TARGET: Final = {TargetKind.NETWORK: 1.0, TargetKind.SITE: 1.0, TargetKind.LINK: 2.0}
BUDGET_SHARE: Final = {TargetKind.NETWORK: 1.0, TargetKind.SITE: 1.0, TargetKind.LINK: 0.6}  # of each stream
KNOWN_PACE: Final = 1.5  # times faster or slower than learned: beyond, nobody knows how volatile a stream is
PACE_POWER: Final = 0.5  # samples that come four times as fast are twice as many chances of a false alarm
MAX_REPORTED_DEVIATION: Final = 1e6
SLOW_FEATURES: Final = (Feature.RESIDUAL, Feature.SHIFT)
DAY_UNSEEN_SPREAD: Final = 1.4  # wider still are the levels of a stream that has not seen a whole day
EXPLAINING_FEATURES: Final = (Feature.RESIDUAL, Feature.JUMP, Feature.DEVIATION)
ARRAY_NAMES: Final = {  # of a profile's fields in an artefact: stored versions have these
    "samples": "samples",
    "cadence_seconds": "cadence",
    "hourly_median": "usual",
    "hourly_volatility": "restless",
    "noise_floor": "floor",
    "centre": "centre",
    "spread": "spread",
    "whitening": "whiten",
    "knots": "knots",
    "tail_scale": "beyond",
    "peaks": "peaks",
}


@dataclass(frozen=True)
class Scores:
    """One row per sample. Score and surprisal are NaN, and confidence 0, where no metric could be scored.

    score: -1 to 1, above 0 exactly when the sample alarms, shape (rows,).
    surprisal: the ensemble score, from 0, shape (rows,).
    confidence: probability that a true event is under way, at least 0.5 exactly where the sample alarms, shape (rows,).
    standardized: features in robust standard deviations, shape (rows, 6, metrics); 0 for the better, NaN where not
        measured or without baseline.
    expected: median at that hour in the metric's unit, shape (rows, metrics).
    deviations: from that in robust standard deviations, those for the better too, shape (rows, metrics).
    pace: seconds between the samples of each row's stream, as known before it, shape (rows,).
    spacing: the same as far as a silence is told from the usual time between samples: see `estimate_spacing`.
    memory: of each stream behind its last row.
    """

    score: Floats
    surprisal: Floats
    confidence: Floats
    standardized: Floats
    expected: Floats
    deviations: Floats
    pace: Floats
    spacing: Floats
    memory: Memory

    def reorder(self, order: NDArray[np.intp], streams: int) -> "Scores":
        """Returns the rows in another order, and the memory of only the first `streams`."""
        rows = {field.name: getattr(self, field.name)[order] for field in fields(self) if field.name != "memory"}
        return Scores(**rows, memory=self.memory.take(np.arange(streams)))

    def compute_shares(self, row: int) -> Floats:
        """Returns each metric's share of the score, 0 to 1, shape (metrics,), 0 where not measured.

        Shares add up to 1 and are equal where nothing deviates. They are the squared largest deviations from the
        median, the last sample and the last half hour. Measured on labelled series, they name an implicated metric
        first about as often as attributions of the forest do, at a thousandth of their cost.
        """
        deviations = np.abs(self.standardized[row, EXPLAINING_FEATURES])
        measured = ~np.isnan(deviations).all(axis=0)
        weight = np.square(np.where(np.isnan(deviations), 0.0, deviations).max(axis=0))
        if not weight.any():
            weight = measured.astype(np.float64)
        result: Floats = weight / max(float(weight.sum()), float(np.finfo(np.float64).tiny))
        return result


@dataclass(frozen=True)
class Detector:
    """A trained model of one kind of target.

    prior: one profile, of a stream of which only each metric's centre and spread are known, in units of these.
    confidence_x, confidence_y: knots of the map to the probability of a true event, shape (knots,).
    confidence_of: what is mapped: 'score', or 'surprisal' in versions trained before 1.0.1.
    """

    kind: TargetKind
    version: str
    forest: Forest
    prior: Profiles
    confidence_x: Floats
    confidence_y: Floats
    confidence_of: str = "score"

    @cached_property
    def scales(self) -> MetricScales:
        """What the catalogue knows of the kind's metrics."""
        return make_metric_scales(CATALOGUE[self.kind])

    def score(self, samples: StreamSamples, profiles: Profiles, memory: Memory, sensitivity: float = 0.5) -> Scores:
        """Scores samples by the profiles and the memory of their streams.

        sensitivity: from 0 to 1 (clipped); s allows 90^s / 30 false alarms per day and target.
        """
        walked = walk_samples(memory, samples, profiles.smoothing_scales)
        standardized = walked.features()  # as soon as it is read
        standardized[~self._knows_pace(profiles, samples.stream, walked.pace), Feature.VOLATILITY] = np.nan
        ensemble = np.empty(len(standardized))
        for first in range(0, len(ensemble), CHUNK_ROWS):
            part = slice(first, first + CHUNK_ROWS)
            chunk = StreamSamples(samples.values[part], samples.at[part], samples.stream[part], samples.streams)
            standardized[part] = standardize(profiles, self.scales, chunk, standardized[part])
            base_scores = compute_base_scores(standardized[part], profiles.whitening, chunk.stream, self.forest)
            ensemble[part] = compute_ensemble_score(base_scores, profiles, chunk.stream)
        is_scored = ~np.isnan(standardized[:, Feature.RESIDUAL]).all(axis=1)
        limit = self.compute_thresholds(profiles, sensitivity, samples.stream, walked.pace)
        score = np.where(is_scored, (ensemble - limit) / (ensemble + limit), np.nan)
        surprisal = np.where(is_scored, ensemble, np.nan)
        confidence = self._compute_confidence(score, surprisal, profiles.samples[samples.stream])
        expected, deviations = self._compute_deviations(samples, profiles)
        is_known = (memory.count[samples.stream] > 1) | (profiles.samples[samples.stream] > 0)
        spacing = estimate_spacing(walked.pace, walked.gap_before, is_known)
        pace, memory = walked.pace, walked.memory()
        return Scores(score, surprisal, confidence, standardized, expected, deviations, pace, spacing, memory)

    def _knows_pace(self, profiles: Profiles, stream: Integers, pace: Floats) -> Bools:
        """Returns which rows come about as fast as those that their profile rests on, shape (rows,).

        How much a metric moves between two samples is known only for these.
        """
        result: Bools = np.abs(np.log(profiles.cadence_seconds[stream] / pace)) < np.log(KNOWN_PACE)
        return result

    def _compute_deviations(self, samples: StreamSamples, profiles: Profiles) -> tuple[Floats, Floats]:
        """Returns the expected values, and how far the values are from them in robust standard deviations."""
        stream = samples.stream
        spread = profiles.spread[stream, Feature.RESIDUAL]
        expected = profiles.hourly_median[stream, samples.hours] + profiles.centre[stream, Feature.RESIDUAL]
        deviations = (samples.values - expected) / spread
        return expected, np.minimum(np.maximum(deviations, -MAX_REPORTED_DEVIATION), MAX_REPORTED_DEVIATION)

    def _compute_confidence(self, score: Floats, surprisal: Floats, samples: Floats32) -> Floats:
        """Returns probabilities, shape (rows,), capped where a profile rests on few `samples` (rows,).

        A probability of less than a half would deny an alarm that the sensitivity asks for: it counts as a half. So
        does a greater one without an alarm.
        """
        known = surprisal if self.confidence_of == "surprisal" else score
        probability = np.interp(known, self.confidence_x, self.confidence_y)
        cap = COLD_CONFIDENCE + (1.0 - COLD_CONFIDENCE) * np.minimum(samples, WARM_SAMPLES) / WARM_SAMPLES
        probability = np.minimum(probability, cap)
        result = np.where(score > 0.0, np.maximum(probability, 0.5), np.minimum(probability, BELOW_HALF))
        return np.where(np.isnan(score), 0.0, result)

    def compute_thresholds(
        self, profiles: Profiles, sensitivity: float, stream: Integers | None = None, pace: Floats | None = None
    ) -> Floats:
        """Returns the ensemble score from which each row alarms, shape (rows,).

        stream, pace: of each row, and the seconds between its stream's samples; by default one row for each stream, at
            the cadence of its profile.

        It is exceeded as often as the budget of this sensitivity allows. Samples that come faster than those that a
        profile rests on are more chances of a false alarm; but noise is partly common to samples that are close.
        """
        stream = np.arange(len(profiles)) if stream is None else stream
        cadence = profiles.cadence_seconds[stream].astype(np.float64)
        pace = cadence if pace is None else pace
        per_day = false_alarms_per_day(sensitivity) * BUDGET_SHARE[self.kind]
        days = np.maximum(profiles.samples * profiles.cadence_seconds / DAY_SECONDS, 0.1)[stream]
        trust = days / (days + THRESHOLD_SHRINKAGE_DAYS)
        own_budget = per_day / (1.0 + OPTIMISM_DAYS / days) * (pace / cadence) ** PACE_POWER
        own = compute_threshold(profiles.peaks[stream].astype(np.float64), own_budget)
        result: Floats = trust * own
        prior_budget = per_day * (pace / self.prior.cadence_seconds) ** PACE_POWER
        result += (1.0 - trust) * compute_threshold(self.prior.peaks.astype(np.float64), prior_budget)
        return result

    def make_prior_profiles(
        self, centre: Floats, spread: Floats, samples: Integers, seconds: Floats | None = None
    ) -> Profiles:
        """Returns profiles of streams of which only each metric's centre and spread are known.

        centre, spread: in the metrics' units, shape (streams, metrics); a metric with NaN takes no part.
        samples: how many these rest on, 0 = they are the fleet's or the catalogue's, shape (streams,).
        seconds: that these span, shape (streams,); None where the samples came at the nominal cadence.

        A young stream's spread is widened. What counts is the time: many samples of one hour know nothing of the next.
        Until a stream has seen a whole day, its levels may still go anywhere that the day takes them.
        """
        seconds = NOMINAL_CADENCE_SECONDS * samples.astype(np.float64) if seconds is None else seconds
        effective = np.minimum(samples, seconds / NOMINAL_CADENCE_SECONDS)
        day_unseen = (samples > 0) & (seconds < DAY_SECONDS)
        young = np.sqrt(WARM_SAMPLES / np.where(day_unseen, np.minimum(samples, MIN_SAMPLES), np.maximum(effective, 1)))
        width = np.where(samples > 0, np.maximum(young, 1.0), COLD_START_SPREAD)[:, None, None]
        prior, streams, metrics, unit = self.prior, len(centre), centre.shape[1], spread[:, None, :]
        feature_centre, feature_spread = prior.centre * unit, prior.spread * unit * width
        feature_spread[:, SLOW_FEATURES] *= np.where(day_unseen, DAY_UNSEEN_SPREAD, 1.0)[:, None, None]
        # Nobody knows how volatile a stream without samples is.
        volatility = prior.centre[:, Feature.VOLATILITY] + np.log(spread)
        feature_centre[:, Feature.VOLATILITY] = np.where(samples[:, None] > 0, volatility, np.nan)
        feature_spread[:, Feature.VOLATILITY] = prior.spread[:, Feature.VOLATILITY] * width[:, 0]
        repeat = np.broadcast_to
        own = {
            "samples": effective,
            "cadence_seconds": repeat(NOMINAL_CADENCE_SECONDS, streams),
            "hourly_median": repeat(centre[:, None, :], (streams, HOURS, metrics)),
            "hourly_volatility": repeat(0.0, (streams, HOURS, metrics)),
            "noise_floor": np.maximum(prior.noise_floor * spread, self.scales.least_spread),
            "centre": feature_centre,
            "spread": feature_spread,
        }
        shared = {
            name: repeat(getattr(prior, name)[0], (streams, *getattr(prior, name).shape[1:]))
            for name in ("whitening", "knots", "tail_scale", "peaks")
        }
        return Profiles(**{name: np.array(values, dtype=np.float32) for name, values in (own | shared).items()})

    def recalibrate(self, profiles: Profiles, own: Bools) -> Profiles:
        """Returns the profiles with the prior's tails of the forest's scores where another version's forest set them.

        own: which profiles were fitted with this version's forest, shape (streams,).
        """
        if own.all():
            return profiles
        knots, tail_scale = profiles.knots.copy(), profiles.tail_scale.copy()
        knots[~own, BaseScorer.ISOLATION] = self.prior.knots[0, BaseScorer.ISOLATION]
        tail_scale[~own, BaseScorer.ISOLATION] = self.prior.tail_scale[0, BaseScorer.ISOLATION]
        return replace(profiles, knots=knots, tail_scale=tail_scale)

    def to_bytes(self) -> bytes:
        """Returns an `.npz` artefact without pickle; the same detector gives the same bytes."""
        text = json.dumps({"kind": self.kind.value, "confidence_of": self.confidence_of}).encode()
        arrays: dict[str, NDArray[Any]] = {
            "header": np.frombuffer(text, dtype=np.uint8),
            "confidence_x": self.confidence_x,
            "confidence_y": self.confidence_y,
        }
        arrays |= {f"prior_{array}": getattr(self.prior, field) for field, array in ARRAY_NAMES.items()}
        return write_arrays(arrays | self.forest.to_arrays())

    @classmethod
    def from_bytes(cls, data: bytes, version: str) -> Self:
        """Reads what `to_bytes` wrote. Raises ValueError where `data` is damaged.

        version: the name that the detector is stored under.
        """
        with name_damage("a detector"):
            arrays = read_arrays(data)
            header = json.loads(arrays["header"].tobytes())
            detector = cls(
                TargetKind(header["kind"]),
                version,
                Forest.from_arrays(arrays),
                Profiles(**{field: arrays[f"prior_{array}"] for field, array in ARRAY_NAMES.items()}),
                arrays["confidence_x"],
                arrays["confidence_y"],
                header.get("confidence_of", "surprisal"),
            )
        detector._check()
        return detector

    def _check(self) -> None:
        """Raises ValueError where the arrays do not fit together."""
        metrics = len(CATALOGUE[self.kind].specs)
        shapes = [getattr(self.prior, field.name).shape for field in fields(Profiles)]
        knots = self.confidence_x
        fits = shapes == [(1, *shape) for shape in list_profile_shapes(metrics)]
        fits &= self.forest.trees.columns == FEATURES * metrics
        fits &= knots.ndim == 1 and len(knots) >= 2 and knots.shape == self.confidence_y.shape
        if not fits:
            raise ValueError(f"not a detector for the {metrics} metrics of a {self.kind}")
        if not self._is_possible():
            raise ValueError("not a detector's artefact, or a damaged one: a number in it is impossible")

    def _is_possible(self) -> bool:
        prior, probability = self.prior, self.confidence_y
        numbers = [getattr(prior, field.name) for field in fields(Profiles)] + [self.confidence_x, probability]
        if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in numbers):
            return False
        positive = (prior.cadence_seconds, prior.spread, prior.tail_scale, prior.peaks)
        ascending = (prior.knots, self.confidence_x, probability)
        return (
            all((array > 0.0).all() for array in positive)
            and all((np.diff(array) >= 0.0).all() for array in ascending)
            and bool(probability[0] >= 0.0 and probability[-1] <= 1.0)
        )


def make_metric_scales(kind: Kind) -> MetricScales:
    """Returns what the catalogue knows of the kind's metrics."""
    return MetricScales(kind.least_spread, kind.harmless_sign)


def share_budget(sensitivity: float, share: float) -> float:
    """Returns the sensitivity whose budget is this share of another one's, 0 at least."""
    return max(0.0, sensitivity + math.log(share) / math.log(90.0))


def false_alarms_per_day(sensitivity: float) -> float:
    """Returns the budget per target: 90^s / 30, from one a month at 0 to three a day at 1."""
    return float(90.0 ** min(max(sensitivity, 0.0), 1.0) / 30.0)
