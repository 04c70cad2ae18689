"""PLAYBOOK: an operator's own actions are recommended, and a bad entry is told before anything starts."""

from pathlib import Path

import pytest

from ml.recommendation.playbook.loading import default_playbook
from resolvers.base.errors import InvalidInput
from resolvers.base.roles import Role
from resolvers.recommendations.playbook_files import find_changes, read_playbook
from tests.conftest import SECRET
from tests.helpers.processes import free_port, run
from tests.helpers.support import Factory, Server
from tests.resolvers.recommendations.test_recommendations import faded, recommended, record

DRONE = """
[actions.send_drone]
title = "Send the drone over {site}"
who = "Drone pilot"
steps = "Fly to {site}. Photograph the antenna from three sides."
check = "Es/N0 of {link} is back at {esno_db}."
watch = ["ESNO_DB"]
tags = ["field", "safety"]
effort = "REMOTE"
minutes = 20

[metrics.LINK.ESNO_DB]
send_drone = { chance = 0.6, source = "our tickets of 2026" }
"""
RADAR = DRONE.partition("[metrics")[0].replace("send_drone", "watch_rain_radar")


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    (path := tmp_path / "ours.toml").write_text(DRONE)
    return path


async def test_recommend_gives_the_operators_own_action_and_counts_its_outcomes(
    server: Server, make: Factory, playbook: Path
) -> None:
    link = await make.link()
    async with server(playbook=playbook) as anonymous:
        operator = await anonymous.as_(Role.OPERATOR)

        actions = await recommended(operator, anomaly=await faded(make, link))

        [own] = [action for action in actions if action["title"].startswith("Send the drone over ")]
        outcome = await record(operator, own["id"], "SOLVED")
    assert actions[0] == own, "nothing else promises as much for as little effort"
    assert own["tags"] == ["field", "safety"]
    assert "Drone pilot: Fly to " in own["description"]
    assert (outcome["successRate"], outcome["sampleSize"]) == (1.0, 1)


async def test_an_own_action_that_the_playbook_lost_again_keeps_its_recommendations(
    server: Server, make: Factory, playbook: Path
) -> None:
    anomaly = await faded(make, await make.link())
    async with server(playbook=playbook) as anonymous:
        before = await recommended(await anonymous.as_(Role.OPERATOR), anomaly=anomaly)

    async with server() as anonymous:
        after = await recommended(await anonymous.as_(Role.OPERATOR), anomaly=anomaly)

    assert [action["id"] for action in after] == [action["id"] for action in before]


def test_a_folder_of_files_is_read(playbook: Path) -> None:
    (playbook.parent / "radar.toml").write_text(RADAR)
    (playbook.parent / "notes.txt").write_text("not ours")

    read = read_playbook(playbook.parent)

    assert set(read.actions) - set(default_playbook().actions) == {"send_drone"}
    assert read.actions["watch_rain_radar"].who == "Drone pilot"


def test_what_was_replaced_and_added_is_told(playbook: Path) -> None:
    playbook.write_text(DRONE + "watch_rain_radar = { chance = 0.11, source = 'ours' }\n" + RADAR)

    changes = find_changes(read_playbook(playbook))

    assert changes == {
        "replaced": ["watch_rain_radar"],
        "added": ["send_drone"],
        "lines_replaced": 1,
        "lines_added": 1,
    }


def test_without_a_path_it_is_the_default_one() -> None:
    assert read_playbook(None) is default_playbook()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").mkdir()

    for name, said in (("nowhere.toml", "No such file"), ("binary.toml", "not UTF-8"), ("empty", "has no .toml files")):
        with pytest.raises(InvalidInput, match=said):
            read_playbook(tmp_path / name)


@pytest.mark.parametrize("command", ["serve", "train --recommendations", "models list"])
def test_a_bad_entry_is_one_sentence_and_exit_code_1(tmp_path: Path, playbook: Path, command: str) -> None:
    playbook.write_text(DRONE.replace("minutes = 20", "minutes = 'soon'"))
    given = {"SECRET_KEY": SECRET, "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nowhere"}
    port = ["--port", str(free_port())] if command == "serve" else []

    result = run(tmp_path, *command.split(), *port, PLAYBOOK=str(playbook), **given)

    assert result.returncode == 1
    assert result.stderr.strip() == (
        "PLAYBOOK cannot be used. ours.toml: actions.send_drone.minutes: should be a valid integer."
    )
    assert "Traceback" not in result.stderr


def test_serve_logs_what_was_replaced_and_added(tmp_path: Path, playbook: Path) -> None:
    given = {"SECRET_KEY": SECRET, "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nowhere", "LOG_FORMAT": "json"}

    result = run(tmp_path, "serve", "--port", str(free_port()), PLAYBOOK=str(playbook), **given)

    assert '"added": ["send_drone"]' in result.stderr.replace('":[', '": [')
