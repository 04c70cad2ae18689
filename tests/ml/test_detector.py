import hashlib
import io
import zipfile
from functools import cache

import numpy as np
import pytest

from ml.baselines import learn
from ml.detector import Detector, Verdicts, false_alarms_per_day
from ml.episodes import EXTREME, EpisodeState, follow
from ml.metrics import CATALOGUE, Metric, TargetKind
from ml.simulator import demo_fleet, simulate
from ml.training import calibration_error, train

LINK = CATALOGUE[TargetKind.LINK]
KINDS = pytest.mark.parametrize("kind", TargetKind)


pytestmark = pytest.mark.xdist_group("detectors")  # trained once, in one process


@cache
def trained(kind: TargetKind) -> Detector:
    return train(kind)


def healthy(kind: TargetKind, rows: int = 1) -> np.ndarray:
    return np.tile(CATALOGUE[kind].usual, (rows, 1))


def only(metric: Metric, values: np.ndarray | list[float]) -> np.ndarray:
    readings = np.full((len(values), len(LINK.specs)), np.nan)
    readings[:, LINK.metrics.index(metric)] = values
    return readings


def judge(readings: np.ndarray, kind: TargetKind = TargetKind.LINK, samples: int = 5000, **also: float) -> Verdicts:
    """Against a baseline as narrow as the catalogue allows."""
    own = CATALOGUE[kind]
    return trained(kind).judge(readings, own.usual, own.least_spread, np.full(len(readings), samples), **also)


@KINDS
def test_a_healthy_sample_is_ordinary(kind: TargetKind) -> None:
    verdicts = judge(healthy(kind), kind)

    assert verdicts.score[0] < -0.3
    assert verdicts.confidence[0] < 0.1


def test_a_six_decibel_fade_of_a_link_that_measures_only_its_level_is_found() -> None:
    usual = LINK.spec(Metric.RX_LEVEL_DBM).usual

    verdicts = judge(only(Metric.RX_LEVEL_DBM, [usual, usual - 6.0]))

    assert verdicts.score[0] < 0.0
    assert verdicts.score[1] > 0.2
    assert verdicts.confidence[1] > 0.7
    assert verdicts.shares[1, LINK.metrics.index(Metric.RX_LEVEL_DBM)] == 1.0


def test_a_six_decibel_fade_amid_healthy_metrics_is_found_and_explained() -> None:
    readings = healthy(TargetKind.LINK)
    readings[0, LINK.metrics.index(Metric.ESNO_DB)] -= 6.0

    verdicts = judge(readings)

    assert verdicts.score[0] > 0.2
    assert LINK.metrics[int(verdicts.shares[0].argmax())] is Metric.ESNO_DB


@pytest.mark.parametrize("kind", [TargetKind.SITE, TargetKind.LINK])
def test_a_total_outage_is_extreme(kind: TargetKind) -> None:
    readings = healthy(kind)
    readings[0, CATALOGUE[kind].metrics.index(Metric.UPTIME_PCT)] = 0.0

    assert judge(readings, kind).score[0] >= EXTREME


def test_a_flat_series_with_quantised_noise_stays_quiet() -> None:
    steps = np.random.default_rng(1).integers(-1, 2, 20_000) * 0.1
    readings = only(Metric.RX_LEVEL_DBM, -45.0 + steps)
    base = learn(LINK, readings[:5000], np.zeros(5000, dtype=np.int64), 1)

    verdicts = trained(TargetKind.LINK).judge(readings, base.centre, base.spread, np.full(20_000, 5000), 1.0)

    assert verdicts.score.max() < 0.0


def test_getting_better_is_no_fault() -> None:
    readings = healthy(TargetKind.LINK)
    readings[0, LINK.metrics.index(Metric.ESNO_DB)] += 8.0
    readings[0, LINK.metrics.index(Metric.LATENCY_MS)] -= 100.0

    verdicts = judge(readings)

    assert verdicts.score[0] < -0.3
    assert verdicts.deviations[0, LINK.metrics.index(Metric.ESNO_DB)] == pytest.approx(32.0)


@KINDS
def test_a_row_is_judged_alike_alone_and_in_company(kind: TargetKind) -> None:
    rng = np.random.default_rng(2)
    readings = healthy(kind, 700) + rng.standard_t(2, (700, len(CATALOGUE[kind].specs))) * CATALOGUE[kind].least_spread
    readings[rng.random(readings.shape) < 0.2] = np.nan

    together, alone = judge(readings, kind), judge(readings[651:652], kind)

    assert together.score[651] == alone.score[0]
    assert np.array_equal(together.shares[651], alone.shares[0])


