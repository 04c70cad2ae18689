"""Analyses held against the truth of simulated incidents: cause, culprit, links, onset, and silence where all is well."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.causes import CLASSIFIED, RootCause
from ml.correlation import analyze
from ml.evaluation import calibration_error
from ml.findings import Analysis, Pattern, Request
from ml.models import Measure
from ml.plant import Plant
from ml.rootcause import RootCauseModel
from ml.scenarios import Scenario, Truth, samples, truths

SLACK_MS: Final = 600_000  # patterns that end so shortly before the fault, or begin so shortly after, are about it
ONSET_SAMPLES: Final = 2.0


@dataclass(frozen=True)
class Verdict:
    """How one fault was answered; `found`: by any pattern. onset_samples: the distance to the truth, signed."""

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
    """verdicts: one for each fault that hit something; extra: patterns about none of them."""

    verdicts: tuple[Verdict, ...]
    patterns: tuple[Pattern, ...]
    extra: int


def request_of(scenario: Scenario) -> Request:
    return Request(samples(scenario), scenario.start_ms, scenario.end_ms)


def judged(scenario: Scenario, model: RootCauseModel) -> Outcome:
    """What an analysis of the whole fleet says."""
    return compared(scenario, analyze(Plant.of_fleet(scenario.fleet), request_of(scenario), model))


def compared(scenario: Scenario, analysis: Analysis) -> Outcome:
    used = set[int]()
    verdicts = []
    for order, truth in enumerate(truths(scenario)):
        if not truth.hit:
            continue
        place = closest(truth, analysis.patterns)
        if place is None:
            verdicts.append(Verdict(truth, order == 0, found=False))
            continue
        used.add(place)
        verdicts.append(_verdict(truth, order == 0, analysis.patterns[place], scenario.step_ms))
    return Outcome(tuple(verdicts), analysis.patterns, len(analysis.patterns) - len(used))


def closest(truth: Truth, patterns: Sequence[Pattern]) -> int | None:
    """The pattern that is about a fault: at its time, the one that shares most links; with its cause if several do."""

    def likeness(pattern: Pattern) -> float:
        later = pattern.ended_ms is None or pattern.ended_ms > truth.onset_ms - SLACK_MS
        if pattern.started_ms >= truth.end_ms + SLACK_MS or not later:
            return 0.0
        return _iou(truth, pattern) * (1.001 if pattern.cause is truth.cause else 1.0)

    likenesses = [likeness(pattern) for pattern in patterns]
    best = int(np.argmax(likenesses)) if likenesses else -1
    return best if likenesses and likenesses[best] > 0 else None


def _iou(truth: Truth, pattern: Pattern) -> float:
    named = set(pattern.links)
    return len(named & truth.links) / len(named | truth.links)


def _verdict(truth: Truth, main: bool, pattern: Pattern, step_ms: int) -> Verdict:  # noqa: FBT001
    culprit = (pattern.culprit.kind, pattern.culprit.key) if pattern.culprit else None
    return Verdict(
        truth,
        main,
        found=True,
        cause=pattern.cause,
        culprit_right=culprit == truth.culprit,
        iou=_iou(truth, pattern),
        onset_samples=(pattern.started_ms - truth.onset_ms) / step_ms,
        confidence=pattern.confidence,
    )


def measured(outcomes: Iterable[Outcome], quiet: Iterable[Outcome], dataset: str) -> tuple[Measure, ...]:
    """Of the main faults; `quiet`: of healthy windows. Calibration over all patterns that are about some fault."""
    outcomes, quiet = list(outcomes), list(quiet)
    main = [verdict for outcome in outcomes for verdict in outcome.verdicts if verdict.main]
    four = [verdict for verdict in main if verdict.truth.cause in CLASSIFIED]
    found = [verdict for outcome in outcomes for verdict in outcome.verdicts if verdict.found]
    error = calibration_error(np.array([one.confidence for one in found]), np.array([one.right for one in found]))

    def share(of: Sequence[Verdict], holds: Callable[[Verdict], bool]) -> float:
        return float(np.mean([holds(one) for one in of])) if of else 0.0

    def measure(name: str, value: float, count: int) -> Measure:
        return Measure(name, value, count, dataset)

    per_cause = [
        measure(f"accuracy_{cause.lower()}", share(same, lambda one: one.right), len(same))
        for cause in RootCause
        if (same := [one for one in main if one.truth.cause is cause])
    ]
    return (
        measure("accuracy", share(main, lambda one: one.right), len(main)),
        measure("four_class_accuracy", share(four, lambda one: one.right), len(four)),
        measure("culprit_accuracy", share(main, lambda one: one.culprit_right), len(main)),
        measure("iou", float(np.mean([one.iou for one in main])) if main else 0.0, len(main)),
        measure("onset_within_2", share(main, lambda one: abs(one.onset_samples) <= ONSET_SAMPLES), len(main)),
        measure("calibration_error", error, len(found)),
        measure("false_patterns", float(np.mean([bool(one.patterns) for one in quiet])) if quiet else 0.0, len(quiet)),
        *per_cause,
    )
