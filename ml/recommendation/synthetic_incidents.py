"""Synthetic incidents: fault cases as an analysis would report them, with the truth and with what would help."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from ml.catalogue.root_causes import NAMED, CulpritKind, RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.candidates import list_candidates
from ml.recommendation.case import Candidate, FaultCase, TrackRecord
from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.success_model import TARGET_SPREAD, Operator, Truth, compute_chances, draw_track_records

CAUSE_SHARE: Final = 0.65  # of the incidents have a cause; the others show in the readings of a single target
UNKNOWN_SHARE: Final = 0.06
LIKELIEST: Final = (8.0, 0.6)  # Beta: the likeliest cause's probability, 0.93 on average as measured
LEAST_LISTED: Final = 0.01  # an analysis does not list less probable causes
READINGS_SHARE: Final = 0.3  # of those with a cause have readings, too: somebody asked about an anomaly
LASTING_SHARE: Final = 0.7
MEDIAN_MINUTES: Final = 60.0
CONFIDENCE: Final = (6.0, 1.2)  # Beta: how sure the detector is that readings show a fault
PER_OPERATOR: Final = 30  # incidents

Rng = np.random.Generator
IB, OB = Direction.IB, Direction.OB
ONE_DIRECTION: Final = ((IB,), (OB,))
ANY_DIRECTIONS: Final = ((IB,), (OB,), (IB, OB))
BOTH_DIRECTIONS: Final = ((IB, OB),)


@dataclass(frozen=True)
class CauseProfile:
    """How a cause shows itself, and what it is mistaken for."""

    scopes: tuple[CulpritKind, ...]
    directions: tuple[tuple[Direction, ...], ...]
    links: int  # at most
    severity: tuple[float, float]  # Beta
    mistaken_for: tuple[RootCause, ...]


K, C, P = CulpritKind, RootCause, CauseProfile
CAUSE_PROFILES: Final[dict[RootCause, CauseProfile]] = {
    C.EQUIPMENT_FAILURE: P((K.SITE,), ANY_DIRECTIONS, 200, (3, 1.5), (C.ANTENNA_ALIGNMENT, C.SATELLITE_INTERFERENCE)),
    C.ANTENNA_ALIGNMENT: P((K.SITE,), BOTH_DIRECTIONS, 200, (2, 2), (C.EQUIPMENT_FAILURE, C.RAIN_FADE)),
    C.SATELLITE_INTERFERENCE: P((K.SATELLITE,), ANY_DIRECTIONS, 100, (2, 2), (C.EQUIPMENT_FAILURE, C.CONGESTION)),
    C.ANTENNA_MISALIGNMENT: P((K.SITE, K.LINK), BOTH_DIRECTIONS, 3, (2, 2), (C.BLOCKAGE, C.REMOTE_EQUIPMENT)),
    C.RAIN_FADE: P((K.SITE,), BOTH_DIRECTIONS, 100, (2, 2), (C.ANTENNA_ALIGNMENT, C.SUN_TRANSIT)),
    C.SUN_TRANSIT: P((K.SITE,), ONE_DIRECTION, 200, (2, 3), (C.SATELLITE_INTERFERENCE, C.RAIN_FADE)),
    C.CONGESTION: P((K.NETWORK,), ONE_DIRECTION, 80, (2, 3), (C.SATELLITE_INTERFERENCE, C.EQUIPMENT_FAILURE)),
    C.REMOTE_EQUIPMENT: P((K.SITE, K.LINK), ONE_DIRECTION, 2, (3, 2), (C.ANTENNA_MISALIGNMENT, C.POWER_OUTAGE)),
    C.POWER_OUTAGE: P((K.SITE,), BOTH_DIRECTIONS, 200, (20, 0.5), (C.EQUIPMENT_FAILURE, C.REMOTE_EQUIPMENT)),
    C.BLOCKAGE: P((K.SITE, K.LINK), BOTH_DIRECTIONS, 5, (2, 2), (C.ANTENNA_MISALIGNMENT, C.RAIN_FADE)),
    C.UNKNOWN: P(tuple(K), ANY_DIRECTIONS, 100, (2, 2), (C.EQUIPMENT_FAILURE, C.SATELLITE_INTERFERENCE)),
}
SCOPES: Final = {TargetKind.NETWORK: K.NETWORK, TargetKind.SITE: K.SITE, TargetKind.LINK: K.LINK}
MOST_LINKS: Final = {TargetKind.NETWORK: 60, TargetKind.SITE: 20, TargetKind.LINK: 1}


@dataclass(frozen=True)
class Incident:
    """A fault case with its truth, and what each candidate would do about it."""

    case: FaultCase
    truth: Truth
    candidates: list[Candidate]
    records: tuple[TrackRecord, ...]  # by candidate
    chances: Floats  # true, shape (candidates,)
    solved: NDArray[np.bool_]  # whether the candidate solved the fault this time, shape (candidates,)


def generate_incidents(seed: int, count: int, playbook: Playbook) -> Iterator[Incident]:
    """Yields incidents of many operators; the same for the same seed and playbook."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        if number % PER_OPERATOR == 0:
            operator = Operator.draw(rng, playbook)
        yield generate_incident(operator, playbook, rng)


