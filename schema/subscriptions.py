"""What clients can follow."""

from collections.abc import AsyncGenerator, AsyncIterator

import strawberry
from strawberry import ID

from ml.metrics import TargetKind
from resolvers import anomalies, metrics
from resolvers.anomalies import Followed
from resolvers.store.live import Stored
from schema.enums import AnomalyChange, Role
from schema.fields import subscription
from schema.inputs import AnomalyFilter, filter_of
from schema.node import Info
from schema.series import MetricSeries
from schema.types import Anomaly, AnomalyEvent, Link, LinkMetricsEvent

OPENED = [AnomalyChange.OPENED]


@strawberry.type
class Subscription:
    @subscription(
        Role.VIEWER,
        description="Anomalies as they happen. `after` resumes behind a cursor that an earlier event carried:"
        " everything committed since then comes first, in order, none missing and none twice. Without it, from now on.",
    )
    async def anomaly_detected(
        self,
        info: Info,
        filter: AnomalyFilter | None = None,
        changes: list[AnomalyChange] | None = OPENED,
        after: str | None = None,
    ) -> AsyncGenerator[AnomalyEvent, None]:
        wanted = OPENED if changes is None else changes
        return _shown(anomalies.follow(info.context, filter_of(filter), wanted, after))

    @subscription(Role.VIEWER, description="New samples of these links as they are stored; at most 1000 links.")
    async def link_metrics_recorded(self, info: Info, links: list[ID]) -> AsyncGenerator[LinkMetricsEvent, None]:
        return _measured(info, await metrics.follow(info.context, [Link.key(link) for link in links]))


async def _measured(info: Info, followed: AsyncIterator[Stored]) -> AsyncGenerator[LinkMetricsEvent, None]:
    async for stored in followed:
        link = Link.of(await info.context.loaders.link.load(stored.link_id))
        series = MetricSeries.of(TargetKind.LINK, stored.series)
        yield LinkMetricsEvent(link=link, direction=stored.direction, series=series)


async def _shown(followed: AsyncIterator[Followed]) -> AsyncGenerator[AnomalyEvent, None]:
    async for cursor, change, row in followed:
        yield AnomalyEvent(cursor=cursor, change=change, anomaly=Anomaly.of(row))
