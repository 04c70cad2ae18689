import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml.artefacts import load
from ml.catalogue.metrics import Direction
from ml.catalogue.models import MODELS, PRIORITY, RANKING, Measure, Trained, promotion_blockers
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.arrays import Floats
from ml.numerics.gradient_boosting import BoostedTrees
from ml.recommendation.candidates import list_candidates
from ml.recommendation.case import ActionForCause, Candidate, FaultCase, Outcome, Priority, RankedAction, TrackRecord
from ml.recommendation.evaluation import extract_incident_features, measure_ranking, ndcg_at_3
from ml.recommendation.features import AT, RankingFeature, extract_features
from ml.recommendation.feedback import EQUAL_AT, Feedback
from ml.recommendation.playbook.loading import default_playbook
from ml.recommendation.ranking import (
    LEAST,
    MOST,
    PriorityModel,
    RankingModel,
    choose_recommendations,
    rank_actions,
)
from ml.recommendation.success_model import EFFORT_WORTH
from ml.recommendation.synthetic_incidents import Incident, generate_incidents
from ml.recommendation.training import TrainingSize, train_priority, train_ranking

pytestmark = pytest.mark.xdist_group("recommendations")  # trained once, in one process

UNSEEN_SEED = 77
PLAYBOOK = default_playbook()
BRIEF = TrainingSize(incidents=800, held_out=200)
SIMULATED = "simulated incidents"
FAULT = FaultCase(
    scope=CulpritKind.SITE,
    severity=0.8,
    confidence=0.95,
    causes=((RootCause.EQUIPMENT_FAILURE, 0.9), (RootCause.ANTENNA_ALIGNMENT, 0.1)),
    links=20,
    directions=(Direction.IB, Direction.OB),
    minutes=30.0,
)


def ranking_of(feedback: Sequence[Feedback] = (), champion: RankingModel | None = None) -> Trained:
    return train_ranking(1, feedback=feedback, champion=champion, size=BRIEF)


def priority_of(feedback: Sequence[Feedback] = (), champion: PriorityModel | None = None) -> Trained:
    return train_priority(1, feedback=feedback, champion=champion, size=BRIEF)


briefly_ranking, briefly_priority = cache(ranking_of), cache(priority_of)


@cache
def ranking() -> RankingModel:
    return RankingModel.from_bytes(briefly_ranking().artefact, "1.0.0")


@cache
def priority() -> PriorityModel:
    return PriorityModel.from_bytes(briefly_priority().artefact, "1.0.0")


@cache
def unseen() -> list[Incident]:
    return list(generate_incidents(UNSEEN_SEED, 200, PLAYBOOK))


def values(measures: Sequence[Measure], dataset: str = SIMULATED) -> dict[str, float]:
    return {one.name: one.value for one in measures if one.dataset == dataset}


def recommended(case: FaultCase, records: dict[ActionForCause, TrackRecord] | None = None) -> list[RankedAction]:
    return rank_actions(case, records or {}, ranking(), priority(), PLAYBOOK)


def scores(case: FaultCase, options: Sequence[Candidate], *records: TrackRecord) -> Floats:
    history = records or [TrackRecord()] * len(options)
    return ranking().scores(extract_features(case, options, history, PLAYBOOK))


# ---------------------------------------------------------------- measuring


@pytest.mark.parametrize(
    ("grades", "order", "ndcg"),
    [
        ([3, 2, 1, 0], [4, 3, 2, 1], 1.0),
        ([0, 0, 0, 3], [4, 3, 2, 1], 0.0),
        ([0, 3], [2, 1], 1 / np.log2(3)),
        ([3, 0], [1, 1], 1.0),
        ([0, 0], [2, 1], np.nan),
    ],
)
def test_the_gain_of_the_first_three(grades: list[float], order: list[float], ndcg: float) -> None:
    assert ndcg_at_3(np.array(grades, float), np.array(order, float)) == pytest.approx(ndcg, nan_ok=True)


# ---------------------------------------------------------------- training


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_is_measured_beside_a_champion() -> None:
    rank, prior = ranking_of(champion=ranking()), priority_of(champion=priority())

    assert rank.artefact == briefly_ranking().artefact
    assert prior.artefact == briefly_priority().artefact
    assert rank.measures == rank.rival_measures == briefly_ranking().measures
    assert prior.measures == prior.rival_measures == briefly_priority().measures
    assert promotion_blockers(rank.measures, rank.rival_measures) == []


