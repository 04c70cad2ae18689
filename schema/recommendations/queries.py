"""Queries of recommendations."""

import strawberry

from resolvers.lists.pagination import Window
from resolvers.recommendations import recommendations
from schema.connections import Connection, connect
from schema.directives import page
from schema.enums import Role
from schema.recommendations.inputs import RecommendationFilter, filter_of
from schema.recommendations.types import Recommendation
from schema.relay import Info
from schema.root_fields import query


@strawberry.type
class RecommendationQueries:
    @query(Role.VIEWER, page(20, "last"), description="Recommendations that were made. Newest first.")
    async def recommendations(
        self,
        info: Info,
        filter: RecommendationFilter | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Recommendation]:
        where = filter_of(filter)
        found = await recommendations.listed(info.context, where, Window(first, after, last, before))
        return connect(info, Recommendation, recommendations.listing(where), found)
