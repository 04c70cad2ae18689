"""The playbook is whole, can be read, keeps people safe, and answers every fault case."""

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations_with_replacement
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from ml.catalogue.root_causes import NAMED, CulpritKind, RootCause
from ml.recommendation.candidates import LEAST_PROBABILITY, MOST_CAUSES, list_candidates
from ml.recommendation.case import Candidate, FaultCase
from ml.recommendation.playbook.actions import UNKNOWN_USUAL, Action, CasePhrases, Effort, Purpose, Tag
from ml.recommendation.playbook.loading import default_playbook

PLAYBOOK = default_playbook()
ACTIONS, BY_CAUSE, BY_METRIC = PLAYBOOK.actions, PLAYBOOK.by_cause, PLAYBOOK.by_metric
BY_PAIR = PLAYBOOK.by_pair

BARE = CasePhrases(target="the network", finding="Es/N0 fell.")
FULL = CasePhrases(
    target="satellite SES-9, transponder 5K",
    finding="Es/N0 of link Aurora is 4.1 dB where 11.8 dB is usual.",
    link="link Aurora",
    links="12 links",
    site="site Aurora",
    hub="hub Singapore",
    network="network Pacific",
    satellite="SES-9",
    transponder="transponder 5K",
    usual={spec.metric: f"{spec.usual:g} {spec.unit}".strip() for spec in CATALOGUE[TargetKind.LINK].specs},
)
BRACES = CasePhrases(
    "{x}", "{0} is {esno_db!r}.", "{", "}", "{}", "{{x}}", "{x.y}", "{x[0]}", "{:d}", {Metric.ESNO_DB: "{x}"}
)

COLUMNS = {metric.column: metric for metric in Metric}
READINGS = {  # what a check calls a metric that it does not give the usual value of
    Metric.ESNO_DB: "Es/N0",
    Metric.RX_LEVEL_DBM: "evel",
    Metric.TX_POWER_DBM: "ower",
    Metric.UTILIZATION_PCT: "tilisation",
    Metric.PACKET_LOSS_PCT: "oss",
    Metric.UPTIME_PCT: "ptime",
}
HAZARD = re.compile(
    r"anybody (?:works|reaches|stands|steps)|in front of|fall protection|\bladder|lock(?:ed)? (?:it |the \w+ \w+ )?out"
    r"|lock-out|radiation|thunderstorm|48 V|at the antenna's end|to the feed|on the pedestal"
)
MEASURE = re.compile(r"\b[Mm]ut|lock|[Ii]solat|fall protection|obody|never|switch|confirms|closed mains|before|alone")
TURNS = {  # what a title names: the only direction that it can help
    r"\bHPA\b": Direction.OB,
    r"\bmodulator\b": Direction.OB,
    r"\bupconverter\b": Direction.OB,
    r"\bLNB\b": Direction.OB,
    r"\bLNA\b": Direction.IB,
    r"\bdemodulator\b": Direction.IB,
    r"\bdownconverter\b": Direction.IB,
    r"\bBUC\b": Direction.IB,
    r"\binroute\b": Direction.IB,
}

every_action = pytest.mark.parametrize("action", ACTIONS.values(), ids=list(ACTIONS))


def test_there_is_enough_to_choose_from() -> None:
    assert len(ACTIONS) >= 55


@pytest.mark.parametrize("cause", RootCause)
def test_every_cause_has_its_remedies(cause: RootCause) -> None:
    least = 4 if cause is RootCause.UNKNOWN else 5

    assert len(BY_CAUSE[cause]) >= least


@pytest.mark.parametrize(("kind", "metric"), [(kind, m) for kind in TargetKind for m in CATALOGUE[kind].metrics])
def test_every_metric_of_every_kind_has_its_remedies(kind: TargetKind, metric: Metric) -> None:
    assert len(BY_METRIC[kind, metric]) >= 4


def test_nothing_is_listed_for_a_metric_that_the_kind_does_not_have() -> None:
    assert set(BY_METRIC) == {(kind, metric) for kind in TargetKind for metric in CATALOGUE[kind].metrics}


@pytest.mark.parametrize("listed", [*BY_CAUSE, *BY_METRIC], ids=str)
def test_a_list_names_each_action_once_with_chances_that_differ(listed: RootCause | tuple[TargetKind, Metric]) -> None:
    remedies = BY_CAUSE[listed] if isinstance(listed, RootCause) else BY_METRIC[listed]

    assert len({remedy.action.key for remedy in remedies}) == len(remedies)
    assert len({remedy.chance for remedy in remedies}) == len(remedies)
    assert all(0.03 <= remedy.chance <= 0.7 for remedy in remedies)


