"""What clients send to ask for recommendations and to find them."""

from datetime import datetime
from uuid import UUID

import strawberry
from strawberry import ID

from resolvers.recommendations.recommendations import RecommendationFilter as Filter
from schema.anomalies.types import Anomaly
from schema.enums import Outcome, Priority, RootCause
from schema.relay import Node


@strawberry.input(description="Recommendations that match all given conditions.")
class RecommendationFilter:
    priorities: list[Priority] | None = strawberry.field(default=None, description="Any of these.")
    tags: list[str] | None = strawberry.field(default=None, description="At least one of these.")
    outcomes: list[Outcome] | None = strawberry.field(default=None, description="Any of these.")
    root_cause: RootCause | None = None
    anomaly: ID | None = strawberry.field(default=None, description="Made for this anomaly, or for its incident.")
    incident: ID | None = strawberry.field(default=None, description="Made for this incident.")
    created_after: datetime | None = strawberry.field(default=None, description="Created at this time or later.")
    superseded: bool | None = strawberry.field(default=False, description="Include superseded recommendations.")

    def to_filter(self) -> Filter:
        lists = {name: getattr(self, name) for name in ("priorities", "tags", "outcomes")}
        return Filter(
            **{name: None if given is None else tuple(given) for name, given in lists.items()},
            root_cause=self.root_cause,
            anomaly=None if self.anomaly is None else Anomaly.parse_key(self.anomaly, UUID),
            incident=None if self.incident is None else Node.find_type("Incident").parse_key(self.incident, UUID),
            created_after=self.created_after,
            superseded=bool(self.superseded),
        )


def to_filter(filter: RecommendationFilter | None) -> Filter:
    return filter.to_filter() if filter else Filter()


@strawberry.input(one_of=True, description="What recommendations are about: exactly one of these ids.")
class RecommendFor:
    anomaly: ID | None = strawberry.UNSET
    detection: ID | None = strawberry.UNSET
    analysis: ID | None = strawberry.UNSET
    incident: ID | None = strawberry.UNSET
