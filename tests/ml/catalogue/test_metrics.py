import numpy as np
import pytest

from ml.catalogue.metrics import CATALOGUE, GRADE_SCALES, Kind, Metric, TargetKind, grade

LINK = CATALOGUE[TargetKind.LINK]


def link(**readings: float) -> np.ndarray:
    row = np.full((1, len(LINK.specs)), np.nan)
    for column, value in readings.items():
        row[0, LINK.columns.index(column)] = value
    return row


def test_every_kind_of_target_has_its_metrics_each_once() -> None:
    assert set(CATALOGUE) == set(TargetKind)
    assert {metric for kind in CATALOGUE.values() for metric in kind.recorded_metrics} == set(Metric)
    assert all(len(set(kind.recorded_metrics)) == len(kind.recorded_metrics) for kind in CATALOGUE.values())


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_every_metric_is_plausible_and_described(kind: Kind) -> None:
    for spec in kind.recorded_specs:
        assert spec.low <= spec.usual <= spec.high, spec.metric
        assert 0 < spec.least_spread < spec.high - spec.low, spec.metric
        assert spec.usual_spread >= spec.least_spread / 2, spec.metric
        assert spec.meaning in spec.described
        assert kind.spec(spec.metric) is spec


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_exactly_five_metrics_are_asked_for(kind: Kind) -> None:
    assert len(kind.core_specs) == 5


def test_a_perfect_link_has_grade_ten_and_a_dead_one_zero() -> None:
    perfect = grade(link(esno_db=14, packet_loss_pct=0, latency_ms=600, uptime_pct=100))
    dead = grade(link(esno_db=14, packet_loss_pct=0, latency_ms=600, uptime_pct=0))

    assert perfect == pytest.approx([10.0])
    assert dead == pytest.approx([0.0])


def test_the_grade_is_unknown_only_where_nothing_it_rests_on_was_measured() -> None:
    nothing, something = grade(link(throughput_mbps=4)), grade(link(packet_loss_pct=1))

    assert np.isnan(nothing).all()
    assert something == pytest.approx([9.0])


@pytest.mark.parametrize("metric", GRADE_SCALES)
def test_the_grade_never_improves_as_an_aspect_worsens(metric: Metric) -> None:
    best, worst = GRADE_SCALES[metric]

    grades = [float(grade(link(**{metric.column: value}))[0]) for value in np.linspace(best, worst, 20)]

    assert grades == sorted(grades, reverse=True)
    assert (grades[0], grades[-1]) == (10.0, 0.0)
