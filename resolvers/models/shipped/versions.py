"""Stores a shipped model in a database, and trains the shipped models anew for `make models`."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import exists, select

from ml.catalogue.models import DETECTORS, ROOT_CAUSE, Progress, Trained
from resolvers.context import Context
from resolvers.models.export import METADATA, Files, Measured, Metadata, import_folder
from resolvers.models.latency import measure_latency
from resolvers.models.trainer import train_model
from resolvers.models.training import SEED
from resolvers.store.models.versions import to_metrics
from resolvers.store.tables.models import Champion, ModelAction, ModelVersion, Promotion

FOLDER: Final = Path(__file__).parent
FIRST_VERSION: Final = "1.0.0"
VERSIONS: Final = {ROOT_CAUSE: "1.3.0"} | dict.fromkeys(DETECTORS, "1.0.1")  # trained anew since the first release
REPLACED: Final = {  # sha256 of what earlier releases shipped: whoever is served by one gets the newer version
    ROOT_CAUSE: frozenset(
        {
            "047e70e76ad2dde5976fc50f3af98ac91a2ab7a852fc7fe98030dc4064a384fa",
            "fd12709ea42df2166b47f85521bae0db092333f4f9df8f17f072c67ea871b784",
            "fe3bc2088a29b87b2416d4c9feac23317e95a31e1d51152aeafb1195eaea0d6c",
        }
    ),
    "anomaly_link": frozenset({"01cc15e6eb42968556996e3ac7d839c8bb0efa36c5bbeb532e386ce032388010"}),
    "anomaly_network": frozenset({"b47e69fb82313dbab3aa4254815bed67a8cbfbc0363f62c587ba1760e7c6af02"}),
    "anomaly_site": frozenset({"73a8d28d42209b6720b6ab725ea9a650a140f717dd3085ab8054d46abfaf5788"}),
}


async def store_version(context: Context, model: str, folder: Path = FOLDER) -> ModelVersion:
    """Stores the shipped version of a model as a candidate, with its latency on this machine.

    Raises InvalidInput where its files are missing, damaged or of another release; Conflict where a different version
    has its name.
    """
    version = await import_folder(context, folder / model)
    loaded = await context.services.registry.version(version.id)
    measured = await asyncio.to_thread(measure_latency, loaded.fitted)
    async with context.database.write() as session:
        session.add_all(to_metrics(version.id, measured))
    return version


async def find_replaced(context: Context, replaced: Mapping[str, frozenset[str]] = REPLACED) -> list[str]:
    """Returns the models whose champion an earlier release shipped, and whose newer version never served.

    Where somebody has rolled back from that, the earlier one goes on serving.

    replaced: see `REPLACED`.
    """
    served = exists().where(Promotion.version_id == ModelVersion.id, Promotion.action != ModelAction.IMPORTED)
    query = select(ModelVersion.model, ModelVersion.version, ModelVersion.sha256, Champion.version_id, served)
    query = query.outerjoin(Champion, Champion.version_id == ModelVersion.id).where(ModelVersion.model.in_(replaced))
    async with context.database.read() as session:
        rows = (await session.execute(query)).all()
    serving = {model for model, _, sha256, champion, _ in rows if champion and sha256.hex() in replaced[model]}
    done = {model for model, version, *_, served in rows if served and version == VERSIONS[model]}
    return sorted(serving - done)


def train_version(model: str, progress: Progress, folder: Path = FOLDER) -> Files:
    """Trains a model from the default seed. Returns the same files as `folder` has, unless the training has changed."""
    trained = train_model(model, SEED, progress, None, None)
    sha256 = hashlib.sha256(trained.artefact).hexdigest()
    trained_at = _trained_at(folder / model / METADATA, sha256) or datetime.now(UTC).replace(microsecond=0)
    metadata = _metadata(model, trained, sha256, trained_at)
    return Files(model, trained.artefact, metadata.model_dump_json(indent=2).encode() + b"\n")


def _trained_at(metadata: Path, sha256: str) -> datetime | None:
    """Returns when the shipped artefact was trained; None where another one is shipped, or none."""
    if not metadata.exists():
        return None
    shipped = Metadata.model_validate(orjson.loads(metadata.read_bytes()))
    return shipped.trained_at if shipped.sha256 == sha256 else None


def _metadata(model: str, trained: Trained, sha256: str, trained_at: datetime) -> Metadata:
    measured = [
        Measured(name=one.name, value=one.value, samples=one.samples, dataset=one.dataset, measured_at=trained_at)
        for one in trained.measures
        if isfinite(one.value)
    ]
    return Metadata(
        model=model,
        version=VERSIONS.get(model, FIRST_VERSION),
        sha256=sha256,
        algorithm=trained.algorithm,
        features=list(trained.features),
        hyperparameters=dict(trained.hyperparameters),
        seed=trained.seed,
        training_samples=trained.samples,
        trained_at=trained_at,
        details=dict(trained.details),
        metrics=measured,
    )
