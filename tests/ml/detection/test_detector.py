import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from ml.artefacts import load
from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.detection.detector import Detector, Scores, false_alarms_per_day
from ml.detection.episodes import EXTREME
from ml.detection.features import Feature, Memory, StreamSamples
from tests.helpers.detectors import (
    DAY,
    LINK,
    START_MS,
    STEP_MS,
    Watch,
    detector,
    episodes,
    only,
    place,
    quiet,
    times,
    trained,
    watch,
)

KINDS = pytest.mark.parametrize("kind", TargetKind)
ESNO = place(Metric.ESNO_DB)
LEVEL = place(Metric.RX_LEVEL_DBM)


pytestmark = pytest.mark.xdist_group("detectors")  # trained once, in one process


def faded(rows: int, first: int, end: int, fall: float = 6.0) -> np.ndarray:
    """A healthy link whose Es/N0 falls for a while."""
    values = quiet(rows)
    values[first:end, ESNO] -= fall
    return values


def as_stranger(values: np.ndarray, kind: TargetKind, samples: int = 0) -> Scores:
    """Judged by the catalogue's usual values and spreads alone."""
    own, count = CATALOGUE[kind], len(values)
    rows = StreamSamples(values, np.full(count, START_MS), np.arange(count), count)
    centre, spread = (np.tile(part, (count, 1)) for part in (own.usual, own.usual_spread))
    profiles = detector(kind).make_prior_profiles(centre, spread, np.full(count, samples))
    return detector(kind).score(rows, profiles, Memory.blank(count, values.shape[1]))


# ---------------------------------------------------------------- what is odd


@KINDS
def test_healthy_samples_are_ordinary(kind: TargetKind) -> None:
    scored = watch(kind, days=14).score(quiet(DAY, kind))

    assert np.median(scored.score) < -0.3
    assert len(episodes(scored.score)) <= 1
    assert np.median(scored.confidence) < 0.1


def test_a_six_decibel_fade_amid_healthy_metrics_is_found_and_explained() -> None:
    scored = watch().score(faded(30, 20, 30))

    assert episodes(scored.score[:20]) == []
    assert np.all(scored.score[20:30] > 0.2)
    assert scored.confidence[20] > 0.7
    assert LINK.metrics[int(scored.compute_shares(20).argmax())] is Metric.ESNO_DB


def test_a_six_decibel_fade_of_a_link_that_measures_only_its_level_is_found() -> None:
    past, values = only(("RX_LEVEL_DBM",), quiet(3 * DAY)), only(("RX_LEVEL_DBM",), quiet(30, seed=2))
    values[20:, LEVEL] -= 6.0

    scored = Watch.after(past).score(values)

    assert episodes(scored.score[:20]) == []
    assert scored.score[20] > 0.2
    assert scored.compute_shares(20)[LEVEL] == 1.0


@pytest.mark.parametrize("kind", [TargetKind.SITE, TargetKind.LINK])
def test_a_total_outage_is_extreme(kind: TargetKind) -> None:
    values = quiet(5, kind)
    values[4, CATALOGUE[kind].metrics.index(Metric.UPTIME_PCT)] = 0.0

    assert watch(kind).score(values).score[4] >= EXTREME


def test_getting_better_is_no_fault() -> None:
    values = quiet(40)
    values[20:, ESNO] += 8.0
    values[20:, place(Metric.LATENCY_MS)] -= 100.0

    scored = watch().score(values)

    assert np.all(scored.standardized[20:22, : Feature.DEVIATION, ESNO] == 0.0)
    assert episodes(scored.score) == []
    assert scored.deviations[20, ESNO] == pytest.approx(32.0, rel=0.25)


def test_alarms_stop_soon_after_a_fault_has_ended() -> None:
    scored = watch().score(faded(200, 20, 56))

    one = episodes(scored.score)[-1]
    assert scored.score[20:56].min() > 0.2
    assert one.closed
    assert one.last_seen_at <= STEP_MS * (56 + 3)