def test_a_worse_ranking_does_not_replace_a_better_one() -> None:
    better, worse = Measure("ndcg_at_3", 0.6, 500, SIMULATED), Measure("ndcg_at_3", 0.5, 500, SIMULATED)

    assert "NDCG" in promotion_blockers([worse], [better])[0]
    assert promotion_blockers([better], [worse]) == []


def test_even_a_brief_training_ranks_unseen_incidents_better_than_the_playbook_and_is_calibrated() -> None:
    measured = values(briefly_ranking().measures)

    assert set(measured) == {"ndcg_at_3", "rule_ndcg_at_3", "calibration_error"}
    assert measured["ndcg_at_3"] > measured["rule_ndcg_at_3"] + 0.03
    assert measured["calibration_error"] < 0.03


def test_priorities_agree_with_raters_far_more_often_than_the_severity_does() -> None:
    measured = values(briefly_priority().measures)

    assert measured["accuracy"] > measured["rule_accuracy"] + 0.1
    assert measured["accuracy"] > 0.65


def test_a_version_says_what_it_was_made_of() -> None:
    made = briefly_ranking()

    assert made.features == tuple(RankingFeature) == briefly_priority().features
    assert made.details["incidents"] == 800
    assert made.details["recorded_outcomes"] == 0
    assert made.seed == 1


# ---------------------------------------------------------------- ranking


def test_what_is_recommended_is_the_playbook_best_first() -> None:
    told = recommended(FAULT)

    assert {one.candidate.action.key for one in told} == {one.action.key for one in list_candidates(FAULT, PLAYBOOK)}
    assert [one.score for one in told] == sorted((one.score for one in told), reverse=True)
    assert all(0.0 <= one.score <= 1.0 for one in told)


def test_equals_are_in_the_playbooks_order() -> None:
    flat = replace(ranking().trees, trees=replace(ranking().trees.trees, value=0.0 * ranking().trees.trees.value))
    told = rank_actions(FAULT, {}, RankingModel(flat), priority(), PLAYBOOK)

    by_score: dict[float, list[int]] = {}
    for one in told:
        by_score.setdefault(one.score, []).append(one.candidate.order)
    assert len(by_score) < len(told)
    assert all(orders == sorted(orders) for orders in by_score.values())


def test_what_helped_before_rises_and_what_did_not_falls() -> None:
    plain = recommended(FAULT)
    first, last = plain[0].candidate, plain[len(plain) // 2].candidate
    records = {(first.action.key, first.cause): TrackRecord(failed=20, failed_here=6)}
    records[last.action.key, last.cause] = TrackRecord(solved=20, solved_here=6)

    order = [one.candidate.action.key for one in recommended(FAULT, records)]

    assert order.index(last.action.key) < len(plain) // 2
    assert order.index(last.action.key) < order.index(first.action.key)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 199), *[st.integers(0, 30)] * 4, st.booleans())
def test_one_more_solution_never_lowers_a_score_and_one_more_failure_never_raises_it(
    at: int, solved: int, failed: int, solved_here: int, failed_here: int, here: bool
) -> None:
    case, option = unseen()[at].case, unseen()[at].candidates[0]
    record = TrackRecord(solved + solved_here, failed + failed_here, solved_here, failed_here)
    better = replace(record, solved=record.solved + 1, solved_here=record.solved_here + here)
    worse = replace(record, failed=record.failed + 1, failed_here=record.failed_here + here)

    low, usual, high = scores(case, [option] * 3, worse, record, better)

    assert low <= usual <= high


def test_an_action_for_the_direction_that_is_fine_ranks_lower() -> None:
    apart = []
    for cause in RootCause:
        for one in list_candidates(replace(FAULT, causes=((cause, 1.0),)), PLAYBOOK):
            if one.action.direction:
                cases = [replace(FAULT, causes=((cause, 1.0),), directions=(direction,)) for direction in Direction]
                by_direction = dict(zip(Direction, [scores(case, [one])[0] for case in cases], strict=True))
                other = next(direction for direction in Direction if direction is not one.action.direction)
                apart.append(by_direction[other] / by_direction[one.action.direction])

    assert np.mean(np.array(apart) < 1.0) > 0.9
    assert np.median(apart) < 0.6


