"""Models, their versions and what those measure, and how sensitive detection is, as clients see them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

import orjson
import strawberry

from ml.catalogue.metrics import TargetKind
from ml.detection.detector import false_alarms_per_day
from resolvers.lists.pagination import Window
from resolvers.models import models
from resolvers.models.export import Files
from resolvers.store.models import sensitivities
from resolvers.store.tables import core as tables
from resolvers.store.tables import models as model_tables
from schema.accounts import User
from schema.batched_fields import needs, related
from schema.directives import Cost, paged, sized
from schema.enums import ModelStage
from schema.problems import Conflict, Forbidden, InvalidInput, NotFound
from schema.relay import Connection, Info, Node
from schema.types import AuditEntry, children_of

EXPORTED = Cost(weight=10)  # megabytes


@strawberry.type(description="What is trained, kept in versions, and serves; by name, such as anomaly_link.")
class Model(Node):
    name: str

    @strawberry.field(description="The version that serves; null until one is promoted.")
    async def champion(self, info: Info) -> "ModelVersion | None":
        return ModelVersion.maybe(await info.context.loaders.champion.load(self.name))

    @paged(20, description="Newest first.")
    async def versions(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection["ModelVersion"]:
        return await children_of(info, ModelVersion, models.versions, self.name, Window(first, after))


@strawberry.type
class Setting:
    name: str
    value: str


@strawberry.type(description="The newest measure of its name on its data set.")
class ModelMetric:
    name: str
    value: float
    samples: int = strawberry.field(description="How many it was measured on.")
    dataset: str
    measured_at: datetime

    @classmethod
    def of(cls, row: model_tables.ModelMetric) -> Self:
        return cls(
            name=row.name, value=row.value, samples=row.samples, dataset=row.dataset, measured_at=row.measured_at
        )


@strawberry.type(description="Alarms without a fault, measured on data that the training did not see.")
class FalsePositives:
    per_day: float = strawberry.field(description="Of one stream (a target, a link in one direction), on average.")
    budget_per_day: float = strawberry.field(description="How many the usual sensitivity, 0.5, allows.")
    samples: int = strawberry.field(description="How many they were measured on.")
    dataset: str
    measured_at: datetime

    @classmethod
    def of(cls, row: model_tables.ModelMetric) -> Self:
        """Of a `false_alarm_ratio`, which is kept as a share of the budget."""
        budget = false_alarms_per_day(sensitivities.USUAL)
        return cls(
            per_day=row.value * budget,
            budget_per_day=budget,
            samples=row.samples,
            dataset=row.dataset,
            measured_at=row.measured_at,
        )


@strawberry.type(description="What a training brought; it never changes.")
class ModelVersion(Node):
    version: str
    algorithm: str
    size_bytes: int
    trained_at: datetime
    training_samples: int

    @strawberry.field
    @needs("model")
    async def model(self) -> Model:
        return Model.of(models.Model(self.row.model))

    @strawberry.field
    @needs("id")
    async def stage(self, info: Info) -> ModelStage:
        return await info.context.loaders.stage.load(self.row.id)

    @strawberry.field(directives=[sized(20)])
    @needs("features")
    def features(self) -> list[str]:
        return self.row.features  # type: ignore[no-any-return]

    @strawberry.field(directives=[sized(20)])
    @needs("hyperparameters")
    def hyperparameters(self) -> list[Setting]:
        return _settings(self.row.hyperparameters)

    @strawberry.field(description="What it was trained and calibrated on, and the seed.", directives=[sized(10)])
    @needs("details", "seed")
    def details(self) -> list[Setting]:
        return _settings({**self.row.details, "seed": self.row.seed})

    @strawberry.field(description="Of its artefact, in hexadecimal.")
    @needs("sha256")
    def sha256(self) -> str:
        return self.row.sha256.hex()  # type: ignore[no-any-return]

    trained_by = related(
        User | None,
        tables.User,
        by="trained_by_id",
        description="Null where it was the server itself, its command line, or another installation.",
    )
    parent = related(
        "ModelVersion | None",
        model_tables.ModelVersion,
        by="parent_id",
        description="The champion when it was trained, which it was compared with.",
    )

    @strawberry.field(description="Measured on data that the training did not see.", directives=[sized(10)])
    @needs("id")
    async def metrics(self, info: Info) -> list[ModelMetric]:
        return [ModelMetric.of(row) for row in await info.context.loaders.model_metrics.load(self.row.id)]

    @strawberry.field(
        description="One entry for each data set; none for a model that does not look for anomalies.",
        directives=[sized(3)],
    )
    @needs("id")
    async def false_positives(self, info: Info) -> list[FalsePositives]:
        measured = await info.context.loaders.model_metrics.load(self.row.id)
        return [FalsePositives.of(row) for row in measured if row.name == "false_alarm_ratio"]

    @strawberry.field(
        description="Who imported it, promoted it or rolled back to it, oldest first.", directives=[sized(5)]
    )
    @needs("id")
    async def history(self, info: Info) -> list[AuditEntry]:
        return [
            AuditEntry(at=p.at, action=f"{p.action}: FORCED" if p.forced else p.action, note=p.note, by_id=p.by_id)
            for p in await info.context.loaders.promotions.load(self.row.id)
        ]


def _settings(values: Mapping[str, Any]) -> list[Setting]:
    """By name; what is no text as JSON."""
    return [
        Setting(name=name, value=value if isinstance(value, str) else orjson.dumps(value).decode())
        for name, value in sorted(values.items())
    ]


@strawberry.type(description="A version as a file: what `importModel` takes, here or in another installation.")
class ModelExport:
    file_name: str
    archive: str = strawberry.field(description="A zip of `model.npz` and `metadata.json` in their folder, in Base64.")

    @classmethod
    def of(cls, files: Files) -> Self:
        return cls(file_name=f"{files.folder}.zip", archive=files.in_base64())


@strawberry.type(
    description="0 asks for about one false alarm a month and target, 1 for about three a day:"
    " budget per day = 90^s / 30."
)
class Sensitivity:
    kind: TargetKind
    value: float
    set_at: datetime | None = strawberry.field(description="Null where it is the usual one, 0.5.")
    row: strawberry.Private[model_tables.Sensitivity]

    @classmethod
    def of(cls, row: model_tables.Sensitivity) -> Self:
        return cls(kind=row.kind, value=row.value, set_at=row.set_at, row=row)

    @strawberry.field
    def false_alarms_per_day(self) -> float:
        return false_alarms_per_day(self.value)

    set_by = related(
        User | None, tables.User, by="set_by_id", description="Null where it was nobody, or the server's command line."
    )


ModelVersionResult = Annotated[ModelVersion | NotFound | Forbidden | Conflict, strawberry.union("ModelVersionResult")]
ImportModelResult = Annotated[ModelVersion | InvalidInput | Forbidden | Conflict, strawberry.union("ImportModelResult")]
SensitivityResult = Annotated[Sensitivity | InvalidInput | Forbidden, strawberry.union("SensitivityResult")]
