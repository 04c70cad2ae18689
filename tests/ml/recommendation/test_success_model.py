import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ml.catalogue.metrics import Direction, Metric
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.candidates import list_candidates
from ml.recommendation.case import Candidate, FaultCase, Outcome, Priority, TrackRecord
from ml.recommendation.feedback import (
    EQUAL_AT,
    Feedback,
    find_candidate,
    group_feedback,
    label_priority,
    select_usable,
    split_feedback,
    weigh_feedback,
)
from ml.recommendation.playbook.actions import Action, Effort, Tag
from ml.recommendation.playbook.loading import default_playbook
from ml.recommendation.priority_labels import compute_urgency, label_by_severity, label_priorities
from ml.recommendation.success_model import (
    FLOOR,
    Operator,
    Truth,
    compute_chances,
    context_logit,
    draw_track_records,
)
from ml.recommendation.synthetic_incidents import CAUSE_PROFILES, Incident, generate_incidents

SEED = 11
PLAYBOOK = default_playbook()
FAULT = FaultCase(
    scope=CulpritKind.SITE,
    severity=0.8,
    confidence=0.9,
    causes=((RootCause.RAIN_FADE, 0.9), (RootCause.SUN_TRANSIT, 0.1)),
    links=12,
    directions=(Direction.IB,),
    minutes=40.0,
)
USUAL = Operator(dict.fromkeys(((key, cause) for key in PLAYBOOK.actions for cause in (*RootCause, None)), 0.0), 10.0)


def action(**changes: object) -> Action:
    plain = Action("any", "Do", "NOC", "Do it.", "it is well", (Metric.ESNO_DB,), (Tag.RF,), Effort.CALL, 30)
    return replace(plain, **changes)  # type: ignore[arg-type]


def drawn(count: int = 600) -> list[Incident]:
    return list(generate_incidents(SEED, count, PLAYBOOK))


def recorded(outcome: Outcome = Outcome.SOLVED, at_ms: int = 0, group: str = "a", **changes: object) -> Feedback:
    first = list_candidates(FAULT, PLAYBOOK)[0]
    plain = Feedback(FAULT, first.action.key, first.cause, TrackRecord(), outcome, at_ms, group)
    return replace(plain, **changes)  # type: ignore[arg-type]


# ---------------------------------------------------------------- incidents