def test_shares_sum_to_one_and_leave_out_what_was_not_measured() -> None:
    readings = healthy(TargetKind.LINK, 300) + np.random.default_rng(3).normal(0, 20, (300, len(LINK.specs)))
    readings[np.random.default_rng(4).random(readings.shape) < 0.5] = np.nan
    readings[:, 0] = 5.0

    verdicts = judge(readings)

    assert verdicts.shares.sum(axis=1) == pytest.approx(np.ones(300))
    assert np.all((verdicts.shares >= 0) & (verdicts.shares <= 1))
    assert np.all(verdicts.shares[np.isnan(readings)] == 0.0)
    assert np.array_equal(np.isnan(verdicts.deviations), np.isnan(readings))


def test_where_nothing_deviates_the_shares_are_even() -> None:
    readings = healthy(TargetKind.LINK)
    readings[0, 4:] = np.nan

    assert judge(readings).shares[0] == pytest.approx([0.25] * 4 + [0.0] * 8)


def test_metrics_without_a_baseline_take_no_part() -> None:
    readings = healthy(TargetKind.LINK)
    readings[0, LINK.metrics.index(Metric.ESNO_DB)] = -20.0
    centre = LINK.usual.copy()
    centre[LINK.metrics.index(Metric.ESNO_DB)] = np.nan

    verdicts = trained(TargetKind.LINK).judge(readings, centre, LINK.least_spread, np.array([5000]))

    assert verdicts.score[0] < -0.3


def test_a_row_of_nothing_is_not_judged() -> None:
    verdicts = judge(np.full((1, len(LINK.specs)), np.nan))

    assert np.isnan(verdicts.score[0])
    assert verdicts.confidence[0] == 0.0
    assert verdicts.shares.sum() == 0.0


def test_no_rows_give_no_verdicts() -> None:
    verdicts = judge(np.empty((0, len(LINK.specs))))

    assert (verdicts.score.shape, verdicts.shares.shape) == ((0,), (0, len(LINK.specs)))


def test_confidence_is_capped_while_a_baseline_is_young() -> None:
    readings = healthy(TargetKind.LINK)
    readings[0, LINK.metrics.index(Metric.UPTIME_PCT)] = 0.0

    capped = [float(judge(readings, samples=samples).confidence[0]) for samples in (0, 250, 500)]

    assert capped == pytest.approx([0.5, 0.75, 1.0], abs=0.02)


@pytest.mark.parametrize(
    ("kind", "healthy_asked", "faulty_asked"),
    [
        (TargetKind.NETWORK, [850, 0.5, 650, 0.005, 400], [20, 12, 1800, 0.15, 3]),
        (TargetKind.SITE, [150, 0.008, 99.9, 60, 70], [5000, 0.3, 80, 97, 96]),
        (TargetKind.LINK, [45, 70, 10, 5, 99.9], [0.2, 98, 4000, 900, 70]),
    ],
)
def test_strangers_are_judged_by_what_is_usual(
    kind: TargetKind, healthy_asked: list[float], faulty_asked: list[float]
) -> None:
    own = CATALOGUE[kind]
    readings = np.full((2, len(own.specs)), np.nan)
    readings[:, [spec.asked for spec in own.specs]] = [healthy_asked, faulty_asked]

    verdicts = trained(kind).judge(readings, own.usual, own.usual_spread, np.zeros(2, dtype=np.int64))

    assert verdicts.score[0] < 0.0
    assert verdicts.score[1] >= EXTREME


def test_a_young_baseline_is_trusted_less() -> None:
    faded = only(Metric.RX_LEVEL_DBM, [LINK.spec(Metric.RX_LEVEL_DBM).usual - 3.0])

    young, old = judge(faded, samples=60), judge(faded, samples=500)

    assert young.score[0] < old.score[0]
    assert abs(young.deviations[0, 6]) < abs(old.deviations[0, 6])


def test_more_sensitivity_never_lowers_a_score() -> None:
    readings = healthy(TargetKind.LINK, 50) - np.linspace(0, 30, 50)[:, None]

    scores = np.array([judge(readings, sensitivity=s).score for s in (-1.0, 0.0, 0.5, 1.0, 2.0)])

    assert np.all(np.diff(scores, axis=0) >= 0)
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[3], scores[4])
    assert np.all(np.abs(scores) <= 1.0)


def test_sensitivity_is_a_budget_from_one_a_month_to_three_a_day() -> None:
    assert [false_alarms_per_day(s) for s in (0.0, 1.0)] == pytest.approx([1 / 30, 3.0])