@pytest.mark.parametrize("cause", RootCause)
def test_the_chances_for_a_cause_are_neither_hopeless_nor_boastful(cause: RootCause) -> None:
    assert 0.8 <= sum(remedy.chance for remedy in BY_CAUSE[cause]) <= 2.2


def test_every_action_helps_with_something() -> None:
    helping = {remedy.action.key for remedies in (*BY_CAUSE.values(), *BY_METRIC.values()) for remedy in remedies}

    assert helping == PLAYBOOK.repairs


def test_every_question_tells_some_causes_apart() -> None:
    asked = {remedy.action.key for remedies in BY_PAIR.values() for remedy in remedies}

    assert asked == set(ACTIONS) - PLAYBOOK.repairs
    assert len(asked) >= 10


@pytest.mark.parametrize(("one", "other"), [*combinations_with_replacement(NAMED, 2)])
def test_every_two_causes_can_be_told_apart(one: RootCause, other: RootCause) -> None:
    remedies = BY_PAIR[frozenset({one, other})]

    assert len({remedy.action.key for remedy in remedies}) == len(remedies) >= 1
    assert [remedy.chance for remedy in remedies] == sorted((remedy.chance for remedy in remedies), reverse=True)
    assert all(0.1 <= remedy.chance <= 0.9 for remedy in remedies)


@pytest.mark.parametrize("key", sorted(set(ACTIONS) - PLAYBOOK.repairs))
def test_a_question_changes_nothing_and_travels_nowhere(key: str) -> None:
    action = ACTIONS[key]

    assert action.effort in (Effort.LOOK, Effort.CALL)
    assert action.minutes <= 30
    assert "mean" in action.check, "each answer is told with what it means"


def test_no_two_actions_share_a_key_or_a_title() -> None:
    assert all(action.key == key for key, action in ACTIONS.items())
    assert len({action.title for action in ACTIONS.values()}) == len(ACTIONS)


@every_action
def test_keys_and_titles_are_short_and_well_formed(action: Action) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", action.key)
    assert len(action.key) <= 60
    assert re.match(r"[A-Z]", action.title)
    assert len(action.title) <= 80
    assert not action.title.endswith(".")


@every_action
@pytest.mark.parametrize("phrases", [BARE, FULL], ids=["bare", "full"])
def test_an_action_is_told_in_whole_sentences(action: Action, phrases: CasePhrases) -> None:
    told = action.describe(phrases)

    assert not re.search(r"[{}]|\s\s|\s[.,;:]|\.\.", told.title + told.description)
    assert told.description.startswith(phrases.finding)
    assert told.description.endswith(".")
    assert told.description.count("fterwards") == (action.purpose is Purpose.REPAIR)
    assert told.description.count("What it tells: ") == (action.purpose is Purpose.NARROW_DOWN)


@every_action
def test_names_with_braces_in_them_are_told_as_they_are(action: Action) -> None:
    told = action.describe(BRACES)

    assert told.description.startswith("{0} is {esno_db!r}. ")


@every_action
def test_steps_are_two_to_four_sentences_that_begin_with_a_word_of_their_own(action: Action) -> None:
    sentences = re.split(r"(?<=[.?!]) (?=[A-Z{])", action.steps)

    assert 2 <= len(sentences) <= 4
    assert all(re.match(r"[A-Z]", sentence) for sentence in (*sentences, action.check))


@every_action
def test_a_transponder_is_named_after_its_satellite(action: Action) -> None:
    """Since "its transponder" must have something to be of."""
    for sentence in re.split(r"(?<=[.?!]) ", f"{action.title}. {action.steps} {action.check}"):
        assert "{satellite}" in sentence.partition("{transponder}")[0] or "{transponder}" not in sentence


@every_action
def test_the_check_reads_a_metric_that_is_watched(action: Action) -> None:
    told = {COLUMNS[name] for name in _names(action.check) if name in COLUMNS}
    named = {metric for metric, word in READINGS.items() if word in action.check}

    assert (told | named) & set(action.watch)


@every_action
def test_metrics_are_told_in_the_check_alone_and_stand_after_a_preposition(action: Action) -> None:
    """So that "its usual value" can stand for any of them."""
    assert not _names(action.title + action.steps) & set(COLUMNS)
    for before, name in re.findall(r"(\w+) \{([a-z_]+)\}", action.check):
        assert name not in COLUMNS or before in {"at", "near", "of", "to", "towards", "against", "reach", "reads"}
    assert action.describe(BARE).description.count(UNKNOWN_USUAL) == sum(
        name in COLUMNS for _, name, _, _ in Formatter().parse(action.check) if name
    )


