"""`bcom-graphql models …`, as its user meets it."""

import asyncio
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ml.catalogue.models import MODELS
from resolvers.base.roles import Role
from resolvers.context import Services
from tests.conftest import cloned
from tests.helpers.models import LINK, candidate, champion, measures, served, until_served
from tests.helpers.processes import run
from tests.helpers.shipped import shipped_version
from tests.helpers.support import Server

NETWORK = f"anomaly_network_v{shipped_version('anomaly_network')}"


def models(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "models", *arguments, DATABASE_URL=url, COLUMNS="80")


async def test_versions_are_listed_with_their_stage_and_what_they_measured(
    tmp_path: Path, database_url: str, services: Services
) -> None:
    await champion(services, "2.0.0")
    await candidate(services, "3.0.0", vus_pr=0.4567)

    listed = models(tmp_path, database_url, "list")

    lines = {tuple(line.replace(",", " ").split()[:3]) for line in listed.stdout.splitlines()}
    assert listed.returncode == 0, listed.stderr
    stages = {shipped_version(LINK): "archived", "2.0.0": "champion", "3.0.0": "candidate"}
    assert {(LINK, version, stage) for version, stage in stages.items()} < lines
    assert ("anomaly_site", shipped_version("anomaly_site"), "champion") in lines
    assert "    vus_pr 0.457 (unseen fleets)" in listed.stdout.splitlines()
    assert max(map(len, listed.stdout.splitlines())) <= 80, "and nothing is cut"


@pytest.mark.slow
async def test_versions_move_to_another_database_and_back(
    tmp_path: Path, database_url: str, services: Services, postgres: str
) -> None:
    row = await champion(services, "2.0.0")

    exported = models(tmp_path, database_url, "export", "out")
    with cloned(postgres) as elsewhere:
        imported = models(tmp_path, elsewhere, "import", "out")
        again = models(tmp_path, elsewhere, "import", str(tmp_path / "out" / "anomaly_link_v2.0.0"))
        models(tmp_path, elsewhere, "export", "back", "--model", LINK, "--version", "2.0.0")

    folders = sorted(path.name for path in (tmp_path / "out").iterdir())
    [out, back] = [(tmp_path / folder / "anomaly_link_v2.0.0") for folder in ("out", "back")]
    described = json.loads((out / "metadata.json").read_text())
    assert exported.returncode == imported.returncode == again.returncode == 0, exported.stderr + imported.stderr
    exports = [f"{model}_v{'2.0.0' if model == LINK else shipped_version(model)}" for model in MODELS]
    assert folders == sorted(exports)
    assert exported.stdout.split() == [f"out/{name}" for name in exports]
    assert "anomaly_link 2.0.0 is stored" in imported.stdout
    assert "models promote anomaly_link 2.0.0" in again.stdout
    assert described["sha256"] == row.sha256.hex()
    assert (back / "model.npz").read_bytes() == (out / "model.npz").read_bytes()
    assert np.load(out / "model.npz", allow_pickle=False).files


@pytest.mark.slow
async def test_a_promotion_is_refused_forced_and_taken_back_while_a_server_runs(
    tmp_path: Path, database_url: str, services: Services, server: Server
) -> None:
    first = shipped_version(LINK)
    await candidate(services, "2.0.0", vus_pr=0.4, rival=measures(vus_pr=0.5))
    promote = (tmp_path, database_url, "promote", LINK, "2.0.0")

    async with server() as api:
        operator = await api.as_(Role.OPERATOR)
        before = await served(operator)
        refused = await asyncio.to_thread(models, *promote)
        forced = await asyncio.to_thread(models, *promote, "--force", "--note", "I know better.")
        await until_served(operator, "2.0.0")
        back = await asyncio.to_thread(models, tmp_path, database_url, "rollback", LINK)
        after = await until_served(operator, first)

    assert (before, after) == (first, first)
    assert (refused.returncode, forced.returncode, back.returncode) == (1, 0, 0)
    assert "VUS-PR is 0.400 where the champion reaches 0.500" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "anomaly_link 2.0.0 serves from now on." in forced.stdout
    assert f"anomaly_link {first} serves from now on, as before." in back.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rollback", LINK), "There is no earlier champion of anomaly_link"),
        (
            ("export", "taken"),
            f"taken/{NETWORK} cannot be written: Not a directory.",
        ),
        (("import", "nothing"), "nothing holds no exported model"),
    ],
    ids=" ".join,
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    tmp_path: Path, database_url: str, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "taken").write_text("a file")

    result = models(tmp_path, database_url, *arguments)

    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
