"""Queries of analyses."""

import strawberry

from resolvers.lists.pagination import Window
from resolvers.root_causes import analyses
from schema.connections import Connection, page_to_connection
from schema.directives import connection_size
from schema.enums import AnalysisScope, Role
from schema.relay import Info
from schema.root_causes.types import CorrelationAnalysis
from schema.root_fields import query


@strawberry.type
class RootCauseQueries:
    @query(Role.VIEWER, connection_size(20, "last"), description="Analyses of root causes. Newest first.")
    async def correlation_analyses(
        self,
        info: Info,
        scope: AnalysisScope | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[CorrelationAnalysis]:
        page = await analyses.list_analyses(info.context, scope, Window(first, after, last, before))
        return page_to_connection(info, CorrelationAnalysis, analyses.listing(scope), page)
