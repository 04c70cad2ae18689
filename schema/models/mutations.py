"""Mutations of models, trainings and sensitivities."""

from typing import Annotated, Any

import strawberry
from strawberry import ID

from ml.catalogue.metrics import TargetKind
from resolvers.detection import sensitivity
from resolvers.models import export, models, training
from schema.directives import Name, Note
from schema.enums import Role
from schema.models.sensitivity import Sensitivity
from schema.models.training import TrainingRun, TrainModelInput
from schema.models.types import ModelVersion
from schema.problems import Conflict, Forbidden, InvalidInput, NotFound
from schema.relay import Info
from schema.root_fields import mutation
from schema.scalars import Upload

ModelVersionResult = Annotated[ModelVersion | NotFound | Forbidden | Conflict, strawberry.union("ModelVersionResult")]
ImportModelResult = Annotated[ModelVersion | InvalidInput | Forbidden | Conflict, strawberry.union("ImportModelResult")]
SensitivityResult = Annotated[Sensitivity | InvalidInput | Forbidden, strawberry.union("SensitivityResult")]
TrainResult = Annotated[TrainingRun | InvalidInput | Forbidden | Conflict, strawberry.union("TrainResult")]


@strawberry.type
class ModelMutations:
    @mutation(
        Role.ADMIN,
        rate_limited=True,
        description="For admins. Trains a new version of a model in the background; follow it with `trainingProgress`."
        " The first version of a model is put into use at once, a later one with `promoteModel`.",
    )
    async def train_model(self, info: Info, input: TrainModelInput) -> TrainResult:
        return TrainingRun.from_row(await training.start(info.context, input.model, input.period, input.version))

    @mutation(
        Role.ADMIN,
        description="For admins. Puts a model version into use. Gives Conflict if it does worse than the version in"
        " use; `force` promotes it all the same.",
    )
    async def promote_model(
        self, info: Info, version: ID, force: bool | None = False, note: Note = None
    ) -> ModelVersionResult:
        key = ModelVersion.parse_key(version)
        return ModelVersion.from_row(await models.promote(info.context, key, force=bool(force), note=note))

    @mutation(
        Role.ADMIN, description="For admins. Puts the version back into use that was in use before the current one."
    )
    async def rollback_model(self, info: Info, model: Name, note: Note = None) -> ModelVersionResult:
        return ModelVersion.from_row(await models.rollback(info.context, model, note))

    @mutation(
        Role.ADMIN,
        description="For admins. Adds a version from the zip file of `exportModel`, as a candidate. No error if it is"
        " here already.",
    )
    async def import_model(self, info: Info, file: Upload) -> ImportModelResult:
        upload: Any = file
        return ModelVersion.from_row(await export.import_zip(info.context, upload.file))

    @mutation(
        Role.ADMIN,
        description="For admins. Sets how readily anomalies are reported for a kind of target. It applies to samples"
        " recorded from now on.",
    )
    async def set_sensitivity(self, info: Info, kind: TargetKind, value: float) -> SensitivityResult:
        return Sensitivity.from_row(await sensitivity.set_sensitivity(info.context, kind, value))
