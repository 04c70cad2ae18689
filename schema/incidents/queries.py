"""Queries of incidents."""

import strawberry

from resolvers.incidents import incidents
from resolvers.lists.pagination import DEFAULT_PAGE, Window
from schema.connections import Connection, page_to_connection
from schema.directives import QUERY_COST, connection_size
from schema.enums import IncidentOrder, Role
from schema.incidents.inputs import IncidentFilter, to_filter
from schema.incidents.types import Incident, IncidentCounts
from schema.relay import Info
from schema.root_fields import query


@strawberry.type
class IncidentQueries:
    @query(
        Role.VIEWER,
        connection_size(DEFAULT_PAGE, "last"),
        description="What an operator works on: one per fault. Those that related anomalies are still being gathered"
        " for are not among them.",
    )
    async def incidents(
        self,
        info: Info,
        filter: IncidentFilter | None = None,
        order_by: IncidentOrder | None = IncidentOrder.WORST,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Incident]:
        where, order = to_filter(filter), order_by or IncidentOrder.WORST
        page = await incidents.list_incidents(info.context, where, order, Window(first, after, last, before))
        return page_to_connection(info, Incident, incidents.build_listing(info.context, where, order), page)

    @query(Role.VIEWER, QUERY_COST, description="How many incidents `incidents` lists with this filter.")
    async def incident_counts(self, info: Info, filter: IncidentFilter | None = None) -> IncidentCounts:
        return IncidentCounts.from_counts(await incidents.count_incidents(info.context, to_filter(filter)))
