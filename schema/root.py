"""The schema, put together."""

from collections.abc import Iterator

import strawberry
from graphql import GraphQLError, OperationDefinitionNode
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.types.execution import ExecutionContext

from schema.mutations import Mutation
from schema.problems import HANDLERS
from schema.queries import NODES, Query
from schema.scalars import SCALARS
from schema.subscriptions import Subscription


class Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Strawberry would log each with its traceback; what is worth it the server logs when it presents them."""


class OneOperation(SchemaExtension):
    """A request that names no operation must have one: Strawberry would run the first of several."""

    def on_parse(self) -> Iterator[None]:
        yield
        document, name = self.execution_context.graphql_document, self.execution_context._provided_operation_name  # noqa: SLF001
        defined = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)] if document else []
        if name is None and len(defined) > 1:
            raise CannotGetOperationTypeError(None)


schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=list(NODES.values()),
    extensions=[OneOperation],
    exception_handlers=HANDLERS,
    config=StrawberryConfig(scalar_map=SCALARS),
)
