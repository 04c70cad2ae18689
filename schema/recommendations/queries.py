"""Queries of recommendations."""

import strawberry

from resolvers.lists.pagination import Window
from resolvers.recommendations import recommendations
from schema.connections import Connection, page_to_connection
from schema.directives import connection_size
from schema.enums import Role
from schema.recommendations.inputs import RecommendationFilter, to_filter
from schema.recommendations.types import Recommendation
from schema.relay import Info
from schema.root_fields import query


@strawberry.type
class RecommendationQueries:
    @query(Role.VIEWER, connection_size(20, "last"), description="Recommendations that were made. Newest first.")
    async def recommendations(
        self,
        info: Info,
        filter: RecommendationFilter | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Recommendation]:
        where = to_filter(filter)
        page = await recommendations.list_recommendations(info.context, where, Window(first, after, last, before))
        return page_to_connection(info, Recommendation, recommendations.build_listing(where), page)
