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
        description="Anomalies as they happen. `after` resumes behind a cursor that an earlier event carried:"
        " everything committed since then comes first, in order, none missing and none twice. 0 is before all that is"
        " kept. Without it, from now on.",
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
        description="Recommendations as they are made, by somebody or by the server. `after` as in `anomalyDetected`.",
    )
    async def recommendation_created(
        self, info: Info, after: str | None = None
    ) -> AsyncGenerator[RecommendationEvent, None]:
        return told(recommendations.follow(info.context, after), _recommendation)  # type: ignore[return-value]

    @subscription(Role.VIEWER, description="New samples of these links as they are stored; at most 1000 links.")
    async def link_metrics_recorded(self, info: Info, links: list[ID]) -> AsyncGenerator[LinkMetricsEvent, None]:
        return _measured(info, await metrics.follow_samples(info.context, [Link.key(link) for link in links]))

    @subscription(
        Role.VIEWER,
        description="The run as it is, then at each change until it is finished. Whoever was away just subscribes"
        " again.",
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