@KINDS
def test_confidence_never_falls_as_a_deviation_grows(kind: TargetKind) -> None:
    spread = CATALOGUE[kind].least_spread
    away = np.where(CATALOGUE[kind].harmless_sign > 0, -spread, spread)
    readings = healthy(kind, 100) + np.linspace(0, 100, 100)[:, None] * away

    confidence = judge(readings, kind).confidence

    assert np.all(np.diff(confidence) >= 0)
    assert (confidence.min() < 0.1, confidence.max() > 0.95) == (True, True)


@KINDS
def test_held_out_fleets_get_few_false_alarms_and_their_events_found(kind: TargetKind) -> None:
    held_out = trained(kind).metadata["held_out"]

    assert held_out["dataset"] == "simulated"
    assert held_out["false_alarms_per_target_day"] < held_out["promised_false_alarms_per_target_day"]
    assert held_out["event_recall"] > 0.7
    assert held_out["confidence_calibration_error"] < 0.03


@pytest.mark.parametrize("measured", [("RX_LEVEL_DBM", "TX_POWER_DBM"), ("THROUGHPUT_MBPS",), ("ERRORS", "LATENCY_MS")])
def test_links_that_measure_little_raise_few_false_alarms(measured: tuple[str, ...]) -> None:
    days, times = 2, 1_767_225_600_000 + 300_000 * np.arange(5 * 288)
    samples = simulate(demo_fleet(77, 30), times, [], seed=78, missing=0)[TargetKind.LINK]
    stream = np.tile(np.arange(60), len(times))
    readings = np.where([metric in measured for metric in LINK.metrics], samples.readings, np.nan)
    history = samples.at < times[(5 - days) * 288]
    base = learn(LINK, readings[history], stream[history], 60)

    centre, spread = base.centre[stream[~history]], base.spread[stream[~history]]
    score = trained(TargetKind.LINK).judge(readings[~history], centre, spread, np.full(len(spread), 800)).score

    by_stream = score.reshape(-1, 60).T
    episodes = sum(len(follow(EpisodeState(), times[-days * 288 :], one)[1]) for one in by_stream)
    assert episodes / (60 * days) < false_alarms_per_day(0.5)


@KINDS
def test_a_detector_survives_its_artefact(kind: TargetKind) -> None:
    detector = trained(kind)
    readings = healthy(kind, 40) + np.arange(40)[:, None]

    again = Detector.from_bytes(detector.to_bytes())

    unit = np.ones(readings.shape[1])
    one, other = (each.judge(readings, 0 * unit, unit, np.full(40, 900)) for each in (detector, again))
    assert np.array_equal(one.score, other.score)
    assert np.array_equal(one.confidence, other.confidence)
    assert (again.kind, again.version, again.metadata) == (kind, "1.0.0", detector.metadata)
    assert again.to_bytes() == detector.to_bytes()


def test_training_again_gives_the_same_artefact() -> None:
    first, second = trained(TargetKind.SITE).to_bytes(), train(TargetKind.SITE).to_bytes()

    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()


def without(data: bytes, member: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            if name != member:
                new.writestr(name, old.read(name))
    return file.getvalue()


@pytest.mark.parametrize("damage", ["nothing", "text", "half", "member", "flipped", "other kind"])
def test_a_damaged_artefact_is_refused(damage: str) -> None:
    data = trained(TargetKind.LINK).to_bytes()
    damaged = {
        "nothing": b"",
        "text": b"not an artefact",
        "half": data[: len(data) // 2],
        "member": without(data, "knots.npy"),
        "flipped": data[:5000] + bytes([data[5000] ^ 255]) + data[5001:],
        "other kind": data.replace(b'"kind": "LINK"', b'"kind": "SITE"'),
    }[damage]

    with pytest.raises(ValueError, match="not a detector"):
        Detector.from_bytes(damaged)


def test_a_confidence_that_is_always_right_has_no_calibration_error() -> None:
    truth = np.array([True, False, True, False])

    assert calibration_error(truth.astype(float), truth) == 0.0
    assert calibration_error(np.full(4, 0.9), truth) == pytest.approx(0.4)


def test_training_reports_its_progress() -> None:
    heard: list[tuple[float, str]] = []

    train(TargetKind.SITE, seed=5, progress=lambda fraction, message: heard.append((fraction, message)))

    assert [fraction for fraction, _ in heard] == sorted(fraction for fraction, _ in heard)
    assert (heard[0][0], heard[-1][0]) == (0.0, 1.0)
