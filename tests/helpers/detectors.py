"""The shipped detectors, and invented telemetry for them to judge."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.artefacts import load
from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.catalogue.models import DETECTORS, Trained
from ml.detection.detector import Detector, Scores
from ml.detection.episodes import Episode, EpisodeState, track_episodes
from ml.detection.features import Memory, StreamSamples, compute_features
from ml.detection.profile_fitting import fit_profiles
from ml.detection.profiles import Profiles
from ml.numerics.arrays import Floats
from tests.helpers.shipped import shipped

LINK = CATALOGUE[TargetKind.LINK]
START_MS = 1_767_225_600_000
STEP_MS = 300_000
DAY = 288  # rows
NAMES = {kind: name for name, kind in DETECTORS.items()}


def trained(kind: TargetKind) -> Trained:
    return shipped(NAMES[kind])


@cache
def detector(kind: TargetKind = TargetKind.LINK) -> Detector:
    return load(NAMES[kind], trained(kind).artefact, "1.0.1")


def times(rows: int, first: int = 0) -> NDArray[np.int64]:
    return START_MS + STEP_MS * np.arange(first, first + rows)


def quiet(rows: int, kind: TargetKind = TargetKind.LINK, seed: int = 1) -> Floats:
    """Values of a healthy target: noise around what is usual."""
    own = CATALOGUE[kind]
    return own.usual + np.random.default_rng(seed).normal(0, 1, (rows, len(own.specs))) * own.least_spread


def episodes(scores: Floats) -> list[Episode]:
    """Of one stream; times count from its first row."""
    return track_episodes(EpisodeState(), STEP_MS * np.arange(len(scores)), scores)[1]


def place(metric: Metric) -> int:
    return LINK.metrics.index(metric)


def only(metrics: tuple[str, ...], values: Floats) -> Floats:
    """Nothing but these metrics of links was measured."""
    return np.where([metric in metrics for metric in LINK.metrics], values, np.nan)


@dataclass(frozen=True)
class Watch:
    """A detector on a stream whose past it knows."""

    detector: Detector
    profiles: Profiles
    memory: Memory
    seen: int  # rows

    @classmethod
    def after(cls, past: Floats, kind: TargetKind = TargetKind.LINK) -> "Watch":
        rows = StreamSamples.of_one_stream(past, times(len(past)))
        profiles = fit_profiles(rows, detector(kind).scales, detector(kind).forest)
        _, memory = compute_features(Memory.blank(1, past.shape[1]), rows, profiles.smoothing_scales)
        return cls(detector(kind), profiles, memory, len(past))

    def score(self, values: Floats, at: NDArray[np.int64] | None = None, **also: Any) -> Scores:
        """What comes next."""
        at = times(len(values), self.seen) if at is None else at
        return self.detector.score(StreamSamples.of_one_stream(values, at), self.profiles, self.memory, **also)


@cache
def watch(kind: TargetKind = TargetKind.LINK, days: int = 3) -> Watch:
    return Watch.after(quiet(days * DAY, kind, seed=9), kind)
