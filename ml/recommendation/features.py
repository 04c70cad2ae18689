"""What the ranking and the priority of an action are told by."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.case import Candidate, Past, Situation
from ml.recommendation.playbook.actions import Action, Tag
from ml.recommendation.playbook.catalogue import FOR_METRIC
from ml.recommendation.success_model import chances_for

# How many outcomes the playbook's chance counts for, and what is known of all targets for one: as many as leave about
# the spread between operators, and between an operator's targets, that the outcome model has.
PRIOR: Final = 5.0
PRIOR_HERE: Final = 10.0


class RankingFeature(StrEnum):
    """Of one candidate in its situation; NaN = does not apply."""

    CHANCE = "CHANCE"  # as the playbook says
    PROBABILITY = "PROBABILITY"  # of the cause that it is meant for
    ORDER = "ORDER"  # in the playbook's list
    CHANCE_OVER_CAUSES = "CHANCE_OVER_CAUSES"  # the playbook's, over all causes by their probability
    CHANCE_OVER_READINGS = "CHANCE_OVER_READINGS"  # the playbook's, over all metrics by their share
    CAUSE = "CAUSE"  # its number; -1 of the readings alone
    KIND = "KIND"  # of the target whose readings they are
    SCOPE = "SCOPE"
    SEVERITY = "SEVERITY"
    CONFIDENCE = "CONFIDENCE"
    LINKS = "LINKS"  # natural logarithm of one more
    AGE = "AGE"  # natural logarithm of minutes since it began, one more
    LASTS = "LASTS"
    LARGEST_SHARE = "LARGEST_SHARE"  # of a metric, of the anomaly's score
    WATCHED_SHARE = "WATCHED_SHARE"  # of the metrics that the action moves
    RADIO_SHARE = "RADIO_SHARE"
    TRAFFIC_SHARE = "TRAFFIC_SHARE"
    QUALITY_SHARE = "QUALITY_SHARE"
    DIRECTION_FIT = "DIRECTION_FIT"  # 1: it suits what is hit, 0.5: half of it, 0: it suits any, -1: the other way
    EFFORT = "EFFORT"
    DURATION = "DURATION"  # natural logarithm of minutes until it shows
    SAFETY = "SAFETY"  # whether it is about people's
    RATE = "RATE"  # of solutions, for this cause, shrunken to the playbook's chance
    RATE_HERE = "RATE_HERE"  # the same at this target, shrunken to that
    SOLVED = "SOLVED"  # natural logarithm of one more
    FAILED = "FAILED"


Feature = RankingFeature
AT: Final = {feature: column for column, feature in enumerate(Feature)}
M = Metric
GROUPS: Final[dict[Feature, tuple[Metric, ...]]] = {
    Feature.RADIO_SHARE: (M.ESNO_DB, M.RX_LEVEL_DBM, M.TX_POWER_DBM, M.GRADE),
    Feature.TRAFFIC_SHARE: (M.BANDWIDTH_MBPS, M.THROUGHPUT_MBPS, M.UTILIZATION_PCT, M.CONNECTIONS, M.REQUEST_COUNT),
    Feature.QUALITY_SHARE: (M.PACKET_LOSS_PCT, M.ERRORS, M.DISCARDS, M.LATENCY_MS, M.JITTER_MS, M.ERROR_RATE),
}
CAUSE_NUMBERS: Final = {cause: number for number, cause in enumerate(RootCause)}
SCOPE_NUMBERS: Final = {scope: number for number, scope in enumerate(CulpritKind)}
KIND_NUMBERS: Final = {kind: number for number, kind in enumerate(TargetKind)}


class _OfSituation(NamedTuple):
    """The same for all candidates."""

    kind: float
    scope: float
    severity: float
    confidence: float
    links: float
    age: float
    lasts: float
    largest_share: float
    radio_share: float
    traffic_share: float
    quality_share: float


SHARED: Final = [AT[Feature(name.upper())] for name in _OfSituation._fields]
OWN: Final = [column for column in range(len(Feature)) if column not in SHARED]


def features(situation: Situation, candidates: Sequence[Candidate], pasts: Sequence[Past]) -> Floats:
    """(candidates, features) in the order of `RankingFeature`."""
    result = np.empty((len(candidates), len(Feature)))
    if candidates:
        result[:, SHARED] = _of_situation(situation)
        result[:, OWN] = [_own(situation, one, past) for one, past in zip(candidates, pasts, strict=True)]
        for feature in (Feature.DURATION, Feature.SOLVED, Feature.FAILED):
            result[:, AT[feature]] = np.log1p(result[:, AT[feature]])
    return result


def _of_situation(situation: Situation) -> _OfSituation:
    shares = situation.shares
    radio, traffic, quality = (_share(shares, group) for group in GROUPS.values())
    return _OfSituation(
        kind=KIND_NUMBERS[situation.kind] if situation.kind else np.nan,
        scope=SCOPE_NUMBERS[situation.scope],
        severity=situation.severity,
        confidence=situation.confidence,
        links=float(np.log1p(situation.links)),
        age=float(np.log1p(max(0.0, situation.minutes))),
        lasts=float(situation.lasts),
        largest_share=max(shares.values(), default=np.nan),
        radio_share=radio,
        traffic_share=traffic,
        quality_share=quality,
    )


def _own(situation: Situation, one: Candidate, past: Past) -> tuple[float, ...]:
    """The others, in their order; what becomes a logarithm as it is."""
    action = one.action
    rate = (past.solved + PRIOR * one.chance) / (past.solved + past.failed + PRIOR)
    here = (past.solved_here + PRIOR_HERE * rate) / (past.solved_here + past.failed_here + PRIOR_HERE)
    return (
        one.chance,
        one.probability,
        one.order,
        _over_causes(situation, action),
        _over_readings(situation, action),
        -1.0 if one.cause is None else CAUSE_NUMBERS[one.cause],
        _share(situation.shares, action.watch),
        _direction_fit(action.direction, situation.directions),
        action.effort,
        action.minutes,
        Tag.SAFETY in action.tags,
        rate,
        here,
        past.solved,
        past.failed,
    )


def _over_causes(situation: Situation, action: Action) -> float:
    if not situation.causes:
        return float("nan")
    return sum(chance * chances_for(cause).get(action.key, 0.0) for cause, chance in situation.causes)


def _over_readings(situation: Situation, action: Action) -> float:
    kind = situation.kind
    if not kind or not situation.shares:
        return float("nan")
    return sum(share * _by_metric(kind, metric).get(action.key, 0.0) for metric, share in situation.shares.items())


@cache
def _by_metric(kind: TargetKind, metric: Metric) -> Mapping[str, float]:
    return {remedy.action.key: remedy.chance for remedy in FOR_METRIC.get((kind, metric), ())}


def _share(shares: Mapping[Metric, float], metrics: Iterable[Metric]) -> float:
    return sum(shares.get(metric, 0.0) for metric in metrics) if shares else float("nan")


def _direction_fit(works_on: Direction | None, hit: tuple[Direction, ...]) -> float:
    if works_on is None or not hit:
        return 0.0
    if works_on not in hit:
        return -1.0
    return 1.0 if len(hit) == 1 else 0.5
