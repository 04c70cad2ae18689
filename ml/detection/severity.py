"""Severity is service: how bad it is for whoever uses a link, a site or a network, and only then how odd it is."""

from collections.abc import Collection
from typing import Final

import numpy as np

from ml.catalogue.metrics import GRADE_SCALES, Kind, Metric, TargetKind, grade
from ml.detection.episodes import Severity
from ml.numerics.arrays import Floats

CRITICAL_BELOW: Final = 7.0  # of the service grade
HIGH_BELOW: Final = 8.0  # healthy links have 8 to 10
MEDIUM_BELOW: Final = 8.5
LONG_SECONDS: Final = 3600.0
ODD_SCORE: Final = 0.3
VERY_ODD_SCORE: Final = 0.45
WIDE_METRICS: Final = 3
LARGE_SHARE: Final = 0.2  # of a network's links: one step up
HALF: Final = 0.5  # of a network's links: two steps up

# The best and the worst value of each metric, as in `GRADE_SCALES`; a processor or a memory that is full is a risk.
NETWORK_SCALES: Final[dict[Metric, tuple[float, float]]] = {
    Metric.PACKET_LOSS_PCT: GRADE_SCALES[Metric.PACKET_LOSS_PCT],
    Metric.LATENCY_MS: GRADE_SCALES[Metric.LATENCY_MS],
    Metric.ERROR_RATE: (0.01, 0.1),
}
SITE_SCALES: Final[dict[Metric, tuple[float, float]]] = {
    Metric.RESPONSE_TIME_MS: (1000.0, 5000.0),
    Metric.ERROR_RATE: (0.01, 0.2),
    Metric.UPTIME_PCT: GRADE_SCALES[Metric.UPTIME_PCT],
    Metric.CPU_PCT: (90.0, 130.0),
    Metric.MEMORY_PCT: (90.0, 130.0),
}


def grade_service(kind: Kind, readings: Floats, expected: Floats) -> Floats:
    """Returns how good the service is, 0 (none) to 10 (perfect), shape (rows,); NaN where nothing measured tells.

    A link's is the lower of its reported grade and of the grade that its Es/N0, loss, latency and uptime make. A site's
    is made in the same way of response time, error rate, uptime, processor and memory; a network's of loss, latency,
    error rate and its remotes in service as a share of the usual number.

    readings, expected: measured and usual values in catalogue order, shape (rows, metrics), NaN where there is none.
    """
    if kind.kind is TargetKind.LINK:
        return np.fmin(grade(readings), readings[:, kind.metrics.index(Metric.GRADE)])
    if kind.kind is TargetKind.SITE:
        return _combine(kind, readings, SITE_SCALES)
    service = _combine(kind, readings, NETWORK_SCALES)
    place = kind.metrics.index(Metric.CONNECTIONS)
    share = np.clip(readings[:, place] / np.maximum(expected[:, place], 1.0), 0.0, 1.0)
    result: Floats = np.where(np.isnan(share), service, np.where(np.isnan(service), 10.0, service) * share)
    return result


def _combine(kind: Kind, readings: Floats, scales: dict[Metric, tuple[float, float]]) -> Floats:
    """Returns ten times the product of the satisfactions, each falling from 1 at its best to 0 at its worst value."""
    places = [kind.metrics.index(metric) for metric in scales]
    best, worst = np.array(list(scales.values())).T
    satisfaction = np.clip((readings[:, places] - worst) / (best - worst), 0.0, 1.0)
    product = 10.0 * np.where(np.isnan(satisfaction), 1.0, satisfaction).prod(axis=1)
    result: Floats = np.where(np.isnan(satisfaction).all(axis=1), np.nan, product)
    return result


def rate_severity(service: float, score: float, metrics: int, duration_seconds: float) -> Severity:
    """Returns the severity of an anomaly. Worse service, a higher score and a longer duration never lower it.

    By service: CRITICAL below a grade of 7 (a dead link has 0), HIGH below 8, MEDIUM below 8.5, else LOW. A very odd
    sample (score from 0.45) is at least MEDIUM. From an hour on, LOW and MEDIUM are one step higher.

    Where no service reading is there, statistics stand in, and never say more than HIGH: one step up from LOW for each
    of a score from 0.3, a score from 0.45, three metrics that take part, and an hour.

    service: the service grade, 0 to 10, NaN where unknown.
    score: the highest anomaly score so far, -1 to 1.
    metrics: how many metrics have a notable share of that score.
    duration_seconds: from the first alarm on.
    """
    is_long = duration_seconds >= LONG_SECONDS
    if np.isnan(service):
        return _at_most_high((score >= ODD_SCORE) + (score >= VERY_ODD_SCORE) + (metrics >= WIDE_METRICS) + is_long)
    if service < CRITICAL_BELOW:
        return Severity.CRITICAL
    steps = (service < HIGH_BELOW) + (service < MEDIUM_BELOW)
    return _at_most_high(max(steps, int(score >= VERY_ODD_SCORE)) + is_long)


def rate_incident_severity(
    severities: Collection[Severity], affected_links: int, network_links: int, minutes: float
) -> Severity:
    """Returns the severity of an incident. More anomalies, links or minutes never lower it.

    It is that of its worst anomaly, one step higher where at least two links and a fifth of the network's are affected,
    two steps higher where half of them are. From an hour on, LOW and MEDIUM are one step higher.

    severities: of its anomalies; LOW without any.
    affected_links: how many links it affects.
    network_links: how many links the networks have that these belong to; 0 where none is affected.
    minutes: how long it has lasted.
    """
    worst = max((severity.rank for severity in severities), default=0)
    share = affected_links / network_links if network_links > 0 and affected_links > 1 else 0.0
    spread = worst + (share >= LARGE_SHARE) + (share >= HALF)
    is_long = 60.0 * minutes >= LONG_SECONDS
    return list(Severity)[min(Severity.CRITICAL.rank, max(int(spread), _at_most_high(spread + is_long).rank))]


def _at_most_high(steps: int) -> Severity:
    return list(Severity)[min(Severity.HIGH.rank, int(steps))]
