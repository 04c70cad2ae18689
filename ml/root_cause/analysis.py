"""The analysis of a window: which links degraded together, why, by whose fault, and since when."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats
from ml.root_cause.classifier import extract_classifier_features
from ml.root_cause.degradation import Channel
from ml.root_cause.directions import in_any_direction, repeat_for_directions
from ml.root_cause.event_features import EventFeatures, extract_features
from ml.root_cause.events import Event, detect_events
from ml.root_cause.fault_grouping import ExplainedEvent, group_faults
from ml.root_cause.fault_splitting import split_faults
from ml.root_cause.impact import Weighed, measure_damage, rank_patterns
from ml.root_cause.localization import Explanation, explain_event
from ml.root_cause.model import RootCauseModel
from ml.root_cause.narration import describe, list_evidence
from ml.root_cause.onset import estimate_onset
from ml.root_cause.report import Analysis, Culprit, Hypothesis, Pattern, Request
from ml.root_cause.resampling import refine
from ml.root_cause.residuals import CRITICAL_GRADE, Residuals, compute_residuals
from ml.root_cause.resolutions import merge_resolutions

MOST_HYPOTHESES: Final = 8
DEEP_DB: Final = 8.0  # the depth from which severity no longer grows
DEEPEST_DB: Final = 15.0
STRONG_SIGMAS: Final = 3.0  # of its noise: deeper fades count for the correlation


def analyze(topology: Topology, request: Request, model: RootCauseModel) -> Analysis:
    """Returns the patterns that touch the topology's scope: what lasts first, then by impact; none if all is well.

    A window whose newest samples come much faster than its grid's step is analysed twice: as a whole, and its last
    stretch in their own cadence, so that a young fault shows.
    """
    whole = _examine(topology, request, model)
    fine = refine(topology, request, whole.step_ms)
    if fine is None:
        return Analysis(rank_patterns(whole.weighed), whole.correlation, whole.links)
    last = _examine(topology, fine, model)
    weighed = merge_resolutions(whole.weighed, last.weighed, fine.start_ms, whole.step_ms)
    return Analysis(rank_patterns(weighed), max(whole.correlation, last.correlation), whole.links)


@dataclass(frozen=True)
class _Findings:
    """What one pass found. step_ms: of its grid. correlation, links: see `Analysis`."""

    weighed: list[Weighed]
    correlation: float
    links: int
    step_ms: int


def _examine(topology: Topology, request: Request, model: RootCauseModel) -> _Findings:
    residuals = compute_residuals(topology, request)
    scope = repeat_for_directions(topology.in_scope)

    def explain(event: Event) -> ExplainedEvent:
        return _explain(topology, residuals, event, model)

    explained = list[ExplainedEvent]()
    for event in detect_events(topology, residuals):
        touches = bool(scope[event.affected_streams].any())
        explained += split_faults(topology, event, explain) if touches else [explain(event)]
    faults = group_faults(topology, explained)

    def confidence(fault: ExplainedEvent) -> float:
        return model.confidence(fault.explanations, alarmed=request.alarmed)

    weighed = [
        Weighed(_pattern(topology, residuals, one, confidence(one)), measure_damage(one.event, scope)) for one in faults
    ]
    measured = int((in_any_direction(residuals.known) & topology.in_scope).sum())
    return _Findings(weighed, _correlation(residuals, faults, scope), measured, residuals.step_ms)


def _explain(topology: Topology, residuals: Residuals, event: Event, model: RootCauseModel) -> ExplainedEvent:
    event_features = extract_features(topology, residuals, event)
    classifier_input = extract_classifier_input(residuals, event, event_features)
    explanations = model.rank_explanations(explain_event(topology, event, event_features), classifier_input)
    return ExplainedEvent(event, explanations, estimate_onset(residuals, event), int(np.flatnonzero(event.active)[-1]))


def extract_classifier_input(residuals: Residuals, event: Event, event_features: EventFeatures) -> Floats | None:
    """Returns the classifier's features, shape (10,), or None if the event does not show in the signal."""
    return extract_classifier_features(residuals, event, event_features) if event.channel is Channel.SIGNAL else None