def generate_incident(operator: Operator, playbook: Playbook, rng: Rng) -> Incident:
    """Returns one random incident of an operator."""
    case, truth = _draw_caused(playbook, rng) if rng.random() < CAUSE_SHARE else _draw_seen(playbook, rng)
    candidates = list_candidates(case, playbook)
    offsets = rng.normal(0.0, TARGET_SPREAD, len(candidates))
    chances = compute_chances(truth, case, candidates, operator, offsets, playbook)
    records = draw_track_records(candidates, operator, offsets, rng)
    return Incident(case, truth, candidates, records, chances, rng.random(len(candidates)) < chances)


def _draw_caused(playbook: Playbook, rng: Rng) -> tuple[FaultCase, Truth]:
    """Returns a case that an analysis explains. The truth is drawn from what it believes, so that it is calibrated."""
    causes = _draw_beliefs(rng)
    probabilities = np.array([probability for _, probability in causes])
    cause = causes[int(rng.choice(len(causes), p=probabilities / probabilities.sum()))][0]
    profile = CAUSE_PROFILES[cause]
    kind = TargetKind.LINK if rng.random() < READINGS_SHARE else None
    watched = {metric for remedy in playbook.by_cause[cause] for metric in remedy.action.watch}
    case = FaultCase(
        scope=_pick(rng, CAUSE_PROFILES[causes[0][0]].scopes),
        severity=float(rng.beta(*profile.severity)),
        confidence=float(np.clip(causes[0][1] + rng.normal(0.0, 0.05), 0.0, 1.0)),
        causes=causes,
        kind=kind,
        shares=_draw_shares(rng, kind, watched) if kind else {},
        links=_draw_links(rng, profile.links),
        directions=_pick(rng, profile.directions),
        **_draw_duration(rng),
    )
    return case, Truth(cause)


def _draw_seen(playbook: Playbook, rng: Rng) -> tuple[FaultCase, Truth]:
    """Returns a case that shows only in the readings of one target."""
    kind = _pick(rng, tuple(TargetKind))
    metric = _pick(rng, [metric for metric in CATALOGUE[kind].metrics if (kind, metric) in playbook.by_metric])
    confidence = float(rng.beta(*CONFIDENCE))
    case = FaultCase(
        scope=SCOPES[kind],
        severity=float(rng.beta(1.6, 1.8)),
        confidence=confidence,
        kind=kind,
        shares=_draw_shares(rng, kind, {metric}),
        links=_draw_links(rng, MOST_LINKS[kind]),
        directions=_pick(rng, ONE_DIRECTION) if kind is TargetKind.LINK else (),
        **_draw_duration(rng),
    )
    return case, Truth(metric=metric, real=bool(rng.random() < confidence))


def _draw_beliefs(rng: Rng) -> tuple[tuple[RootCause, float], ...]:
    """Returns causes with probabilities, likeliest first: a cause, what it is mistaken for, and perhaps a third."""
    named = C.UNKNOWN if rng.random() < UNKNOWN_SHARE else _pick(rng, NAMED)
    others = [_pick(rng, CAUSE_PROFILES[named].mistaken_for), _pick(rng, tuple(C))]
    listed = list(dict.fromkeys([named, *others]))
    sure = float(rng.beta(*LIKELIEST))
    rest = (1.0 - sure) * rng.dirichlet(np.full(len(listed) - 1, 0.7))
    pairs = zip(listed, (sure, *rest.tolist()), strict=True)
    kept = [(cause, probability) for cause, probability in pairs if probability >= LEAST_LISTED or cause is named]
    total = sum(probability for _, probability in kept)
    return tuple(sorted(((cause, probability / total) for cause, probability in kept), key=lambda pair: -pair[1]))


def _draw_shares(rng: Rng, kind: TargetKind, at_fault: set[Metric]) -> dict[Metric, float]:
    """Returns each metric's share of the anomaly's score; most of it is in the metrics at fault, mostly."""
    metrics = CATALOGUE[kind].metrics
    weight = [0.15 + 1.8 * (metric in at_fault) / max(1, len(at_fault)) for metric in metrics]
    shares = rng.dirichlet(weight).tolist()
    return {metric: share for metric, share in zip(metrics, shares, strict=True) if share >= 0.02}


def _draw_duration(rng: Rng) -> dict[str, Any]:
    minutes = float(MEDIAN_MINUTES * np.exp(rng.normal(0.0, 1.2)))
    return {"minutes": minutes, "lasts": bool(rng.random() < LASTING_SHARE)}


def _draw_links(rng: Rng, most: int) -> int:
    return int(np.exp(rng.uniform(0.0, np.log(most + 1))))


def _pick(rng: Rng, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]
