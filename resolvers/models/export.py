"""Exports and imports versions as files: `<model>_v<version>/{model.npz,metadata.json}`."""

import asyncio
import base64
import hashlib
import hmac
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Final

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import select
from sqlalchemy.orm import undefer

from ml.catalogue.models import MODELS, Trained
from resolvers.base.errors import Conflict, InvalidInput, NotFound
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.models.archives import LARGEST_ARTEFACT, check_arrays, open_zip
from resolvers.models.models import build_promotion
from resolvers.store.models.registry import VERSION
from resolvers.store.models.versions import find_newest_metrics, insert_version, lock_model
from resolvers.store.postgres.identifiers import LARGEST_INTEGER
from resolvers.store.tables.models import ModelAction, ModelMetric, ModelVersion

ARTEFACT: Final = "model.npz"
METADATA: Final = "metadata.json"
LARGEST_METADATA: Final = 1024 * 1024  # bytes
EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the time of every file in a zip

Text = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]


class Measured(BaseModel):
    """One measure of the version."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: Annotated[str, Field(max_length=100)]
    value: float
    samples: Count
    dataset: Text
    measured_at: AwareDatetime


class Metadata(BaseModel):
    """The contents of `metadata.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: str
    version: Annotated[str, Field(pattern=f"^{VERSION.pattern}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    algorithm: Text
    features: list[Text]
    hyperparameters: dict[Text, bool | int | float | Text]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    training_samples: Count
    trained_at: AwareDatetime
    details: dict[Text, Any]
    metrics: list[Measured]

    @field_validator("details")
    @classmethod
    def _shallow(cls, details: dict[str, Any]) -> dict[str, Any]:
        """Refuses details that could not be written again."""
        try:
            orjson.dumps(details)
        except orjson.JSONEncodeError as error:
            raise ValueError("must not be nested so deeply") from error
        return details


@dataclass(frozen=True)
class Files:
    """A version's two files, and the name of the folder for them."""

    folder: str
    artefact: bytes
    metadata: bytes

    def to_zip(self) -> bytes:
        """Returns the folder as a zip; the same version always gives the same bytes."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in ((ARTEFACT, self.artefact), (METADATA, self.metadata)):
                archive.writestr(zipfile.ZipInfo(f"{self.folder}/{name}", EPOCH), content)
        return file.getvalue()

    def to_base64(self) -> str:
        """Returns the zip in base64."""
        return base64.b64encode(self.to_zip()).decode()


# ---------------------------------------------------------------- out


async def export(context: Context, version_id: int) -> Files:
    """Returns the version's files. Raises NotFound, Conflict if the artefact is damaged."""
    context.require(Role.ADMIN, "export models")
    query = select(ModelVersion).filter_by(id=version_id).options(undefer(ModelVersion.artefact))
    async with context.database.read() as session:
        row = await session.scalar(query)
        if row is None:
            raise NotFound("model version")
        metrics = (await find_newest_metrics(session, [version_id]))[version_id]
    if not hmac.compare_digest(hashlib.sha256(row.artefact).digest(), row.sha256):
        raise Conflict(f"{row.model} {row.version} is damaged: its artefact does not match its checksum.")
    described = _describe(row, metrics).model_dump_json(indent=2) + "\n"
    return Files(f"{row.model}_v{row.version}", row.artefact, described.encode())


def _describe(row: ModelVersion, metrics: list[ModelMetric]) -> Metadata:
    columns = ("model", "version", "algorithm", "features", "hyperparameters", "seed", "training_samples", "trained_at")
    measured = [Measured(**{name: getattr(one, name) for name in Measured.model_fields}) for one in metrics]
    known = {name: getattr(row, name) for name in columns}
    return Metadata(sha256=row.sha256.hex(), details=row.details, metrics=measured, **known)


async def write(context: Context, version_id: int, parent: Path) -> Path:
    """Writes the version's folder into `parent`. Raises NotFound, Conflict, InvalidInput if it cannot be written."""
    files = await export(context, version_id)
    folder = parent / files.folder
    try:
        await asyncio.to_thread(write_files, files, folder)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}.") from error
    return folder


def write_files(files: Files, folder: Path) -> None:
    """Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARTEFACT).write_bytes(files.artefact)
    (folder / METADATA).write_bytes(files.metadata)


# ---------------------------------------------------------------- in


async def import_folder(context: Context, folder: Path) -> ModelVersion:
    """Imports a folder, see `_import`. Raises InvalidInput also if the files cannot be read."""
    context.require(Role.ADMIN, "import models")
    try:
        artefact = await asyncio.to_thread(_read, folder / ARTEFACT, LARGEST_ARTEFACT)
        metadata = await asyncio.to_thread(_read, folder / METADATA, LARGEST_METADATA)
    except OSError as error:
        raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}.") from error
    return await _import(context, artefact, metadata)


def _read(path: Path, largest: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise InvalidInput(f"{path} is larger than {largest} bytes.")
    return content


async def import_zip(context: Context, content: IO[bytes]) -> ModelVersion:
    """Imports a zip of `Files.to_zip`, with or without its folder; see `_import`."""
    context.require(Role.ADMIN, "import models")
    try:
        artefact, metadata = await asyncio.to_thread(_unzip, content)
    except ValueError as error:
        raise InvalidInput(f"The file cannot be imported: {error}.", ["file"]) from error
    return await _import(context, artefact, metadata)


def _unzip(content: IO[bytes]) -> tuple[bytes, bytes]:
    """Raises ValueError."""
    content.seek(0)
    with open_zip(content, LARGEST_ARTEFACT + LARGEST_METADATA) as archive:
        found = {
            name: [path for path in archive.namelist() if Path(path).name == name] for name in (ARTEFACT, METADATA)
        }
        if any(len(paths) != 1 for paths in found.values()):
            raise ValueError(f"it must hold one {ARTEFACT} and one {METADATA}")
        return archive.read(found[ARTEFACT][0]), archive.read(found[METADATA][0])


async def _import(context: Context, artefact: bytes, metadata: bytes) -> ModelVersion:
    """Returns the new candidate, or the version itself if it was imported before.

    Raises InvalidInput if it is no model, Conflict if another version has its name.
    """
    caller = context.require(Role.ADMIN, "import models")
    described = _parse_metadata(metadata)
    if not hmac.compare_digest(hashlib.sha256(artefact).hexdigest(), described.sha256):
        raise InvalidInput(f"{ARTEFACT} does not match the sha256 in {METADATA}: one of them is damaged.", ["file"])
    try:
        await asyncio.to_thread(check_arrays, artefact)
    except ValueError as error:
        raise InvalidInput(f"{ARTEFACT} cannot be imported: {error}.", ["file"]) from error
    name, version = described.model, described.version
    await context.services.registry.check(name, version, artefact)
    async with context.database.write() as session:
        await lock_model(session, name)
        known = await session.scalar(select(ModelVersion).filter_by(model=name, version=version))
        if known is not None:
            return _check_same(known, described)
        row = await insert_version(
            session, name, version, _to_trained(artefact, described), trained_at=described.trained_at
        )
        session.add_all(ModelMetric(version_id=row.id, **dict(one)) for one in described.metrics)
        session.add(build_promotion(row, ModelAction.IMPORTED, caller))
    return row


def _check_same(known: ModelVersion, described: Metadata) -> ModelVersion:
    """Returns the known version. Raises Conflict if it is another one."""
    if not hmac.compare_digest(known.sha256.hex(), described.sha256):
        message = f"{known.model} {known.version} exists already with other contents, and versions never change."
        raise Conflict(f"{message} Give this one another version.")
    return known


def _parse_metadata(metadata: bytes) -> Metadata:
    """Raises InvalidInput."""
    try:
        described = Metadata.model_validate(orjson.loads(metadata))
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{METADATA} is not JSON: {error}.", ["file"]) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{METADATA} cannot be used: {where}: {first['msg']}.", ["file"]) from error
    if described.model not in MODELS:
        raise InvalidInput(f"There is no model {described.model!r} here; there are {', '.join(MODELS)}.", ["file"])
    return described


def _to_trained(artefact: bytes, described: Metadata) -> Trained:
    return Trained(
        artefact=artefact,
        algorithm=described.algorithm,
        features=tuple(described.features),
        hyperparameters=described.hyperparameters,
        seed=described.seed,
        samples=described.training_samples,
        details=described.details,
        measures=(),
    )