@pytest.mark.parametrize("cause", RootCause)
def test_what_is_done_about_a_cause_is_checked_by_readings_of_a_link(cause: RootCause) -> None:
    of_links = {metric.column for metric in CATALOGUE[TargetKind.LINK].metrics}

    for remedy in BY_CAUSE[cause]:
        assert _names(remedy.action.check) & set(COLUMNS) <= of_links


@pytest.mark.parametrize("kind", [TargetKind.NETWORK, TargetKind.SITE])
def test_a_check_that_no_link_can_answer_is_asked_of_a_kind_that_can(kind: TargetKind) -> None:
    of_links = {metric.column for metric in CATALOGUE[TargetKind.LINK].metrics}

    for (of, _), remedies in BY_METRIC.items():
        if of is kind:
            for remedy in remedies:
                metrics = _names(remedy.action.check) & set(COLUMNS)
                assert metrics <= of_links or metrics <= {metric.column for metric in CATALOGUE[kind].metrics}


@every_action
def test_what_an_action_watches_and_is_about_is_named_once(action: Action) -> None:
    assert 1 <= len(action.watch) == len(set(action.watch))
    assert 1 <= len(action.tags) == len(set(action.tags)) <= 4


@every_action
def test_who_may_get_hurt_is_told_how_not_to(action: Action) -> None:
    if HAZARD.search(action.steps):
        assert Tag.SAFETY in action.tags
    if Tag.SAFETY in action.tags:
        assert MEASURE.search(action.steps)


@every_action
def test_nobody_travels_to_radio_or_power_without_a_word_on_safety(action: Action) -> None:
    if action.effort is Effort.VISIT and {Tag.RF, Tag.POWER} & set(action.tags):
        assert Tag.SAFETY in action.tags
        assert re.search(r"[Mm]ut|lock(?:ed)? (?:it |the \w+ \w+ )?out|isolate|low-power", action.steps)


@every_action
def test_a_journey_takes_longer_than_a_look(action: Action) -> None:
    assert (Tag.FIELD in action.tags) <= (action.effort >= Effort.HUB)
    assert action.minutes >= (240 if action.effort is Effort.VISIT else 5)
    assert action.effort is not Effort.LOOK or action.minutes <= 60


@pytest.mark.parametrize(("named", "direction"), TURNS.items())
def test_one_end_of_the_chain_helps_one_direction_only(named: str, direction: Direction) -> None:
    about = [action for action in ACTIONS.values() if re.search(named, action.title)]

    assert about
    assert {action.direction for action in about} == {direction}


@pytest.mark.parametrize("cause", [RootCause.SATELLITE_INTERFERENCE, RootCause.SUN_TRANSIT])
def test_nobody_raises_power_against_noise(cause: RootCause) -> None:
    for remedy in BY_CAUSE[cause]:
        assert not re.search(r"(?:[Rr]aise|[Ii]ncrease|[Tt]urn up)[^.]*power", remedy.action.steps)


def test_power_against_rain_stops_before_compression() -> None:
    for remedy in BY_CAUSE[RootCause.RAIN_FADE]:
        if Metric.TX_POWER_DBM in remedy.action.watch:
            assert "compression" in remedy.action.steps


def test_the_sun_sends_nobody_on_a_journey() -> None:
    assert all(remedy.action.effort < Effort.HUB for remedy in BY_CAUSE[RootCause.SUN_TRANSIT])


def test_the_plain_rule_looks_before_it_travels() -> None:
    for remedies in (*BY_CAUSE.values(), *BY_METRIC.values()):
        assert remedies[0].action.effort < Effort.HUB


def test_likelier_causes_come_first_each_in_its_own_order() -> None:
    case = _case((RootCause.SUN_TRANSIT, 0.5), (RootCause.POWER_OUTAGE, 0.4))

    candidates = candidates_for(case)

    expected = [*BY_CAUSE[RootCause.SUN_TRANSIT], *BY_CAUSE[RootCause.POWER_OUTAGE]]
    assert [(one.action, one.chance) for one in candidates] == [(one.action, one.chance) for one in expected]
    assert {(one.cause, one.probability) for one in candidates} == set(case.causes)


def test_an_action_for_two_causes_stands_where_it_promises_more() -> None:
    candidates = candidates_for(_case((RootCause.SUN_TRANSIT, 0.5), (RootCause.BLOCKAGE, 0.45)))

    shared = [one for one in candidates if one.action.key == "use_cellular_backup"]
    assert [(one.cause, one.chance) for one in shared] == [(RootCause.BLOCKAGE, 0.09)]
    assert candidates[shared[0].order] is shared[0]


