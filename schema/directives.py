"""What the schema says of its own fields: who may use them, and what they cost."""

from typing import Any

import strawberry
from strawberry.schema_directive import Location

from resolvers.paging import DEFAULT_PAGE
from resolvers.store.tables import Role


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
    description="How much a field weighs: 1 where it has fields of its own, else 0, unless it says otherwise here."
    " See https://ibm.github.io/graphql-specs/cost-spec.html.",
)
class Cost:
    weight: int


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    description="How long a list, or the lists in `sizedFields` below it, may get: as long as the largest of the"
    " slicing arguments asks (the length of one that is a list itself), else `assumedSize`."
    " See https://ibm.github.io/graphql-specs/cost-spec.html.",
)
class ListSize:
    assumed_size: int
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET


def sized(size: int, *slicing: str) -> ListSize:
    """A list that is this long, unless an argument says otherwise."""
    return ListSize(assumed_size=size, slicing_arguments=[*slicing] or strawberry.UNSET)


def page(usual: int = DEFAULT_PAGE, *slicing: str) -> ListSize:
    """A connection, of which this many nodes are usual where nothing else is asked."""
    return ListSize(assumed_size=usual, slicing_arguments=["first", *slicing], sized_fields=["edges", "nodes"])


def paged(usual: int, **options: Any) -> Any:
    """A connection to what belongs to a node, forward only."""
    return strawberry.field(directives=[page(usual)], **options)


READINGS = Cost(weight=10)  # a query of its own over many samples
