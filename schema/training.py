"""Trainings in the background, as clients ask for them and follow them."""

from datetime import datetime
from typing import Annotated

import strawberry

from resolvers.models.training import Period
from resolvers.store.tables import core as tables
from resolvers.store.tables import models as model_tables
from schema.accounts import User
from schema.batched_fields import related
from schema.enums import TrainingStatus
from schema.inputs import TimeWindow
from schema.models import ModelVersion
from schema.problems import Conflict, Forbidden, InvalidInput
from schema.relay import Node


@strawberry.input
class TrainModelInput:
    model: str
    window: TimeWindow | None = strawberry.field(
        description="Fleet history to learn from; omitted: the built-in simulator.", default=None
    )
    version: str | None = strawberry.field(
        description="What to call it, such as 2.0.0; omitted: the next minor version after the newest.", default=None
    )

    @property
    def period(self) -> Period | None:
        window = self.window
        if window is None:
            return None
        return Period(window.from_, window.to, 24.0 if window.hours is None else window.hours)


@strawberry.type(description="A training in the background. Of a model, one at a time.")
class TrainingRun(Node):
    model: str
    status: TrainingStatus
    progress: float = strawberry.field(description="From 0 to 1.")
    message: str = strawberry.field(description="What is being done; of a failed run, why and what to do.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    version = related(
        ModelVersion | None,
        model_tables.ModelVersion,
        by="version_id",
        description="What it has trained; null until it succeeds. `promoteModel` lets it serve.",
    )
    started_by = related(
        User | None,
        tables.User,
        by="started_by_id",
        description="Null where it was the server itself, or its command line.",
    )


TrainResult = Annotated[TrainingRun | InvalidInput | Forbidden | Conflict, strawberry.union("TrainResult")]
