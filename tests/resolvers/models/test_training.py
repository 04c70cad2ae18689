"""Trainings in the background: asked for, followed, refused, failed; the work itself is shortened, see `Lesson`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from ml.catalogue.models import TooLittleHistory
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.models.training_data import gather_history
from resolvers.operations.maintenance import maintain
from resolvers.store.tables.core import AnomalyStatus, Verdict
from resolvers.store.tables.models import ModelVersion, TrainingRun, TrainingStatus
from schema.relay import global_id, parse_id
from tests.helpers.shipped import shipped_version
from tests.helpers.support import (
    NOW,
    QUIET,
    Api,
    Factory,
    Server,
    ago,
    codes,
    id_of,
    iso,
    ms,
    record,
    record_levels,
    sql,
)
from tests.helpers.training import FOLLOW, LINK, LIST, NETWORK, SITE, InProcess, Lesson, finished, states, train

NODE = "query ($id: ID!) { node(id: $id) { ... on TrainingRun { model status progress message } } }"


CUT_CONNECTIONS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture
def trainers() -> InProcess:
    return InProcess()


@pytest.fixture
def lesson(trainers: InProcess) -> Lesson:
    return trainers.lesson


@pytest.fixture
async def services(services: Services, trainers: InProcess) -> AsyncIterator[Services]:
    await sql(services, "DELETE FROM training_runs")  # those that made the template
    yield trainers.take_over(services)
    await trainers.stop()


@pytest.fixture
async def admin(api: Api) -> Api:
    return await api.as_(Role.ADMIN)


def key_of(run: dict[str, Any]) -> UUID:
    return UUID(parse_id(run["id"])[1])


async def reached(api: Api, run: dict[str, Any], message: str) -> None:
    """Wait until the run says this."""
    for _ in range(500):
        if (await api.run(NODE, id=run["id"]))["node"]["message"] == message:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"the run never said {message!r}")


# ---------------------------------------------------------------- what it brings


async def test_a_training_brings_a_candidate_and_tells_who_wanted_it(api: Api, make: Factory, lesson: Lesson) -> None:
    ada = await make.user(Role.ADMIN, email="ada@example.com")
    admin = await api.of(ada)
    lesson.go_on()

    asked = await train(admin, version="2.0.0")
    run = await finished(admin, asked["id"])
    listed = await admin.run(LIST)
    version = await admin.run(
        """{ model(name: "anomaly_site") { champion { version } versions(first: 1) { nodes {
        version stage algorithm trainedBy { email } parent { version } } } } }"""
    )

    assert (asked["status"], asked["progress"], asked["version"]) == ("QUEUED", 0, None)
    assert asked["startedBy"] == run["startedBy"] == {"email": "ada@example.com"}
    assert run["version"] == {"version": "2.0.0", "stage": "CANDIDATE"}
    assert run["message"] == "anomaly_site 2.0.0 is trained. Promote it to let it serve."
    assert run["createdAt"] <= run["startedAt"] <= run["finishedAt"]
    assert listed["trainingRuns"] == {"totalCount": 1, "nodes": [run]}
    assert version["model"]["champion"] == {"version": "1.0.1"}
    [newest] = version["model"]["versions"]["nodes"]
    assert newest["trainedBy"] == {"email": "ada@example.com"}
    assert newest["parent"] == {"version": "1.0.1"}


async def test_the_first_version_of_a_model_serves_at_once(admin: Api, services: Services, lesson: Lesson) -> None:
    lesson.artefact = (await services.registry.champion(SITE)).fitted.to_bytes()
    await sql(services, "DELETE FROM champions", "DELETE FROM promotions", "DELETE FROM training_runs")
    lesson.go_on()

    run = await finished(admin, (await train(admin))["id"])

    assert run["version"] == {"version": "1.1.0", "stage": "CHAMPION"}
    assert run["message"].endswith("It serves, as the first of its model.")


async def test_without_a_name_it_is_the_next_minor_version(admin: Api, services: Services, lesson: Lesson) -> None:
    lesson.go_on(100)
    names = []

    for others in ([], ["1.10.0", "1.9.5", "lab"], ["2.0.0"], ["3.0.0-rc1"]):
        await also(services, *others)
        names.append((await finished(admin, (await train(admin))["id"]))["version"]["version"])

    assert names == ["1.1.0", "1.11.0", "2.1.0", "3.1.0"]


async def also(services: Services, *versions: str) -> None:
    """Other versions besides the champion."""
    copied = [c.key for c in ModelVersion.__table__.columns if c.key not in ("id", "version", "sha256")]
    for version in versions:
        await sql(
            services,
            f"INSERT INTO model_versions (version, sha256, {', '.join(copied)})"
            f" SELECT '{version}', 'another', {', '.join(copied)} FROM model_versions WHERE model = '{SITE}' LIMIT 1",
        )


# ---------------------------------------------------------------- what is refused


async def test_one_at_a_time_for_each_model(admin: Api, lesson: Lesson) -> None:
    first = await train(admin)

    second, other = await train(admin), await train(admin, LINK)
    lesson.go_on(100)
    await finished(admin, first["id"])
    third = await train(admin)

    assert second == {
        "__typename": "Conflict",
        "message": "A training of anomaly_site is not finished yet; wait for it to end.",
    }
    assert other["__typename"] == third["__typename"] == "TrainingRun"


async def test_of_many_who_ask_at_once_one_gets_it(admin: Api) -> None:
    answers = await asyncio.gather(*(train(admin) for _ in range(8)))

    assert sorted(answer["__typename"] for answer in answers) == ["Conflict"] * 7 + ["TrainingRun"]


async def test_a_version_that_exists_is_a_conflict(admin: Api) -> None:
    answer = await train(admin, version=shipped_version(SITE))

    assert answer == {
        "__typename": "Conflict",
        "message": f"anomaly_site {shipped_version(SITE)} exists already; choose another version.",
    }


TOO_LONG, TURNED = (
    "and at most 400 days, as long as samples are kept",
    "`from` must be before `to`, by at most 400 days",
)
REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    ({"model": "anomaly_moon"}, ["model"], "There is no model 'anomaly_moon' to train; there are anomaly_network"),
    ({"version": "../../etc"}, ["version"], "A version is named like 2.0.0"),
    ({"version": ""}, ["version"], "A version is named like 2.0.0"),
    ({"window": {"hours": 0}}, ["window", "hours"], TOO_LONG),
    ({"window": {"hours": 9601}}, ["window", "hours"], TOO_LONG),
    ({"window": {"hours": 1e300}}, ["window", "hours"], TOO_LONG),
    ({"window": {"from": iso(ago(days=401))}}, ["window", "from"], TURNED),
    ({"window": {"from": iso(ago(hours=1)), "to": iso(ago(hours=1))}}, ["window", "from"], TURNED),
    ({"window": {"from": "0001-01-01T00:00:00Z"}}, ["window", "from"], TURNED),
    ({"window": {"from": iso(NOW + timedelta(days=1))}}, ["window", "from"], TURNED),
    ({"window": {"to": iso(NOW + timedelta(hours=1))}}, ["window", "to"], "must not end in the future"),
    ({"window": {"to": "9999-12-31T23:59:59Z"}}, ["window", "to"], "must not end in the future"),
    ({"window": {"to": "0001-01-01T00:00:00Z"}}, ["window", "to"], "There are no samples this old"),
    ({"model": "root_cause", "window": {"hours": 24}}, ["window"], "root_cause is trained on simulated data only"),
]


async def test_what_cannot_be_trained_is_refused_with_its_place(admin: Api) -> None:
    answers = [await train(admin, **given) for given, _, _ in REFUSED]

    for answer, (_, path, said) in zip(answers, REFUSED, strict=True):
        assert answer["__typename"] == "InvalidInput"
        assert answer["path"] == ["input", *path]
        assert said in answer["message"]
    assert (await admin.run(LIST))["trainingRuns"]["totalCount"] == 0


async def test_a_process_that_cannot_be_started_is_an_error_and_the_run_has_failed(
    admin: Api, trainers: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: UUID) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(trainers, "launch", refuse)

    answer = await codes(admin, 'mutation { trainModel(input: {model: "anomaly_site"}) { __typename } }')
    [run] = (await admin.run(LIST))["trainingRuns"]["nodes"]

    assert answer == ["SERVICE_UNAVAILABLE"]
    assert (run["status"], run["message"][:25]) == ("FAILED", "Its process did not start")


# ---------------------------------------------------------------- following


async def test_progress_arrives_in_order_and_ends_with_the_run(admin: Api, api: Api, lesson: Lesson) -> None:
    run, viewer = await train(admin), await api.as_(Role.VIEWER)
    following = asyncio.create_task(states(viewer, run["id"]))
    for _ in range(4):
        await asyncio.sleep(0.3)
        lesson.go_on(1)

    told = await following

    progress = [state["progress"] for state in told]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert len(set(progress)) >= 4
    assert told[-1]["status"] == "SUCCEEDED"
    assert {state["status"] for state in told[:-1]} <= {"QUEUED", "RUNNING"}
    assert "step 2" in [state["message"] for state in told]


async def test_who_was_away_subscribes_again_at_any_server(admin: Api, server: Server, lesson: Lesson) -> None:
    run = await train(admin)
    async with admin.socket() as socket:
        await socket.subscribe(FOLLOW, run=run["id"])
    lesson.go_on(2)
    await reached(admin, run, "step 3")

    async with server() as elsewhere:
        following = asyncio.create_task(states(elsewhere.with_token(admin.token), run["id"]))
        await asyncio.sleep(0.2)
        lesson.go_on()
        told = await following

    assert told[0]["status"] == "RUNNING"
    assert told[0]["progress"] > 0.4
    assert told[-1]["progress"] == 1


async def test_a_run_that_is_over_is_told_once(admin: Api, lesson: Lesson) -> None:
    lesson.go_on()
    run = await finished(admin, (await train(admin))["id"])

    assert await states(admin, run["id"]) == [run]
    assert (await admin.run(NODE, id=run["id"]))["node"].items() <= run.items()


@pytest.mark.parametrize("id", [global_id("TrainingRun", UUID(int=7)), global_id("TrainingRun", 7), "garbage"])
async def test_there_is_no_progress_of_a_run_that_there_is_not(admin: Api, id: str) -> None:
    async with admin.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": FOLLOW, "variables": {"run": id}})
        message = await socket.receive()

    assert message["type"] == "error"
    assert [error["extensions"]["code"] for error in message["payload"]] == ["NOT_FOUND"]


async def test_others_are_answered_meanwhile(admin: Api, lesson: Lesson) -> None:
    run = await train(admin)

    answers = [await admin.run("{ sites { totalCount } models { name } }") for _ in range(20)]
    [listed] = (await admin.run(LIST))["trainingRuns"]["nodes"]
    lesson.go_on()

    assert all(answer["sites"]["totalCount"] == 0 for answer in answers)
    assert (listed["id"], listed["finishedAt"]) == (run["id"], None)
    assert (await finished(admin, run["id"]))["status"] == "SUCCEEDED"


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            TooLittleHistory("Only 3 sites reported for a week."),
            "Only 3 sites reported for a week. Ask for a longer window, or for none to learn from the simulator.",
        ),
        (ZeroDivisionError("a secret"), "It failed unexpectedly; see the server's log."),
    ],
)
async def test_a_training_that_fails_says_what_to_do(
    admin: Api, lesson: Lesson, error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson.fails = error
    lesson.go_on()

    run = await finished(admin, (await train(admin))["id"])

    assert (run["status"], run["message"], run["version"]) == ("FAILED", said, None)
    assert ("ZeroDivisionError" in capsys.readouterr().err) == ("unexpectedly" in said)


async def test_a_version_that_somebody_else_stored_meanwhile_fails_the_run(
    admin: Api, services: Services, lesson: Lesson
) -> None:
    run = await train(admin, version="2.0.0")
    await also(services, "2.0.0")
    lesson.go_on()

    run = await finished(admin, run["id"])

    assert (run["status"], run["message"]) == (
        "FAILED",
        "anomaly_site 2.0.0 exists already; choose another version.",
    )


async def test_a_run_survives_that_its_database_connections_are_cut(
    admin: Api, services: Services, lesson: Lesson
) -> None:
    run = await train(admin)
    lesson.go_on(2)
    await reached(admin, run, "step 3")

    await sql(services, CUT_CONNECTIONS)
    lesson.go_on()

    assert (await finished(await reconnected(admin), run["id"]))["status"] == "SUCCEEDED"


async def reconnected(api: Api) -> Api:
    """The same client, when its server is connected to the database again."""
    for _ in range(50):
        if not await codes(api, "{ viewer { role } }"):
            return api
        await asyncio.sleep(0.1)
    pytest.fail("the server did not recover in five seconds")


async def test_a_training_that_is_interrupted_says_so(admin: Api, trainers: InProcess) -> None:
    run = await train(admin)
    following = asyncio.create_task(states(admin, run["id"]))
    await reached(admin, run, "step 1")

    await trainers.interrupt()
    told = await following

    assert told[-1]["status"] == "FAILED"
    assert told[-1]["message"].startswith("It was interrupted")


# ---------------------------------------------------------------- the dead


@pytest.mark.parametrize(
    ("status", "age", "becomes"),
    [
        (TrainingStatus.RUNNING, timedelta(), "Its process was killed before it was done"),
        (TrainingStatus.QUEUED, timedelta(minutes=3), "Its process did not start"),
        (TrainingStatus.QUEUED, timedelta(), None),
    ],
)
async def test_a_run_without_its_process_is_marked_by_maintenance(
    admin: Api, services: Services, status: TrainingStatus, age: timedelta, becomes: str | None
) -> None:
    run = await orphan(services, status, datetime.now(UTC) - age)
    following = asyncio.create_task(states(admin, id_of(run)))
    await asyncio.sleep(0.1)

    await maintain(services)
    [listed] = (await admin.run(LIST))["trainingRuns"]["nodes"]

    if becomes is None:
        assert listed["status"] == status
        following.cancel()
    else:
        assert (listed["status"], listed["finishedAt"] is not None) == ("FAILED", True)
        assert becomes in listed["message"]
        assert (await following)[-1] == listed


async def orphan(services: Services, status: TrainingStatus, created_at: datetime) -> TrainingRun:
    """A run that nobody works on."""
    run = TrainingRun(model=SITE, version_name="9.0.0", seed=1, status=status, message="", created_at=created_at)
    async with services.database.write() as session:
        session.add(run)
    return run


async def test_a_dead_run_does_not_stand_in_the_way(admin: Api, services: Services) -> None:
    await orphan(services, TrainingStatus.RUNNING, datetime.now(UTC))

    answer = await train(admin)

    assert answer["__typename"] == "TrainingRun"


async def test_the_living_are_left_alone(admin: Api, services: Services, lesson: Lesson) -> None:
    run = await train(admin)
    await reached(admin, run, "step 1")

    await maintain(services)
    lesson.go_on()

    assert (await finished(admin, run["id"]))["status"] == "SUCCEEDED"


async def test_who_was_taken_for_dead_stores_nothing(
    admin: Api, services: Services, trainers: InProcess, lesson: Lesson
) -> None:
    run = await train(admin, version="2.0.0")
    await reached(admin, run, "step 1")

    await sql(services, "UPDATE training_runs SET status = 'FAILED', message = 'dead'")
    lesson.go_on()
    await asyncio.wait(trainers.tasks)

    assert (await finished(admin, run["id"]))["message"] == "dead"
    assert (await train(admin, version="2.0.0"))["__typename"] == "TrainingRun"


# ---------------------------------------------------------------- the fleet's history


async def test_the_fleet_s_history_and_what_people_said_of_it_reach_the_trainer(
    admin: Api, make: Factory, lesson: Lesson
) -> None:
    one, two, away = [await make.link() for _ in range(3)]
    judged, other = await make.anomaly(one), await make.anomaly(two)
    await make.anomaly(two, direction=None, status=AnomalyStatus.RESOLVED)
    for anomaly, verdict in ((judged, Verdict.TRUE_ALARM), (other, Verdict.FALSE_ALARM)):
        await admin.run(
            "mutation ($id: ID!, $verdict: Verdict!) { judgeAnomaly(id: $id, verdict: $verdict) { __typename } }",
            id=id_of(anomaly),
            verdict=verdict,
        )
    await record_levels(admin, two, {ago(minutes=4): QUIET, ago(minutes=9): QUIET})
    await record_levels(admin, one, {ago(minutes=minutes): -minutes for minutes in (7, 5, 6)})
    await record_levels(admin, one, {ago(minutes=5): -50}, direction="IB")
    await record_levels(admin, away, {ago(days=3): QUIET})
    lesson.go_on()

    run = await finished(admin, (await train(admin, LINK, window={"hours": 24}))["id"])

    assert run["status"] == "SUCCEEDED"
    history = lesson.history
    assert history is not None
    assert history.stream.tolist() == [0, 1, 1, 1, 2, 2]
    assert history.at.tolist() == [ms(ago(minutes=minutes)) for minutes in (5, 7, 6, 5, 9, 4)]
    level = [spec.metric for spec in CATALOGUE[TargetKind.LINK].specs].index(Metric.RX_LEVEL_DBM)
    assert history.readings[:, level].tolist() == [-50, -7, -6, -5, QUIET, QUIET]
    assert np.isnan(history.readings[:, 0]).all()
    window = [ms(judged.started_at), ms(judged.last_seen_at)]
    assert history.confirmed.tolist() == [[1, *window]]
    assert history.dismissed.tolist() == [[2, *window]]


async def test_a_link_s_anomaly_without_a_direction_is_one_in_each(
    admin: Api, make: Factory, services: Services
) -> None:
    link = await make.link()
    for direction in ("IB", "OB"):
        await record_levels(admin, link, {ago(minutes=5): QUIET}, direction)
    await make.anomaly(link, direction=None, feedback=Verdict.TRUE_ALARM)
    await make.anomaly(feedback=Verdict.TRUE_ALARM)  # on a link that reported nothing

    history = await gather_history(services.database, LINK, ago(hours=1), NOW)

    assert history.confirmed[:, 0].tolist() == [0, 1]
    assert history.dismissed.shape == (0, 3)


@pytest.mark.parametrize("model", [SITE, NETWORK])
async def test_networks_and_sites_have_a_history_too(admin: Api, make: Factory, services: Services, model: str) -> None:
    kind = TargetKind(model.removeprefix("anomaly_").upper())
    targets = [await (make.site() if kind is TargetKind.SITE else make.network()) for _ in range(9)]
    values = {"cpuPct" if kind is TargetKind.SITE else "latencyMs": [50.0] * 9}
    numbers = {kind.lower(): [target.number for target in targets]}
    await record(admin, kind, **numbers, at=[ms(ago(minutes=5))] * 9, **values)
    await make.anomaly(targets[0], feedback=Verdict.FALSE_ALARM)

    history = await gather_history(services.database, model, ago(hours=1), NOW)

    assert history.stream.tolist() == list(range(9))
    assert history.dismissed[:, 0].tolist() == [0]
    assert history.dataset.startswith(f"the fleet's {kind.lower()}s from ")


async def test_of_a_large_fleet_a_part_is_taken_the_same_each_time(
    admin: Api, make: Factory, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.models.training_data.MOST_ROWS", 20)
    monkeypatch.setattr("resolvers.models.training_data.CHUNK_ROWS", 6)
    links = [await make.link() for _ in range(12)]
    for link in links:
        await record_levels(admin, link, {ago(minutes=minutes): QUIET for minutes in (1, 2, 3)})

    first, again = [await gather_history(services.database, LINK, ago(hours=1), NOW) for _ in range(2)]

    assert 20 <= len(first.at) <= 26
    assert np.array_equal(first.readings, again.readings, equal_nan=True)


async def test_without_any_history_it_says_so(admin: Api, make: Factory) -> None:
    link = await make.link()
    await record_levels(admin, link, {ago(days=3): QUIET})

    run = await finished(admin, (await train(admin, LINK, window={"hours": 24}))["id"])

    assert run["status"] == "FAILED"
    assert run["message"].startswith("No link reported anything from ")
    assert "Ask for a longer window" in run["message"]


async def test_history_of_now_includes_what_is_a_little_ahead(admin: Api) -> None:
    answer = await train(admin, LINK, window={"to": iso(NOW + timedelta(minutes=2))})

    assert answer["__typename"] == "TrainingRun"


async def test_runs_are_paged_newest_first(admin: Api, services: Services) -> None:
    made = [await orphan(services, TrainingStatus.FAILED, NOW) for _ in range(3)]
    document = """query ($after: String) { trainingRuns(first: 2, after: $after) { nodes { id }
      pageInfo { hasNextPage endCursor } } }"""

    first = (await admin.run(document))["trainingRuns"]
    second = (await admin.run(document, after=first["pageInfo"]["endCursor"]))["trainingRuns"]

    assert [node["id"] for node in first["nodes"] + second["nodes"]] == [id_of(run) for run in reversed(made)]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)
