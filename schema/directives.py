"""Directives: who may use a field, what it costs, how long a list may get, and how large a value."""

from typing import Annotated, Any, TypeVar

import strawberry
from strawberry.schema_directive import Location

from ml.catalogue.metrics import Metric
from resolvers.base.roles import Role
from resolvers.detection.anomalies import LONGEST_NOTE
from resolvers.lists.pagination import DEFAULT_PAGE
from resolvers.telemetry.recording import LARGEST_BATCH, LARGEST_SERIES

Item = TypeVar("Item")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="access",
    description="The lowest role that may use the field. Null: no sign-in is needed.",
)
class Access:
    role: Role | None = None


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="cost",
    description="How much a field adds to the cost of an operation. Without this directive an object costs 1, a scalar"
    " 0 (1 under an alias). The total is rounded up. See https://ibm.github.io/graphql-specs/cost-spec.html.",
)
class Cost:
    weight: float


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    repeatable=True,
    description="How many items the cost calculation expects in a list, or in the lists named in `sizedFields`: the"
    " largest value of the `slicingArguments` (the length of an argument that is a list), or `assumedSize` if none is"
    " given. Sizes for the same field multiply. See https://ibm.github.io/graphql-specs/cost-spec.html.",
)
class ListSize:
    assumed_size: int
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET


@strawberry.schema_directive(
    locations=[Location.ARGUMENT_DEFINITION, Location.INPUT_FIELD_DEFINITION],
    name="constraint",
    description="Limits of an input value: `maxLength`, characters of a string or of each string in a list;"
    " `maxItems`, items of a list; `max`, the largest number. Defaults: 2000 characters for a String (the server's"
    " setting MAX_STRING), 200 for an ID, 1000 items for a list.",
)
class Constraint:
    max_length: int | None = strawberry.UNSET
    max_items: int | None = strawberry.UNSET
    max: int | None = strawberry.UNSET


def list_size(size: int, *slicing: str) -> ListSize:
    """Returns the size of a list: `size`, or the largest of the `slicing` arguments."""
    return ListSize(assumed_size=size, slicing_arguments=[*slicing] or strawberry.UNSET)


def connection_size(default: int = DEFAULT_PAGE, *slicing: str) -> ListSize:
    """Returns the size of a connection: `default` nodes, or what `first` or another slicing argument says."""
    return ListSize(assumed_size=default, slicing_arguments=["first", *slicing], sized_fields=["edges", "nodes"])


def connection_field(default: int, **options: Any) -> Any:
    """Returns a connection field of a node, forward only."""
    return strawberry.field(directives=[connection_size(default)], **options)


QUERY_COST = Cost(weight=10)  # it reads many samples in a query of its own
READING_COST = Cost(weight=0.01)  # a hundred readings take about a kilobyte
FREE = Cost(weight=0)
Metrics = Annotated[list[Metric] | None, strawberry.argument(directives=[Constraint(max_items=len(Metric))])]
Name = Annotated[str, strawberry.argument(directives=[Constraint(max_length=200)])]
Comment = Annotated[str, strawberry.argument(directives=[Constraint(max_length=LONGEST_NOTE)])]
Note = Annotated[str | None, strawberry.argument(directives=[Constraint(max_length=LONGEST_NOTE)])]
Search = Annotated[str | None, strawberry.argument(directives=[Constraint(max_length=200)])]
Batch = Annotated[list[Item], strawberry.argument(directives=[Constraint(max_items=LARGEST_BATCH)])]
MaxPoints = Annotated[int | None, strawberry.argument(directives=[Constraint(max=LARGEST_SERIES)])]


def series_field(metrics: int, **options: Any) -> Any:
    """Returns a field for a series, whose cost grows with points times metrics; `metrics`: how many there are."""
    points = ListSize(assumed_size=1000, slicing_arguments=["maxPoints"], sized_fields=["times", "columns"])
    columns = ListSize(assumed_size=metrics, slicing_arguments=["metrics"], sized_fields=["columns"])
    return strawberry.field(directives=[QUERY_COST, points, columns], **options)
