"""The schema, put together."""

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionContext

from schema.mutations import Mutation
from schema.problems import HANDLERS
from schema.queries import NODES, Query
from schema.scalars import SCALARS
from schema.subscriptions import Subscription


class Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Strawberry would log each with its traceback; what is worth it the server logs when it presents them."""


schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=list(NODES.values()),
    exception_handlers=HANDLERS,
    config=StrawberryConfig(scalar_map=SCALARS),
)
