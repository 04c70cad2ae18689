"""Tells odd samples from ordinary ones: an isolation forest and robust baselines, fused on one calibrated scale."""

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.calibration import Tails
from ml.metrics import CATALOGUE, Floats, Kind, TargetKind
from ml.trees import Forest

WARM_SAMPLES: Final = 500  # a baseline resting on fewer is young, and the confidence built on it capped
COLD_CONFIDENCE: Final = 0.5  # the cap where there is no baseline of the target's own
STRANGER: Final = 1.5  # a target without a baseline of its own may differ from its fleet in several metrics at once
SAMPLES_PER_DAY: Final = 288  # nominal cadence: every five minutes
LARGEST: Final = 1e6  # deviations beyond this say no more


@dataclass(frozen=True)
class Verdicts:
    """One row per sample. NaN score and 0 confidence where no metric could be judged.

    score (rows,): -1 to 1, above 0 exactly when it alarms; confidence (rows,): probability of a real event;
    deviations (rows, metrics): signed robust standard deviations, NaN where not measured or without baseline;
    shares (rows, metrics): each metric's part in the surprise, 0 to 1, summing to 1.
    """

    score: Floats
    confidence: Floats
    deviations: Floats
    shares: Floats


@dataclass(frozen=True)
class Detector:
    """A trained model of one kind of target. Treat `metadata` as frozen.

    typical (metrics,): the feature value that stands in for a metric not measured; tails: of each metric's feature,
    then of the forest's score, the baseline view and the fused surprise; confidence_x, confidence_y: knots of the map
    from fused surprise to probability.
    """

    kind: TargetKind
    version: str
    forest: Forest
    typical: Floats
    tails: Tails
    confidence_x: Floats
    confidence_y: Floats
    metadata: dict[str, Any]

    def judge(
        self,
        readings: Floats,
        centre: Floats,
        spread: Floats,
        samples: NDArray[np.int64],
        sensitivity: float = 0.5,
    ) -> Verdicts:
        """Judge `readings` (rows, metrics) in catalogue order, NaN = not measured, against each row's baseline.

        `centre` and `spread`: (rows, metrics) or (metrics,), in the metrics' units; a metric with NaN there takes no
        part. `samples` (rows,): how many the baseline rests on, 0 = only the fleet or the catalogue; the spread of a
        young one is widened, as it has not seen a whole day yet. `sensitivity` 0 to 1 (clipped) allows 90^s / 30 false
        alarms per day and target.
        """
        kind = CATALOGUE[self.kind]
        deviations: Floats = np.clip((readings - centre) / (spread * _youth(samples)), -LARGEST, LARGEST)
        features = harm(kind, deviations)
        surprises = metric_surprises(self.tails, features)
        fused = fuse(self.tails, self.forest, np.where(np.isnan(features), self.typical, features), surprises)
        judged = ~np.isnan(deviations).all(axis=1)
        threshold = self.threshold(sensitivity)
        score = np.where(judged, (fused - threshold) / (fused + threshold), np.nan)
        probability = np.interp(fused, self.confidence_x, self.confidence_y)
        cap = COLD_CONFIDENCE + (1.0 - COLD_CONFIDENCE) * np.minimum(samples, WARM_SAMPLES) / WARM_SAMPLES
        confidence = np.where(judged, np.minimum(probability, cap), 0.0)
        return Verdicts(score, confidence, deviations, _shares(surprises))

    def threshold(self, sensitivity: float) -> float:
        """The fused surprise that ordinary samples exceed as often as the sensitivity's false alarm budget allows."""
        per_sample = false_alarms_per_day(sensitivity) / SAMPLES_PER_DAY
        return self.tails.value(len(self.tails.knots) - 1, -float(np.log10(per_sample)))

    def to_bytes(self) -> bytes:
        """An .npz artefact without pickle; the same detector gives the same bytes."""
        header = {"kind": self.kind.value, "version": self.version, "metadata": self.metadata}
        text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
        file = io.BytesIO()
        arrays: dict[str, NDArray[Any]] = {
            "header": np.frombuffer(text, dtype=np.uint8),
            "typical": self.typical,
            "knots": self.tails.knots,
            "scale": self.tails.scale,
            "confidence_x": self.confidence_x,
            "confidence_y": self.confidence_y,
        }
        np.savez(file, allow_pickle=False, **(arrays | self.forest.to_arrays()))
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote. Raises ValueError where `data` is damaged or something else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays["header"].tobytes())
            detector = cls(
                TargetKind(header["kind"]),
                str(header["version"]),
                Forest.from_arrays(arrays),
                arrays["typical"],
                Tails(arrays["knots"], arrays["scale"]),
                arrays["confidence_x"],
                arrays["confidence_y"],
                dict(header["metadata"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile) as error:
            msg = f"not a detector's artefact, or a damaged one: {error}"
            raise ValueError(msg) from error
        detector._check()
        return detector

    def _check(self) -> None:
        metrics = len(CATALOGUE[self.kind].specs)
        if self.typical.shape != (metrics,) or len(self.tails.knots) != metrics + 3:
            msg = f"not a detector for the {metrics} metrics of a {self.kind}"
            raise ValueError(msg)


def false_alarms_per_day(sensitivity: float) -> float:
    """The budget per target: 90^s / 30, from one a month at 0 to three a day at 1."""
    return float(90.0 ** np.clip(sensitivity, 0.0, 1.0) / 30.0)


def _youth(samples: NDArray[np.int64]) -> Floats:
    """By how much to widen spreads, (rows, 1): √(500 / samples) below 500, and a little where the fleet's stands in."""
    young = np.sqrt(WARM_SAMPLES / np.clip(samples, 1, WARM_SAMPLES))
    widened: Floats = np.where(samples > 0, young, STRANGER)
    return widened[:, None]


def harm(kind: Kind, deviations: Floats) -> Floats:
    """log(1 + |deviation|), (rows, metrics), of harmful deviations; 0 of those for the better; NaN stays."""
    better = deviations * kind.harmless_sign > 0.0
    result: Floats = np.where(better, 0.0, np.log1p(np.abs(deviations)))
    return result


def metric_surprises(tails: Tails, features: Floats) -> Floats:
    """How surprising each metric is by itself, (rows, metrics), in powers of ten; NaN where not measured."""
    return np.column_stack([tails.surprise(place, features[:, place]) for place in range(features.shape[1])])


def baseline_view(surprises: Floats) -> Floats:
    """The greatest surprise of a row, (rows,), discounted for how many metrics had a chance to surprise.

    Šidák: of m metrics one is this surprising with probability 1 - (1 - p)^m. So a link that measures two metrics is
    judged on the same scale as one that measures twelve.
    """
    measured = np.maximum(1, np.count_nonzero(~np.isnan(surprises), axis=1))
    least = 10.0 ** -np.nan_to_num(surprises).max(axis=1)
    chance = -np.expm1(measured * np.log1p(-np.minimum(least, 1.0 - 1e-12)))
    result: Floats = -np.log10(np.maximum(chance, np.finfo(np.float64).tiny))
    return result


def fuse(tails: Tails, forest: Forest, features: Floats, surprises: Floats) -> Floats:
    """Both views as surprises, and their root mean square (rows,); `features` are complete, `surprises` may be NaN."""
    metrics = features.shape[1]
    isolated = tails.surprise(metrics, forest.score(features))
    deviant = tails.surprise(metrics + 1, baseline_view(surprises))
    result: Floats = np.sqrt((isolated**2 + deviant**2) / 2.0)
    return result


def _shares(surprises: Floats) -> Floats:
    """Each metric's part in the squared surprise; even where nothing surprises, 0 where not measured."""
    known = ~np.isnan(surprises)
    weight = np.nan_to_num(surprises) ** 2
    total = weight.sum(axis=1, keepdims=True)
    weight = np.where(total > 0.0, weight, known)
    result: Floats = weight / np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return result
