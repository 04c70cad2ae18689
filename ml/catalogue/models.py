"""The models by name, what trainings return, and when a version may replace another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import TargetKind
from ml.numerics.arrays import Floats

DETECTORS: Final[dict[str, TargetKind]] = {
    "anomaly_network": TargetKind.NETWORK,
    "anomaly_site": TargetKind.SITE,
    "anomaly_link": TargetKind.LINK,
}
ROOT_CAUSE: Final = "root_cause"
RANKING: Final = "recommendation_ranking"
PRIORITY: Final = "recommendation_priority"
MODELS: Final = (*DETECTORS, ROOT_CAUSE, RANKING, PRIORITY)

Progress = Callable[[float, str], None]  # fraction done, what is being done


@dataclass(frozen=True)
class Measure:
    """A version's score in one respect, on `samples` rows of `dataset` that its training did not see."""

    name: str
    value: float
    samples: int
    dataset: str


@dataclass(frozen=True)
class History:
    """What a fleet reported, and what people said about the anomalies in it. Rows are sorted by stream and time.

    readings: in catalogue order, NaN = not measured, shape (rows, metrics). stream: number of the row's target and
    direction, from 0, shape (rows,). at: epoch ms, shape (rows,). confirmed, dismissed: stream, first and last ms of
    anomalies that people judged true and false alarms, shape (windows, 3).
    """

    dataset: str
    readings: Floats
    stream: NDArray[np.int64]
    at: NDArray[np.int64]
    confirmed: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), dtype=np.int64))
    dismissed: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), dtype=np.int64))


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    artefact: `.npz` bytes without pickle, the same for the same data and seed. details: the data that it was trained
    and calibrated on, as JSON. measures: its own. rival_measures: the champion's on the same data.
    """

    artefact: bytes
    algorithm: str
    features: tuple[str, ...]
    hyperparameters: Mapping[str, str | int | float]
    seed: int
    samples: int
    details: Mapping[str, object]
    measures: tuple[Measure, ...]
    rival_measures: tuple[Measure, ...] = ()


class TooLittleHistory(ValueError):
    """The history is too short to learn from; the message says what is missing."""


# ---------------------------------------------------------------- promotion


@dataclass(frozen=True)
class _Rule:
    """How much worse than the champion a challenger may be in a measure."""

    called: str
    sign: float  # 1: higher is better, -1: lower is better
    tolerance: float


_RULES: Final = {
    "vus_pr": _Rule("VUS-PR", 1.0, 0.01),
    "event_recall": _Rule("recall of events within the false-alarm budget", 1.0, 0.02),
    "false_alarm_ratio": _Rule("false alarms beyond the budget", -1.0, 0.25),
    "calibration_error": _Rule("calibration error of the confidence", -1.0, 0.02),
    "ndcg_at_3": _Rule("NDCG of the first three that it recommends", 1.0, 0.02),
    "accuracy": _Rule("accuracy", 1.0, 0.03),
    "four_class_accuracy": _Rule("share of faults of the four classes whose cause it names", 1.0, 0.05),
    "culprit_accuracy": _Rule("share of faults whose culprit it names", 1.0, 0.03),
    "iou": _Rule("overlap of the links that it calls affected with those that are", 1.0, 0.03),
    "onset_within_2": _Rule("share of onsets that it tells to two samples", 1.0, 0.05),
    "false_patterns": _Rule("share of healthy windows in which it finds a pattern", -1.0, 0.05),
}


def promotion_blockers(challenger: Sequence[Measure], champion: Sequence[Measure]) -> list[str]:
    """Returns a sentence for each reason why the challenger should not replace the champion.

    Compares measures of both on the same data set, each with a tolerance for chance.
    """
    values = {(measure.name, measure.dataset): measure.value for measure in champion}
    reasons = []
    for measure in challenger:
        rule, rival = _RULES.get(measure.name), values.get((measure.name, measure.dataset))
        if rule and rival is not None and rule.sign * (rival - measure.value) > rule.tolerance:
            reached = f"{measure.value:.3f} where the champion reaches {rival:.3f} ({measure.dataset})"
            reasons.append(f"Its {rule.called} is {reached}.")
    return reasons
