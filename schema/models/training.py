"""Trainings in the background."""

from datetime import datetime

import strawberry

from resolvers.models.training import Period
from resolvers.store.tables import core as tables
from resolvers.store.tables import models as model_tables
from schema.accounts.types import User
from schema.batched_fields import relation
from schema.enums import TrainingStatus
from schema.models.types import ModelVersion
from schema.relay import Node
from schema.telemetry.inputs import TimeWindow


@strawberry.input(description="Which model to train, and on what.")
class TrainModelInput:
    model: str = strawberry.field(description="The name of the model, as in `models`.")
    window: TimeWindow | None = strawberry.field(
        description="Train on what your fleet recorded in this window. If null, train on simulated data; `root_cause`"
        " always does.",
        default=None,
    )
    version: str | None = strawberry.field(
        description="The name of the new version, such as 2.0.0. If null, the next minor version after the newest.",
        default=None,
    )

    @property
    def period(self) -> Period | None:
        window = self.window
        if window is None:
            return None
        return Period(window.from_, window.to, 24.0 if window.hours is None else window.hours)


@strawberry.type(description="A training that runs in the background. At most one per model at a time.")
class TrainingRun(Node):
    model: str = strawberry.field(description="The name of the model.")
    status: TrainingStatus
    progress: float = strawberry.field(description="The part that is done, 0 to 1.")
    message: str = strawberry.field(description="What the training is doing. If it failed: why, and what to do.")
    created_at: datetime
    started_at: datetime | None = strawberry.field(description="Null while the run is queued.")
    finished_at: datetime | None = strawberry.field(description="Null until the run has succeeded or failed.")

    version = relation(
        ModelVersion | None,
        model_tables.ModelVersion,
        by="version_id",
        description="The version it trained. Null until it succeeds. `promoteModel` puts it into use.",
    )
    started_by = relation(
        User | None,
        tables.User,
        by="started_by_id",
        description="The admin who started it. Null if the server or its command line did.",
    )
