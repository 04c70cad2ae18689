"""Models and their versions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import orjson
import strawberry

from ml.detection.detector import false_alarms_per_day
from resolvers.lists.pagination import Window
from resolvers.models import models
from resolvers.models.export import Files
from resolvers.store.models import sensitivities
from resolvers.store.tables import core as tables
from resolvers.store.tables import models as model_tables
from schema.accounts.history import AuditEntry
from schema.accounts.types import User
from schema.batched_fields import needs, relation
from schema.connections import Connection, load_children
from schema.directives import connection_field, list_size
from schema.enums import ModelStage
from schema.relay import Info, Node


@strawberry.type(description="A trained model. It has versions, of which one is in use.")
class Model(Node):
    name: str = strawberry.field(description="Such as `anomaly_link`.")

    @strawberry.field(description="The version in use. Null until one is promoted.")
    async def champion(self, info: Info) -> "ModelVersion | None":
        return ModelVersion.from_optional_row(await info.context.loaders.champion.load(self.name))

    @connection_field(20, description="Newest first.")
    async def versions(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection["ModelVersion"]:
        return await load_children(info, ModelVersion, models.versions, self.name, Window(first, after))


@strawberry.type(description="A named value.")
class Setting:
    name: str
    value: str = strawberry.field(description="Text, or JSON if it is anything else.")


@strawberry.type(description="How well a version does on one data set: the newest result of one measure.")
class ModelMetric:
    name: str = strawberry.field(description="What is measured, such as `false_alarm_ratio`.")
    value: float
    samples: int = strawberry.field(description="How many samples it was measured on.")
    dataset: str = strawberry.field(description="Which data it was measured on.")
    measured_at: datetime

    @classmethod
    def from_row(cls, row: model_tables.ModelMetric) -> Self:
        return cls(
            name=row.name, value=row.value, samples=row.samples, dataset=row.dataset, measured_at=row.measured_at
        )


@strawberry.type(description="How often a detector alarms without a fault, on data that its training did not see.")
class FalsePositives:
    per_day: float = strawberry.field(
        description="The average number per day for one network, one site, or one direction of a link."
    )
    budget_per_day: float = strawberry.field(description="How many per day the default sensitivity, 0.5, allows.")
    samples: int = strawberry.field(description="How many samples they were measured on.")
    dataset: str = strawberry.field(description="Which data they were measured on.")
    measured_at: datetime

    @classmethod
    def from_row(cls, row: model_tables.ModelMetric) -> Self:
        """Takes the measure `false_alarm_ratio`, which is a share of the budget."""
        budget = false_alarms_per_day(sensitivities.USUAL)
        return cls(
            per_day=row.value * budget,
            budget_per_day=budget,
            samples=row.samples,
            dataset=row.dataset,
            measured_at=row.measured_at,
        )


@strawberry.type(description="A trained version of a model. It never changes.")
class ModelVersion(Node):
    version: str = strawberry.field(description="Such as 2.0.0.")
    algorithm: str
    size_bytes: int = strawberry.field(description="The size of the artefact.")
    trained_at: datetime
    training_samples: int = strawberry.field(description="How many samples it was trained on.")

    @strawberry.field
    @needs("model")
    async def model(self) -> Model:
        return Model.from_row(models.Model(self.row.model))

    @strawberry.field
    @needs("id")
    async def stage(self, info: Info) -> ModelStage:
        return await info.context.loaders.stage.load(self.row.id)

    @strawberry.field(description="The names of the inputs of the model.", directives=[list_size(20)])
    @needs("features")
    def features(self) -> list[str]:
        return self.row.features  # type: ignore[no-any-return]

    @strawberry.field(description="The settings of the algorithm, by name.", directives=[list_size(20)])
    @needs("hyperparameters")
    def hyperparameters(self) -> list[Setting]:
        return _to_settings(self.row.hyperparameters)

    @strawberry.field(
        description="The data it was trained and calibrated on, and the random seed, by name.",
        directives=[list_size(10)],
    )
    @needs("details", "seed")
    def details(self) -> list[Setting]:
        return _to_settings({**self.row.details, "seed": self.row.seed})

    @strawberry.field(description="The SHA-256 checksum of the artefact, in hexadecimal.")
    @needs("sha256")
    def sha256(self) -> str:
        return self.row.sha256.hex()  # type: ignore[no-any-return]

    trained_by = relation(
        User | None,
        tables.User,
        by="trained_by_id",
        description="The admin who trained it. Null if the server, its command line or another installation did.",
    )
    parent = relation(
        "ModelVersion | None",
        model_tables.ModelVersion,
        by="parent_id",
        description="The champion that it was compared with when it was trained. Null if there was none.",
    )

    @strawberry.field(description="How well it does on data that its training did not see.", directives=[list_size(10)])
    @needs("id")
    async def metrics(self, info: Info) -> list[ModelMetric]:
        return [ModelMetric.from_row(row) for row in await info.context.loaders.model_metrics.load(self.row.id)]

    @strawberry.field(
        description="False alarms, one entry per data set. Empty for a model that does not detect anomalies.",
        directives=[list_size(3)],
    )
    @needs("id")
    async def false_positives(self, info: Info) -> list[FalsePositives]:
        measured = await info.context.loaders.model_metrics.load(self.row.id)
        return [FalsePositives.from_row(row) for row in measured if row.name == "false_alarm_ratio"]

    @strawberry.field(
        description="Who imported it, promoted it or rolled back to it. Oldest first.", directives=[list_size(5)]
    )
    @needs("id")
    async def history(self, info: Info) -> list[AuditEntry]:
        return [
            AuditEntry(at=p.at, action=f"{p.action}: FORCED" if p.forced else p.action, note=p.note, by_id=p.by_id)
            for p in await info.context.loaders.promotions.load(self.row.id)
        ]


def _to_settings(values: Mapping[str, Any]) -> list[Setting]:
    """Returns the values sorted by name; what is not text becomes JSON."""
    return [
        Setting(name=name, value=value if isinstance(value, str) else orjson.dumps(value).decode())
        for name, value in sorted(values.items())
    ]


@strawberry.type(description="A model version as a file, for `importModel` in this or another installation.")
class ModelExport:
    file_name: str = strawberry.field(description="A name for the file, ending in `.zip`.")
    archive: str = strawberry.field(
        description="A zip file in Base64. It holds one folder with `model.npz` and `metadata.json`."
    )

    @classmethod
    def from_files(cls, files: Files) -> Self:
        return cls(file_name=f"{files.folder}.zip", archive=files.to_base64())
