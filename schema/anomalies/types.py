"""Anomalies and detections."""

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from ml.catalogue.metrics import Metric, TargetKind
from resolvers.lists.pagination import Window
from resolvers.recommendations import recommendations
from resolvers.store.tables import analyses as analysis_tables
from resolvers.store.tables import core as tables
from resolvers.store.tables import incidents as incident_tables
from schema.accounts.history import AuditEntry, load_history
from schema.accounts.types import User
from schema.batched_fields import needs, polymorphic_relation, relation
from schema.connections import Connection, load_children
from schema.directives import connection_field, list_size
from schema.enums import AnomalyCategory, AnomalyChange, AnomalyStatus, Direction, Severity, Verdict
from schema.fleet.types import Target, get_target_key
from schema.relay import Info, Node, lazy_type

ANOMALY = lazy_type("Anomaly", "schema.anomalies.types")
INCIDENT = lazy_type("Incident", "schema.incidents.types")
ANALYSIS = lazy_type("CorrelationAnalysis", "schema.root_causes.types")
RECOMMENDATION = lazy_type("Recommendation", "schema.recommendations.types")


@strawberry.type(description="What one metric contributed to the score.")
class Contribution:
    metric: Metric
    observed: float | None = strawberry.field(description="The measured value. Null if it was not measured.")
    expected: float | None = strawberry.field(description="The usual value at that time. Null if there is none.")
    deviation: float = strawberry.field(
        description="How far the observed value is above (positive) or below the expected one, in robust standard"
        " deviations."
    )
    share: float = strawberry.field(description="Its part of the score, 0 to 1. All shares sum to 1.")

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Contribution":
        return cls(**{**kept, "metric": Metric(kept["metric"])})


@strawberry.type(
    description="A time during which a network, site or link did not behave as usual. Recorded metrics open and end"
    " it; `detect…Anomaly` can open one too."
)
class Anomaly(Node):
    kind: TargetKind
    category: AnomalyCategory
    direction: Direction | None = strawberry.field(
        description="The direction of a link, if known. Null for a network or a site."
    )
    status: AnomalyStatus
    severity: Severity
    score: float = strawberry.field(description="The highest anomaly score so far, above 0 and at most 1.")
    confidence: float = strawberry.field(description="The calibrated probability, 0 to 1, that it is a real fault.")
    model_version: str = strawberry.field(description="The version of the detection model that opened it.")
    started_at: datetime = strawberry.field(description="The time of its first anomalous sample.")
    last_seen_at: datetime = strawberry.field(description="The time of its newest anomalous sample.")
    ended_at: datetime | None = strawberry.field(description="Null while it lasts.")
    detected_at: datetime = strawberry.field(description="When the server noticed it.")
    withdrawn_at: datetime | None = strawberry.field(
        description="When late samples showed that there was nothing unusual; lists leave it out since. Else null."
    )
    is_historical: bool = strawberry.field(
        description="True if its samples were of the past when they came, as in imported history. Nobody is told of it,"
        " and it ends with its history. It counts as of the present once it goes on until now."
    )
    feedback: Verdict | None = strawberry.field(description="The latest verdict of `judgeAnomaly`. Null if none.")

    target = polymorphic_relation(Target, get_target_key, needs=("kind", "target_id"))

    @strawberry.field(
        description="What each metric contributed to the highest score. Largest share first.",
        directives=[list_size(12)],
    )
    @needs("contributions")
    def contributions(self) -> list[Contribution]:
        return [Contribution.from_json(kept) for kept in self.row.contributions]

    incident = relation(
        INCIDENT | None,
        incident_tables.Incident,
        by="incident_id",
        description="The incident that it belongs to. Null for seconds, until the server has found or opened one.",
    )

    @strawberry.field(
        description="The time of the newest sample of its target, in its direction if it has one. Null if there is"
        " none. Where it is older than usual, nobody knows how the target is."
    )
    @needs("kind", "target_id", "direction")
    async def last_sample_at(self, info: Info) -> datetime | None:
        row: Any = self.row
        return await info.context.loaders.last_sample_at.load((row.kind, row.target_id, row.direction))

    analysis = relation(
        ANALYSIS | None,
        analysis_tables.CorrelationAnalysis,
        by="analysis_id",
        description="The automatic analysis that explains this anomaly, if any.",
    )
    acknowledged_by = relation(
        User | None, tables.User, by="acknowledged_by_id", description="Null if nobody acknowledged it."
    )

    merged_into = relation(
        ANOMALY | None,
        tables.Anomaly,
        by="merged_into_id",
        description="The one that it is part of, as late samples showed; lists have only that one. Null if it is none.",
    )

    @strawberry.field(description="Everything that happened to it. Oldest first.", directives=[list_size(10)])
    @needs("id")
    async def history(self, info: Info) -> list[AuditEntry]:
        return await load_history(info, self.row.id)

    @strawberry.field(description="What people wrote with `commentAnomaly`. Oldest first.", directives=[list_size(5)])
    @needs("id")
    async def comments(self, info: Info) -> list[AuditEntry]:
        return [entry for entry in await load_history(info, self.row.id) if entry.action == AnomalyChange.COMMENTED]

    @connection_field(
        7,
        graphql_type=Connection[RECOMMENDATION],  # type: ignore[valid-type]
        description="The current recommendations, best first: those of its incident, and those asked for it alone.",
    )
    @needs("id")
    async def recommendations(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[Any]:
        node = Node.find_type("Recommendation")
        return await load_children(info, node, recommendations.build_anomaly_listing, self.row.id, Window(first, after))


@strawberry.type(description="The result of `detect…Anomaly`: whether one set of measurements is anomalous.")
class Detection(Node):
    kind: TargetKind
    is_anomaly: bool
    anomaly_score: float = strawberry.field(
        description="-1 (usual) to 1 (extreme). Above 0 if, and only if, `isAnomaly` is true."
    )
    confidence: float = strawberry.field(description="The calibrated probability, 0 to 1, that it is a real fault.")
    model_version: str = strawberry.field(description="The version of the detection model that was used.")
    created_at: datetime

    target = polymorphic_relation(
        Target | None,
        get_target_key,
        needs=("kind", "target_id"),
        description="The network, site or link that was measured. Null if none was given.",
    )

    @strawberry.field(
        description="What each metric contributed to the score. Largest share first.", directives=[list_size(12)]
    )
    @needs("contributions")
    def contributions(self) -> list[Contribution]:
        return [Contribution.from_json(kept) for kept in self.row.contributions]

    requested_by = relation(
        User | None, tables.User, by="requested_by_id", description="Who asked for it. Null if the server did."
    )
    anomaly = relation(
        Anomaly | None,
        tables.Anomaly,
        by="anomaly_id",
        description="The anomaly that it opened, or that was open already. Null if there is none.",
    )


@strawberry.type(description="Something happened to an anomaly.")
class AnomalyEvent:
    cursor: str = strawberry.field(description="Pass it as `after` to resume after this event.")
    change: AnomalyChange
    key: strawberry.Private[UUID]

    anomaly = polymorphic_relation(
        Anomaly,
        lambda event: (tables.Anomaly, event.key),
        description="The anomaly in its current state, which may be newer than the event.",
    )
