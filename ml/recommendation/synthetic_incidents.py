"""Imagined incidents: situations as an analysis would report them, with what is truly wrong and what would help."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from ml.catalogue.root_causes import NAMED, CulpritKind, RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.case import Candidate, Past, Situation
from ml.recommendation.playbook.catalogue import FOR_CAUSE, FOR_METRIC, candidates
from ml.recommendation.success_model import TARGETS_DIFFER, Operator, Truth, chances, pasts

OF_A_CAUSE: Final = 0.65  # of the incidents; the others are seen in the readings of a single target
UNKNOWN_SHARE: Final = 0.06
SURE: Final = (8.0, 0.6)  # Beta: the likeliest cause's probability, 0.93 on average as measured
LISTED: Final = 0.01  # less probable causes are not told
WITH_READINGS: Final = 0.3  # of those of a cause: asked about from an anomaly
LASTS: Final = 0.7
MEDIAN_MINUTES: Final = 60.0
REAL: Final = (6.0, 1.2)  # Beta: how sure it is that readings are of a fault
PER_OPERATOR: Final = 30  # incidents

Rng = np.random.Generator
IB, OB = Direction.IB, Direction.OB
ONE_WAY: Final = ((IB,), (OB,))
EVERY_WAY: Final = ((IB,), (OB,), (IB, OB))
BOTH_WAYS: Final = ((IB, OB),)


@dataclass(frozen=True)
class Habit:
    """How a cause shows itself, and what it is taken for."""

    scopes: tuple[CulpritKind, ...]
    directions: tuple[tuple[Direction, ...], ...]
    links: int  # at most
    severity: tuple[float, float]  # Beta
    like: tuple[RootCause, ...]


K, C = CulpritKind, RootCause
HABITS: Final[dict[RootCause, Habit]] = {
    C.EQUIPMENT_FAILURE: Habit((K.SITE,), EVERY_WAY, 200, (3, 1.5), (C.ANTENNA_ALIGNMENT, C.SATELLITE_INTERFERENCE)),
    C.ANTENNA_ALIGNMENT: Habit((K.SITE,), BOTH_WAYS, 200, (2, 2), (C.EQUIPMENT_FAILURE, C.RAIN_FADE)),
    C.SATELLITE_INTERFERENCE: Habit((K.SATELLITE,), EVERY_WAY, 100, (2, 2), (C.EQUIPMENT_FAILURE, C.CONGESTION)),
    C.ANTENNA_MISALIGNMENT: Habit((K.SITE, K.LINK), BOTH_WAYS, 3, (2, 2), (C.BLOCKAGE, C.REMOTE_EQUIPMENT)),
    C.RAIN_FADE: Habit((K.SITE,), BOTH_WAYS, 100, (2, 2), (C.ANTENNA_ALIGNMENT, C.SUN_TRANSIT)),
    C.SUN_TRANSIT: Habit((K.SITE,), ONE_WAY, 200, (2, 3), (C.SATELLITE_INTERFERENCE, C.RAIN_FADE)),
    C.CONGESTION: Habit((K.NETWORK,), ONE_WAY, 80, (2, 3), (C.SATELLITE_INTERFERENCE, C.EQUIPMENT_FAILURE)),
    C.REMOTE_EQUIPMENT: Habit((K.SITE, K.LINK), ONE_WAY, 2, (3, 2), (C.ANTENNA_MISALIGNMENT, C.POWER_OUTAGE)),
    C.POWER_OUTAGE: Habit((K.SITE,), BOTH_WAYS, 200, (20, 0.5), (C.EQUIPMENT_FAILURE, C.REMOTE_EQUIPMENT)),
    C.BLOCKAGE: Habit((K.SITE, K.LINK), BOTH_WAYS, 5, (2, 2), (C.ANTENNA_MISALIGNMENT, C.RAIN_FADE)),
    C.UNKNOWN: Habit(tuple(K), EVERY_WAY, 100, (2, 2), (C.EQUIPMENT_FAILURE, C.SATELLITE_INTERFERENCE)),
}
SCOPES: Final = {TargetKind.NETWORK: K.NETWORK, TargetKind.SITE: K.SITE, TargetKind.LINK: K.LINK}
MOST_LINKS: Final = {TargetKind.NETWORK: 60, TargetKind.SITE: 20, TargetKind.LINK: 1}


@dataclass(frozen=True)
class Incident:
    """The last four by candidate: what was recorded of it, its true chance, and whether it solved it this time."""

    situation: Situation
    truth: Truth
    candidates: list[Candidate]
    pasts: tuple[Past, ...]
    chances: Floats
    solved: NDArray[np.bool_]


def incidents(seed: int, count: int) -> Iterator[Incident]:
    """Of many operators; the same for the same seed."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        if number % PER_OPERATOR == 0:
            operator = Operator.drawn(rng)
        yield incident(operator, rng)