def test_a_flat_series_with_quantised_noise_stays_quiet() -> None:
    steps = np.random.default_rng(1).integers(-1, 2, (20 * DAY, 1)) * 0.1
    values = only(("RX_LEVEL_DBM",), -45.0 + np.tile(steps, len(LINK.specs)))

    scored = Watch.after(values[: 14 * DAY]).score(values[14 * DAY :], sensitivity=1.0)

    assert len(episodes(scored.score)) < 1.6 * 6 * false_alarms_per_day(1.0)


# ---------------------------------------------------------------- bad input


def test_a_row_of_nothing_is_not_judged_and_does_no_harm_to_the_next() -> None:
    values = quiet(30)
    values[10:20] = np.nan

    scored = watch().score(values)

    assert np.isnan(scored.score[10:20]).all()
    assert np.all(scored.confidence[10:20] == 0.0)
    assert scored.compute_shares(15).sum() == 0.0
    assert episodes(scored.score) == []


def test_no_rows_give_no_verdicts_and_leave_the_memory() -> None:
    scored = watch().score(np.empty((0, len(LINK.specs))))

    assert scored.score.shape == (0,)
    assert scored.memory.to_bytes() == watch().memory.to_bytes()


@pytest.mark.parametrize("constant", [0.0, 45.0])
def test_a_constant_series_is_ordinary_until_it_moves(constant: float) -> None:
    past = np.full((3 * DAY, len(LINK.specs)), constant)
    values = past[:30].copy()
    values[29] += np.where(LINK.harmless_sign > 0, -50.0, 50.0)

    scored = Watch.after(past).score(values)

    assert np.all(scored.score[:29] < 0.0)
    assert scored.score[29] > 0.0


def test_metrics_that_were_never_measured_take_no_part_when_they_appear() -> None:
    past = quiet(3 * DAY)
    past[:, ESNO] = np.nan
    values = quiet(20, seed=2)
    values[10:, ESNO] = -20.0

    scored = Watch.after(past).score(values)

    assert episodes(scored.score) == []
    assert scored.compute_shares(15)[ESNO] == 0.0


def test_a_history_of_nothing_leads_to_no_verdict() -> None:
    scored = Watch.after(np.full((DAY, len(LINK.specs)), np.nan)).score(quiet(5))

    assert np.isnan(scored.score).all()


def test_a_counter_that_is_reset_is_odd_once() -> None:
    counter = place(Metric.ERRORS)
    values = quiet(200)
    past = quiet(3 * DAY, seed=2)
    past[:, counter], values[:, counter] = np.arange(3 * DAY), np.arange(200) + 3 * DAY
    values[20:, counter] -= 3 * DAY + 20

    scored = Watch.after(past).score(values, sensitivity=0.3)

    one, *more = episodes(scored.score)
    assert more == []
    assert (one.started_at, one.closed) == (20 * STEP_MS, True)


@pytest.mark.parametrize("jump_rows", [-12, 5 * DAY], ids=["an hour repeated", "days of silence"])
def test_a_clock_that_jumps_raises_no_alarm(jump_rows: int) -> None:
    scored = watch().score(quiet(40), at=times(40, watch().seen + jump_rows))

    assert np.isfinite(scored.score).all()
    assert episodes(scored.score) == []


def test_impossibly_large_values_have_finite_verdicts() -> None:
    values = quiet(10)
    values[5:] = 1e150

    scored = watch().score(values)

    assert np.isfinite(scored.score).all()
    assert scored.score[5] >= EXTREME


# ---------------------------------------------------------------- batches


def test_a_verdict_depends_on_no_later_row() -> None:
    values = faded(80, 30, 50)

    whole, part = watch().score(values), watch().score(values[:41])

    assert part.score == pytest.approx(whole.score[:41], abs=1e-9)
    assert part.confidence == pytest.approx(whole.confidence[:41], abs=1e-9)
    assert part.standardized == pytest.approx(whole.standardized[:41], abs=1e-9, nan_ok=True)


@KINDS
def test_a_stream_is_judged_alike_alone_and_in_company(kind: TargetKind) -> None:
    one, other = watch(kind), Watch.after(quiet(2 * DAY, kind, seed=3) + 1.0, kind)
    values = [quiet(20, kind), quiet(30, kind, seed=4)]
    both = one.profiles.take(np.zeros(2, dtype=np.intp)).replace_at(np.array([1]), other.profiles)
    memory = Memory.from_bytes(one.memory.to_bytes() + other.memory.to_bytes(), values[0].shape[1])
    at = np.concatenate([times(20, one.seen), times(30, other.seen)])

    together = detector(kind).score(
        StreamSamples(np.concatenate(values), at, np.repeat([0, 1], [20, 30]), 2), both, memory
    )

    alone = np.concatenate([one.score(values[0]).score, other.score(values[1]).score])
    assert together.score == pytest.approx(alone, abs=1e-9)


