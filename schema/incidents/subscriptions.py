"""Subscriptions to incidents."""

from collections.abc import AsyncGenerator
from uuid import UUID

import strawberry

from resolvers.incidents import incidents
from resolvers.store.events.followers import map_events
from resolvers.store.events.log import Event
from schema.enums import IncidentChange, Role
from schema.incidents.inputs import IncidentFilter, to_filter
from schema.incidents.types import IncidentEvent
from schema.relay import Info
from schema.root_fields import subscription


@strawberry.type
class IncidentSubscriptions:
    @subscription(
        Role.VIEWER,
        description="Changes of incidents as they happen; all of them unless `changes` says which. The filter is about"
        " the incident as it was then. `after` works as in `anomalyDetected`.",
    )
    async def incident_changed(
        self,
        info: Info,
        filter: IncidentFilter | None = None,
        changes: list[IncidentChange] | None = None,
        after: str | None = None,
    ) -> AsyncGenerator[IncidentEvent, None]:
        wanted = [*IncidentChange] if changes is None else changes
        return map_events(incidents.follow_changes(info.context, to_filter(filter), wanted, after), _to_event)  # type: ignore[return-value]


def _to_event(event: Event) -> IncidentEvent:
    return IncidentEvent(cursor=event.cursor, change=IncidentChange(event.change), key=UUID(event.subject))