def incident(operator: Operator, rng: Rng) -> Incident:
    situation, truth = _of_cause(rng) if rng.random() < OF_A_CAUSE else _of_readings(rng)
    options = candidates(situation)
    target = rng.normal(0.0, TARGETS_DIFFER, len(options))
    chance = chances(truth, situation, options, operator, target)
    known = pasts(options, operator, target, rng)
    return Incident(situation, truth, options, known, chance, rng.random(len(options)) < chance)


def _of_cause(rng: Rng) -> tuple[Situation, Truth]:
    """The truth is drawn from what the analysis believes, which is therefore calibrated."""
    causes = _believed(rng)
    chance = np.array([probability for _, probability in causes])
    cause = causes[int(rng.choice(len(causes), p=chance / chance.sum()))][0]
    habit = HABITS[cause]
    kind = TargetKind.LINK if rng.random() < WITH_READINGS else None
    situation = Situation(
        scope=_one(rng, HABITS[causes[0][0]].scopes),
        severity=float(rng.beta(*habit.severity)),
        confidence=float(np.clip(causes[0][1] + rng.normal(0.0, 0.05), 0.0, 1.0)),
        causes=causes,
        kind=kind,
        shares=_shares(rng, kind, {metric for one in FOR_CAUSE[cause] for metric in one.action.watch}) if kind else {},
        links=_links(rng, habit.links),
        directions=_one(rng, habit.directions),
        **_course(rng),
    )
    return situation, Truth(cause)


def _of_readings(rng: Rng) -> tuple[Situation, Truth]:
    kind = _one(rng, tuple(TargetKind))
    metric = _one(rng, [metric for metric in CATALOGUE[kind].metrics if (kind, metric) in FOR_METRIC])
    confidence = float(rng.beta(*REAL))
    situation = Situation(
        scope=SCOPES[kind],
        severity=float(rng.beta(1.6, 1.8)),
        confidence=confidence,
        kind=kind,
        shares=_shares(rng, kind, {metric}),
        links=_links(rng, MOST_LINKS[kind]),
        directions=_one(rng, ONE_WAY) if kind is TargetKind.LINK else (),
        **_course(rng),
    )
    return situation, Truth(metric=metric, real=bool(rng.random() < confidence))


def _believed(rng: Rng) -> tuple[tuple[RootCause, float], ...]:
    """Causes with their probabilities, likeliest first: one, what it is taken for, and perhaps a third."""
    named = C.UNKNOWN if rng.random() < UNKNOWN_SHARE else _one(rng, NAMED)
    others = [_one(rng, HABITS[named].like), _one(rng, tuple(C))]
    listed = list(dict.fromkeys([named, *others]))
    sure = float(rng.beta(*SURE))
    left = (1.0 - sure) * rng.dirichlet(np.full(len(listed) - 1, 0.7))
    chances_ = zip(listed, (sure, *left.tolist()), strict=True)
    told = [(cause, chance) for cause, chance in chances_ if chance >= LISTED or cause is named]
    total = sum(chance for _, chance in told)
    return tuple(sorted(((cause, chance / total) for cause, chance in told), key=lambda one: -one[1]))


def _shares(rng: Rng, kind: TargetKind, at_fault: set[Metric]) -> dict[Metric, float]:
    """Most of the score is in the metrics at fault, mostly."""
    metrics = CATALOGUE[kind].metrics
    weight = [0.15 + 1.8 * (metric in at_fault) / max(1, len(at_fault)) for metric in metrics]
    shares = rng.dirichlet(weight).tolist()
    return {metric: share for metric, share in zip(metrics, shares, strict=True) if share >= 0.02}


def _course(rng: Rng) -> dict[str, Any]:
    return {"minutes": float(MEDIAN_MINUTES * np.exp(rng.normal(0.0, 1.2))), "lasts": bool(rng.random() < LASTS)}


def _links(rng: Rng, most: int) -> int:
    return int(np.exp(rng.uniform(0.0, np.log(most + 1))))


def _one(rng: Rng, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]
