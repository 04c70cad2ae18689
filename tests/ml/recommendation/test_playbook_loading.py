"""An operator's playbook replaces and extends another, and a bad entry is told by file, entry and field."""

import tomllib

import numpy as np
import pytest

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.candidates import list_candidates
from ml.recommendation.case import FaultCase, TrackRecord
from ml.recommendation.features import AT, RankingFeature, extract_features
from ml.recommendation.playbook.actions import Effort, Purpose, Tag
from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.playbook.loading import BadPlaybook, default_playbook, load

REBOOT = """
[actions.reboot_by_text_message]
title = "Restart the terminal at {site} by text message"
who = "NOC"
steps = '''
Send RESET to the number of {site}. Wait
for its answer.
'''
check = "Es/N0 of {link} is back at {esno_db}."
watch = ["ESNO_DB", "UPTIME_PCT"]
tags = ["remote"]
effort = "REMOTE"
minutes = 5
direction = "IB"
"""
LINES = """
[causes.RAIN_FADE]
reboot_by_text_message = { chance = 0.4, source = "our tickets of 2026" }
watch_rain_radar = { chance = 0.5, source = "our tickets of 2026" }

[metrics.LINK.ESNO_DB]
reboot_by_text_message = { chance = 0.3, source = "estimate" }
"""
RAIN = FaultCase(CulpritKind.SITE, 0.5, 0.9, ((RootCause.RAIN_FADE, 0.9),))
QUESTION = """
[actions.count_birds]
purpose = "narrow_down"
title = "Count the birds on the antenna of {site}"
who = "NOC"
steps = "Ask {site} for a photograph. Count the birds."
check = "No bird, with Es/N0 still low, means rain."
watch = ["ESNO_DB"]
tags = ["customer"]
effort = "CALL"
minutes = 10
"""
PAIR = """
[pairs.SUN_TRANSIT.RAIN_FADE]
count_birds = { chance = 0.9, source = "our tickets of 2026" }
"""
DEFAULT = default_playbook()


def loaded(text: str) -> Playbook:
    return load({"ours.toml": text}, DEFAULT)


def chances(playbook: Playbook, cause: RootCause) -> dict[str, float]:
    return {remedy.action.key: remedy.chance for remedy in playbook.by_cause[cause]}


# ---------------------------------------------------------------- replacing and extending


def test_an_action_is_added_with_its_lines() -> None:
    playbook = loaded(REBOOT + LINES)

    action = playbook.actions["reboot_by_text_message"]
    assert action.steps == "Send RESET to the number of {site}. Wait for its answer."
    assert action.watch == (Metric.ESNO_DB, Metric.UPTIME_PCT)
    assert (action.tags, action.effort, action.minutes) == ((Tag.REMOTE,), Effort.REMOTE, 5)
    assert (action.direction, action.mobile) == (Direction.IB, False)
    assert playbook.by_metric[TargetKind.LINK, Metric.ESNO_DB][-1].action is action
    assert playbook.by_cause[RootCause.RAIN_FADE][-1].source == "our tickets of 2026"
    assert set(playbook.actions) == {*DEFAULT.actions, action.key}


def test_a_line_for_the_same_action_replaces_its_chance_in_its_place() -> None:
    ours, default = chances(loaded(REBOOT + LINES), RootCause.RAIN_FADE), chances(DEFAULT, RootCause.RAIN_FADE)

    assert list(ours) == [*default, "reboot_by_text_message"]
    assert ours["watch_rain_radar"] == 0.5 != default["watch_rain_radar"]


def test_an_action_with_the_same_id_replaces_it_wherever_it_is_listed() -> None:
    playbook = loaded(REBOOT.replace("reboot_by_text_message", "watch_rain_radar"))

    assert playbook.by_cause[RootCause.RAIN_FADE][0].action.title == "Restart the terminal at {site} by text message"
    assert chances(playbook, RootCause.RAIN_FADE) == chances(DEFAULT, RootCause.RAIN_FADE)
    assert set(playbook.actions) == set(DEFAULT.actions)


def test_nothing_leaves_the_playbook_as_it_was() -> None:
    assert load({}, DEFAULT) == DEFAULT == loaded("")


def test_a_question_is_added_for_a_pair_of_causes_whichever_is_named_first() -> None:
    playbook = loaded(QUESTION + PAIR)

    pair = frozenset({RootCause.RAIN_FADE, RootCause.SUN_TRANSIT})
    assert playbook.actions["count_birds"].purpose is Purpose.NARROW_DOWN
    assert [remedy.action.key for remedy in playbook.by_pair[pair]][-1] == "count_birds"
    assert len(playbook.by_pair[pair]) == len(DEFAULT.by_pair[pair]) + 1
    assert playbook.repairs == DEFAULT.repairs


def test_actions_and_lines_may_stand_in_different_files() -> None:
    assert load({"lines.toml": LINES, "z_actions.toml": REBOOT}, DEFAULT) == loaded(REBOOT + LINES)


def test_every_chance_says_where_it_is_from() -> None:
    lists = (*DEFAULT.by_cause.values(), *DEFAULT.by_metric.values(), *DEFAULT.by_pair.values())

    assert {remedy.source for remedies in lists for remedy in remedies} == {"estimate"}


def test_the_models_know_an_action_by_its_numbers_and_not_by_its_name() -> None:
    """So that an action which no training has seen is ranked like one of which the playbook says the same."""
    listed = DEFAULT.by_cause[RootCause.RAIN_FADE]
    twin = "\n".join(
        [
            REBOOT.replace("REMOTE", listed[0].action.effort.name).replace('direction = "IB"', ""),
            f"[causes.RAIN_FADE]\nreboot_by_text_message = {{ chance = {listed[0].chance}, source = 'estimate' }}",
        ]
    )
    playbook = loaded(twin)
    first, *_, added = list_candidates(RAIN, playbook)

    rows = extract_features(RAIN, [first, added], [TrackRecord()] * 2, playbook)

    differ = {feature for feature in RankingFeature if not _same(*rows[:, AT[feature]])}
    assert differ <= {RankingFeature.ORDER, RankingFeature.DURATION, RankingFeature.SAFETY}


