"""The models that a new database starts with: installed instead of trained, and just what training gives."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bcom_graphql.cli import champions as installing
from bcom_graphql.cli.output import progress_bar
from ml.catalogue.models import DETECTORS, MODELS, PRIORITY, RANKING, Progress, Trained
from ml.recommendation.training import TrainingSize, train_priority, train_ranking
from resolvers.base.access import SYSTEM
from resolvers.base.errors import InvalidInput
from resolvers.context import Context, Services
from resolvers.models.models import find_version, rollback
from resolvers.models.shipped.versions import FIRST_VERSION, FOLDER, VERSIONS, store_version, train_version
from resolvers.models.trainer import ignore_progress
from tests.helpers.models import LINK
from tests.helpers.shipped import shipped
from tests.helpers.support import Api, sql

CHAMPIONS = """{ models { name champion { version sha256 trainingSamples algorithm history { action by { email } }
  metrics { name value dataset } } } trainingRuns { totalCount } }"""
FORGET_MODELS = "TRUNCATE champions, promotions, model_metrics, training_runs, model_versions CASCADE"


async def champions(api: Api) -> dict[str, Any]:
    answer = await (await api.as_("VIEWER")).run(CHAMPIONS)
    assert answer["trainingRuns"]["totalCount"] == 0
    return {model["name"]: model["champion"] for model in answer["models"]}


def train_briefly(name: str, seed: int, progress: Progress, _learned: Any, _champion: Any) -> Trained:
    train = {RANKING: train_ranking, PRIORITY: train_priority}[name]
    return train(seed, progress, size=TrainingSize(incidents=150, held_out=40))


async def ensure_champions(services: Services, folder: Path = FOLDER) -> None:
    await installing.ensure_champions(services, progress_bar(), folder, train_briefly)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_training_from_the_seed_gives_what_is_shipped(model: str) -> None:
    """If not, `make models` makes new ones."""
    files = train_version(model, ignore_progress)

    assert files.metadata.decode() == (FOLDER / model / "metadata.json").read_text()
    assert files.artefact == (FOLDER / model / "model.npz").read_bytes()


async def test_a_new_database_starts_with_every_shipped_model_and_trains_none(api: Api, services: Services) -> None:
    await sql(services, FORGET_MODELS)

    await ensure_champions(services)

    found = await champions(api)
    assert set(found) == set(MODELS)
    for name, champion in found.items():
        assert champion["version"] == VERSIONS.get(name, FIRST_VERSION)
        assert champion["trainingSamples"] == shipped(name).samples
        assert champion["history"] == [{"action": action, "by": None} for action in ("IMPORTED", "PROMOTED")]
        measured = {(one["name"], one["dataset"]): one["value"] for one in champion["metrics"]}
        assert {(one.name, one.dataset): one.value for one in shipped(name).measures}.items() <= measured.items()
        assert (("latency_ms", "one sample at a time") in measured) == (name in DETECTORS)


async def test_processes_that_start_together_store_each_model_once(api: Api, services: Services) -> None:
    await sql(services, FORGET_MODELS)

    await asyncio.gather(ensure_champions(services), ensure_champions(services))

    assert {name: champion["version"] for name, champion in (await champions(api)).items()} == {
        name: VERSIONS.get(name, "1.0.0") for name in MODELS
    }
    async with services.database.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM model_versions") == len(MODELS)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.npz", None, "cannot be read: No such file or directory"),
        ("model.npz", b"half a model", "does not match the sha256"),
        ("metadata.json", b"{", "is not JSON"),
    ],
)
async def test_damaged_files_are_refused(
    tmp_path: Path, services: Services, file: str, content: bytes | None, message: str
) -> None:
    shutil.copytree(FOLDER / LINK, tmp_path / LINK)
    (tmp_path / LINK / file).unlink()
    if content is not None:
        (tmp_path / LINK / file).write_bytes(content)

    with pytest.raises(InvalidInput, match=message):
        await store_version(Context(services, SYSTEM), LINK, tmp_path)


@pytest.mark.parametrize("model", [RANKING, PRIORITY])
async def test_where_the_shipped_one_is_missing_one_is_trained_and_the_log_says_so(
    services: Services, model: str, tmp_path: Path
) -> None:
    await sql(services, f"DELETE FROM champions WHERE model = '{model}'")

    with capture_logs() as logs:
        await ensure_champions(services, tmp_path)

    assert (await services.registry.champion(model)).version == "1.1.0"
    told = next(one for one in logs if one["event"].startswith("a shipped model cannot be used"))
    assert (told["log_level"], told["model"]) == ("error", model)
    assert f"{tmp_path / model / 'model.npz'} cannot be read" in told["problem"]


async def test_a_version_of_the_same_name_that_never_served_is_left_alone(
    services: Services,
) -> None:
    await sql(services, f"DELETE FROM champions WHERE model = '{RANKING}'")
    await sql(services, f"UPDATE model_versions SET sha256 = sha256(artefact || 'x') WHERE model = '{RANKING}'")

    await ensure_champions(services)

    other = await find_version(Context(services, SYSTEM), RANKING, "1.0.0")
    serving = await services.registry.champion(RANKING)
    assert (serving.version, serving.id == other.id) == ("1.1.0", False)


# ---------------------------------------------------------------- a newer release


async def served_by_earlier(services: Services) -> dict[str, frozenset[str]]:
    """Has an earlier release's version serve links; returns what that release shipped."""
    await sql(services, f"UPDATE model_versions SET version = '0.9.0' WHERE model = '{LINK}'")
    async with services.database.driver() as connection:
        sha256 = await connection.fetchval(f"SELECT sha256 FROM model_versions WHERE model = '{LINK}'")
    services.registry.forget()
    return {LINK: frozenset({sha256.hex()})}


async def test_a_newer_release_brings_its_model_to_a_database_that_an_earlier_one_filled(services: Services) -> None:
    replaced = await served_by_earlier(services)

    await installing.ensure_champions(services, progress_bar(), replaced=replaced)

    serving = await services.registry.champion(LINK)
    async with services.database.driver() as connection:
        version, note = await connection.fetchrow(
            "SELECT version, note FROM promotions JOIN model_versions ON model_versions.id = version_id"
            " WHERE version_id = $1 ORDER BY promotions.id DESC LIMIT 1",
            serving.id,
        )
    assert (serving.version, version) == (VERSIONS[LINK], VERSIONS[LINK])
    assert note.startswith("It came with a newer release")


async def test_whoever_rolls_back_to_an_earlier_model_keeps_it(services: Services) -> None:
    replaced = await served_by_earlier(services)
    await installing.ensure_champions(services, progress_bar(), replaced=replaced)
    await rollback(Context(services, SYSTEM), LINK)

    await installing.ensure_champions(services, progress_bar(), replaced=replaced)

    assert (await services.registry.champion(LINK)).version == "0.9.0"


async def test_a_model_that_was_trained_here_is_not_replaced(services: Services) -> None:
    await served_by_earlier(services)

    await installing.ensure_champions(services, progress_bar())

    assert (await services.registry.champion(LINK)).version == "0.9.0"
