"""Models and their versions: seen by everybody, changed by admins, and in every process at once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from ml.catalogue.models import MODELS, Trained
from resolvers.base.errors import Conflict, InvalidInput
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.models import ModelVersion
from schema.relay import global_id
from tests.helpers.models import LINK, candidate, champion, measures, served, until_served, variant
from tests.helpers.shipped import shipped_version
from tests.helpers.support import Api, Factory, GraphQLFailed, Server, id_of, several, sql

LIST = """{ models { id name champion { version stage } versions { totalCount nodes { version } } } }"""
SHOW = """query ($id: ID!) { node(id: $id) { ... on ModelVersion { model { id name } version stage algorithm features
  hyperparameters { name value } details { name value } sha256 sizeBytes trainedAt trainingSamples
  trainedBy { email } parent { version } metrics { name value samples dataset measuredAt }
  history { action note by { email } } } } }"""
PAGE = """query ($name: String!, $first: Int, $after: String) { model(name: $name) {
  versions(first: $first, after: $after) { nodes { version stage trainedBy { id } parent { id }
  metrics { name } history { action } } pageInfo { hasNextPage endCursor } totalCount } } }"""
RESULT = """{ __typename ... on ModelVersion { version stage } ... on Problem { message }
  ... on NotFound { id } ... on Forbidden { requiredRole } }"""
PROMOTE = f"""mutation ($version: ID!, $force: Boolean, $note: String) {{
  promoteModel(version: $version, force: $force, note: $note) {RESULT} }}"""
ROLLBACK = f"mutation ($model: String!, $note: String) {{ rollbackModel(model: $model, note: $note) {RESULT} }}"


@pytest.fixture
async def admin(api: Api) -> Api:
    return await api.as_(Role.ADMIN)


async def promote(api: Api, version: ModelVersion | str, **given: Any) -> dict[str, Any]:
    id = version if isinstance(version, str) else id_of(version)
    answer: dict[str, Any] = (await api.run(PROMOTE, version=id, **given))["promoteModel"]
    return answer


async def rollback(api: Api, model: str = LINK, **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(ROLLBACK, model=model, **given))["rollbackModel"]
    return answer


async def show(api: Api, version: ModelVersion) -> dict[str, Any]:
    node: dict[str, Any] = (await api.run(SHOW, id=id_of(version)))["node"]
    return node


# ---------------------------------------------------------------- seeing


async def test_every_model_is_listed_with_its_champion(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    models = (await viewer.run(LIST))["models"]

    assert [model["name"] for model in models] == list(MODELS)
    for model in models:
        assert model["id"] == global_id("Model", model["name"])
        version = shipped_version(model["name"])
        assert model["champion"] == {"version": version, "stage": "CHAMPION"}
        assert model["versions"] == {"totalCount": 1, "nodes": [{"version": version}]}


async def test_a_model_is_found_by_its_name_and_by_its_id(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)
    document = """query ($name: String!, $ids: [ID!]!) { model(name: $name) { id name }
      nodes(ids: $ids) { ... on Model { name champion { version } } } }"""
    ids = [global_id("Model", name) for name in (LINK, "anomaly_moon", "1")]

    answer = await viewer.run(document, name=LINK, ids=ids)
    unknown = await viewer.run(document, name="anomaly_moon", ids=[])

    assert answer["model"] == {"id": ids[0], "name": LINK}
    assert answer["nodes"] == [{"name": LINK, "champion": {"version": "1.0.1"}}, None, None]
    assert unknown["model"] is None


async def test_a_version_tells_all_that_is_known_of_it(api: Api, make: Factory, services: Services) -> None:
    user = await make.user(Role.ADMIN)
    trained = await variant(services, number=7, vus_pr=0.5, hopeless=float("nan"))
    row = await services.registry.add(LINK, trained, "2.0.0", trained_by_id=user.id)

    node = await show(await api.as_(Role.ADMIN), row)

    times = {node.pop("trainedAt"), *(metric.pop("measuredAt") for metric in node["metrics"])}
    other_trainer = node.pop("trainedBy")
    assert all(at.endswith("Z") for at in times)
    assert other_trainer == {"email": user.email}
    assert node == {
        "model": {"id": global_id("Model", LINK), "name": LINK},
        "version": "2.0.0",
        "stage": "CANDIDATE",
        "algorithm": "a variant of the champion",
        "features": ["one", "two"],
        "hyperparameters": [
            {"name": "kernel", "value": "round"},
            {"name": "number", "value": "7"},
            {"name": "share", "value": "0.25"},
        ],
        "details": [
            {"name": "days", "value": "[1,2]"},
            {"name": "seed", "value": "7"},
            {"name": "trained_on", "value": "nothing"},
        ],
        "sha256": row.sha256.hex(),
        "sizeBytes": len(trained.artefact),
        "trainingSamples": 12_345,
        "parent": {"version": "1.0.1"},
        "metrics": [{"name": "vus_pr", "value": 0.5, "samples": 1000, "dataset": "unseen fleets"}],
        "history": [],
    }


async def test_of_each_measure_the_newest_counts(api: Api, services: Services) -> None:
    await candidate(services, "2.0.0", vus_pr=0.4, rival=measures(vus_pr=0.5))
    await candidate(services, "3.0.0", vus_pr=0.6, rival=(*measures(vus_pr=0.55), *measures("ours", vus_pr=0.7)))
    async with services.database.read() as session:
        first = await session.scalar(select(ModelVersion).filter_by(model=LINK, version="1.0.1"))
    assert first is not None

    metrics = (await show(await api.as_(Role.VIEWER), first))["metrics"]

    rivalled = {metric["dataset"]: metric["value"] for metric in metrics if metric["name"] == "vus_pr"}
    assert rivalled["unseen fleets"] == 0.55
    assert rivalled["ours"] == 0.7


async def test_versions_come_in_pages_newest_first_each_in_as_many_statements(
    api: Api, services: Services, statements: list[str]
) -> None:
    viewer = await api.as_(Role.VIEWER)
    for number in range(2, 7):
        await candidate(services, f"{number}.0.0", vus_pr=0.5)
    counted, after = [], None
    for first in (1, 3, 4):
        statements.clear()

        page = (await viewer.run(PAGE, name=LINK, first=first, after=after))["model"]["versions"]

        counted.append(len(statements))
        after = page["pageInfo"]["endCursor"]

    assert [node["version"] for node in page["nodes"]] == ["2.0.0", "1.0.1"]
    assert page["nodes"][0] == {
        "version": "2.0.0",
        "stage": "CANDIDATE",
        "trainedBy": None,
        "parent": {"id": page["nodes"][0]["parent"]["id"]},
        "metrics": [{"name": "vus_pr"}],
        "history": [],
    }
    assert (page["pageInfo"]["hasNextPage"], page["totalCount"]) == (False, 6)
    assert len(set(counted)) == 1, counted
    fetched = [statement.split("FROM", maxsplit=1)[0] for statement in statements]
    assert not any("artefact" in columns for columns in fetched), "megabytes that nobody asked for"


@pytest.mark.parametrize("version", ["", "..", "-1", "2.0.0 ", "2/0", "v2\n", "ä", "x" * 41])
async def test_a_version_is_called_by_a_simple_name(services: Services, version: str) -> None:
    trained = await variant(services)

    with pytest.raises(InvalidInput, match="A version is named like"):
        await services.registry.add(LINK, trained, version)


async def test_a_version_never_changes(services: Services) -> None:
    await candidate(services, "2.0.0")
    trained = await variant(services, number=1)

    results = await asyncio.gather(
        *(services.registry.add(LINK, trained, version) for version in ("2.0.0", "3.0.0", "3.0.0")),
        return_exceptions=True,
    )

    assert [type(result) for result in results].count(ModelVersion) == 1
    assert all("exists already" in str(result) for result in results if isinstance(result, Conflict))


async def test_what_cannot_be_loaded_is_not_stored(services: Services) -> None:
    good = await variant(services, "anomaly_site")
    for artefact in (b"", b"garbage", good.artefact):
        bad = Trained(artefact, "", (), {}, 1, 0, {}, ())

        with pytest.raises(InvalidInput, match="cannot be loaded"):
            await services.registry.add(LINK, bad, "2.0.0")


# ---------------------------------------------------------------- promoting


async def test_a_promoted_version_serves_and_the_one_before_is_archived(admin: Api, services: Services) -> None:
    new = await candidate(services, "2.0.0", vus_pr=0.6, rival=measures(vus_pr=0.5))

    answer = await promote(admin, new, note="Better in rain.")

    assert answer == {"__typename": "ModelVersion", "version": "2.0.0", "stage": "CHAMPION"}
    assert await served(admin) == "2.0.0"
    page = (await admin.run(PAGE, name=LINK))["model"]["versions"]
    assert [(node["version"], node["stage"]) for node in page["nodes"]] == [
        ("2.0.0", "CHAMPION"),
        ("1.0.1", "ARCHIVED"),
    ]
    [entry] = (await show(admin, new))["history"]
    viewer = (await admin.run("{ viewer { email } }"))["viewer"]
    assert entry == {"action": "PROMOTED", "note": "Better in rain.", "by": viewer}


async def test_what_measures_worse_is_refused_with_the_reasons_unless_it_is_forced(
    admin: Api, services: Services
) -> None:
    rival = measures(vus_pr=0.5, event_recall=0.95, calibration_error=0.02)
    new = await candidate(services, "2.0.0", vus_pr=0.4, event_recall=0.6, calibration_error=0.02, rival=rival)

    refused = await promote(admin, new)
    between = await served(admin)
    forced = await promote(admin, new, force=True)

    assert refused["__typename"] == "Conflict"
    assert "Its VUS-PR is 0.400 where the champion reaches 0.500 (unseen fleets)." in refused["message"]
    assert "Its recall of events within the false-alarm budget is 0.600" in refused["message"]
    assert "calibration" not in refused["message"]
    assert "force" in refused["message"]
    assert between == "1.0.1"
    assert forced["stage"] == "CHAMPION"
    assert await served(admin) == "2.0.0"
    assert [entry["action"] for entry in (await show(admin, new))["history"]] == ["PROMOTED: FORCED"]


async def test_forcing_what_needs_no_force_is_not_noted_as_such(admin: Api, services: Services) -> None:
    new = await candidate(services)

    await promote(admin, new, force=True)

    assert [entry["action"] for entry in (await show(admin, new))["history"]] == ["PROMOTED"]


async def test_promoting_the_champion_is_a_conflict(admin: Api, services: Services) -> None:
    new = await champion(services, "2.0.0")

    answer = await promote(admin, new, force=True)

    assert answer["__typename"] == "Conflict"
    assert answer["message"] == "anomaly_link 2.0.0 is the champion already."


async def test_promoting_what_is_no_version_is_not_found(admin: Api, make: Factory) -> None:
    site = await make.site()

    for id in (global_id("ModelVersion", 999), id_of(site), global_id("ModelVersion", LINK), "nonsense"):
        answer = await promote(admin, id)

        assert answer == {"__typename": "NotFound", "message": "There is no such model version.", "id": id}


async def test_a_damaged_version_is_not_promoted(admin: Api, services: Services) -> None:
    new = await candidate(services)
    await sql(services, f"UPDATE model_versions SET artefact = set_byte(artefact, 500, 7) WHERE id = {new.id}")

    answer = await promote(admin, new, force=True)

    assert answer["__typename"] == "Conflict"
    assert answer["message"] == "anomaly_link 2.0.0 cannot be loaded: its artefact does not match its checksum."
    assert await served(admin) == "1.0.1"


async def test_of_many_who_promote_at_once_each_sees_what_the_one_before_did(admin: Api, services: Services) -> None:
    new = await candidate(services)

    answers = await asyncio.gather(*(promote(admin, new) for _ in range(5)))

    assert sorted(answer["__typename"] for answer in answers) == [*["Conflict"] * 4, "ModelVersion"]
    assert len((await show(admin, new))["history"]) == 1


async def test_a_note_is_text_of_at_most_four_thousand_characters(admin: Api, services: Services) -> None:
    new = await candidate(services)

    for note in ("x" * 4001, "nothing \x00 here"):
        with pytest.raises(GraphQLFailed) as failure:
            await promote(admin, new, note=note)

        assert failure.value.codes == ["BAD_USER_INPUT"]
    assert await served(admin) == "1.0.1"


async def test_only_admins_change_which_version_serves(api: Api, services: Services) -> None:
    new = await candidate(services)
    operator = await api.as_(Role.OPERATOR)

    answers = [await promote(operator, new), await rollback(operator)]

    assert [(answer["__typename"], answer["requiredRole"]) for answer in answers] == [("Forbidden", "ADMIN")] * 2
    assert await served(operator) == "1.0.1"


# ---------------------------------------------------------------- rolling back


async def test_rolling_back_goes_through_the_champions_before(admin: Api, services: Services) -> None:
    for version in ("2.0.0", "3.0.0"):
        await champion(services, version)

    answers = [await rollback(admin, note="It missed the storm.") for _ in range(3)]

    assert [answer.get("version") for answer in answers] == ["2.0.0", "1.0.1", None]
    assert (answers[2]["__typename"], answers[2]["message"]) == (
        "Conflict",
        "There is no earlier champion of anomaly_link to go back to.",
    )
    assert await served(admin) == "1.0.1"


async def test_what_was_rolled_back_is_not_gone_back_to(admin: Api, services: Services) -> None:
    bad = await champion(services, "2.0.0")
    await rollback(admin)
    await champion(services, "3.0.0")

    answer = await rollback(admin)

    assert answer["version"] == "1.0.1"
    assert [entry["action"] for entry in (await show(admin, bad))["history"]] == ["PROMOTED"]
    assert (await show(admin, bad))["stage"] == "ARCHIVED"


async def test_rolling_back_is_remembered_with_who_and_why(admin: Api, services: Services) -> None:
    first = await champion(services, "2.0.0")
    await champion(services, "3.0.0")

    await rollback(admin, note="It missed the storm.")

    history = (await show(admin, first))["history"]
    viewer = (await admin.run("{ viewer { email } }"))["viewer"]
    assert history == [
        {"action": "PROMOTED", "note": None, "by": None},
        {"action": "ROLLED_BACK", "note": "It missed the storm.", "by": viewer},
    ]


async def test_rolling_back_to_a_damaged_version_is_a_conflict(admin: Api, services: Services) -> None:
    await champion(services, "2.0.0")
    first = shipped_version(LINK)
    await sql(services, f"UPDATE model_versions SET artefact = '\\x00' WHERE model = '{LINK}' AND version = '{first}'")

    answer = await rollback(admin)

    assert answer["__typename"] == "Conflict"
    assert f"{LINK} {first} cannot be loaded" in answer["message"]
    assert await served(admin) == "2.0.0"


async def test_rolling_back_what_is_no_model_is_not_found(admin: Api) -> None:
    answer = await rollback(admin, "anomaly_moon")

    assert answer == {"__typename": "NotFound", "message": "There is no such model.", "id": None}


# ---------------------------------------------------------------- everywhere at once


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_promotion_is_used_at_once_in_every_process(server: Server, services: Services, processes: int) -> None:
    async with several(server, processes) as (here, there):
        admin, operator = await here.as_(Role.ADMIN), await there.as_(Role.OPERATOR)
        before = await served(operator)
        new = await candidate(services)

        await promote(admin, new)
        after = await until_served(operator, "2.0.0")
        await rollback(admin)
        back = await until_served(operator, "1.0.1")

    assert (before, after, back) == ("1.0.1", "2.0.0", "1.0.1")


async def test_a_version_says_how_many_false_positives_were_measured_and_what_it_was_made_of(api: Api) -> None:
    document = """{ model(name: "anomaly_link") { champion { trainingSamples sizeBytes features details { name value }
      metrics { name value samples dataset }
      falsePositives { perDay budgetPerDay samples dataset measuredAt } } } }"""

    champion = (await (await api.as_(Role.VIEWER)).run(document))["model"]["champion"]

    [ratio] = [metric for metric in champion["metrics"] if metric["name"] == "false_alarm_ratio"]
    [found] = champion["falsePositives"]
    assert found["perDay"] == pytest.approx(ratio["value"] * found["budgetPerDay"])
    assert found["budgetPerDay"] == pytest.approx(90**0.5 / 30)
    assert (found["samples"], found["dataset"]) == (ratio["samples"], ratio["dataset"])
    assert "seed" in [setting["name"] for setting in champion["details"]]
    assert champion["trainingSamples"] > 0
    assert champion["features"]
