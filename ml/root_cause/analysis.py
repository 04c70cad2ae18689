"""Root causes of a window: what degraded together, who is at fault, and since when."""

from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind
from ml.catalogue.topology import Plant
from ml.numerics.arrays import Bools, Floats
from ml.numerics.directions import either_way, in_both
from ml.root_cause.classifier import classifier_features
from ml.root_cause.event_features import Shown, shown
from ml.root_cause.events import Channel, Event, events
from ml.root_cause.fault_grouping import Told, merged
from ml.root_cause.localization import Explanation, explanations
from ml.root_cause.model import RootCauseModel
from ml.root_cause.narration import describe, evidence
from ml.root_cause.onset import onset
from ml.root_cause.report import Analysis, Culprit, Hypothesis, Pattern, Request
from ml.root_cause.residuals import CRITICAL_GRADE, Residuals, residuals

MOST_HYPOTHESES: Final = 8
DEEP_DB: Final = 8.0  # as severe as depth can be
DEEPEST_DB: Final = 15.0
STRONG_SIGMAS: Final = 3.0  # fades that a correlation has to explain


def analyze(plant: Plant, request: Request, model: RootCauseModel) -> Analysis:
    """Patterns that touch the plant's scope, most confident first; none where nothing degraded."""
    found = residuals(plant, request)
    told = merged(plant, [_told(plant, found, event, model) for event in events(plant, found)])
    scope = in_both(plant.in_scope)
    touching = [one for one in told if scope[one.event.hits].any()]
    patterns = sorted((_pattern(plant, found, one, model) for one in touching), key=lambda one: -one.confidence)
    measured = int((either_way(found.known) & plant.in_scope).sum())
    return Analysis(tuple(patterns), _correlation(found, touching, scope), measured)


def _told(plant: Plant, found: Residuals, event: Event, model: RootCauseModel) -> Told:
    seen = shown(plant, found, event)
    explained = model.weighed(explanations(plant, event, seen), features_of(found, event, seen))
    return Told(event, explained, onset(found, event), int(np.flatnonzero(event.active)[-1]))


def features_of(found: Residuals, event: Event, seen: Shown) -> Floats | None:
    """What the classifier looks at; None where the signal does not show the event."""
    return classifier_features(found, event, seen) if event.channel is Channel.SIGNAL else None


def _pattern(plant: Plant, found: Residuals, told: Told, model: RootCauseModel) -> Pattern:
    event, best = told.event, told.best
    worst = event.hits[np.argsort(-event.follows[event.hits])]
    links = len(plant.links)
    inbound, outbound = worst < links, worst >= links
    return Pattern(
        cause=best.cause,
        culprit=_culprit(plant, best),
        description=describe(plant, event, best),
        severity=_severity(found, event),
        confidence=model.confidence(told.explanations),
        started_ms=int(found.at[told.first]),
        ended_ms=_ended_ms(found, told.last),
        links=tuple(dict.fromkeys(plant.links[worst % links].tolist())),
        directions=tuple(way for way, rows in zip(Direction, (inbound, outbound), strict=True) if rows.any()),
        evidence=tuple(evidence(plant, event, told.explanations)),
        hypotheses=tuple(_hypotheses(plant, told.explanations)),
    )


def _ended_ms(found: Residuals, last: int) -> int | None:
    """None: it lasts."""
    return None if last >= len(found.at) - 2 else int(found.at[last]) + found.step_ms


def _culprit(plant: Plant, one: Explanation) -> Culprit | None:
    if one.suspect is None:
        return None
    kind, index = one.suspect.kind, one.suspect.index
    names = {
        CulpritKind.SATELLITE: plant.satellite_names,
        CulpritKind.SITE: plant.sites.names,
        CulpritKind.NETWORK: plant.networks.names,
        CulpritKind.LINK: plant.link_names,
    }
    return Culprit(kind, index, plant.key(kind, index), names[kind][index])


def _hypotheses(plant: Plant, explained: list[Explanation]) -> list[Hypothesis]:
    """The likeliest, best first; what the unlisted ones would share is given to those listed in proportion."""
    listed = explained[:MOST_HYPOTHESES]
    total = sum(one.probability for one in listed)
    return [Hypothesis(one.cause, _culprit(plant, one), one.probability / total) for one in listed]


def _severity(found: Residuals, event: Event) -> float:
    """Half for how deep it is (8 dB is all), half for how much of the time the grade was critical, below 7."""
    if event.channel is Channel.DARK:
        return 1.0
    grades = found.grade[np.ix_(event.hits, event.active)]
    known = np.isfinite(grades)
    critical = float((grades[known] < CRITICAL_GRADE).mean()) if known.any() else 0.0
    depth_db = np.mean(event.follows[event.hits]) * event.course[event.active].max()
    return round(0.5 * float(np.clip(depth_db / DEEP_DB, 0.0, 1.0)) + 0.5 * critical, 4)


def _correlation(found: Residuals, told: list[Told], scope: Bools) -> float:
    """The share of the scope's squared fades that the patterns' common courses explain."""
    if not told:
        return 0.0
    depth = np.clip(np.nan_to_num(-found.esno[scope]), 0.0, DEEPEST_DB)
    strong = np.where(depth > STRONG_SIGMAS * found.sigma[scope][:, None], depth, 0.0)
    left = strong.copy()
    for event in (one.event for one in told if one.event.channel is Channel.SIGNAL):
        explained = event.follows[scope][:, None] * event.course
        left -= np.where(event.hit[scope][:, None] > 0.5, explained, 0.0)
    total = float((strong**2).sum())
    return float(np.clip(1.0 - (left[strong > 0] ** 2).sum() / total, 0.0, 1.0)) if total else 1.0
