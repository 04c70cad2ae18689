"""Root causes of a window: what degraded together, who is at fault, and since when."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ml.classifier import classifier_features
from ml.causes import CulpritKind, RootCause
from ml.events import Channel, Event, events
from ml.findings import Analysis, Culprit, Evidence, Hypothesis, Pattern, Request
from ml.localization import Explanation, explanations
from ml.metrics import Direction, Floats
from ml.narration import describe, evidence
from ml.onsets import onset
from ml.plant import Plant
from ml.residuals import CRITICAL_GRADE, Cells, Residuals, residuals
from ml.rootcause import RootCauseModel
from ml.shown import Shown, shown

MOST_HYPOTHESES: Final = 8
DEEP_DB: Final = 8.0
WORTH: Final = 100.0  # dB times samples times links: less that nobody can explain is not worth a word
STORM_KM: Final = 300.0
STORM_GAP: Final = 12  # samples between two showers of one storm
AT_ONCE: Final = 3  # concurrent causes at most


@dataclass(frozen=True)
class Told:
    """An event with its explanations, the best first; first and last are samples."""

    event: Event
    explanations: list[Explanation]
    first: int
    last: int

    @property
    def best(self) -> Explanation:
        return self.explanations[0]


def analyze(plant: Plant, request: Request, model: RootCauseModel) -> Analysis:
    """Patterns that touch the plant's scope, most confident first; none where nothing degraded."""
    found = residuals(plant, request)
    told = [_told(plant, found, event, model) for event in events(plant, found)]
    merged = _concurrent(_without_consequences(_merged(plant, told)))
    scope = np.tile(plant.in_scope, 2)
    touching = [one for one in merged if (scope[one.event.hits]).any()]
    patterns = sorted((_pattern(plant, found, one, model) for one in touching), key=lambda one: -one.confidence)
    known = found.known.reshape(2, -1).any(axis=0)
    return Analysis(tuple(patterns), _correlation(found, touching, scope), int((known & plant.in_scope).sum()))


def _told(plant: Plant, found: Residuals, event: Event, model: RootCauseModel) -> Told:
    seen = shown(plant, found, event)
    explained = model.weighed(explanations(plant, event, seen), features_of(found, event, seen))
    return Told(event, explained, onset(found, event), int(np.flatnonzero(event.active)[-1]))


def features_of(found: Residuals, event: Event, seen: Shown) -> Floats | None:
    """What the classifier looks at; None where the signal does not show the event."""
    return classifier_features(found, event, seen) if event.channel is Channel.SIGNAL else None


# ---------------------------------------------------------------- one fault, one pattern


def _merged(plant: Plant, told: list[Told]) -> list[Told]:
    """The same cause of the same culprit is one fault, however often it came; so are showers of one storm."""
    kept: list[Told] = []
    for one in told:
        same = next((place for place, other in enumerate(kept) if _same(plant, one, other)), None)
        if same is None:
            kept.append(one)
        else:
            kept[same] = _joined(kept[same], one)
    return kept


def _same(plant: Plant, one: Told, other: Told) -> bool:
    if one.best.cause is not other.best.cause or not one.best.suspect or not other.best.suspect:
        return False
    if (one.best.suspect.kind, one.best.suspect.index) == (other.best.suspect.kind, other.best.suspect.index):
        return True
    links = len(plant.links)
    shared = np.intersect1d(one.event.hits % links, other.event.hits % links)
    overlap = min(one.last, other.last) - max(one.first, other.first)
    if one.best.cause is RootCause.RAIN_FADE and _near(plant, one, other):
        return overlap >= -STORM_GAP
    return overlap >= 0 and len(shared) > 0


def _near(plant: Plant, one: Told, other: Told) -> bool:
    """The middles of two cells are so close that it is one storm."""
    assert one.best.suspect  # noqa: S101
    assert other.best.suspect  # noqa: S101
    a, b, places = one.best.suspect.index, other.best.suspect.index, plant.sites
    north = places.latitude[a] - places.latitude[b]
    east = (places.longitude[a] - places.longitude[b]) * np.cos(np.radians(places.latitude[a]))
    return bool(111.2 * np.hypot(north, east) <= STORM_KM)


def _joined(main: Told, other: Told) -> Told:
    one, two = main.event, other.event
    event = replace(
        one,
        course=np.maximum(one.course, two.course),
        active=one.active | two.active,
        follows=np.maximum(one.follows, np.where(two.hit > 0.5, two.follows, 0.0)),
        hit=np.maximum(one.hit, two.hit),
        evidence=one.evidence | two.evidence,
        runs=one.runs + two.runs,
    )
    return replace(main, event=event, first=min(main.first, other.first), last=max(main.last, other.last))


