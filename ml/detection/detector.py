"""Tells odd samples from ordinary ones: eight views of how a sample differs from its stream's past, on one scale."""

import json
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import CATALOGUE, Kind, TargetKind
from ml.detection.calibration import threshold
from ml.detection.features import FEATURES, Feature, Memory, Rows, follow
from ml.detection.profiles import HOURS, Profiles, Scales, deviations, profile_shapes
from ml.detection.scorers import CHUNK_ROWS, View, fused, views
from ml.numerics.arrays import Floats
from ml.numerics.artefacts import name_damage, read_arrays, write_arrays
from ml.numerics.trees import Forest

WARM_SAMPLES: Final = 500  # what rests on fewer is young, and the confidence built on it capped
COLD_CONFIDENCE: Final = 0.5  # the cap where there is no baseline of the target's own
STRANGER: Final = 1.5  # a target without a baseline of its own may differ from its fleet in several metrics at once
TRUSTED_DAYS: Final = 2.0  # of history at which a stream's own threshold counts for as much as the fleet's
OPTIMISM_DAYS: Final = 3.0  # of history that double the alarms promised: what is learned from fits itself best
NOMINAL_SECONDS: Final = 300.0  # between samples, where nobody knows
LARGEST: Final = 1e6  # deviations beyond this say no more
TELLING: Final = (Feature.RESIDUAL, Feature.JUMP, Feature.DEVIATION)  # that explain a verdict


@dataclass(frozen=True)
class Verdicts:
    """One row per sample. NaN score and 0 confidence where no metric could be judged.

    score (rows,): -1 to 1, above 0 exactly when it alarms; surprise (rows,): what the views say together;
    confidence (rows,): probability of a real event;
    found (rows, 6, metrics): features in signed robust standard deviations, 0 for the better, NaN where not measured
    or without baseline; expected (rows, metrics): what is usual at that hour; deviations (rows, metrics): from that,
    those for the better too; memory: of each stream behind its last row.
    """

    score: Floats
    surprise: Floats
    confidence: Floats
    found: Floats
    expected: Floats
    deviations: Floats
    memory: Memory

    def reordered(self, order: NDArray[np.intp], streams: int) -> "Verdicts":
        """The rows in another order, and the memory of only the first `streams`."""
        rows = {field.name: getattr(self, field.name)[order] for field in fields(self) if field.name != "memory"}
        return Verdicts(**rows, memory=self.memory.take(np.arange(streams)))

    def shares(self, row: int) -> Floats:
        """Each metric's part in the verdict, 0 to 1, summing to 1; even where nothing deviates, 0 where not measured.

        By its largest deviation from the usual, the last sample and the last half hour: measured to name an implicated
        metric first about as often as attributions of the forest do, at a thousandth of their cost.
        """
        apart = np.abs(self.found[row, TELLING])
        known = ~np.isnan(apart).all(axis=0)
        weight = np.square(np.where(np.isnan(apart), 0.0, apart).max(axis=0))
        if not weight.any():
            weight = known.astype(np.float64)
        result: Floats = weight / max(float(weight.sum()), float(np.finfo(np.float64).tiny))
        return result