def test_the_same_seed_gives_the_same_incidents() -> None:
    first, again, other = (pickle.dumps(list(generate_incidents(seed, 60, PLAYBOOK))) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_every_cause_and_every_kind_of_target_occurs() -> None:
    seen = drawn()

    assert {one.truth.cause for one in seen} == {*RootCause, None}
    assert {one.case.scope for one in seen} == set(CulpritKind)
    assert set(CAUSE_PROFILES) == set(RootCause)


def test_the_analysis_names_the_cause_about_as_often_as_measured_and_is_as_sure_as_it_is_right() -> None:
    told = [one for one in drawn(3000) if one.truth.cause]

    right = np.mean([one.case.causes[0][0] is one.truth.cause for one in told])

    sure = np.mean([one.case.causes[0][1] for one in told])
    assert 0.9 < right < 0.97
    assert right == pytest.approx(sure, abs=0.02)


def test_cases_are_possible_ones() -> None:
    for one in drawn():
        case = one.case
        assert 0.0 <= case.severity <= 1.0
        assert 0.0 <= case.confidence <= 1.0
        assert sum(case.shares.values()) <= 1.0 + 1e-9
        assert case.links >= 1
        if case.causes:
            assert sum(chance for _, chance in case.causes) == pytest.approx(1.0)
            assert sorted((chance for _, chance in case.causes), reverse=True) == [c for _, c in case.causes]
        assert len(one.candidates) == len(one.records) == len(one.chances) == len(one.solved) > 0


def test_what_is_drawn_happens_as_often_as_its_chance_says() -> None:
    seen = drawn(2000)

    solved, chance = (np.concatenate([getattr(one, name) for one in seen]) for name in ("solved", "chances"))

    assert solved.mean() == pytest.approx(chance.mean(), abs=0.01)
    assert solved[chance > 0.5].mean() == pytest.approx(chance[chance > 0.5].mean(), abs=0.05)


def test_some_operators_have_recorded_nothing_yet_and_those_here_are_among_all() -> None:
    known = [past for one in drawn() for past in one.records]

    nothing = Counter(past == TrackRecord() for past in known)

    assert 0.2 < nothing[True] / len(known) < 0.9
    assert all(past.solved_here <= past.solved and past.failed_here <= past.failed for past in known)


# ---------------------------------------------------------------- chances


def test_at_an_ordinary_operator_the_chance_is_the_playbooks_under_the_true_cause_only() -> None:
    plain = replace(FAULT, severity=0.5, links=1, directions=())
    options = [one for one in list_candidates(plain, PLAYBOOK) if one.cause is RootCause.RAIN_FADE]
    none = np.zeros(len(options))

    right = compute_chances(Truth(RootCause.RAIN_FADE), plain, options, USUAL, none, PLAYBOOK)
    false_alarm = compute_chances(Truth(RootCause.RAIN_FADE, real=False), plain, options, USUAL, none, PLAYBOOK)

    np.testing.assert_allclose(right, [one.chance for one in options])
    np.testing.assert_allclose(false_alarm, FLOOR)


@pytest.mark.parametrize(
    ("better", "worse", "case"),
    [
        ({"direction": Direction.IB}, {"direction": Direction.OB}, FAULT),
        ({}, {"direction": Direction.IB}, replace(FAULT, directions=(Direction.IB, Direction.OB))),
        ({}, {"watch": (Metric.LATENCY_MS,)}, replace(FAULT, shares={Metric.ESNO_DB: 0.9})),
        ({"effort": Effort.HUB}, {"effort": Effort.REMOTE}, replace(FAULT, severity=1.0)),
        ({"effort": Effort.REMOTE}, {"effort": Effort.HUB}, replace(FAULT, severity=0.1)),
        ({"effort": Effort.HUB}, {"effort": Effort.VISIT}, replace(FAULT, severity=0.5, links=100)),
        ({"effort": Effort.LOOK}, {"effort": Effort.REMOTE}, replace(FAULT, severity=0.5, lasts=False)),
    ],
)
def test_an_action_suits_a_case(better: dict[str, object], worse: dict[str, object], case: FaultCase) -> None:
    assert context_logit(action(**better), case) > context_logit(action(**worse), case)


def test_earlier_outcomes_tell_of_the_operator() -> None:
    options = list_candidates(FAULT, PLAYBOOK)[:1]
    key = (options[0].action.key, options[0].cause)
    lucky, unlucky = (replace(USUAL, offsets={**USUAL.offsets, key: by}, recorded=500.0) for by in (2.0, -2.0))

    told = [draw_track_records(options, of, np.zeros(1), np.random.default_rng(1))[0] for of in (lucky, unlucky)]

    assert told[0].solved / (told[0].solved + told[0].failed) > told[1].solved / (told[1].solved + told[1].failed)


# ---------------------------------------------------------------- compute_urgency


def test_raters_mostly_agree_and_use_every_priority() -> None:
    seen = drawn()

    one, other = (np.concatenate(label_priorities(seen, seed)) for seed in (1, 2))

    assert set(one) == {0, 1, 2}
    assert 0.75 < (one == other).mean() < 0.97


@pytest.mark.parametrize("changes", [{"severity": 0.3}, {"links": 1}, {"lasts": False}, {"confidence": 0.2}])
def test_what_is_milder_smaller_over_or_doubtful_is_less_urgent(changes: dict[str, object]) -> None:
    options = list_candidates(FAULT, PLAYBOOK)
    even = np.full(len(options), 0.3)
    grave = Incident(FAULT, Truth(), options, (), even, even > 1)

    less = replace(grave, case=replace(FAULT, **changes))  # type: ignore[arg-type]

    assert (compute_urgency(less) < compute_urgency(grave)).all()
    assert (compute_urgency(replace(grave, chances=even / 2)) < compute_urgency(grave)).all()


def test_the_plain_rule_goes_by_severity() -> None:
    assert [label_by_severity(replace(FAULT, severity=severity)) for severity in (0.1, 0.5, 0.9)] == [0, 1, 2]


# ---------------------------------------------------------------- experience


def test_what_left_the_playbook_or_is_pending_is_skipped_and_the_rest_sorted_by_time() -> None:
    gone, pending = recorded(action="never heard of"), recorded(Outcome.PENDING)
    later, sooner = recorded(at_ms=2), recorded(Outcome.REJECTED, at_ms=1)

    assert select_usable([later, gone, pending, sooner], PLAYBOOK) == [sooner, later]


def test_an_action_that_the_playbook_no_longer_lists_there_is_ranked_behind() -> None:
    listed = {one.action.key for one in list_candidates(FAULT, PLAYBOOK)}
    key = next(key for key in PLAYBOOK.actions if key not in listed)

    behind = find_candidate(recorded(action=key), PLAYBOOK)

    assert isinstance(behind, Candidate)
    assert behind.order == len(listed)
    assert find_candidate(recorded(), PLAYBOOK) == list_candidates(FAULT, PLAYBOOK)[0]


def test_too_few_are_all_learned_from_and_of_many_the_newest_groups_are_kept_whole() -> None:
    many = [recorded(at_ms=number // 3, group=str(number // 3)) for number in range(90)]

    learned, kept = split_feedback(many, PLAYBOOK)

    assert split_feedback(many[:49], PLAYBOOK) == (select_usable(many[:49], PLAYBOOK), [])
    assert len(kept) == 18
    assert max(one.at_ms for one in learned) < min(one.at_ms for one in kept)
    assert [len(group) for group in group_feedback(kept)] == [3] * 6


def test_recorded_outcomes_outweigh_the_simulated_as_they_grow() -> None:
    shares = [count * weigh_feedback(30_000, count) / 30_000 for count in (5, 100, EQUAL_AT, 3 * EQUAL_AT)]

    assert shares[0] < 0.001
    assert shares[1] < 0.05
    assert shares[2:] == pytest.approx([1.0, 3.0])


@pytest.mark.parametrize(
    ("outcome", "severity", "links", "priority"),
    [
        (Outcome.SOLVED, 0.9, 1, Priority.HIGH),
        (Outcome.SOLVED, 0.2, 50, Priority.HIGH),
        (Outcome.SOLVED, 0.2, 1, Priority.MEDIUM),
        (Outcome.ACCEPTED, 0.9, 50, Priority.MEDIUM),
        (Outcome.DID_NOT_HELP, 0.9, 50, Priority.LOW),
        (Outcome.REJECTED, 0.9, 50, Priority.LOW),
    ],
)
def test_an_outcome_says_how_urgent_it_was(outcome: Outcome, severity: float, links: int, priority: Priority) -> None:
    fault = replace(FAULT, severity=severity, links=links)

    assert label_priority(recorded(outcome, case=fault)) is priority
