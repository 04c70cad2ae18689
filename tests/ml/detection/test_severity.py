from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.catalogue.metrics import CATALOGUE, Good, Metric, TargetKind
from ml.detection.episodes import Severity
from ml.detection.severity import grade_service, rate_incident_severity, rate_severity
from ml.numerics.arrays import Floats

HEALTHY = {
    TargetKind.LINK: [10, 45, 1, 1, 100, 12, -45, 33, 620, 12, 0, 9.5],
    TargetKind.SITE: [640, 0.003, 100, 35, 50, 400, 1],
    TargetKind.NETWORK: [100, 0, 620, 0.002, 20],
}
UNKNOWN = np.nan

services = st.one_of(st.floats(0, 10), st.just(UNKNOWN))
scores, breadths, durations = st.floats(-1, 1), st.integers(0, 12), st.floats(0, 1e6)
severities = st.lists(st.sampled_from(Severity), max_size=5)


def grade(kind: TargetKind, **readings: float) -> float:
    """The service grade of a healthy target with these readings."""
    row = np.array(HEALTHY[kind], dtype=np.float64)
    for name, value in readings.items():
        row[CATALOGUE[kind].metrics.index(Metric(name.upper()))] = value
    usual = np.array([HEALTHY[kind]], dtype=np.float64)
    return float(grade_service(CATALOGUE[kind], row[None], usual)[0])


def test_a_dead_link_is_critical_however_mild_its_statistics() -> None:
    dead = grade(TargetKind.LINK, uptime_pct=0, packet_loss_pct=100, grade=0)

    assert dead == 0
    assert rate_severity(dead, score=0.01, metrics=1, duration_seconds=0) is Severity.CRITICAL


def test_a_stale_grade_does_not_hide_that_a_link_is_down() -> None:
    assert grade(TargetKind.LINK, uptime_pct=0, grade=9.9) == 0


@pytest.mark.parametrize(
    ("service", "severity"),
    [(9.5, "LOW"), (8.4, "MEDIUM"), (7.9, "HIGH"), (7.0, "HIGH"), (6.9, "CRITICAL"), (4.95, "CRITICAL")],
)
def test_the_service_grade_decides(service: float, severity: str) -> None:
    assert rate_severity(service, score=0.2, metrics=1, duration_seconds=0) == severity


def test_what_is_very_odd_or_lasts_is_more_severe_though_the_service_is_good() -> None:
    assert rate_severity(9.5, score=0.9, metrics=5, duration_seconds=0) is Severity.MEDIUM
    assert rate_severity(9.5, score=0.2, metrics=1, duration_seconds=3600) is Severity.MEDIUM
    assert rate_severity(9.5, score=0.9, metrics=5, duration_seconds=3600) is Severity.HIGH
    assert rate_severity(7.5, score=0.9, metrics=5, duration_seconds=1e6) is Severity.HIGH


def test_statistics_stand_in_where_nothing_tells_the_service_and_never_say_critical() -> None:
    only_level = np.full((1, 12), np.nan)
    only_level[0, CATALOGUE[TargetKind.LINK].metrics.index(Metric.RX_LEVEL_DBM)] = -65

    assert np.isnan(grade_service(CATALOGUE[TargetKind.LINK], only_level, only_level)).all()
    assert rate_severity(UNKNOWN, score=0.1, metrics=1, duration_seconds=600) is Severity.LOW
    assert rate_severity(UNKNOWN, score=0.3, metrics=1, duration_seconds=600) is Severity.MEDIUM
    assert rate_severity(UNKNOWN, score=0.3, metrics=1, duration_seconds=7200) is Severity.HIGH
    assert rate_severity(UNKNOWN, score=0.9, metrics=4, duration_seconds=7200) is Severity.HIGH


def test_networks_and_sites_are_graded_by_their_own_metrics() -> None:
    assert grade(TargetKind.NETWORK) == pytest.approx(10)
    assert grade(TargetKind.NETWORK, connections=0) == 0
    assert grade(TargetKind.NETWORK, connections=10) == pytest.approx(5)
    assert grade(TargetKind.NETWORK, packet_loss_pct=50) == 0
    assert grade(TargetKind.SITE) == pytest.approx(10)
    assert grade(TargetKind.SITE, uptime_pct=0) == 0
    assert grade(TargetKind.SITE, error_rate=1) == 0
    assert 7 < grade(TargetKind.SITE, cpu_pct=100) < 8


@given(services, services, scores, scores, breadths, breadths, durations, durations)
def test_worse_never_lowers_the_severity(
    service: float, better: float, score: float, more: float, metrics: int, wider: int, seconds: float, longer: float
) -> None:
    worse = rate_severity(np.fmin(service, better), max(score, more), max(metrics, wider), max(seconds, longer))
    milder = rate_severity(np.fmax(service, better), min(score, more), min(metrics, wider), min(seconds, longer))

    assert worse.rank >= milder.rank


@given(st.sampled_from(TargetKind), st.data())
def test_a_worse_reading_never_raises_the_service_grade(kind: TargetKind, data: st.DataObject) -> None:
    specs = CATALOGUE[kind].specs
    low, high = np.array([spec.low for spec in specs]), np.array([spec.high for spec in specs])
    row = low + (high - low) * np.array([data.draw(st.floats(0, 1)) for _ in specs])
    graded = [spec for spec in specs if spec.good is not Good.NEITHER]
    place = specs.index(data.draw(st.sampled_from(graded)))
    worse = row.copy()
    worst = low[place] if specs[place].good is Good.HIGH else high[place]
    worse[place] += (worst - row[place]) * data.draw(st.floats(0, 1))
    usual: Floats = CATALOGUE[kind].usual[None]

    before, after = grade_service(CATALOGUE[kind], np.stack([row, worse]), np.repeat(usual, 2, axis=0))

    assert after <= before + 1e-9


def test_an_incident_is_as_severe_as_its_worst_anomaly_and_more_so_as_the_network_goes_down() -> None:
    one = [Severity.LOW, Severity.MEDIUM]

    assert rate_incident_severity(one, affected_links=1, network_links=1, minutes=5) is Severity.MEDIUM
    assert rate_incident_severity(one, affected_links=2, network_links=10, minutes=5) is Severity.HIGH
    assert rate_incident_severity(one, affected_links=5, network_links=10, minutes=5) is Severity.CRITICAL
    assert rate_incident_severity(one, affected_links=1, network_links=10, minutes=60) is Severity.HIGH
    assert rate_incident_severity([Severity.HIGH], affected_links=1, network_links=10, minutes=1e5) is Severity.HIGH
    assert rate_incident_severity([], affected_links=0, network_links=0, minutes=0) is Severity.LOW


@given(severities, severities, st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.floats(0, 1e4))
def test_a_wider_incident_is_never_less_severe(
    some: list[Severity], more: list[Severity], links: int, further: int, network: int, minutes: float
) -> None:
    rates = [
        rate_incident_severity(some, links, network, minutes),
        rate_incident_severity(some + more, links, network, minutes),
        rate_incident_severity(some + more, links + further, network, minutes),
        rate_incident_severity(some + more, links + further, network, minutes + 60),
    ]

    assert all(before.rank <= after.rank for before, after in pairwise(rates))
