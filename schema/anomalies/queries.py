"""Queries of anomalies and detections."""

import strawberry

from ml.catalogue.metrics import TargetKind
from resolvers.detection import anomalies
from resolvers.detection import on_request as detection
from resolvers.lists.pagination import DEFAULT_PAGE, Window
from schema.anomalies.inputs import AnomalyFilter, to_filter
from schema.anomalies.types import Anomaly, Detection
from schema.connections import Connection, page_to_connection
from schema.directives import connection_size
from schema.enums import AnomalyOrder, Role
from schema.relay import Info
from schema.root_fields import query


@strawberry.type
class AnomalyQueries:
    @query(Role.VIEWER, connection_size(DEFAULT_PAGE, "last"), description="Results of `detect…Anomaly`. Newest first.")
    async def detections(
        self,
        info: Info,
        kind: TargetKind | None = None,
        is_anomaly: bool | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Detection]:
        page = await detection.list_detections(info.context, kind, is_anomaly, Window(first, after, last, before))
        return page_to_connection(info, Detection, detection.build_listing(kind, is_anomaly), page)

    @query(
        Role.VIEWER, connection_size(DEFAULT_PAGE, "last"), description="Anomalies of all networks, sites and links."
    )
    async def anomalies(
        self,
        info: Info,
        filter: AnomalyFilter | None = None,
        order_by: AnomalyOrder | None = AnomalyOrder.NEWEST,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Anomaly]:
        where, order = to_filter(filter), order_by or AnomalyOrder.NEWEST
        page = await anomalies.list_anomalies(info.context, where, order, Window(first, after, last, before))
        return page_to_connection(info, Anomaly, anomalies.build_listing(where, order), page)