def test_one_sample_at_a_time_gives_the_verdicts_of_a_batch() -> None:
    values, state, scores = faded(40, 20, 30), watch(), []
    for row in values:
        scored = state.score(row[None])
        scores.append(scored.score[0])
        state = Watch(state.detector, state.profiles, scored.memory, state.seen + 1)

    assert scores == pytest.approx(watch().score(values).score.tolist(), abs=1e-9)


def test_verdicts_can_be_put_into_another_order() -> None:
    scored = watch().score(faded(10, 5, 10))

    turned = scored.reorder(np.arange(10)[::-1], 1)

    assert turned.score.tolist() == scored.score.tolist()[::-1]
    assert np.array_equal(turned.compute_shares(0), scored.compute_shares(9))


# ---------------------------------------------------------------- explanation


def test_shares_sum_to_one_and_leave_out_what_was_not_measured() -> None:
    values = quiet(60) + np.random.default_rng(3).normal(0, 20, (60, len(LINK.specs)))
    values[np.random.default_rng(4).random(values.shape) < 0.5] = np.nan
    values[:, 0] = 5.0

    scored = watch().score(values)

    shares = np.stack([scored.compute_shares(row) for row in range(60)])
    assert shares.sum(axis=1) == pytest.approx(np.ones(60))
    assert np.all((shares >= 0) & (shares <= 1))
    assert np.all(shares[np.isnan(values)] == 0.0)


def test_where_nothing_deviates_the_shares_are_even() -> None:
    scored = watch().score(quiet(1))
    found = np.where(np.arange(len(LINK.specs)) < 4, 0.0 * scored.standardized, np.nan)

    scored = replace(scored, standardized=found)

    assert scored.compute_shares(0) == pytest.approx([0.25] * 4 + [0.0] * (len(LINK.specs) - 4))


# ---------------------------------------------------------------- strangers and the young


@pytest.mark.parametrize(
    ("kind", "healthy", "faulty"),
    [
        (TargetKind.NETWORK, [850, 0.5, 650, 0.005, 400], [20, 12, 1800, 0.15, 3]),
        (TargetKind.SITE, [150, 0.008, 99.9, 60, 70], [5000, 0.3, 80, 97, 96]),
        (TargetKind.LINK, [45, 70, 10, 5, 99.9], [0.2, 98, 4000, 900, 70]),
    ],
)
def test_strangers_are_judged_by_what_is_usual(kind: TargetKind, healthy: list[float], faulty: list[float]) -> None:
    own = CATALOGUE[kind]
    values = np.full((2, len(own.specs)), np.nan)
    values[:, [spec.core for spec in own.specs]] = [healthy, faulty]

    score = as_stranger(values, kind).score

    assert score[0] < 0.0
    assert score[1] >= EXTREME


def test_confidence_is_capped_while_a_baseline_is_young() -> None:
    values = LINK.usual[None].copy()
    values[0, [place(Metric.UPTIME_PCT), ESNO, place(Metric.PACKET_LOSS_PCT)]] = 0.0, -30.0, 100.0

    capped = [float(as_stranger(values, TargetKind.LINK, samples).confidence[0]) for samples in (0, 250, 500)]

    assert capped[:2] == pytest.approx([0.5, 0.75], abs=0.05)
    assert capped[2] > capped[1]


def test_a_young_baseline_is_trusted_less() -> None:
    values = LINK.usual[None].copy()
    values[0, LEVEL] -= 3.0 * LINK.usual_spread[LEVEL]

    young, old = (as_stranger(values, TargetKind.LINK, samples) for samples in (60, 500))

    assert young.score[0] < old.score[0]


# ---------------------------------------------------------------- sensitivity and confidence