def _pattern(topology: Topology, residuals: Residuals, explained: ExplainedEvent, confidence: float) -> Pattern:
    event, best = explained.event, explained.best
    worst = event.affected_streams[np.argsort(-event.loading[event.affected_streams])]
    links = len(topology.links)
    inbound, outbound = worst < links, worst >= links
    return Pattern(
        cause=best.cause,
        culprit=_culprit(topology, best),
        description=describe(topology, event, best),
        severity=_severity(residuals, event),
        confidence=confidence,
        started_ms=int(residuals.at[explained.first]),
        ended_ms=_ended_ms(residuals, explained.last),
        links=tuple(dict.fromkeys(topology.links[worst % links].tolist())),
        directions=tuple(one for one, rows in zip(Direction, (inbound, outbound), strict=True) if rows.any()),
        evidence=tuple(list_evidence(topology, event, explained.explanations)),
        hypotheses=tuple(_hypotheses(topology, explained.explanations)),
    )


def _ended_ms(residuals: Residuals, last: int) -> int | None:
    """Returns when it ended, None if it still lasts."""
    return None if last >= len(residuals.at) - 2 else int(residuals.at[last]) + residuals.step_ms


def _culprit(topology: Topology, explanation: Explanation) -> Culprit | None:
    if explanation.candidate is None:
        return None
    kind, index = explanation.candidate.kind, explanation.candidate.index
    names = {
        CulpritKind.SATELLITE: topology.satellite_names,
        CulpritKind.SITE: topology.sites.names,
        CulpritKind.NETWORK: topology.networks.names,
        CulpritKind.LINK: topology.link_names,
    }
    return Culprit(kind, index, topology.key(kind, index), names[kind][index])


def _hypotheses(topology: Topology, explanations: list[Explanation]) -> list[Hypothesis]:
    """Returns the likeliest hypotheses, best first, their probabilities scaled to a sum of 1."""
    listed = explanations[:MOST_HYPOTHESES]
    total = sum(one.probability for one in listed)
    return [Hypothesis(one.cause, _culprit(topology, one), one.probability / total) for one in listed]


def _severity(residuals: Residuals, event: Event) -> float:
    """Returns 0 to 1: half of it for the depth (8 dB and more), half for the share of critical grades (below 7)."""
    if event.channel is Channel.OUTAGE:
        return 1.0
    grades = residuals.grade[np.ix_(event.affected_streams, event.active)]
    is_measured = np.isfinite(grades)
    critical = float((grades[is_measured] < CRITICAL_GRADE).mean()) if is_measured.any() else 0.0
    depth_db = np.mean(event.loading[event.affected_streams]) * event.profile[event.active].max()
    return round(0.5 * float(np.clip(depth_db / DEEP_DB, 0.0, 1.0)) + 0.5 * critical, 4)


def _correlation(residuals: Residuals, explained: list[ExplainedEvent], scope: Bools) -> float:
    """Returns the share of the scope's squared fades that the patterns' common-mode profiles explain, 0 to 1."""
    if not explained:
        return 0.0
    depth = np.clip(np.nan_to_num(-residuals.esno[scope]), 0.0, DEEPEST_DB)
    strong = np.where(depth > STRONG_SIGMAS * residuals.sigma[scope][:, None], depth, 0.0)
    left = strong.copy()
    for event in (one.event for one in explained if one.event.channel is Channel.SIGNAL):
        expected = event.loading[scope][:, None] * event.profile
        left -= np.where(event.membership[scope][:, None] > 0.5, expected, 0.0)
    total = float((strong**2).sum())
    return float(np.clip(1.0 - (left[strong > 0] ** 2).sum() / total, 0.0, 1.0)) if total else 1.0
