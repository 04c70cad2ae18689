"""What clients can follow."""

from collections.abc import AsyncGenerator, AsyncIterator
from uuid import UUID

import strawberry
from strawberry import ID

from ml.catalogue.metrics import TargetKind
from resolvers.detection import anomalies
from resolvers.models import training
from resolvers.recommendations import recommendations
from resolvers.store.events.log import Event
from resolvers.store.events.subscribers import told
from resolvers.store.tables import core as tables
from resolvers.store.tables import models as model_tables
from resolvers.store.telemetry.live_samples import NewSamples
from resolvers.telemetry import recording as metrics
from schema.enums import AnomalyChange, Role
from schema.inputs import AnomalyFilter, filter_of
from schema.recommendations import RecommendationEvent
from schema.relay import Info
from schema.root_fields import subscription
from schema.telemetry import MetricSeries
from schema.training import TrainingRun
from schema.types import AnomalyEvent, Link, LinkMetricsEvent

OPENED = [AnomalyChange.OPENED]


@strawberry.type
class Subscription:
    @subscription(
        Role.VIEWER,
        description="Changes of anomalies as they happen; by default only OPENED. `after` is the cursor of an earlier"
        " event: every event after it comes first, in order, each exactly once. `0` starts with the oldest event that"
        " is kept. Null starts now.",
    )
    async def anomaly_detected(
        self,
        info: Info,
        filter: AnomalyFilter | None = None,
        changes: list[AnomalyChange] | None = OPENED,
        after: str | None = None,
    ) -> AsyncGenerator[AnomalyEvent, None]:
        wanted = OPENED if changes is None else changes
        return told(anomalies.follow_changes(info.context, filter_of(filter), wanted, after), _anomaly)  # type: ignore[return-value]

    @subscription(
        Role.VIEWER,
        description="Recommendations as they are made. `after` works as in `anomalyDetected`.",
    )
    async def recommendation_created(
        self, info: Info, after: str | None = None
    ) -> AsyncGenerator[RecommendationEvent, None]:
        return told(recommendations.follow(info.context, after), _recommendation)  # type: ignore[return-value]

    @subscription(Role.VIEWER, description="New samples of these links as they are stored. At most 1000 links.")
    async def link_metrics_recorded(self, info: Info, links: list[ID]) -> AsyncGenerator[LinkMetricsEvent, None]:
        return _measured(info, await metrics.follow_samples(info.context, [Link.key(link) for link in links]))

    @subscription(
        Role.VIEWER,
        description="A training run: its current state, then every change until it has finished. If the connection"
        " breaks, subscribe again.",
    )
    async def training_progress(self, info: Info, run: ID) -> AsyncGenerator[TrainingRun, None]:
        return _trained(await training.follow(info.context, TrainingRun.key(run, UUID)))


async def _measured(info: Info, followed: AsyncIterator[NewSamples]) -> AsyncGenerator[LinkMetricsEvent, None]:
    async for stored in followed:
        link = Link.of(await info.context.loaders.of(tables.Link).load(stored.link_id))
        series = MetricSeries.of(TargetKind.LINK, stored.series)
        yield LinkMetricsEvent(link=link, direction=stored.direction, series=series)


def _anomaly(event: Event) -> AnomalyEvent:
    return AnomalyEvent(cursor=event.cursor, change=AnomalyChange(event.change), key=UUID(event.subject))


def _recommendation(event: Event) -> RecommendationEvent:
    return RecommendationEvent(cursor=event.cursor, key=UUID(event.subject))


async def _trained(followed: AsyncIterator[model_tables.TrainingRun]) -> AsyncGenerator[TrainingRun, None]:
    async for row in followed:
        yield TrainingRun.of(row)
