"""Trainings in processes of their own, as `serve` starts them: whole ones, and what becomes of the killed."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml.catalogue.models import DETECTORS
from resolvers.base.roles import Role
from tests.conftest import SECRET
from tests.helpers.processes import Served
from tests.helpers.support import Api, until
from tests.helpers.training import LINK, LIST, SITE, finished, states, train
from tests.system.test_crashes import World, kill_postgres, world

__all__ = ["world"]  # a fixture
pytestmark = pytest.mark.slow

KILLED = "Its process was killed before it was done, or its machine was; start it again."
INTERRUPTED = "It was interrupted, as the server or the command that ran it had to stop. Start it again."


@pytest.fixture
def served(tmp_path: Path, database_url: str) -> Served:
    return Served(tmp_path, SECRET_KEY=SECRET, DATABASE_URL=database_url, LOG_FORMAT="json", MAINTENANCE_SECONDS="1")


@pytest.fixture
async def admin(served: Served, api: Api) -> AsyncIterator[Api]:
    """Of the server that is a process; `api` only signs in."""
    signed_in = await api.as_(Role.ADMIN)
    with served:
        async with Api.to(f"{served.url}/graphql", api.services) as client:
            yield client.with_token(signed_in.token)


async def training_process(served: Served, number: int = 0) -> psutil.Process:
    """The server's, once it has begun to train: its log tells."""
    for _ in range(200):
        begun = [json.loads(line) for line in served.log.splitlines() if '"a training begins"' in line]
        if len(begun) > number:
            return psutil.Process(begun[number]["process"])
        await asyncio.sleep(0.05)
    pytest.fail(served.log)


async def running(api: Api, run: str) -> None:
    """Wait until the run is at work."""
    for _ in range(600):
        if (await listed(api))[run]["progress"] > 0:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the run did not begin in thirty seconds")


async def listed(api: Api) -> dict[str, dict[str, Any]]:
    return {run["id"]: run for run in (await api.run(LIST))["trainingRuns"]["nodes"]}


async def gone(process: psutil.Process) -> bool:
    """Whether it ends within five seconds."""
    for _ in range(100):
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_training_runs_in_a_process_of_its_own_while_the_server_answers(admin: Api, served: Served) -> None:
    run = await train(admin, version="2.0.0")
    following = asyncio.create_task(states(admin, run["id"], seconds=60))
    process = await training_process(served)
    await running(admin, run["id"])
    niceness, command, environment = process.nice(), process.cmdline(), process.environ()
    answered = 0
    while not following.done():
        await admin.run("{ sites { totalCount } }")
        answered += 1
    told = await following

    assert told[-1]["version"] == {"version": "2.0.0", "stage": "CANDIDATE"}
    assert [state["progress"] for state in told] == sorted(state["progress"] for state in told)
    assert len({state["message"] for state in told}) >= 5
    assert answered > 20
    assert niceness == 10
    assert not any("postgresql" in argument for argument in command)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert SECRET not in environment.values()
    assert await gone(process)
    assert '"a training succeeded"' in served.log


async def test_a_process_that_is_killed_fails_its_run_at_once_and_another_may_begin(admin: Api, served: Served) -> None:
    run = await train(admin)
    process = await training_process(served)
    await running(admin, run["id"])

    process.kill()
    over = await finished(admin, run["id"])
    again = await train(admin)

    assert (over["status"], over["message"]) == ("FAILED", KILLED)
    assert over["progress"] < 1
    assert again["__typename"] == "TrainingRun"


async def test_a_process_that_dies_before_it_begins_fails_its_run(admin: Api, served: Served) -> None:
    run = await train(admin)
    (await training_process(served)).kill()

    over = await finished(admin, run["id"])

    assert (over["status"], over["message"][:25]) == ("FAILED", "Its process did not start")


async def test_trainings_end_with_the_server_that_is_told_to_stop(admin: Api, served: Served, api: Api) -> None:
    runs = [await train(admin, model) for model in (SITE, LINK)]
    processes = [await training_process(served, number) for number in range(2)]
    for run in runs:
        await running(admin, run["id"])

    await asyncio.to_thread(served.stop)

    over = [await finished(api.with_token(admin.token), run["id"]) for run in runs]
    assert [await gone(process) for process in processes] == [True, True]
    assert {(run["status"], run["message"]) for run in over} == {("FAILED", INTERRUPTED)}
    assert served.stopped == 0
    assert "Traceback" not in served.log


async def test_trainings_end_with_the_server_that_is_killed(admin: Api, served: Served, api: Api) -> None:
    run = await train(admin)
    process = await training_process(served)
    await running(admin, run["id"])

    served.kill()
    ended = await gone(process)
    over = await finished(api.with_token(admin.token), run["id"])
    served.start()

    assert ended
    assert (over["status"], over["message"]) == ("FAILED", INTERRUPTED)
    assert (await listed(admin))[run["id"]] == over


async def test_what_died_with_its_server_is_marked_at_the_next_start(admin: Api, served: Served) -> None:
    """Before anybody is served: no maintenance has run yet."""
    run = await train(admin)
    process = await training_process(served)
    await running(admin, run["id"])

    process.send_signal(signal.SIGSTOP)
    served.kill()
    os.kill(process.pid, signal.SIGKILL)
    served.start()

    over = (await listed(admin))[run["id"]]
    assert (over["status"], over["message"]) == ("FAILED", KILLED)


async def test_every_detector_is_trained_again_the_same(admin: Api, served: Served) -> None:
    """The same data and seed: the same artefact. (The tests' root causes come of a shorter training.)"""
    hashes = "query ($name: String!) { model(name: $name) { versions { nodes { version sha256 } } } }"

    for model in DETECTORS:
        run = await train(admin, model)
        assert (await finished(admin, run["id"], seconds=400))["status"] == "SUCCEEDED", served.log

    for model in DETECTORS:
        newer, older = (await admin.run(hashes, name=model))["model"]["versions"]["nodes"]
        assert (newer["version"], older["version"]) == ("1.1.0", "1.0.1")
        assert newer["sha256"] == older["sha256"]


async def test_a_training_outlives_a_crash_of_postgresql(world: World) -> None:
    await world.fetch("SELECT setval('model_versions_id_seq', 100)")  # its models were copied with their ids
    admin = await world.operator.as_(Role.ADMIN)
    await world.operator.services.database.close()
    run = await train(admin)
    await running(admin, run["id"])

    await kill_postgres(world)
    await until(world.server.is_healthy, 60)

    assert (await finished(admin, run["id"], seconds=60))["status"] == "SUCCEEDED", world.server.log
