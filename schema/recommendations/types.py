"""Recommendations."""

from collections.abc import Awaitable
from datetime import datetime
from uuid import UUID

import strawberry

from ml.recommendation.case import TrackRecord
from resolvers.store.tables import analyses as analysis_tables
from resolvers.store.tables import core as tables
from resolvers.store.tables import incidents as incident_tables
from resolvers.store.tables.recommendations import Recommendation as Row
from schema.accounts.history import AuditEntry, load_history
from schema.accounts.types import User
from schema.anomalies.types import Anomaly
from schema.batched_fields import NO_ROW, needs, polymorphic_relation, relation
from schema.directives import list_size
from schema.enums import Outcome, Priority, Purpose, RootCause, SupersededReason
from schema.relay import Info, Node, lazy_type
from schema.root_causes.types import CULPRITS, CorrelationAnalysis, Culprit

INCIDENT = lazy_type("Incident", "schema.incidents.types")


@strawberry.type(description="An action that should help with a fault.")
class Recommendation(Node):
    title: str = strawberry.field(description="The action in a few words.")
    description: str = strawberry.field(
        description="What was found, who should do what, and which metric to check afterwards."
    )
    priority: Priority
    purpose: Purpose
    rank_score: float = strawberry.field(description="How much it is expected to help, 0 to 1. Higher is better.")
    tags: list[str] = strawberry.field(
        description="Topics: any of rf, hub, remote, satellite, power, capacity, configuration, software, weather,"
        " vendor, customer, safety, field, monitoring.",
        directives=[list_size(4)],
    )
    root_cause: RootCause | None = strawberry.field(
        description="The root cause it is for, or the likeliest one where it narrows causes down. Null if it follows"
        " from the metrics alone."
    )
    outcome: Outcome
    outcome_note: str | None = strawberry.field(description="The note given with the outcome, if any.")
    model_version: str = strawberry.field(description="The version of the ranking model that was used.")
    created_at: datetime
    superseded_at: datetime | None = strawberry.field(
        description="When it was replaced or closed. Null if it is current."
    )
    superseded_because: SupersededReason | None = strawberry.field(description="Why. Null if it is current.")

    requested_by = relation(
        User | None,
        tables.User,
        by="requested_by_id",
        description="Who asked for it. Null if the server made it on its own.",
    )

    @strawberry.field(
        description="How often this action has solved this root cause so far, 0 to 1. Null if no outcome is recorded."
    )
    @needs("action", "root_cause")
    async def success_rate(self, info: Info) -> float | None:
        record = await self._track_record(info)
        tried = record.solved + record.failed
        return record.solved / tried if tried else None

    @strawberry.field(description="The number of outcomes, SOLVED or DID_NOT_HELP, behind `successRate`.")
    @needs("action", "root_cause")
    async def sample_size(self, info: Info) -> int:
        record = await self._track_record(info)
        return record.solved + record.failed

    culprit = polymorphic_relation(
        Culprit | None,
        lambda node: NO_ROW if node.row.target_kind is None else (CULPRITS[node.row.target_kind], node.row.target_id),
        needs=("target_kind", "target_id"),
        description="What to act on. Null if nothing in particular.",
    )
    anomaly = relation(
        Anomaly | None, tables.Anomaly, by="anomaly_id", description="The anomaly it was requested for, if any."
    )
    incident = relation(
        INCIDENT | None, incident_tables.Incident, by="incident_id", description="The incident it was made for, if any."
    )
    analysis = relation(
        CorrelationAnalysis | None,
        analysis_tables.CorrelationAnalysis,
        by="analysis_id",
        description="The analysis it was requested for, or that explains the anomaly or the incident, if any.",
    )

    @strawberry.field(description="Everything that happened to it. Oldest first.", directives=[list_size(5)])
    @needs("id")
    async def history(self, info: Info) -> list[AuditEntry]:
        return await load_history(info, self.row.id)

    def _track_record(self, info: Info) -> Awaitable[TrackRecord]:
        return info.context.loaders.track_record.load((self.row.action, self.row.root_cause))


@strawberry.type(description="A recommendation was made.")
class RecommendationEvent:
    cursor: str = strawberry.field(description="Pass it as `after` to resume after this event.")
    key: strawberry.Private[UUID]

    recommendation = polymorphic_relation(Recommendation, lambda event: (Row, event.key))


@strawberry.type(description="Recommended actions, best first. Empty if nothing is wrong.")
class Recommendations:
    recommendations: list[Recommendation] = strawberry.field(directives=[list_size(7)])