def test_of_equal_chance_the_easier_action_scores_higher() -> None:
    rows = extract_incident_features(unseen(), PLAYBOOK)

    worth = ranking().scores(rows) / ranking().chances(rows)

    np.testing.assert_allclose(worth, EFFORT_WORTH[rows[:, AT[RankingFeature.EFFORT]].astype(int)])
    assert list(np.diff(EFFORT_WORTH[1:]) <= 0) == [True] * 4


def test_graver_faults_are_more_urgent() -> None:
    grave = replace(FAULT, severity=1.0, links=150, lasts=True)
    mild = replace(FAULT, severity=0.1, links=1, lasts=False, confidence=0.5)

    urgent, patient = ([one.priority for one in recommended(fault)[:3]] for fault in (grave, mild))

    assert Priority.HIGH in urgent
    assert Priority.HIGH not in patient
    assert Priority.LOW in patient


def test_a_case_of_which_nothing_is_known_still_gets_recommendations() -> None:
    told = recommended(FaultCase(CulpritKind.LINK, 0.0, 0.0))

    assert len(told) >= LEAST
    assert np.isfinite([one.score for one in told]).all()


def test_ranking_takes_no_time() -> None:
    largest = max(unseen(), key=lambda one: len(one.candidates))
    records = {
        (of.action.key, of.cause): record for of, record in zip(largest.candidates, largest.records, strict=True)
    }
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        recommended(largest.case, records)
        seconds.append(time.perf_counter() - start)

    assert np.median(seconds) < 0.003


# ---------------------------------------------------------------- choosing


def listed(*scored: float) -> list[RankedAction]:
    first = list_candidates(FAULT, PLAYBOOK)[0]
    ordered = sorted(scored, reverse=True)
    return [RankedAction(replace(first, order=place), score, Priority.LOW) for place, score in enumerate(ordered)]


@settings(max_examples=200)
@given(st.lists(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12), min_size=1, max_size=10))
def test_three_to_seven_are_chosen_best_first_and_each_cases_best_is_among_them(lists: list[list[float]]) -> None:
    of = [listed(*scored) for scored in lists]

    picked = choose_recommendations(of)

    available, best = sum(map(len, of)), max(one[0].score for one in of)
    assert min(LEAST, available) <= len(picked) <= MOST
    assert [one.score for _, one in picked] == sorted((one.score for _, one in picked), reverse=True)
    assert len({(number, one.candidate.order) for number, one in picked}) == len(picked)
    if len(of) <= MOST:
        assert {number for number, _ in picked} == set(range(len(of)))
    weak = [one for _, one in picked if one.candidate.order > 0 and one.score < 0.5 * best]
    assert len(weak) <= max(0, LEAST - len(of))


def test_what_is_hardly_half_as_good_is_left_out() -> None:
    picked = choose_recommendations([listed(0.8, 0.7, 0.6, 0.5, 0.41, 0.39, 0.1)])

    assert [one.score for _, one in picked] == [0.8, 0.7, 0.6, 0.5, 0.41]


def test_of_more_than_seven_cases_the_best_seven_are_served_and_of_none_nothing() -> None:
    nine = choose_recommendations([listed(0.1 * (number + 1)) for number in range(9)])

    assert {number for number, _ in nine} == set(range(2, 9))
    assert choose_recommendations([]) == choose_recommendations([[]]) == []


# ---------------------------------------------------------------- recorded outcomes


