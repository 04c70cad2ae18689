"""The schema, composed of what the rooms declare."""

import strawberry
from graphql import GraphQLInputObjectType
from strawberry.schema.config import StrawberryConfig

from schema.accounts.mutations import AccountMutations
from schema.accounts.queries import AccountQueries
from schema.anomalies.mutations import AnomalyMutations
from schema.anomalies.queries import AnomalyQueries
from schema.anomalies.subscriptions import AnomalySubscriptions
from schema.demo.queries import DemoQueries
from schema.fleet.mutations import FleetMutations
from schema.fleet.queries import FleetQueries
from schema.incidents.mutations import IncidentMutations
from schema.incidents.queries import IncidentQueries
from schema.incidents.subscriptions import IncidentSubscriptions
from schema.models.mutations import ModelMutations
from schema.models.queries import ModelQueries
from schema.models.subscriptions import ModelSubscriptions
from schema.nodes import NODES, NodeQueries
from schema.problems import HANDLERS
from schema.recommendations.mutations import RecommendationMutations
from schema.recommendations.queries import RecommendationQueries
from schema.recommendations.subscriptions import RecommendationSubscriptions
from schema.relay import read_from_rows
from schema.root_causes.mutations import RootCauseMutations
from schema.root_causes.queries import RootCauseQueries
from schema.scalars import SCALARS
from schema.telemetry.mutations import TelemetryMutations
from schema.telemetry.queries import TelemetryQueries
from schema.telemetry.subscriptions import TelemetrySubscriptions


@strawberry.type
class Query(
    AccountQueries,
    NodeQueries,
    FleetQueries,
    TelemetryQueries,
    IncidentQueries,
    AnomalyQueries,
    RootCauseQueries,
    RecommendationQueries,
    ModelQueries,
    DemoQueries,
):
    """What clients can ask."""


@strawberry.type
class Mutation(
    IncidentMutations,
    RootCauseMutations,
    RecommendationMutations,
    AccountMutations,
    FleetMutations,
    TelemetryMutations,
    AnomalyMutations,
    ModelMutations,
):
    """What clients can change."""


@strawberry.type
class Subscription(
    IncidentSubscriptions,
    AnomalySubscriptions,
    RecommendationSubscriptions,
    TelemetrySubscriptions,
    ModelSubscriptions,
):
    """What clients can follow."""


for _node_type in NODES.values():
    read_from_rows(_node_type)

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=list(NODES.values()),
    exception_handlers=HANDLERS,
    config=StrawberryConfig(scalar_map=SCALARS),
)

for _type in schema._schema.type_map.values():  # noqa: SLF001
    # graphql-core knows @oneOf itself, and so do its validation, its coercion and the price list; Strawberry has a rule
    if isinstance(_type, GraphQLInputObjectType):  # of its own, which runs only with its own execution.
        _type.is_one_of = _type.extensions["strawberry-definition"].is_one_of