def test_unlikely_causes_are_left_out_but_never_the_first() -> None:
    unlikely = LEAST_PROBABILITY - 0.01

    candidates = candidates_for(_case((RootCause.CONGESTION, unlikely), (RootCause.RAIN_FADE, unlikely)))

    assert {one.cause for one in candidates} == {RootCause.CONGESTION}


def test_at_most_three_causes_are_worked_on() -> None:
    four = (RootCause.CONGESTION, RootCause.SUN_TRANSIT, RootCause.POWER_OUTAGE, RootCause.BLOCKAGE)

    candidates = candidates_for(_case(*((cause, 0.25) for cause in four)))

    assert {one.cause for one in candidates} == set(four[:MOST_CAUSES])


def test_where_no_cause_is_known_the_leading_metric_decides() -> None:
    shares = {Metric.CPU_PCT: 0.7, Metric.MEMORY_PCT: 0.3}

    candidates = candidates_for(FaultCase(CulpritKind.SITE, 0.6, 0.9, kind=TargetKind.SITE, shares=shares))

    assert [one.action for one in candidates] == [one.action for one in BY_METRIC[TargetKind.SITE, Metric.CPU_PCT]]
    assert {(one.cause, one.probability) for one in candidates} == {(None, 1.0)}


@pytest.mark.parametrize(
    ("causes", "left"),
    [
        (((RootCause.BLOCKAGE, 0.7),), 0.3),
        (((RootCause.BLOCKAGE, 0.6), (RootCause.UNKNOWN, 0.4)), 0.4),
        (((RootCause.BLOCKAGE, 1.0),), 0.1),
    ],
    ids=["the rest", "as much as is unknown", "never nothing"],
)
def test_the_readings_count_for_what_the_causes_leave(causes: tuple[tuple[RootCause, float], ...], left: float) -> None:
    case = FaultCase(CulpritKind.LINK, 0.6, 0.9, causes, kind=TargetKind.LINK, shares={Metric.JITTER_MS: 1.0})

    by_readings = [one for one in candidates_for(case) if one.cause is None]

    assert by_readings
    assert all(one.probability == pytest.approx(left) for one in by_readings)


def test_a_site_that_does_not_move_is_not_told_to_turn() -> None:
    fixed = FaultCase(CulpritKind.SITE, 0.5, 0.9, ((RootCause.BLOCKAGE, 0.9),), mobile=False)

    fixed_only, unknown = candidates_for(fixed), candidates_for(replace(fixed, mobile=None))

    assert {one.action.mobile for one in fixed_only} == {False}
    assert len(fixed_only) < len(unknown)


def test_where_nothing_is_known_the_unknown_has_its_remedies() -> None:
    candidates = candidates_for(_case())

    assert [one.action for one in candidates] == [one.action for one in BY_CAUSE[RootCause.UNKNOWN]]
    assert {(one.cause, one.probability) for one in candidates} == {(RootCause.UNKNOWN, 1.0)}


@st.composite
def fault_cases(draw: st.DrawFn) -> FaultCase:
    causes = draw(st.lists(st.sampled_from(RootCause), unique=True, max_size=5))
    weights = draw(st.lists(st.floats(0.0, 1.0), min_size=len(causes), max_size=len(causes)))
    total = max(1.0, sum(weights))
    kind = draw(st.none() | st.sampled_from(TargetKind))
    metrics = st.sampled_from(CATALOGUE[kind].metrics if kind else tuple(Metric))
    return FaultCase(
        scope=draw(st.sampled_from(CulpritKind)),
        severity=draw(st.floats(0.0, 1.0)),
        confidence=draw(st.floats(0.0, 1.0)),
        causes=tuple(zip(causes, sorted((weight / total for weight in weights), reverse=True), strict=True)),
        kind=kind,
        shares=draw(st.dictionaries(metrics, st.floats(0.0, 1.0), max_size=4)),
        mobile=draw(st.sampled_from((None, False, True))),
    )


@given(fault_cases())
def test_every_fault_case_has_at_least_three_candidates_each_once_and_in_order(case: FaultCase) -> None:
    candidates = candidates_for(case)

    assert len(candidates) >= 3
    assert max(Counter(one.action.key for one in candidates).values()) == 1
    assert [one.order for one in candidates] == list(range(len(candidates)))
    causes = [cause for cause, _ in case.causes]
    worked_on = dict.fromkeys(one.cause for one in candidates if one.cause in causes)
    assert list(worked_on) == [cause for cause in causes if cause in worked_on]


def candidates_for(case: FaultCase) -> list[Candidate]:
    return list_candidates(case, PLAYBOOK)


def _case(*causes: tuple[RootCause, float]) -> FaultCase:
    return FaultCase(CulpritKind.SITE, 0.8, 0.9, causes)


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}
