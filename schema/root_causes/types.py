"""Analyses of root causes."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from ml.catalogue.root_causes import CAUSES, CulpritKind
from ml.root_cause.report import Evidence as ReportedEvidence
from resolvers.store.tables import analysis_documents
from resolvers.store.tables import core as tables
from schema.accounts.types import User
from schema.batched_fields import NO_ROW, RowKey, needs, polymorphic_relation, relation
from schema.directives import list_size
from schema.enums import AnalysisScope, Direction, RootCause
from schema.fleet.types import TARGETS, Link, Network, Satellite, Site, Target
from schema.relay import Info, Node, lazy_type

RECOMMENDATION = lazy_type("Recommendation", "schema.recommendations.types")


Culprit = Annotated[
    Satellite | Site | Network | Link,
    strawberry.union(
        "Culprit",
        description="What can be at fault: a satellite (or one of its transponders), a hub or remote, a network, or a"
        " link.",
    ),
]
CULPRITS: dict[CulpritKind, type[tables.Table]] = {
    CulpritKind.SATELLITE: tables.Satellite,
    CulpritKind.SITE: tables.Site,
    CulpritKind.NETWORK: tables.Network,
    CulpritKind.LINK: tables.Link,
}


def get_culprit_key(culprit: analysis_documents.Culprit | None) -> RowKey:
    return NO_ROW if culprit is None else (CULPRITS[culprit.kind], culprit.key)


@strawberry.type(description="An observation that speaks for or against the root cause.")
class Evidence:
    statement: str = strawberry.field(description="The observation in one sentence.")
    supports: bool = strawberry.field(description="True if it speaks for the root cause.")
    weight: float = strawberry.field(
        description="How much it counts: the absolute log-likelihood ratio, in nats. 0.7 doubles the odds, 2.3 makes"
        " them ten times as high."
    )

    @classmethod
    def from_evidence(cls, evidence: ReportedEvidence) -> "Evidence":
        return cls(**vars(evidence))


@strawberry.type(description="A root cause that was considered.")
class Hypothesis:
    root_cause: RootCause
    probability: float = strawberry.field(description="0 to 1.")
    at_fault: strawberry.Private[analysis_documents.Culprit | None]

    culprit = polymorphic_relation(
        Culprit | None,
        lambda hypothesis: get_culprit_key(hypothesis.at_fault),
        description="What would be at fault. Null if nothing in particular.",
    )

    @classmethod
    def list_from_pattern(cls, pattern: analysis_documents.Pattern) -> "list[Hypothesis]":
        rows = pattern.hypotheses
        return [cls(root_cause=row.cause, probability=row.probability, at_fault=row.culprit) for row in rows]


@strawberry.type(description="Links that degraded together, and the most probable reason.")
class DegradationPattern:
    root_cause: RootCause
    description: str = strawberry.field(description="What happened and why, in one sentence.")
    severity: float = strawberry.field(description="How badly the links degraded, 0 to 1.")
    confidence: float = strawberry.field(
        description="The probability, 0 to 1, that the root cause is right. Calibrated on simulated faults."
    )
    started_at: datetime
    ended_at: datetime | None = strawberry.field(description="Null if it had not ended at the end of the window.")
    pattern: strawberry.Private[analysis_documents.Pattern]

    @classmethod
    def from_pattern(cls, pattern: analysis_documents.Pattern) -> "DegradationPattern":
        same = ("description", "severity", "confidence", "started_at", "ended_at")
        return cls(root_cause=pattern.cause, pattern=pattern, **{name: getattr(pattern, name) for name in same})

    @strawberry.field(description="The root cause in lower case, such as `antenna_misalignment`.")
    def pattern_type(self) -> str:
        return CAUSES[self.root_cause].pattern_type

    @strawberry.field(description="The links of the pattern, worst first.", directives=[list_size(20)])
    async def affected_links(self, info: Info) -> list[Link]:
        rows = await info.context.loaders.rows(tables.Link).load_many(self.pattern.links)
        return [Link.from_row(row) for row in rows if row]

    @strawberry.field(description="The directions that degraded.", directives=[list_size(2)])
    def affected_directions(self) -> list[Direction]:
        return [*self.pattern.directions]

    culprit = polymorphic_relation(
        Culprit | None,
        lambda node: get_culprit_key(node.pattern.culprit),
        description="What is at fault. Null if nothing in particular.",
    )

    @strawberry.field(
        description="The transponder at fault. Null if the culprit is not a satellite, or its networks name no"
        " transponder."
    )
    def culprit_transponder(self) -> str | None:
        return None if self.pattern.culprit is None else self.pattern.culprit.transponder

    @strawberry.field(description="What speaks for and against the root cause.", directives=[list_size(10)])
    def evidence(self) -> list[Evidence]:
        return [Evidence.from_evidence(evidence) for evidence in self.pattern.evidence]

    @strawberry.field(
        description="All root causes considered, most probable first. The probabilities sum to 1.",
        directives=[list_size(10)],
    )
    def hypotheses(self) -> list[Hypothesis]:
        return Hypothesis.list_from_pattern(self.pattern)


@strawberry.type(description="An analysis of root causes: which links degraded together in a window, and why.")
class CorrelationAnalysis(Node):
    scope: AnalysisScope
    window_start: datetime = strawberry.field(description="Start of the window that was analyzed.")
    window_end: datetime = strawberry.field(description="End of the window that was analyzed.")
    created_at: datetime
    correlation_score: float = strawberry.field(
        description="How strongly the links degraded together, 0 to 1: the part of the squared fades of the links in"
        " scope that the patterns explain. 0 if nothing degraded."
    )
    links_analyzed: int = strawberry.field(description="The number of links in scope that have samples in the window.")
    links_compared: int = strawberry.field(
        description="The number of other links with samples that were compared with them, to tell at which level the"
        " fault is."
    )
    duration_ms: float = strawberry.field(description="How long the analysis took, in milliseconds.")
    model_version: str = strawberry.field(description="The version of the model `root_cause` that was used.")

    satellite = relation(
        Satellite | None,
        tables.Satellite,
        by="satellite_id",
        description="The satellite that was analyzed. Null for another scope.",
    )
    target = polymorphic_relation(
        Target | None,
        lambda node: NO_ROW if node.row.target_kind is None else (TARGETS[node.row.target_kind], node.row.target_id),
        needs=("target_kind", "target_id"),
        description="The network, hub or link that was analyzed. Null if a satellite was.",
    )
    requested_by = relation(
        User | None,
        tables.User,
        by="requested_by_id",
        description="Who asked for it. Null if the server ran it because anomalies opened together.",
    )

    @strawberry.field(
        description="What was found: what lasts at `windowEnd` before what ended, and then by how much of the scope's"
        " degradation it explains, times its confidence. Empty if nothing degraded.",
        directives=[list_size(3)],
    )
    @needs("patterns")
    def patterns(self) -> list[DegradationPattern]:
        return [DegradationPattern.from_pattern(pattern) for pattern in self.row.patterns]

    @strawberry.field(
        graphql_type=list[RECOMMENDATION],  # type: ignore[valid-type]
        description="The recommendations made for it so far, best first. `recommend` makes them.",
        directives=[list_size(7)],
    )
    @needs("id")
    async def recommendations(self, info: Info) -> list[Any]:
        node = Node.find_type("Recommendation")
        return [node.from_row(row) for row in await info.context.loaders.advice.load(self.row.id)]
