"""Evaluation of analyses on simulated incidents: cause, culprit, links and onset, and false patterns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.models import Measure
from ml.catalogue.root_causes import CLASSIFIED, RootCause
from ml.numerics.scores import calibration_error
from ml.root_cause.analysis import analyze
from ml.root_cause.model import RootCauseModel
from ml.root_cause.report import Analysis, Pattern, Request
from ml.root_cause.scenario import Scenario, simulate_samples
from ml.root_cause.truths import Truth, compute_truths
from ml.simulation.fleet_topology import build_topology

SLACK_MS: Final = 600_000  # by which a pattern may end before its fault begins, or begin after it ends
ONSET_SAMPLES: Final = 2.0  # to either side
SAME_CAUSE: Final = 1.001  # factor on the overlap: decides between equals


@dataclass(frozen=True)
class Diagnosis:
    """How an analysis explained one fault.

    main: it is the incident's first fault. found: a pattern is about it. iou: overlap of the named with the affected
    links (intersection over union). onset_samples: the named onset minus the true one, in samples.
    """

    truth: Truth
    main: bool
    found: bool
    cause: RootCause | None = None
    culprit_right: bool = False
    iou: float = 0.0
    onset_samples: float = np.inf
    confidence: float = 0.0

    @property
    def right(self) -> bool:
        return self.cause is self.truth.cause


@dataclass(frozen=True)
class Outcome:
    """An analysis of an incident. diagnoses: of each fault that affects a link. extra: patterns about no fault."""

    diagnoses: tuple[Diagnosis, ...]
    patterns: tuple[Pattern, ...]
    extra: int


def build_request(scenario: Scenario) -> Request:
    """Returns the scenario's samples as a request."""
    return Request(simulate_samples(scenario), scenario.start_ms, scenario.end_ms)


def evaluate_scenario(scenario: Scenario, model: RootCauseModel) -> Outcome:
    """Returns how an analysis of the whole fleet explains the scenario's faults."""
    return evaluate_request(scenario, build_request(scenario), model)


def evaluate_request(scenario: Scenario, request: Request, model: RootCauseModel) -> Outcome:
    """As `evaluate_scenario`, with the scenario's request, which is expensive to build."""
    return match_patterns(scenario, analyze(build_topology(scenario.fleet), request, model))


def match_patterns(scenario: Scenario, analysis: Analysis) -> Outcome:
    """Returns every fault with the pattern that is about it, if any."""
    patterns = analysis.patterns
    faults = [(order == 0, truth) for order, truth in enumerate(compute_truths(scenario)) if truth.affected]
    places = [find_pattern(truth, patterns) for _, truth in faults]
    diagnoses = tuple(
        _diagnose(truth, main, None if place is None else patterns[place], scenario.step_ms)
        for (main, truth), place in zip(faults, places, strict=True)
    )
    return Outcome(diagnoses, patterns, len(patterns) - len({place for place in places if place is not None}))


def find_pattern(truth: Truth, patterns: Sequence[Pattern]) -> int | None:
    """Returns the place of the pattern about a fault, None if there is none.

    It is the one at the fault's time that shares most links; among equals one with its cause.
    """

    def likeness(pattern: Pattern) -> float:
        later = pattern.ended_ms is None or pattern.ended_ms > truth.onset_ms - SLACK_MS
        if pattern.started_ms >= truth.end_ms + SLACK_MS or not later:
            return 0.0
        return _iou(truth, pattern) * (SAME_CAUSE if pattern.cause is truth.cause else 1.0)

    likenesses = [likeness(pattern) for pattern in patterns]
    best = int(np.argmax(likenesses)) if likenesses else -1
    return best if likenesses and likenesses[best] > 0 else None


def _iou(truth: Truth, pattern: Pattern) -> float:
    named = set(pattern.links)
    return len(named & truth.links) / len(named | truth.links)


def _diagnose(truth: Truth, main: bool, pattern: Pattern | None, step_ms: int) -> Diagnosis:
    if pattern is None:
        return Diagnosis(truth, main, found=False)
    culprit = (pattern.culprit.kind, pattern.culprit.key) if pattern.culprit else None
    return Diagnosis(
        truth,
        main,
        found=True,
        cause=pattern.cause,
        culprit_right=culprit == truth.culprit,
        iou=_iou(truth, pattern),
        onset_samples=(pattern.started_ms - truth.onset_ms) / step_ms,
        confidence=pattern.confidence,
    )


def compute_measures(outcomes: Iterable[Outcome], healthy: Iterable[Outcome], dataset: str) -> tuple[Measure, ...]:
    """Returns measures over the main faults, and the share of healthy windows with a pattern.

    Calibration is of cause and culprit together, over all patterns that are about some fault.

    healthy: outcomes of healthy windows.
    """
    diagnoses = [diagnosis for outcome in outcomes for diagnosis in outcome.diagnoses]
    main, found = [one for one in diagnoses if one.main], [one for one in diagnoses if one.found]
    four = [one for one in main if one.truth.cause in CLASSIFIED]
    false = [bool(outcome.patterns) for outcome in healthy]
    right = np.array([one.right and one.culprit_right for one in found])
    error = calibration_error(np.array([one.confidence for one in found]), right)
    values = {
        "accuracy": (_mean([one.right for one in main]), len(main)),
        "four_class_accuracy": (_mean([one.right for one in four]), len(four)),
        "culprit_accuracy": (_mean([one.culprit_right for one in main]), len(main)),
        "iou": (_mean([one.iou for one in main]), len(main)),
        "onset_within_2": (_mean([abs(one.onset_samples) <= ONSET_SAMPLES for one in main]), len(main)),
        "calibration_error": (error, len(found)),
        "false_patterns": (_mean(false), len(false)),
    }
    for cause in RootCause:
        own = [one.right for one in main if one.truth.cause is cause]
        values |= {f"accuracy_{cause.lower()}": (_mean(own), len(own))} if own else {}
    return tuple(Measure(name, value, count, dataset) for name, (value, count) in values.items())


def _mean(of: Sequence[float]) -> float:
    return float(np.mean(of)) if of else 0.0
