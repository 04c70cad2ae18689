"""Subscriptions to recommendations."""

from collections.abc import AsyncGenerator
from uuid import UUID

import strawberry

from resolvers.recommendations import recommendations
from resolvers.store.events.followers import map_events
from resolvers.store.events.log import Event
from schema.enums import Role
from schema.recommendations.types import RecommendationEvent
from schema.relay import Info
from schema.root_fields import subscription


@strawberry.type
class RecommendationSubscriptions:
    @subscription(
        Role.VIEWER,
        description="Recommendations as they are made. `after` works as in `anomalyDetected`.",
    )
    async def recommendation_created(
        self, info: Info, after: str | None = None
    ) -> AsyncGenerator[RecommendationEvent, None]:
        return map_events(recommendations.follow_created(info.context, after), _to_event)  # type: ignore[return-value]


def _to_event(event: Event) -> RecommendationEvent:
    return RecommendationEvent(cursor=event.cursor, key=UUID(event.subject))
