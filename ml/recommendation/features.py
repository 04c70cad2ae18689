"""Features: the numbers from which the ranking and the priority of an action are predicted.

No feature names an action: the models know actions by what the playbook says of them and by their track record, so
that an action which no training has seen is ranked like one with the same numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.case import Candidate, FaultCase, TrackRecord
from ml.recommendation.playbook.actions import Action, Tag
from ml.recommendation.playbook.catalogue import Playbook

# How many outcomes the playbook's chance counts for, and how many the rate over all targets counts for at one target.
# They leave about the spread between operators, and between one operator's targets, that the success model has.
PRIOR: Final = 5.0
PRIOR_HERE: Final = 10.0


class RankingFeature(StrEnum):
    """One number about a candidate in its fault case; NaN where it does not apply."""

    CHANCE = "CHANCE"  # as the playbook says
    PROBABILITY = "PROBABILITY"  # of the cause that the action is meant for
    ORDER = "ORDER"  # in the playbook's list
    CHANCE_OVER_CAUSES = "CHANCE_OVER_CAUSES"  # the playbook's, averaged over all causes by their probability
    CHANCE_OVER_READINGS = "CHANCE_OVER_READINGS"  # the playbook's, averaged over all metrics by their share
    CAUSE = "CAUSE"  # its number; -1: because of the readings alone
    KIND = "KIND"  # number of the kind of target that was measured
    SCOPE = "SCOPE"  # number of the kind of thing at fault
    SEVERITY = "SEVERITY"
    CONFIDENCE = "CONFIDENCE"
    LINKS = "LINKS"  # ln(1 + affected links)
    AGE = "AGE"  # ln(1 + minutes since the fault began)
    LASTS = "LASTS"  # 1: the fault has not ended
    LARGEST_SHARE = "LARGEST_SHARE"  # of one metric in the anomaly's score
    WATCHED_SHARE = "WATCHED_SHARE"  # of the metrics that the action watches
    RADIO_SHARE = "RADIO_SHARE"
    TRAFFIC_SHARE = "TRAFFIC_SHARE"
    QUALITY_SHARE = "QUALITY_SHARE"
    DIRECTION_FIT = "DIRECTION_FIT"  # 1: helps the affected direction, 0.5: one of two, 0: either, -1: the other
    EFFORT = "EFFORT"  # 1 to 5
    DURATION = "DURATION"  # ln(1 + minutes until it shows whether it helped)
    SAFETY = "SAFETY"  # 1: the action is tagged as one for people's safety
    RATE = "RATE"  # of solutions for this cause, shrunk to the playbook's chance
    RATE_HERE = "RATE_HERE"  # of solutions at these targets, shrunk to RATE
    SOLVED = "SOLVED"  # ln(1 + solutions)
    FAILED = "FAILED"  # ln(1 + failures)


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


class _CaseFeatures(NamedTuple):
    """The features that all candidates of a case share."""

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


SHARED: Final = [AT[Feature(name.upper())] for name in _CaseFeatures._fields]
OWN: Final = [column for column in range(len(Feature)) if column not in SHARED]


def extract_features(
    case: FaultCase, candidates: Sequence[Candidate], records: Sequence[TrackRecord], playbook: Playbook
) -> Floats:
    """Returns the features of a case's candidates, in the order of `RankingFeature`, shape (candidates, features).

    records: each candidate's track record, in the candidates' order.
    """
    result = np.empty((len(candidates), len(Feature)))
    if candidates:
        result[:, SHARED] = _extract_shared(case)
        result[:, OWN] = [
            _extract_own(case, candidate, record, playbook)
            for candidate, record in zip(candidates, records, strict=True)
        ]
        for feature in (Feature.DURATION, Feature.SOLVED, Feature.FAILED):
            result[:, AT[feature]] = np.log1p(result[:, AT[feature]])
    return result


def _extract_shared(case: FaultCase) -> _CaseFeatures:
    shares = case.shares
    radio, traffic, quality = (_sum_shares(shares, group) for group in GROUPS.values())
    return _CaseFeatures(
        kind=KIND_NUMBERS[case.kind] if case.kind else np.nan,
        scope=SCOPE_NUMBERS[case.scope],
        severity=case.severity,
        confidence=case.confidence,
        links=float(np.log1p(case.links)),
        age=float(np.log1p(max(0.0, case.minutes))),
        lasts=float(case.lasts),
        largest_share=max(shares.values(), default=np.nan),
        radio_share=radio,
        traffic_share=traffic,
        quality_share=quality,
    )


def _extract_own(case: FaultCase, candidate: Candidate, record: TrackRecord, playbook: Playbook) -> tuple[float, ...]:
    """Returns the other features in their order; those that become a logarithm still as they are."""
    action = candidate.action
    rate = (record.solved + PRIOR * candidate.chance) / (record.solved + record.failed + PRIOR)
    rate_here = (record.solved_here + PRIOR_HERE * rate) / (record.solved_here + record.failed_here + PRIOR_HERE)
    return (
        candidate.chance,
        candidate.probability,
        candidate.order,
        _average_over_causes(case, action, playbook),
        _average_over_readings(case, action, playbook),
        -1.0 if candidate.cause is None else CAUSE_NUMBERS[candidate.cause],
        _sum_shares(case.shares, action.watch),
        _fit_direction(action.direction, case.directions),
        action.effort,
        action.minutes,
        Tag.SAFETY in action.tags,
        rate,
        rate_here,
        record.solved,
        record.failed,
    )


def _average_over_causes(case: FaultCase, action: Action, playbook: Playbook) -> float:
    if not case.causes:
        return float("nan")
    return sum(probability * playbook.cause_chances(cause).get(action.key, 0.0) for cause, probability in case.causes)


def _average_over_readings(case: FaultCase, action: Action, playbook: Playbook) -> float:
    kind = case.kind
    if not kind or not case.shares:
        return float("nan")
    return sum(
        share * playbook.metric_chances(kind, metric).get(action.key, 0.0) for metric, share in case.shares.items()
    )


def _sum_shares(shares: Mapping[Metric, float], metrics: Iterable[Metric]) -> float:
    return sum(shares.get(metric, 0.0) for metric in metrics) if shares else float("nan")


def _fit_direction(helped: Direction | None, affected: tuple[Direction, ...]) -> float:
    if helped is None or not affected:
        return 0.0
    if helped not in affected:
        return -1.0
    return 1.0 if len(affected) == 1 else 0.5