def _same(one: Floats, other: Floats) -> bool:
    return bool(np.array_equal(one, other, equal_nan=True))


# ---------------------------------------------------------------- bad entries


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            REBOOT.replace("minutes = 5", "minutes = 'soon'"),
            "actions.reboot_by_text_message.minutes: should be a valid",
        ),
        (REBOOT.replace("minutes = 5", "minutes = 0"), "actions.reboot_by_text_message.minutes: should be greater"),
        (REBOOT.replace("minutes = 5", ""), "actions.reboot_by_text_message.minutes: is missing."),
        (REBOOT + "colour = 'red'", "actions.reboot_by_text_message.colour: is not a field here."),
        (REBOOT.replace("REMOTE", "TELEPATHY"), "effort: should be one of LOOK, REMOTE, CALL, HUB, VISIT."),
        (REBOOT.replace('"IB"', '"UP"'), "direction: should be 'IB' or 'OB'."),
        (REBOOT.replace("UPTIME_PCT", "ESNO_DB"), "watch: should name each only once."),
        (REBOOT.replace('["remote"]', '["teleport"]'), "tags.0: should be 'rf', 'hub',"),
        (REBOOT.replace('["remote"]', "[]"), "tags: Tuple should have at least 1 item"),
        (REBOOT.replace('"NOC"', '" "'), "who: String should have at least 1 character."),
        (REBOOT.replace("Restart", 80 * "R"), "title: String should have at most 80 characters."),
        (REBOOT.replace("{site} by", "{esno_db} by"), "title: {esno_db} is not one of"),
        (REBOOT.replace("{link} is", "{links.x} is"), "check: {links.x} is not one of"),
        (REBOOT.replace("{link} is", "{link!r} is"), "check: {link} is not one of"),
        (REBOOT.replace("{link} is", "{link is"), "check: "),
        (REBOOT.replace("reboot_by", "Reboot by"), "Expected ']'"),
        (REBOOT.replace("reboot_by_text_message", "Reboot"), "actions.Reboot: String should match pattern"),
        (REBOOT, "actions.reboot_by_text_message: no cause and no metric has a line for this action."),
        (LINES, "causes.RAIN_FADE.reboot_by_text_message: no action has this id."),
        (REBOOT + LINES.replace("0.4", "1.4"), "causes.RAIN_FADE.reboot_by_text_message.chance: should be less"),
        (REBOOT + LINES.replace("0.4", "nan"), "causes.RAIN_FADE.reboot_by_text_message.chance: should be"),
        (REBOOT + LINES.replace("0.4", "'high'"), "causes.RAIN_FADE.reboot_by_text_message.chance: should be a valid"),
        (REBOOT + LINES.replace(', source = "estimate"', ""), "metrics.LINK.ESNO_DB.reboot_by_text_message.source: is"),
        (REBOOT + LINES.replace("RAIN_FADE", "HAIL"), "causes.HAIL: should be 'EQUIPMENT_FAILURE', "),
        (REBOOT + LINES.replace("LINK", "SITE"), "metrics.SITE.ESNO_DB: a site does not have this metric."),
        (REBOOT + LINES.replace("ESNO_DB]", "WIND]"), "metrics.LINK.WIND: should be"),
        (QUESTION, "actions.count_birds: no pair of causes has a line for this action."),
        (QUESTION.replace("narrow_down", "ponder") + PAIR, "purpose: should be one of repair, narrow_down."),
        (
            REBOOT + LINES + PAIR.replace("count_birds", "reboot_by_text_message"),
            "only actions with the purpose narrow",
        ),
        (
            QUESTION + PAIR + "[causes.RAIN_FADE]\ncount_birds = { chance = 0.1, source = 'x' }",
            "the purpose repair can",
        ),
        (QUESTION.replace("count_birds", "watch_rain_radar"), "watch_rain_radar.purpose: should be that of the action"),
        (PAIR.replace("RAIN_FADE", "HAIL"), "pairs.SUN_TRANSIT.HAIL: should be 'EQUIPMENT_FAILURE', "),
        (PAIR, "pairs.RAIN_FADE.SUN_TRANSIT.count_birds: no action has this id."),
        ("[action.x]", "action: is not a field here."),
        ("actions = 1", "actions: should be a valid dictionary."),
        ("[actions", "(at end of document)."),
    ],
)
def test_a_bad_entry_is_told_by_file_entry_and_field(text: str, said: str) -> None:
    with pytest.raises(BadPlaybook) as raised:
        loaded(text)

    assert str(raised.value).startswith("ours.toml: ")
    assert said in str(raised.value)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_two_files_with_the_same_action_are_refused() -> None:
    with pytest.raises(BadPlaybook, match=r"z\.toml: actions\.reboot_by_text_message: another file has this action"):
        load({"a.toml": REBOOT + LINES, "z.toml": REBOOT}, DEFAULT)


def test_the_example_of_the_docs_can_be_loaded() -> None:
    from tests.helpers.places import ROOT

    page = (ROOT / "docs" / "recommendations.md").read_text()
    [example] = [part.partition("\n```")[0] for part in page.split("```toml\n")[1:]]

    assert set(tomllib.loads(example)) == {"actions", "causes", "metrics", "pairs"}
    assert set(loaded(example).actions) - set(DEFAULT.actions) == {"restart_by_text_message", "look_at_site_camera"}
