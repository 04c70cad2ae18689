"""What clients can follow."""

from collections.abc import AsyncGenerator, AsyncIterator

import strawberry

from resolvers import anomalies
from resolvers.anomalies import Followed
from schema.enums import AnomalyChange, Role
from schema.fields import subscription
from schema.inputs import AnomalyFilter, filter_of
from schema.node import Info
from schema.types import Anomaly, AnomalyEvent

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


async def _shown(followed: AsyncIterator[Followed]) -> AsyncGenerator[AnomalyEvent, None]:
    async for cursor, change, row in followed:
        yield AnomalyEvent(cursor=cursor, change=change, anomaly=Anomaly.of(row))
