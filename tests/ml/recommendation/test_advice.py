"""Advice: repairs for what is certain enough, questions for what is not, and nothing for unlikely causes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.advice import compare, list_pairs
from ml.catalogue.metrics import Metric, TargetKind
from ml.catalogue.root_causes import NAMED, CulpritKind, RootCause
from ml.recommendation.advice import CERTAIN, MOST_QUESTIONS, Diagnosis, Rankers, list_advice, rank_advice
from ml.recommendation.case import FaultCase, Outcome, RankedAction, TrackRecord
from ml.recommendation.feedback import Feedback, select_usable
from ml.recommendation.playbook.actions import Purpose
from tests.ml.recommendation.test_ranking import FAULT, PLAYBOOK, priority, ranking

BOTH = replace(FAULT, causes=((RootCause.RAIN_FADE, 0.65), (RootCause.EQUIPMENT_FAILURE, 0.35)), confidence=0.65)
UNKNOWN = RootCause.UNKNOWN


def advise(
    case: FaultCase, diagnosis: Diagnosis | None, records: dict[str, TrackRecord] | None = None
) -> list[RankedAction]:
    by_action = {(key, diagnosis.cause if diagnosis else None): record for key, record in (records or {}).items()}
    candidates = list_advice(case, diagnosis, PLAYBOOK)
    return rank_advice(case, diagnosis, candidates, by_action, Rankers(PLAYBOOK, ranking(), priority()))


def test_a_certain_cause_gets_its_repairs_and_no_action_of_a_less_likely_one() -> None:
    told = advise(BOTH, Diagnosis(RootCause.RAIN_FADE, CERTAIN, RootCause.EQUIPMENT_FAILURE))

    assert {one.candidate.cause for one in told} == {RootCause.RAIN_FADE}
    assert {one.candidate.action.key for one in told} == {
        one.action.key for one in PLAYBOOK.by_cause[RootCause.RAIN_FADE]
    }
    assert [one.score for one in told] == sorted((one.score for one in told), reverse=True)


@given(st.sampled_from(NAMED), st.sampled_from([*NAMED, UNKNOWN, None]), st.floats(0.0, 1.0))
def test_repairs_and_questions_are_never_mixed_and_one_of_them_is_always_there(
    cause: RootCause, rival: RootCause | None, certainty: float
) -> None:
    case = replace(FAULT, causes=((cause, certainty),), confidence=certainty)

    listed = list_advice(case, Diagnosis(cause, certainty, rival), PLAYBOOK)

    wanted = Purpose.REPAIR if certainty >= CERTAIN else Purpose.NARROW_DOWN
    assert {one.action.purpose for one in listed} == {wanted}
    assert {one.cause for one in listed} == {cause}


@given(st.sampled_from([*NAMED, None]), st.floats(0.0, 1.0))
def test_an_unknown_cause_is_never_repaired(rival: RootCause | None, certainty: float) -> None:
    listed = list_advice(FaultCase(CulpritKind.LINK, 0.5, 0.0), Diagnosis(UNKNOWN, certainty, rival), PLAYBOOK)

    assert {one.action.purpose for one in listed} == {Purpose.NARROW_DOWN}


def test_questions_tell_the_two_likeliest_causes_apart_best_first() -> None:
    told = advise(BOTH, Diagnosis(RootCause.RAIN_FADE, 0.4, RootCause.SUN_TRANSIT))

    pair = PLAYBOOK.by_pair[frozenset({RootCause.RAIN_FADE, RootCause.SUN_TRANSIT})]
    assert {one.candidate.action.key for one in told} <= {one.action.key for one in pair}
    assert [one.score for one in told] == sorted((one.score for one in told), reverse=True)
    assert 1 <= len(told) <= MOST_QUESTIONS


def test_without_a_rival_it_is_told_from_any_other_cause_with_less_hope() -> None:
    alone, beside = (
        list_advice(BOTH, Diagnosis(RootCause.RAIN_FADE, 0.4, rival), PLAYBOOK)
        for rival in (None, RootCause.SUN_TRANSIT)
    )

    assert {one.action.key for one in alone} > {one.action.key for one in beside}
    assert max(one.chance for one in alone) < max(one.chance for one in beside)


def test_against_an_unknown_rival_what_tells_from_most_other_causes_comes_first() -> None:
    told = advise(BOTH, Diagnosis(RootCause.ANTENNA_ALIGNMENT, 0.5, UNKNOWN))

    keys = [one.candidate.action.key for one in told]
    assert "look_at_load_and_signal" not in keys, "it tells from congestion alone"
    assert "compare_level_with_esno" in keys


def test_what_told_nothing_before_falls_behind() -> None:
    diagnosis = Diagnosis(RootCause.RAIN_FADE, 0.4, RootCause.SUN_TRANSIT)
    [first, *_] = advise(BOTH, diagnosis)

    again = advise(BOTH, diagnosis, {first.candidate.action.key: TrackRecord(failed=20)})

    assert again[0].candidate.action.key != first.candidate.action.key


def test_without_a_diagnosis_the_readings_decide() -> None:
    case = FaultCase(CulpritKind.SITE, 0.6, 0.9, kind=TargetKind.SITE, shares={Metric.CPU_PCT: 1.0})

    told = advise(case, None)

    remedies = PLAYBOOK.by_metric[TargetKind.SITE, Metric.CPU_PCT]
    assert {one.candidate.action.key for one in told} == {one.action.key for one in remedies}


@pytest.mark.parametrize(("action", "learned"), [("compare_level_with_esno", 0), ("watch_rain_radar", 1)])
def test_the_ranking_of_repairs_does_not_learn_from_questions(action: str, learned: int) -> None:
    entry = Feedback(BOTH, action, RootCause.RAIN_FADE, TrackRecord(), Outcome.SOLVED, 1, "1")

    assert len(select_usable([entry], PLAYBOOK)) == learned


def test_asking_takes_less_effort_below_the_bound_and_more_above_it() -> None:
    pairs = list(list_pairs())

    def spare(certainty: float) -> float:
        """How much less effort it takes to ask first, on average."""
        return float(np.mean([repair[1] - ask[1] for repair, ask in (compare(*pair, certainty) for pair in pairs)]))

    assert spare(CERTAIN - 0.05) > 0 > spare(CERTAIN + 0.05)
