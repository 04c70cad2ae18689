"""Training, the trials that it measures on, injected faults, and what speaks against a promotion."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.catalogue.models import DETECTORS, History, Measure, TooLittleHistory, Trained, promotion_blockers
from ml.catalogue.units import DAY_MS
from ml.detection.detector import Detector, false_alarms_per_day
from ml.detection.fault_injection import inject_faults
from ml.detection.features import StreamSamples
from ml.detection.held_out import Trial, simulate_trial, split_history
from ml.detection.profile_fitting import fit_profiles
from ml.detection.profiles import MetricScales, Profiles
from ml.detection.training import MIN_STREAM_SAMPLES, calibrate_confidence, score_trial, train
from ml.numerics.arrays import Floats
from ml.simulation.fleet import demo_fleet
from ml.simulation.simulator import simulate
from tests.helpers.detectors import DAY, LINK, START_MS, STEP_MS, detector, episodes, only, quiet, times, trained

KINDS = pytest.mark.parametrize("kind", TargetKind)
SITE = CATALOGUE[TargetKind.SITE]
NO_WINDOWS = np.empty((0, 3), dtype=np.int64)

pytestmark = pytest.mark.xdist_group("detectors")  # trained once, in one process


def history(*rows: int, seed: int = 1) -> History:
    """Of sites that report so many rows each, all to the same end."""
    values = [quiet(count, TargetKind.SITE, seed + one) for one, count in enumerate(rows)]
    at = [times(count, max(rows) - count) for count in rows]
    return History("a fleet", np.concatenate(values), np.repeat(np.arange(len(rows)), rows), np.concatenate(at))


@cache
def retrained() -> tuple[Trained, list[tuple[float, str]]]:
    """On a fleet's history, against a champion; one site came late, and one has hardly reported anything."""
    heard: list[tuple[float, str]] = []
    past = history(1500, 1500, 1500, 550, 20)
    spoken = replace(past, confirmed=np.array([[1, START_MS + 100 * STEP_MS, START_MS + 120 * STEP_MS]]))
    champion = detector(TargetKind.SITE)
    return train("anomaly_site", 5, lambda done, what: heard.append((done, what)), spoken, champion), heard


# ---------------------------------------------------------------- what was measured


@KINDS
def test_held_out_fleets_get_few_false_alarms_and_their_events_found(kind: TargetKind) -> None:
    measured = {one.name: one.value for one in trained(kind).measures}

    assert {one.dataset for one in trained(kind).measures} == {"simulated fleets"}
    assert 0.5 < measured["false_alarm_ratio"] < 1.5
    assert measured["event_recall"] > 0.85
    assert measured["vus_pr"] > 0.65
    assert measured["calibration_error"] < (0.15 if kind is TargetKind.SITE else 0.05)


@KINDS
def test_a_version_says_what_it_was_made_of(kind: TargetKind) -> None:
    made = trained(kind)

    assert made.details["confidence_calibrated_on"] == "simulated fleets"
    assert made.samples > 10_000
    assert len(made.features) == 6 * len(CATALOGUE[kind].specs)
    assert made.rival_measures == ()


def test_training_reports_its_progress() -> None:
    _, heard = retrained()

    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert (heard[0][0], heard[-1][0]) == (0.0, 1.0)


def test_a_fleets_own_history_is_learned_from_and_measured_on_as_well_as_the_simulator() -> None:
    made, _ = retrained()

    assert {one.dataset for one in made.measures} == {"a fleet, injected faults", "simulated fleets"}
    assert made.details["trained_on"] == "a fleet"
    assert made.details["streams"] == 4
    assert made.details["verdicts"] == {"confirmed": 1, "dismissed": 0}
    assert Detector.from_bytes(made.artefact, "1").kind is TargetKind.SITE


def test_a_champion_is_measured_on_the_same_data() -> None:
    made, _ = retrained()

    assert [(one.name, one.dataset, one.samples) for one in made.rival_measures] == [
        (one.name, one.dataset, one.samples) for one in made.measures
    ]


@pytest.mark.parametrize(("rows", "enough"), [((), 0), ((600, 600, 100), 2), ((499, 499, 499, 499), 0)])
def test_too_little_history_is_refused_in_a_sentence(rows: tuple[int, ...], enough: int) -> None:
    little = history(*rows) if rows else History("none", np.empty((0, 1)), np.empty(0, np.int64), np.empty(0, np.int64))

    with pytest.raises(TooLittleHistory) as refused:
        train("anomaly_site", history=little)

    assert str(refused.value) == (
        f"The history has {enough} targets and directions with at least {MIN_STREAM_SAMPLES} samples; 3 are needed."
    )


