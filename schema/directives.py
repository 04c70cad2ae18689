"""What the schema says of its own fields: who may use them, and what they cost."""

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
    description="The least role that a caller needs; null: anybody may.",
)
class Access:
    role: Role | None = None


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="cost",
    description="How much a field weighs: 1 where it has fields of its own, else 0, or 1 under an alias, unless it says"
    " otherwise here. The sum is rounded up. See https://ibm.github.io/graphql-specs/cost-spec.html.",
)
class Cost:
    weight: float


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    repeatable=True,
    description="How long a list, or the lists in `sizedFields` below it, may get: as long as the largest of the"
    " slicing arguments asks (the length of one that is a list itself), else `assumedSize`. Where several name the same"
    " field, their lengths multiply. See https://ibm.github.io/graphql-specs/cost-spec.html.",
)
class ListSize:
    assumed_size: int
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET


@strawberry.schema_directive(
    locations=[Location.ARGUMENT_DEFINITION, Location.INPUT_FIELD_DEFINITION],
    name="constraint",
    description="How much a value may hold: characters of a string (or of each in a list), items of a list; `max` of a"
    " number. Where it says nothing, a String has at most 2000 characters (the server's MAX_STRING), an ID 200, a list"
    " 1000 items.",
)
class Constraint:
    max_length: int | None = strawberry.UNSET
    max_items: int | None = strawberry.UNSET
    max: int | None = strawberry.UNSET


def sized(size: int, *slicing: str) -> ListSize:
    """A list that is this long, unless an argument says otherwise."""
    return ListSize(assumed_size=size, slicing_arguments=[*slicing] or strawberry.UNSET)


def page(usual: int = DEFAULT_PAGE, *slicing: str) -> ListSize:
    """A connection, of which this many nodes are usual where nothing else is asked."""
    return ListSize(assumed_size=usual, slicing_arguments=["first", *slicing], sized_fields=["edges", "nodes"])


def paged(usual: int, **options: Any) -> Any:
    """A connection to what belongs to a node, forward only."""
    return strawberry.field(directives=[page(usual)], **options)


QUERIED = Cost(weight=10)  # a query of its own over many samples
READING = Cost(weight=0.01)  # of which a hundred take about a kilobyte
FREE = Cost(weight=0)
Metrics = Annotated[list[Metric] | None, strawberry.argument(directives=[Constraint(max_items=len(Metric))])]
Name = Annotated[str, strawberry.argument(directives=[Constraint(max_length=200)])]
Note = Annotated[str | None, strawberry.argument(directives=[Constraint(max_length=LONGEST_NOTE)])]
Search = Annotated[str | None, strawberry.argument(directives=[Constraint(max_length=200)])]
Batch = Annotated[list[Item], strawberry.argument(directives=[Constraint(max_items=LARGEST_BATCH)])]
MaxPoints = Annotated[int | None, strawberry.argument(directives=[Constraint(max=LARGEST_SERIES)])]


def series(metrics: int) -> Any:
    """A field for a series: it costs as much as its points times its metrics, of which this many are all."""
    points = ListSize(assumed_size=1000, slicing_arguments=["maxPoints"], sized_fields=["times", "columns"])
    columns = ListSize(assumed_size=metrics, slicing_arguments=["metrics"], sized_fields=["columns"])
    return strawberry.field(directives=[QUERIED, points, columns])