@dataclass(frozen=True)
class Detector:
    """A trained model of one kind of target.

    prior: one profile, of a stream that nothing is known of but each metric's centre and spread, in units of these;
    confidence_x, confidence_y: knots of the map from what the views say together to the probability of an event.
    """

    kind: TargetKind
    version: str
    forest: Forest
    prior: Profiles
    confidence_x: Floats
    confidence_y: Floats

    @cached_property
    def scales(self) -> Scales:
        return scales_of(CATALOGUE[self.kind])

    def judge(self, rows: Rows, profiles: Profiles, memory: Memory, sensitivity: float = 0.5) -> Verdicts:
        """Judge samples, sorted by stream and time, by their streams' profiles and what is remembered of these.

        `sensitivity` 0 to 1 (clipped) allows 90^s / 30 false alarms per day and target.
        """
        raw, memory = follow(memory, rows, profiles.pace)
        found, together = np.empty_like(raw), np.empty(len(raw))
        for first in range(0, len(raw), CHUNK_ROWS):
            part = slice(first, first + CHUNK_ROWS)
            chunk = Rows(rows.values[part], rows.at[part], rows.stream[part], rows.streams)
            found[part] = deviations(profiles, self.scales, chunk, raw[part])
            odd = views(found[part], profiles.whiten, chunk.stream, self.forest)
            together[part] = fused(odd, profiles, chunk.stream)
        judged = ~np.isnan(found[:, Feature.RESIDUAL]).all(axis=1)
        limit = self.threshold(profiles, sensitivity)[rows.stream]
        score = np.where(judged, (together - limit) / (together + limit), np.nan)
        confidence = np.where(judged, self._confidence(together, profiles.samples[rows.stream]), 0.0)
        return Verdicts(
            score, np.where(judged, together, np.nan), confidence, found, *self._residual(rows, profiles), memory
        )

    def _residual(self, rows: Rows, profiles: Profiles) -> tuple[Floats, Floats]:
        """What is usual, and how far from it in robust standard deviations each metric is, (rows, metrics)."""
        spread = profiles.spread[rows.stream, Feature.RESIDUAL]
        expected = profiles.usual[rows.stream, rows.hours] + profiles.centre[rows.stream, Feature.RESIDUAL]
        return expected, np.minimum(np.maximum((rows.values - expected) / spread, -LARGEST), LARGEST)

    def _confidence(self, together: Floats, samples: NDArray[np.float32]) -> Floats:
        probability = np.interp(together, self.confidence_x, self.confidence_y)
        cap = COLD_CONFIDENCE + (1.0 - COLD_CONFIDENCE) * np.minimum(samples, WARM_SAMPLES) / WARM_SAMPLES
        result: Floats = np.minimum(probability, cap)
        return result

    def threshold(self, profiles: Profiles, sensitivity: float) -> Floats:
        """What the views must say together for an alarm, (streams,): passed as often as the budget allows."""
        per_day = false_alarms_per_day(sensitivity)
        days = np.maximum(profiles.samples * profiles.cadence / 86_400.0, 0.1)
        trust = days / (days + TRUSTED_DAYS)
        result: Floats = trust * threshold(profiles.peaks.astype(np.float64), per_day / (1.0 + OPTIMISM_DAYS / days))
        result += (1.0 - trust) * threshold(self.prior.peaks.astype(np.float64), per_day)
        return result

    def presumed(self, centre: Floats, spread: Floats, samples: NDArray[np.int64]) -> Profiles:
        """Profiles of streams of which only each metric's centre and spread (streams, metrics) are known.

        `samples` (streams,): how many these rest on, 0 = they are the fleet's or the catalogue's. A young one's spread
        is widened, as it has not seen a whole day yet. A metric with NaN there takes no part.
        """
        young = np.sqrt(WARM_SAMPLES / np.clip(samples, 1, WARM_SAMPLES))
        wide = np.where(samples > 0, young, STRANGER)[:, None, None]
        prior, streams, unit = self.prior, len(centre), spread[:, None, :]
        middle, width = prior.centre * unit, prior.spread * unit * wide
        restless = prior.centre[:, Feature.VOLATILITY] + np.log(spread)  # of a stranger nobody knows how restless it is
        middle[:, Feature.VOLATILITY] = np.where(samples[:, None] > 0, restless, np.nan)
        width[:, Feature.VOLATILITY] = prior.spread[:, Feature.VOLATILITY] * wide[:, 0]
        whole = np.broadcast_to
        known = {
            "samples": samples,
            "cadence": whole(NOMINAL_SECONDS, streams),
            "usual": whole(centre[:, None, :], (streams, HOURS, centre.shape[1])),
            "restless": whole(0.0, (streams, HOURS, centre.shape[1])),
            "floor": np.maximum(prior.floor * spread, self.scales.least_spread),
            "centre": middle,
            "spread": width,
        }
        rest = {
            name: whole(getattr(prior, name)[0], (streams, *getattr(prior, name).shape[1:]))
            for name in ("whiten", "knots", "beyond", "peaks")
        }
        return Profiles(**{name: np.array(values, dtype=np.float32) for name, values in (known | rest).items()})

    def adopted(self, profiles: Profiles, own: NDArray[np.bool_]) -> Profiles:
        """The same; where they were learned with another model's forest (not `own`), its view is calibrated as new."""
        if own.all():
            return profiles
        knots, beyond = profiles.knots.copy(), profiles.beyond.copy()
        knots[~own, View.ISOLATION] = self.prior.knots[0, View.ISOLATION]
        beyond[~own, View.ISOLATION] = self.prior.beyond[0, View.ISOLATION]
        return replace(profiles, knots=knots, beyond=beyond)

    def to_bytes(self) -> bytes:
        """An .npz artefact without pickle; the same detector gives the same bytes."""
        text = json.dumps({"kind": self.kind.value}).encode()
        arrays: dict[str, NDArray[Any]] = {
            "header": np.frombuffer(text, dtype=np.uint8),
            "confidence_x": self.confidence_x,
            "confidence_y": self.confidence_y,
        }
        arrays |= {f"prior_{field.name}": getattr(self.prior, field.name) for field in fields(Profiles)}
        return write_arrays(arrays | self.forest.to_arrays())

    @classmethod
    def from_bytes(cls, data: bytes, version: str) -> Self:
        """Read what `to_bytes` wrote, under the name that it is kept by. Raises ValueError where `data` is damaged."""
        with name_damage("a detector"):
            arrays = read_arrays(data)
            detector = cls(
                TargetKind(json.loads(arrays["header"].tobytes())["kind"]),
                version,
                Forest.from_arrays(arrays),
                Profiles(*(arrays[f"prior_{field.name}"] for field in fields(Profiles))),
                arrays["confidence_x"],
                arrays["confidence_y"],
            )
        detector._check()
        return detector

    def _check(self) -> None:
        metrics = len(CATALOGUE[self.kind].specs)
        shapes = [getattr(self.prior, field.name).shape for field in fields(Profiles)]
        knots = self.confidence_x
        fits = shapes == [(1, *shape) for shape in profile_shapes(metrics)]
        fits &= self.forest.trees.columns == FEATURES * metrics
        fits &= knots.ndim == 1 and len(knots) >= 2 and knots.shape == self.confidence_y.shape
        if not fits:
            raise ValueError(f"not a detector for the {metrics} metrics of a {self.kind}")
        if not self._possible():
            raise ValueError("not a detector's artefact, or a damaged one: a number in it is impossible")

    def _possible(self) -> bool:
        prior, chance = self.prior, self.confidence_y
        numbers = [getattr(prior, field.name) for field in fields(Profiles)] + [self.confidence_x, chance]
        if not all(each.dtype.kind == "f" and np.isfinite(each).all() for each in numbers):
            return False
        positive = all((each > 0.0).all() for each in (prior.cadence, prior.spread, prior.beyond, prior.peaks))
        ascending = all((np.diff(each) >= 0.0).all() for each in (prior.knots, self.confidence_x, chance))
        return positive and ascending and bool(chance[0] >= 0.0 and chance[-1] <= 1.0)


def scales_of(kind: Kind) -> Scales:
    return Scales(kind.least_spread, kind.harmless_sign)


def false_alarms_per_day(sensitivity: float) -> float:
    """The budget per target: 90^s / 30, from one a month at 0 to three a day at 1."""
    return float(90.0 ** min(max(sensitivity, 0.0), 1.0) / 30.0)