def test_a_name_that_is_no_model_is_refused() -> None:
    with pytest.raises(KeyError):
        train("anomaly_spaceship")


# ---------------------------------------------------------------- verdicts


def likelihood(confirmed: np.ndarray, dismissed: np.ndarray) -> float:
    """Of an event at a moderate surprise, where people said so of the calm second of two sites."""
    own = detector(TargetKind.SITE)
    whole = StreamSamples(quiet(6 * DAY, TargetKind.SITE), np.tile(times(3 * DAY), 2), np.repeat([0, 1], 3 * DAY), 2)
    later = whole.at >= START_MS + 2 * DAY_MS
    ahead = whole.where(later)
    faulty = np.zeros(len(ahead.at), dtype=bool)
    faulty[50:80] = True
    hit = replace(ahead, values=np.where(faulty[:, None], SITE.usual + 4.0 * SITE.least_spread, ahead.values))
    said = History("a fleet", whole.values, whole.stream, whole.at, confirmed, dismissed)
    fitted = calibrate_confidence(own, Trial("", whole.where(~later), hit, faulty), said)
    return float(np.interp(0.3, fitted.confidence_x, fitted.confidence_y))


def test_confirmed_anomalies_raise_the_confidence_and_dismissed_ones_lower_it() -> None:
    calm = np.array([[1, START_MS + 2 * DAY_MS, START_MS + 2 * DAY_MS + DAY_MS // 2]])
    fault = np.array([[0, START_MS, START_MS + 10 * DAY_MS]])

    confirmed, silent, dismissed = (
        likelihood(calm, NO_WINDOWS),
        likelihood(NO_WINDOWS, NO_WINDOWS),
        likelihood(NO_WINDOWS, fault),
    )

    assert confirmed > silent + 0.1
    assert dismissed <= silent
    assert dismissed < 0.05


# ---------------------------------------------------------------- false alarms without faults


def fault_free(days: int, ahead: int, remotes: int) -> Trial:
    """Simulated links, in a time in which nothing happens."""
    rows = (days + ahead) * DAY
    samples = simulate(demo_fleet(77, remotes), times(rows), [], seed=78, missing=0)[TargetKind.LINK]
    streams = len(samples.at) // rows
    order = np.lexsort((samples.at, np.arange(len(samples.at)) % streams))
    whole = StreamSamples(samples.readings[order], samples.at[order], np.repeat(np.arange(streams), rows), streams)
    later = whole.at >= START_MS + days * DAY_MS
    return Trial("", whole.where(~later), whole.where(later), np.zeros(streams * ahead * DAY, dtype=bool))


def alarms_per_day(rows: StreamSamples, scores: Floats) -> float:
    return sum(len(episodes(scores[span])) for span in rows.slices) / (len(scores) / DAY)


@cache
def calm_days() -> tuple[Trial, Floats, Profiles]:
    """After two weeks of history: what happens, how odd it is, and what was learned."""
    trial, own = fault_free(days=14, ahead=5, remotes=12), detector(TargetKind.LINK)
    return trial, score_trial(own, trial).surprisal, fit_profiles(trial.train, own.scales, own.forest)


@pytest.mark.parametrize("sensitivity", [0.5, 1.0])
def test_without_faults_about_as_many_alarms_are_raised_as_the_budget_allows(sensitivity: float) -> None:
    trial, surprise, profiles = calm_days()
    limit = detector(TargetKind.LINK).compute_thresholds(profiles, sensitivity)[trial.test.stream]

    promised = false_alarms_per_day(sensitivity)

    assert 0.5 < 2 * alarms_per_day(trial.test, (surprise - limit) / (surprise + limit)) / promised < 1.3


@pytest.mark.parametrize("measured", [("RX_LEVEL_DBM", "TX_POWER_DBM"), ("THROUGHPUT_MBPS",), ("ERRORS", "LATENCY_MS")])
def test_links_that_measure_little_raise_few_false_alarms(measured: tuple[str, ...]) -> None:
    whole = calm_days()[0]
    some = [part.where(part.stream % 2 == 0) for part in (whole.train, whole.test)]
    past, ahead = (replace(part, values=only(measured, part.values)) for part in some)

    scores = score_trial(detector(TargetKind.LINK), Trial("", past, ahead, np.zeros(len(ahead.at), dtype=bool))).score

    assert alarms_per_day(ahead, scores) < 1.8 * false_alarms_per_day(0.5)


# ---------------------------------------------------------------- trials


def test_simulated_trials_differ_by_seed_and_have_their_faults_ahead() -> None:
    one, other = (simulate_trial(SITE, seed) for seed in (3, 4))

    assert one.test.values.shape != other.test.values.shape or not np.array_equal(one.faulty, other.faulty)
    assert one.train.at.max() < one.test.at.min()
    assert 0.005 < one.faulty.mean() < 0.3


def test_trials_of_a_history_lie_one_behind_the_other() -> None:
    calibration, own = split_history(history(1000, 1000, 1000), MetricScales(SITE.least_spread, SITE.harmless_sign), 1)

    assert [len(part.at) for part in (calibration.train, calibration.test, own.train, own.test)] == [
        3 * rows for rows in (600, 200, 800, 200)
    ]
    assert calibration.train.at.max() < calibration.test.at.min() <= own.train.at.max() < own.test.at.min()
    assert 0.0 < calibration.faulty.mean() < 0.4


# ---------------------------------------------------------------- injected faults


def injected(values: Floats, seed: int = 1) -> tuple[Floats, np.ndarray]:
    return inject_faults(values, MetricScales(LINK.least_spread, LINK.harmless_sign), np.random.default_rng(seed))


def test_faults_are_injected_only_where_it_says_so() -> None:
    values = quiet(3000)

    changed, faulty = injected(values)

    assert 0.02 < faulty.mean() < 0.3
    assert np.array_equal(changed[~faulty], values[~faulty])


def test_injected_steps_are_for_the_worse() -> None:
    values = quiet(3000)

    changed, faulty = injected(values)

    moved = (changed - values)[faulty] / LINK.least_spread
    better = moved * LINK.harmless_sign
    assert np.mean(better > 5.0) < 0.01
    assert np.mean(better < -2.0) > 0.1


def test_the_same_seed_injects_the_same_and_another_one_other_faults() -> None:
    one, again, other = (injected(quiet(1000), seed)[0] for seed in (1, 1, 2))

    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("rows", [0, 1, 3, 500])
def test_what_was_not_measured_stays_so(rows: int) -> None:
    values = quiet(rows)
    values[:, ::2] = np.nan

    changed, _ = injected(values)

    assert np.array_equal(np.isnan(changed), np.isnan(values))


# ---------------------------------------------------------------- promotion


def measures(**values: float) -> list[Measure]:
    return [Measure(name, value, 100, "unseen") for name, value in values.items()]


CHAMPION = measures(vus_pr=0.8, event_recall=0.9, false_alarm_ratio=1.0, calibration_error=0.01)


def test_a_challenger_that_is_as_good_or_better_meets_no_objection() -> None:
    better = measures(vus_pr=0.9, event_recall=0.95, false_alarm_ratio=0.5, calibration_error=0.0)

    assert promotion_blockers(CHAMPION, CHAMPION) == []
    assert promotion_blockers(better, CHAMPION) == []


def test_chance_is_tolerated() -> None:
    assert promotion_blockers(measures(vus_pr=0.795, event_recall=0.885, false_alarm_ratio=1.2), CHAMPION) == []


def test_each_way_of_being_worse_is_told_in_a_sentence() -> None:
    worse = measures(vus_pr=0.7, event_recall=0.8, false_alarm_ratio=2.0, calibration_error=0.1)

    assert promotion_blockers(worse, CHAMPION) == [
        "Its VUS-PR is 0.700 where the champion reaches 0.800 (unseen).",
        "Its recall of events within the false-alarm budget is 0.800 where the champion reaches 0.900 (unseen).",
        "Its false alarms beyond the budget is 2.000 where the champion reaches 1.000 (unseen).",
        "Its calibration error of the confidence is 0.100 where the champion reaches 0.010 (unseen).",
    ]


def test_what_names_root_causes_may_not_get_worse_either() -> None:
    names = ("accuracy", "four_class_accuracy", "culprit_accuracy", "iou", "onset_within_2")
    good = measures(calibration_error=0.01, false_patterns=0.0, **dict.fromkeys(names, 0.9))
    worse = measures(calibration_error=0.1, false_patterns=0.1, **dict.fromkeys(names, 0.8))

    assert promotion_blockers(good, good) == []
    assert len(promotion_blockers(worse, good)) == 7


def test_what_only_one_was_measured_at_speaks_neither_for_nor_against() -> None:
    elsewhere = [Measure("vus_pr", 0.1, 100, "elsewhere"), Measure("beauty", 0.0, 100, "unseen")]

    assert promotion_blockers(elsewhere, CHAMPION) == []


def test_each_kind_of_target_has_one_model() -> None:
    assert sorted(DETECTORS.values()) == sorted(TargetKind)
