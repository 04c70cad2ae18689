"""The models that are shipped, as their training gave them: nobody need train them again."""

import hashlib
import json
from functools import cache

from ml.catalogue.models import Measure, Trained
from resolvers.models.shipped.versions import FOLDER
from tests.helpers.places import ROOT


@cache
def shipped(model: str) -> Trained:
    said = json.loads((FOLDER / model / "metadata.json").read_text())
    return Trained(
        artefact=(FOLDER / model / "model.npz").read_bytes(),
        algorithm=said["algorithm"],
        features=tuple(said["features"]),
        hyperparameters=said["hyperparameters"],
        seed=said["seed"],
        samples=said["training_samples"],
        details=said["details"],
        measures=tuple(Measure(one["name"], one["value"], one["samples"], one["dataset"]) for one in said["metrics"]),
    )


def shipped_version(model: str) -> str:
    """What a new database serves: another name whenever a model is trained anew for a release."""
    version: str = json.loads((FOLDER / model / "metadata.json").read_text())["version"]
    return version


def template_fingerprint() -> str:
    """Of all that the template database depends on: another one is made when it changes."""
    folders = (ROOT / "alembic" / "versions", FOLDER)
    paths = [path for folder in folders for path in sorted(folder.rglob("*.*")) if path.suffix != ".pyc"]
    paths.append(ROOT / "resolvers" / "store" / "telemetry" / "partitions.py")
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]
