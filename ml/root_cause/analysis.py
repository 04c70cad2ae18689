"""Root causes of a window: what degraded together, who is at fault, and since when."""

from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats
from ml.numerics.directions import in_any_direction, repeat_for_directions
from ml.root_cause.classifier import extract_classifier_features
from ml.root_cause.degradation import Channel
from ml.root_cause.event_features import EventFeatures, extract_features
from ml.root_cause.events import Event, detect_events
from ml.root_cause.fault_grouping import ExplainedEvent, group_faults
from ml.root_cause.localization import Explanation, explain_event
from ml.root_cause.model import RootCauseModel
from ml.root_cause.narration import describe, list_evidence
from ml.root_cause.onset import estimate_onset
from ml.root_cause.report import Analysis, Culprit, Hypothesis, Pattern, Request
from ml.root_cause.residuals import CRITICAL_GRADE, Residuals, compute_residuals

MOST_HYPOTHESES: Final = 8
DEEP_DB: Final = 8.0  # as severe as depth can be
DEEPEST_DB: Final = 15.0
STRONG_SIGMAS: Final = 3.0  # fades that a correlation has to explain


def analyze(topology: Topology, request: Request, model: RootCauseModel) -> Analysis:
    """Patterns that touch the plant's scope, most confident first; none where nothing degraded."""
    residuals = compute_residuals(topology, request)
    explained = group_faults(
        topology, [_explain(topology, residuals, event, model) for event in detect_events(topology, residuals)]
    )
    scope = repeat_for_directions(topology.in_scope)
    touching = [one for one in explained if scope[one.event.affected_streams].any()]
    patterns = sorted((_pattern(topology, residuals, one, model) for one in touching), key=lambda one: -one.confidence)
    measured = int((in_any_direction(residuals.known) & topology.in_scope).sum())
    return Analysis(tuple(patterns), _correlation(residuals, touching, scope), measured)


def _explain(topology: Topology, residuals: Residuals, event: Event, model: RootCauseModel) -> ExplainedEvent:
    event_features = extract_features(topology, residuals, event)
    explanations = model.rank_explanations(
        explain_event(topology, event, event_features), extract_classifier_input(residuals, event, event_features)
    )
    return ExplainedEvent(event, explanations, estimate_onset(residuals, event), int(np.flatnonzero(event.active)[-1]))


def extract_classifier_input(residuals: Residuals, event: Event, event_features: EventFeatures) -> Floats | None:
    """What the classifier looks at; None where the signal does not show the event."""
    return extract_classifier_features(residuals, event, event_features) if event.channel is Channel.SIGNAL else None


def _pattern(topology: Topology, residuals: Residuals, explained: ExplainedEvent, model: RootCauseModel) -> Pattern:
    event, best = explained.event, explained.best
    worst = event.affected_streams[np.argsort(-event.loading[event.affected_streams])]
    links = len(topology.links)
    inbound, outbound = worst < links, worst >= links
    return Pattern(
        cause=best.cause,
        culprit=_culprit(topology, best),
        description=describe(topology, event, best),
        severity=_severity(residuals, event),
        confidence=model.confidence(explained.explanations),
        started_ms=int(residuals.at[explained.first]),
        ended_ms=_ended_ms(residuals, explained.last),
        links=tuple(dict.fromkeys(topology.links[worst % links].tolist())),
        directions=tuple(way for way, rows in zip(Direction, (inbound, outbound), strict=True) if rows.any()),
        evidence=tuple(list_evidence(topology, event, explained.explanations)),
        hypotheses=tuple(_hypotheses(topology, explained.explanations)),
    )


def _ended_ms(residuals: Residuals, last: int) -> int | None:
    """None: it lasts."""
    return None if last >= len(residuals.at) - 2 else int(residuals.at[last]) + residuals.step_ms


def _culprit(topology: Topology, one: Explanation) -> Culprit | None:
    if one.candidate is None:
        return None
    kind, index = one.candidate.kind, one.candidate.index
    names = {
        CulpritKind.SATELLITE: topology.satellite_names,
        CulpritKind.SITE: topology.sites.names,
        CulpritKind.NETWORK: topology.networks.names,
        CulpritKind.LINK: topology.link_names,
    }
    return Culprit(kind, index, topology.key(kind, index), names[kind][index])


def _hypotheses(topology: Topology, explanations: list[Explanation]) -> list[Hypothesis]:
    """The likeliest, best first; what the unlisted ones would share is given to those listed in proportion."""
    listed = explanations[:MOST_HYPOTHESES]
    total = sum(one.probability for one in listed)
    return [Hypothesis(one.cause, _culprit(topology, one), one.probability / total) for one in listed]


def _severity(residuals: Residuals, event: Event) -> float:
    """Half for how deep it is (8 dB is all), half for how much of the time the grade was critical, below 7."""
    if event.channel is Channel.OUTAGE:
        return 1.0
    grades = residuals.grade[np.ix_(event.affected_streams, event.active)]
    known = np.isfinite(grades)
    critical = float((grades[known] < CRITICAL_GRADE).mean()) if known.any() else 0.0
    depth_db = np.mean(event.loading[event.affected_streams]) * event.profile[event.active].max()
    return round(0.5 * float(np.clip(depth_db / DEEP_DB, 0.0, 1.0)) + 0.5 * critical, 4)


def _correlation(residuals: Residuals, explained: list[ExplainedEvent], scope: Bools) -> float:
    """The share of the scope's squared fades that the patterns' common courses explain."""
    if not explained:
        return 0.0
    depth = np.clip(np.nan_to_num(-residuals.esno[scope]), 0.0, DEEPEST_DB)
    strong = np.where(depth > STRONG_SIGMAS * residuals.sigma[scope][:, None], depth, 0.0)
    left = strong.copy()
    for event in (one.event for one in explained if one.event.channel is Channel.SIGNAL):
        explanations = event.loading[scope][:, None] * event.profile
        left -= np.where(event.membership[scope][:, None] > 0.5, explanations, 0.0)
    total = float((strong**2).sum())
    return float(np.clip(1.0 - (left[strong > 0] ** 2).sum() / total, 0.0, 1.0)) if total else 1.0
