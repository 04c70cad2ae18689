"""`node` and `nodes`: any object by its id."""

from asyncio import gather

import strawberry
from strawberry import ID

from resolvers.lists.pagination import DEFAULT_PAGE
from resolvers.nodes import load
from schema.accounts.types import ApiKey, User
from schema.anomalies.types import Anomaly, Detection
from schema.directives import list_size
from schema.enums import Role
from schema.fleet.types import Link, Network, Satellite, Site
from schema.incidents.types import Incident
from schema.models.training import TrainingRun
from schema.models.types import Model, ModelVersion
from schema.recommendations.types import Recommendation
from schema.relay import Info, Node, parse_id
from schema.root_causes.types import CorrelationAnalysis
from schema.root_fields import query

NODES: dict[str, type[Node]] = {
    node.__name__: node
    for node in (
        User,
        ApiKey,
        Satellite,
        Site,
        Network,
        Link,
        Anomaly,
        Detection,
        CorrelationAnalysis,
        Incident,
        Recommendation,
        Model,
        ModelVersion,
        TrainingRun,
    )
}


async def _load_node(info: Info, id: ID) -> Node | None:
    try:
        type_name, key = parse_id(id)
    except ValueError:
        type_name = key = ""  # no type's name: access comes first
    row = await load(info.context, type_name, key)
    return None if row is None else NODES[type_name].from_row(row)


@strawberry.type
class NodeQueries:
    @query(Role.VIEWER, description="An object by its id. Null if there is none.")
    async def node(self, info: Info, id: ID) -> Node | None:
        return await _load_node(info, id)

    @query(
        Role.VIEWER,
        list_size(DEFAULT_PAGE, "ids"),
        description="Objects by their ids, in the same order. Null for each id that has no object.",
    )
    async def nodes(self, info: Info, ids: list[ID]) -> list[Node | None]:
        return await gather(*(_load_node(info, id) for id in ids))