def test_sensitivity_is_a_budget_from_one_a_month_to_three_a_day() -> None:
    assert [false_alarms_per_day(s) for s in (-1.0, 0.0, 1.0, 2.0)] == pytest.approx([1 / 30, 1 / 30, 3.0, 3.0])


@KINDS
def test_more_sensitivity_never_raises_a_threshold(kind: TargetKind) -> None:
    known = watch(kind)

    limits = [float(known.detector.compute_thresholds(known.profiles, s)[0]) for s in np.linspace(0.0, 1.0, 11)]

    assert limits == sorted(limits, reverse=True)
    assert limits[0] > limits[-1] > 0.0


def test_scores_stay_between_minus_one_and_one_and_are_positive_exactly_above_the_threshold() -> None:
    scored = watch().score(faded(40, 20, 30, fall=1.0), sensitivity=0.8)

    limit = watch().detector.compute_thresholds(watch().profiles, 0.8)[0]
    assert np.all(np.abs(scored.score) <= 1.0)
    assert np.array_equal(scored.score > 0, scored.surprisal > limit)


@KINDS
def test_confidence_never_falls_as_a_sample_grows_odder(kind: TargetKind) -> None:
    worse = np.where(CATALOGUE[kind].harmless_sign > 0, -1.0, 1.0) * CATALOGUE[kind].usual_spread
    values = CATALOGUE[kind].usual + np.linspace(0, 30, 60)[:, None] * worse

    scored = as_stranger(values, kind, samples=5000)

    order = np.argsort(scored.surprisal)
    assert np.all(np.diff(scored.confidence[order]) >= 0)
    assert (scored.confidence.min() < 0.2, scored.confidence.max() > 0.9) == (True, True)


# ---------------------------------------------------------------- artefacts


@KINDS
def test_a_detector_survives_its_artefact(kind: TargetKind) -> None:
    known = watch(kind)

    again = load(f"anomaly_{kind.lower()}", known.detector.to_bytes(), "2.0.0")

    one, other = (
        each.score(StreamSamples.of_one_stream(quiet(20, kind), times(20)), known.profiles, known.memory)
        for each in (known.detector, again)
    )
    assert np.array_equal(one.score, other.score)
    assert np.array_equal(one.confidence, other.confidence)
    assert (again.kind, again.version) == (kind, "2.0.0")
    assert again.to_bytes() == known.detector.to_bytes()


def test_another_kinds_artefact_is_refused() -> None:
    with pytest.raises(ValueError, match="a model of a site, not anomaly_link"):
        load("anomaly_link", trained(TargetKind.SITE).artefact, "1")


def changed(member: str, number: float, index: int = 0) -> bytes:
    """The artefact with one of its numbers another one."""
    arrays = dict(np.load(io.BytesIO(trained(TargetKind.LINK).artefact)))
    arrays[member] = arrays[member].copy()
    arrays[member].flat[index] = number
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def without(member: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(trained(TargetKind.LINK).artefact)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            if name != member:
                new.writestr(name, old.read(name))
    return file.getvalue()


@pytest.mark.parametrize("damage", ["nothing", "text", "half", "member", "flipped", "other kind"])
def test_a_damaged_artefact_is_refused(damage: str) -> None:
    data = trained(TargetKind.LINK).artefact
    damaged = {
        "nothing": b"",
        "text": b"not an artefact",
        "half": data[: len(data) // 2],
        "member": without("prior_knots.npy"),
        "flipped": data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :],
        "other kind": data.replace(b'"kind": "LINK"', b'"kind": "SITE"'),
    }[damage]

    with pytest.raises(ValueError, match="not a detector"):
        Detector.from_bytes(damaged, "1")


@pytest.mark.parametrize(
    ("member", "number"),
    [
        ("forest_feature", 999),
        ("forest_value", np.inf),
        ("prior_knots", np.nan),
        ("prior_knots", 1e9),
        ("prior_spread", 0.0),
        ("prior_beyond", -1.0),
        ("prior_peaks", np.inf),
        ("confidence_x", 1e9),
        ("confidence_y", np.nan),
        ("confidence_y", -0.5),
    ],
)
def test_an_artefact_with_an_impossible_number_is_refused(member: str, number: float) -> None:
    with pytest.raises(ValueError, match="not a detector"):
        Detector.from_bytes(changed(member, number), "1")
