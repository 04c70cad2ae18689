"""Queries of what was said of files."""

import strawberry

from resolvers.telemetry import mappings
from schema.directives import list_size
from schema.enums import Role
from schema.relay import Info
from schema.root_fields import query
from schema.telemetry.imports import ImportMapping


@strawberry.type
class TelemetryQueries:
    @query(Role.VIEWER, list_size(mappings.NAMED), description="Saved mappings of files' columns, by kind and name.")
    async def import_mappings(self, info: Info) -> list[ImportMapping]:
        return [ImportMapping.from_row(row) for row in await mappings.list_mappings(info.context)]