def _without_consequences(told: list[Told]) -> list[Told]:
    """Leave out what another one brings with it, on mostly the same links at the same time.

    A queue where signal or electricity fails, and what is left of a fade whose course was not quite the common one.
    """

    def minor(one: Told) -> bool:
        around = [other for other in told if other is not one and other.first - 2 <= one.last and one.first <= other.last + 6]
        greater = [other for other in around if _brings(other, one)]
        links = {stream % (len(one.event.hit) // 2) for other in greater for stream in other.event.hits.tolist()}
        own = (one.event.hits % (len(one.event.hit) // 2)).tolist()
        return sum(link in links for link in own) >= 0.5 * len(own)

    return [one for one in told if not minor(one) and (one.best.cause is not RootCause.UNKNOWN or _size(one) > WORTH)]


def _brings(greater: Told, minor: Told) -> bool:
    """Whether the one may have the other in its train."""
    if minor.event.channel is Channel.QUEUE:
        return greater.event.channel is not Channel.QUEUE
    if minor.event.channel is Channel.DARK:  # what fades far enough falls silent
        fading = greater.event.channel is Channel.SIGNAL and greater.best.cause is not RootCause.UNKNOWN
        return fading and (greater.first < minor.first or greater.best.cause is RootCause.RAIN_FADE)
    return minor.best.cause is RootCause.UNKNOWN and _size(greater) > _size(minor)


def _size(one: Told) -> float:
    return len(one.event.hits) * float(one.event.course.sum())


def _concurrent(told: list[Told]) -> list[Told]:
    """At most three at a time, those that most links follow."""
    kept: list[Told] = []
    for one in sorted(told, key=lambda one: -len(one.event.hits) * float(one.event.active.sum())):
        at_once = [other for other in kept if other.first <= one.last and one.first <= other.last]
        if len(at_once) < AT_ONCE:
            kept.append(one)
    return kept


# ---------------------------------------------------------------- answers


def _pattern(plant: Plant, found: Residuals, told: Told, model: RootCauseModel) -> Pattern:
    event, best = told.event, told.best
    hits = event.hits[np.argsort(-event.follows[event.hits])]
    links = len(plant.links)
    ended = None if told.last >= len(found.at) - 2 else int(found.at[told.last]) + found.step_ms
    hypotheses = _hypotheses(plant, told.explanations)
    return Pattern(
        cause=best.cause,
        culprit=culprit(plant, best),
        description=describe(plant, found, event, best),
        severity=_severity(found, event),
        confidence=model.confidence(told.explanations),
        started_ms=int(found.at[told.first]),
        ended_ms=ended,
        links=tuple(dict.fromkeys(plant.links[hits % links].tolist())),
        directions=tuple(way for way, rows in zip(Direction, (hits < links, hits >= links), strict=True) if rows.any()),
        evidence=tuple(evidence(plant, event, told.explanations)),
        hypotheses=tuple(hypotheses),
    )


def culprit(plant: Plant, one: Explanation) -> Culprit | None:
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
    return [Hypothesis(one.cause, culprit(plant, one), one.probability / total) for one in listed]


def _severity(found: Residuals, event: Event) -> float:
    """Half for how deep it is (8 dB is all), half for how much of the time the grade was critical, below 7."""
    if event.channel is Channel.DARK:
        return 1.0
    hits = event.hits
    grades = found.grade[np.ix_(hits, event.active)]
    known = np.isfinite(grades)
    critical = float((grades[known] < CRITICAL_GRADE).mean()) if known.any() else 0.0
    depth = float(np.clip(np.mean(event.follows[hits]) * event.course[event.active].max() / DEEP_DB, 0.0, 1.0))
    return round(0.5 * depth + 0.5 * critical, 4)


def _correlation(found: Residuals, told: list[Told], scope: np.ndarray) -> float:
    """The share of the scope's squared fades that the patterns' common courses explain."""
    depth = np.clip(np.nan_to_num(-found.esno[scope]), 0.0, 15.0)
    strong = np.where(depth > 3.0 * found.sigma[scope][:, None], depth, 0.0)
    if not told:
        return 0.0
    left = strong.copy()
    for one in told:
        if one.event.channel is Channel.SIGNAL:
            left -= np.where(one.event.hit[scope][:, None] > 0.5, one.event.follows[scope][:, None] * one.event.course, 0.0)
    total = float((strong**2).sum())
    if not total:
        return 1.0
    return float(np.clip(1.0 - (left[strong > 0] ** 2).sum() / total, 0.0, 1.0))
