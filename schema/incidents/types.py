"""Incidents."""

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from resolvers.incidents import incidents
from resolvers.store.tables import analyses as analysis_tables
from resolvers.store.tables import core as tables
from resolvers.store.tables.analysis_documents import Pattern
from resolvers.store.tables.incidents import Incident as Row
from schema.accounts.history import AuditEntry, load_history
from schema.accounts.types import User
from schema.anomalies.types import Anomaly
from schema.batched_fields import NO_ROW, RowKey, needs, polymorphic_relation, relation
from schema.connections import child_connection
from schema.directives import list_size
from schema.enums import IncidentChange, IncidentKind, IncidentStatus, RootCause, Severity
from schema.fleet.types import Link
from schema.recommendations.types import Recommendation
from schema.relay import Info, Node, lazy_type
from schema.root_causes.types import CULPRITS, CorrelationAnalysis, Culprit, Evidence, Hypothesis

INCIDENT = lazy_type("Incident", "schema.incidents.types")


def _get_culprit_key(node: Node) -> RowKey:
    kind = node.row.culprit_kind
    return NO_ROW if kind is None else (CULPRITS[kind], node.row.culprit_id)


@strawberry.type(
    description="One fault, told once: what it is, who is at fault, what it hits, what to do, who is on it. Every"
    " anomaly belongs to exactly one."
)
class Incident(Node):
    kind: IncidentKind
    status: IncidentStatus
    severity: Severity = strawberry.field(
        description="The highest of its anomalies that last; of all of them once it has ended. One step higher where at"
        " least two links and a fifth of their networks' are affected, two steps where half are; and LOW and MEDIUM"
        " one step higher from an hour on."
    )
    title: str
    root_cause: RootCause | None = strawberry.field(description="Null while nothing is known with enough confidence.")
    culprit_transponder: str | None = strawberry.field(
        description="The transponder at fault. Null if the culprit is not a satellite, or its networks name no"
        " transponder."
    )
    confidence: float | None = strawberry.field(
        description="The probability, 0 to 1, that the likeliest root cause and culprit are right, also while it is too"
        " low for them to be named. Null while nothing explains it."
    )
    started_at: datetime = strawberry.field(description="The start of its earliest anomaly.")
    detected_at: datetime = strawberry.field(description="When the server noticed it.")
    last_changed_at: datetime = strawberry.field(description="When something last happened to it: see `timeline`.")
    ended_at: datetime | None = strawberry.field(description="Null while it lasts.")
    snoozed_until: datetime | None = strawberry.field(description="Null if it is not snoozed. May be in the past.")
    affected_link_count: int
    reopened_count: int = strawberry.field(description="How often it came back, or was reopened.")

    @strawberry.field(description="True if it was found in imported history, and told to nobody.")
    @needs("is_historical")
    def historical(self) -> bool:
        return bool(self.row.is_historical)

    culprit = polymorphic_relation(
        Culprit | None,
        _get_culprit_key,
        needs=("culprit_kind", "culprit_id"),
        description="What is at fault. Null while nothing is known with enough confidence, or if it is nothing in"
        " particular.",
    )

    @strawberry.field(description="Every hypothesis, likeliest first.", directives=[list_size(10)])
    @needs("pattern")
    def hypotheses(self) -> list[Hypothesis]:
        pattern: Pattern | None = self.row.pattern
        return [] if pattern is None else Hypothesis.list_from_pattern(pattern)

    @strawberry.field(description="What speaks for and against the likeliest hypothesis.", directives=[list_size(10)])
    @needs("pattern")
    def evidence(self) -> list[Evidence]:
        pattern: Pattern | None = self.row.pattern
        return [] if pattern is None else [Evidence.from_evidence(one) for one in pattern.evidence]

    owner = relation(
        User | None,
        tables.User,
        by="owner_id",
        description="Who works on it. Null if nobody does: it is"
        " taken from an owner who is deactivated or becomes a viewer.",
    )

    affected_links = child_connection(Link, incidents.build_link_listing, 20, "The links that it affects, by number.")
    anomalies = child_connection(Anomaly, incidents.build_anomaly_listing, 20, "Its anomalies, earliest first.")
    recommendations = child_connection(
        Recommendation,
        incidents.build_recommendation_listing,
        7,
        "One list of current recommendations, for the culprit, best first. Empty rather than a guess.",
    )
    analysis = relation(
        CorrelationAnalysis | None,
        analysis_tables.CorrelationAnalysis,
        by="analysis_id",
        description="The analysis that explains it, if any.",
    )
    merged_into = relation(
        INCIDENT | None, Row, by="merged_into_id", description="The one that it was merged into, if it was."
    )

    @strawberry.field(
        description="Everything that happened to it, oldest first: `action` is an `IncidentChange`.",
        directives=[list_size(20)],
    )
    @needs("id")
    async def timeline(self, info: Info) -> list[AuditEntry]:
        return await load_history(info, self.row.id)


@strawberry.type(description="Something happened to an incident.")
class IncidentEvent:
    cursor: str = strawberry.field(description="Pass it as `after` to resume after this event.")
    change: IncidentChange
    key: strawberry.Private[UUID]

    incident = polymorphic_relation(
        Incident,
        lambda event: (Row, event.key),
        description="The incident in its current state, which may be newer than the event.",
    )


@strawberry.type(description="How many incidents have a severity.")
class SeverityCount:
    severity: Severity
    count: int


@strawberry.type(description="How many incidents there are.")
class IncidentCounts:
    total: int
    by_severity: list[SeverityCount] = strawberry.field(
        description="One entry for every severity, the highest first.", directives=[list_size(4)]
    )
    unowned: int = strawberry.field(description="How many of them nobody owns.")

    @classmethod
    def from_counts(cls, counts: Any) -> "IncidentCounts":
        by_severity = [SeverityCount(severity=severity, count=count) for severity, count in counts.by_severity.items()]
        return cls(total=counts.total, by_severity=by_severity, unowned=counts.unowned)
