"""The schema, put together."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from schema.mutations import Mutation
from schema.problems import HANDLERS
from schema.queries import NODES, Query
from schema.scalars import SCALARS
from schema.subscriptions import Subscription

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=list(NODES.values()),
    exception_handlers=HANDLERS,
    config=StrawberryConfig(scalar_map=SCALARS),
)
