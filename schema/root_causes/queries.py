"""Queries of analyses."""

import strawberry

from resolvers.lists.pagination import Window
from resolvers.root_causes import analyses as correlation
from schema.connections import Connection, connect
from schema.directives import page
from schema.enums import AnalysisScope, Role
from schema.relay import Info
from schema.root_causes.types import CorrelationAnalysis
from schema.root_fields import query


@strawberry.type
class RootCauseQueries:
    @query(Role.VIEWER, page(20, "last"), description="Analyses of root causes. Newest first.")
    async def correlation_analyses(
        self,
        info: Info,
        scope: AnalysisScope | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[CorrelationAnalysis]:
        found = await correlation.listed(info.context, scope, Window(first, after, last, before))
        return connect(info, CorrelationAnalysis, correlation.listing(scope), found)
