"""Subscriptions to new samples."""

from collections.abc import AsyncGenerator, AsyncIterator

import strawberry
from strawberry import ID

from ml.catalogue.metrics import TargetKind
from resolvers.store.tables import core as tables
from resolvers.store.telemetry.live_samples import NewSamples
from resolvers.telemetry import recording
from schema.enums import Role
from schema.relay import Info, Node
from schema.root_fields import subscription
from schema.telemetry.types import LinkMetricsEvent, MetricSeries


@strawberry.type
class TelemetrySubscriptions:
    @subscription(Role.VIEWER, description="New samples of these links as they are stored. At most 1000 links.")
    async def link_metrics_recorded(self, info: Info, links: list[ID]) -> AsyncGenerator[LinkMetricsEvent, None]:
        return _stream_samples(
            info,
            await recording.follow_samples(info.context, [Node.find_type("Link").parse_key(link) for link in links]),
        )


async def _stream_samples(info: Info, followed: AsyncIterator[NewSamples]) -> AsyncGenerator[LinkMetricsEvent, None]:
    async for stored in followed:
        link = Node.find_type("Link").from_row(await info.context.loaders.rows(tables.Link).load(stored.link_id))
        series = MetricSeries.from_series(TargetKind.LINK, stored.series)
        yield LinkMetricsEvent(link=link, direction=stored.direction, series=series)