def contradicting(count: int) -> list[Feedback]:
    """What the model finds best never helps, what it finds worst always does."""
    order = recommended(FAULT)
    of = ((order[0].candidate, Outcome.DID_NOT_HELP), (order[-1].candidate, Outcome.SOLVED))
    return [
        Feedback(FAULT, one.action.key, one.cause, TrackRecord(), outcome, number, str(number))
        for number in range(count // 2)
        for one, outcome in of
    ]


def test_a_handful_of_outcomes_does_not_wreck_the_ranking() -> None:
    first, last = (recommended(FAULT)[at].candidate for at in (0, -1))

    taught = RankingModel.from_bytes(ranking_of(contradicting(6)).artefact, "2.0.0")

    of_best, of_worst = taught.scores(extract_features(FAULT, [first, last], [TrackRecord()] * 2, PLAYBOOK))
    assert of_best > of_worst
    after, before = (values(measure_ranking(one, unseen(), [], PLAYBOOK))["ndcg_at_3"] for one in (taught, ranking()))
    assert after > before - 0.03


def test_enough_outcomes_turn_the_ranking_round_and_the_newest_tell_that_it_is_better() -> None:
    first, last = (recommended(FAULT)[at].candidate for at in (0, -1))

    made = ranking_of(contradicting(2 * EQUAL_AT), champion=ranking())

    taught = RankingModel.from_bytes(made.artefact, "2.0.0")
    of_best, of_worst = taught.scores(extract_features(FAULT, [first, last], [TrackRecord()] * 2, PLAYBOOK))
    assert of_worst > of_best
    recorded, rival = (values(of, "recorded outcomes") for of in (made.measures, made.rival_measures))
    assert recorded["ndcg_at_3"] == 1.0 > rival["ndcg_at_3"]
    assert recorded["rule_ndcg_at_3"] < 1.0
    assert made.details["recorded_outcomes"] == 1.6 * EQUAL_AT
    assert made.details["recorded_outcomes_measured_on"] == 0.4 * EQUAL_AT


def test_priorities_follow_recorded_outcomes_too() -> None:
    made = priority_of(contradicting(2 * EQUAL_AT), champion=priority())

    recorded = values(made.measures, "recorded outcomes")
    assert recorded["accuracy"] == 1.0
    assert recorded["accuracy"] > values(made.rival_measures, "recorded outcomes")["accuracy"]


def test_outcomes_of_actions_that_left_the_playbook_change_nothing() -> None:
    gone = [replace(one, action="gone") for one in contradicting(60)]

    assert "gone" not in PLAYBOOK.actions
    assert ranking_of(gone).artefact == briefly_ranking().artefact


# ---------------------------------------------------------------- keeping


def test_models_come_back_from_their_bytes_as_they_were() -> None:
    rows = extract_incident_features(unseen(), PLAYBOOK)

    rank, prior = (load(name, made.artefact, "3.1.4") for name, made in both())

    assert isinstance(rank, RankingModel)
    assert isinstance(prior, PriorityModel)
    assert (rank.version, prior.version) == ("3.1.4", "3.1.4")
    assert (rank.to_bytes(), prior.to_bytes()) == (briefly_ranking().artefact, briefly_priority().artefact)
    np.testing.assert_array_equal(rank.scores(rows), ranking().scores(rows))
    np.testing.assert_array_equal(prior.probabilities(rows), priority().probabilities(rows))
    assert {RANKING, PRIORITY} < set(MODELS)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_half_a_model_is_none(share: float) -> None:
    for name, made in both():
        with pytest.raises(ValueError, match="damaged"):
            load(name, made.artefact[: int(share * len(made.artefact))], "1.0.0")


@settings(max_examples=100)
@given(st.floats(0.0, 1.0, exclude_max=True), st.integers(1, 255))
def test_a_byte_that_changes_is_noticed_unless_nothing_depends_on_it(place: float, flips: int) -> None:
    whole = briefly_ranking().artefact
    data = bytearray(whole)
    data[int(place * data.index(b"PK\x01\x02"))] ^= flips

    with suppress(ValueError):
        assert RankingModel.from_bytes(bytes(data), "1.0.0").to_bytes() == whole


@given(st.binary(max_size=200))
@example(b"PK\x03\x04")
def test_any_bytes_are_no_model(data: bytes) -> None:
    for name in (RANKING, PRIORITY):
        with pytest.raises(ValueError, match="damaged"):
            load(name, data, "1.0.0")


def test_one_model_is_not_taken_for_the_other_nor_a_model_of_other_features() -> None:
    short = ranking().trees.trees
    strange = BoostedTrees(replace(short, columns=short.columns + 1), ranking().trees.baseline, 2)

    for model in (PriorityModel(ranking().trees), RankingModel(priority().trees), RankingModel(strange)):
        with pytest.raises(ValueError, match="something else"):
            type(model).from_bytes(model.to_bytes(), "1.0.0")


def both() -> tuple[tuple[str, Trained], tuple[str, Trained]]:
    return (RANKING, briefly_ranking()), (PRIORITY, briefly_priority())
