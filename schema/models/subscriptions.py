"""Subscriptions to trainings."""

from collections.abc import AsyncGenerator, AsyncIterator
from uuid import UUID

import strawberry
from strawberry import ID

from resolvers.models import training
from resolvers.store.tables import models as model_tables
from schema.enums import Role
from schema.models.training import TrainingRun
from schema.relay import Info
from schema.root_fields import subscription


@strawberry.type
class ModelSubscriptions:
    @subscription(
        Role.VIEWER,
        description="A training run: its current state, then every change until it has finished. If the connection"
        " breaks, subscribe again.",
    )
    async def training_progress(self, info: Info, run: ID) -> AsyncGenerator[TrainingRun, None]:
        return _stream_runs(await training.follow(info.context, TrainingRun.parse_key(run, UUID)))


async def _stream_runs(followed: AsyncIterator[model_tables.TrainingRun]) -> AsyncGenerator[TrainingRun, None]:
    async for row in followed:
        yield TrainingRun.from_row(row)
