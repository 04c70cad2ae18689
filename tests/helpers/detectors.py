"""The shipped detectors, and invented telemetry for them to judge."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.artefacts import load
from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.catalogue.models import DETECTORS, Trained
from ml.detection.detector import Detector, Verdicts
from ml.detection.episodes import Episode, EpisodeState
from ml.detection.episodes import follow as follow_episodes
from ml.detection.features import Memory, Rows, follow
from ml.detection.profile_fitting import learn
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
    return load(NAMES[kind], trained(kind).artefact, "1.0.0")


def times(rows: int, first: int = 0) -> NDArray[np.int64]:
    return START_MS + STEP_MS * np.arange(first, first + rows)


def quiet(rows: int, kind: TargetKind = TargetKind.LINK, seed: int = 1) -> Floats:
    """Values of a healthy target: noise around what is usual."""
    own = CATALOGUE[kind]
    return own.usual + np.random.default_rng(seed).normal(0, 1, (rows, len(own.specs))) * own.least_spread


def episodes(scores: Floats) -> list[Episode]:
    """Of one stream; times count from its first row."""
    return follow_episodes(EpisodeState(), STEP_MS * np.arange(len(scores)), scores)[1]


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
        rows = Rows.of_one(past, times(len(past)))
        profiles = learn(rows, detector(kind).scales, detector(kind).forest)
        _, memory = follow(Memory.blank(1, past.shape[1]), rows, profiles.pace)
        return cls(detector(kind), profiles, memory, len(past))

    def judge(self, values: Floats, at: NDArray[np.int64] | None = None, **also: Any) -> Verdicts:
        """What comes next."""
        at = times(len(values), self.seen) if at is None else at
        return self.detector.judge(Rows.of_one(values, at), self.profiles, self.memory, **also)


@cache
def watch(kind: TargetKind = TargetKind.LINK, days: int = 3) -> Watch:
    return Watch.after(quiet(days * DAY, kind, seed=9), kind)
