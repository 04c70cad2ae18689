"""Queries of models, trainings and sensitivities."""

import strawberry
from strawberry import ID

from ml.catalogue.metrics import TargetKind
from resolvers.detection import sensitivity
from resolvers.lists.pagination import Window
from resolvers.models import export, models, training
from schema.connections import Connection, page_to_connection
from schema.directives import Cost, Name, connection_size, list_size
from schema.enums import Role
from schema.models.sensitivity import Sensitivity
from schema.models.training import TrainingRun
from schema.models.types import Model, ModelExport, ModelVersion
from schema.relay import Info
from schema.root_fields import query

EXPORT_COST = Cost(weight=10)  # megabytes


@strawberry.type
class ModelQueries:
    @query(Role.VIEWER, list_size(6), description="All models, with or without a version.")
    async def models(self, info: Info) -> list[Model]:
        return [Model.from_row(model) for model in await models.list_models(info.context)]

    @query(Role.VIEWER, description="A model by its name. Null if there is none.")
    async def model(self, info: Info, name: Name) -> Model | None:
        return Model.from_optional_row(await models.find_model(info.context, name))

    @query(Role.ADMIN, EXPORT_COST, description="For admins. A model version as a file.")
    async def export_model(self, info: Info, version: ID) -> ModelExport:
        return ModelExport.from_files(await export.export(info.context, ModelVersion.parse_key(version)))

    @query(Role.VIEWER, description="How readily anomalies are reported for a kind of target.")
    async def sensitivity(self, info: Info, kind: TargetKind) -> Sensitivity:
        return Sensitivity.from_row(await sensitivity.get_sensitivity(info.context, kind))

    @query(Role.VIEWER, connection_size(20, "last"), description="Trainings, finished and unfinished. Newest first.")
    async def training_runs(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[TrainingRun]:
        page = await training.list_runs(info.context, Window(first, after, last, before))
        return page_to_connection(info, TrainingRun, training.run_listing(), page)
