"""The schema, put together."""

import strawberry
from graphql import GraphQLInputObjectType
from strawberry.schema.config import StrawberryConfig

from schema.mutations import Mutation
from schema.problems import HANDLERS
from schema.queries import NODES, Query
from schema.relay import read_from_rows
from schema.scalars import SCALARS
from schema.subscriptions import Subscription

for _node in NODES.values():
    read_from_rows(_node)

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
