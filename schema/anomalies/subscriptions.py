"""Subscriptions to anomalies."""

from collections.abc import AsyncGenerator
from uuid import UUID

import strawberry

from resolvers.detection import anomalies
from resolvers.store.events.followers import map_events
from resolvers.store.events.log import Event
from schema.anomalies.inputs import AnomalyFilter, to_filter
from schema.anomalies.types import AnomalyEvent
from schema.enums import AnomalyChange, Role
from schema.relay import Info
from schema.root_fields import subscription

OPENED = [AnomalyChange.OPENED]


@strawberry.type
class AnomalySubscriptions:
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
        return map_events(anomalies.follow_changes(info.context, to_filter(filter), wanted, after), _to_event)  # type: ignore[return-value]


def _to_event(event: Event) -> AnomalyEvent:
    return AnomalyEvent(cursor=event.cursor, change=AnomalyChange(event.change), key=UUID(event.subject))
