"""Analyses of root causes, as clients ask for them and see them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import ID

from ml.catalogue.root_causes import CAUSES, CulpritKind
from ml.root_cause.report import Evidence as FoundEvidence
from resolvers.root_causes import analyses as correlation
from resolvers.store.tables import analysis_documents as patterns
from resolvers.store.tables import core as tables
from schema.accounts import User
from schema.batched_fields import NOWHERE, Pointer, needs, pointing, related
from schema.directives import Name, sized
from schema.enums import AnalysisScope, Direction, Role, RootCause
from schema.problems import Forbidden, InvalidInput, NotFound
from schema.relay import Info, Node
from schema.root_fields import mutation
from schema.types import TARGETS, Link, Network, Satellite, Site, Target

if TYPE_CHECKING:
    from schema.recommendations import Recommendation

Culprit = Annotated[
    Satellite | Site | Network | Link,
    strawberry.union("Culprit", description="A satellite (one transponder of it), a hub or remote, a network, a link."),
]
CULPRITS: dict[CulpritKind, type[tables.Table]] = {
    CulpritKind.SATELLITE: tables.Satellite,
    CulpritKind.SITE: tables.Site,
    CulpritKind.NETWORK: tables.Network,
    CulpritKind.LINK: tables.Link,
}


def culprit_of(culprit: patterns.Culprit | None) -> Pointer:
    return NOWHERE if culprit is None else (CULPRITS[culprit.kind], culprit.key)


@strawberry.type(description="A sentence for or against what the pattern says.")
class Evidence:
    statement: str
    supports: bool
    weight: float = strawberry.field(description="The size of its log-likelihood ratio, in nats.")

    @classmethod
    def of(cls, found: FoundEvidence) -> "Evidence":
        return cls(**vars(found))


@strawberry.type(description="A cause that was considered.")
class Hypothesis:
    root_cause: RootCause
    probability: float
    at_fault: strawberry.Private[patterns.Culprit | None]

    culprit = pointing(Culprit | None, lambda hypothesis: culprit_of(hypothesis.at_fault))


@strawberry.type(description="Links that degraded together, and why.")
class DegradationPattern:
    root_cause: RootCause
    description: str = strawberry.field(description="A sentence for a person.")
    severity: float = strawberry.field(description="0 to 1.")
    confidence: float = strawberry.field(description="Calibrated probability, 0 to 1.")
    started_at: datetime
    ended_at: datetime | None = strawberry.field(description="Null where it lasted at the window's end.")
    found: strawberry.Private[patterns.Pattern]

    @classmethod
    def of(cls, found: patterns.Pattern) -> "DegradationPattern":
        same = ("description", "severity", "confidence", "started_at", "ended_at")
        return cls(root_cause=found.cause, found=found, **{name: getattr(found, name) for name in same})

    @strawberry.field(
        description="equipment_failure, antenna_alignment, satellite_interference, antenna_misalignment, …: the root"
        " cause in snake case."
    )
    def pattern_type(self) -> str:
        return CAUSES[self.root_cause].pattern_type

    @strawberry.field(description="Worst first.", directives=[sized(20)])
    async def affected_links(self, info: Info) -> list[Link]:
        rows = await info.context.loaders.of(tables.Link).load_many(self.found.links)
        return [Link.of(row) for row in rows if row]

    @strawberry.field(directives=[sized(2)])
    def affected_directions(self) -> list[Direction]:
        return [*self.found.directions]

    culprit = pointing(
        Culprit | None,
        lambda pattern: culprit_of(pattern.found.culprit),
        description="The thing at fault: what its explanation has in common.",
    )

    @strawberry.field(description="Where a satellite is at fault: which transponder, if its networks name one.")
    def culprit_transponder(self) -> str | None:
        return None if self.found.culprit is None else self.found.culprit.transponder

    @strawberry.field(directives=[sized(10)])
    def evidence(self) -> list[Evidence]:
        return [Evidence.of(one) for one in self.found.evidence]

    @strawberry.field(
        description="Every cause considered with its probability, best first; sums to 1.", directives=[sized(10)]
    )
    def hypotheses(self) -> list[Hypothesis]:
        return [
            Hypothesis(root_cause=one.cause, probability=one.probability, at_fault=one.culprit)
            for one in self.found.hypotheses
        ]


@strawberry.type(description="What degraded together in a window, and why.")
class CorrelationAnalysis(Node):
    scope: AnalysisScope
    window_start: datetime
    window_end: datetime
    created_at: datetime
    correlation_score: float = strawberry.field(
        description="0 to 1: how strongly the degradations moved together, as the share of the scope's squared fades"
        " that the common courses of its patterns explain; 0 where nothing degraded."
    )
    links_analyzed: int = strawberry.field(description="Of those asked about, with samples in the window.")
    links_compared: int = strawberry.field(
        description="Around them, with samples: the culprit may lie at another level."
    )
    duration_ms: float
    model_version: str

    satellite = related(
        Satellite | None,
        tables.Satellite,
        by="satellite_id",
        description="That was asked about; null where it was a target.",
    )
    target = pointing(
        Target | None,
        lambda node: NOWHERE if node.row.target_kind is None else (TARGETS[node.row.target_kind], node.row.target_id),
        needs=("target_kind", "target_id"),
        description="The network, hub or link that was asked about; null where it was a satellite.",
    )
    requested_by = related(
        User | None,
        tables.User,
        by="requested_by_id",
        description="Null where the server ran it by itself, as anomalies opened together.",
    )

    @strawberry.field(description="Most confident first; empty when nothing degraded.", directives=[sized(3)])
    @needs("patterns")
    def patterns(self) -> list[DegradationPattern]:
        return [DegradationPattern.of(pattern) for pattern in self.row.patterns]

    @strawberry.field(description="Made for it so far, best first: see `recommend`.", directives=[sized(7)])
    @needs("id")
    async def recommendations(
        self, info: Info
    ) -> list[Annotated["Recommendation", strawberry.lazy("schema.recommendations")]]:
        from schema.recommendations import Recommendation  # noqa: PLC0415  which knows this module

        return [Recommendation.of(row) for row in await info.context.loaders.advice.load(self.row.id)]


AnalyzeResult = Annotated[CorrelationAnalysis | InvalidInput | NotFound | Forbidden, strawberry.union("AnalyzeResult")]
USUAL_HOURS = 24.0
WINDOW = "`until` defaults to now; the window is the `hoursLookback` before it, at most 2160 hours (90 days)."
Hours = float | None
Until = datetime | None


def _hours(given: Hours) -> float:
    return USUAL_HOURS if given is None else given


@strawberry.type
class Analyses:
    """The part of `Mutation` that analyzes root causes."""

    @mutation(Role.OPERATOR, rated=True, description=f"Of all links of a network. {WINDOW}")
    async def analyze_network(
        self, info: Info, network: ID, hours_lookback: Hours = USUAL_HOURS, until: Until = None
    ) -> AnalyzeResult:
        key, hours = Network.key(network), _hours(hours_lookback)
        return CorrelationAnalysis.of(await correlation.analyze_network(info.context, key, hours, until))

    @mutation(Role.OPERATOR, rated=True, description=f"Of all links that a hub's antenna serves. {WINDOW}")
    async def analyze_hub_antenna(
        self, info: Info, site: ID, hours_lookback: Hours = USUAL_HOURS, until: Until = None
    ) -> AnalyzeResult:
        key, hours = Site.key(site), _hours(hours_lookback)
        return CorrelationAnalysis.of(await correlation.analyze_hub(info.context, key, hours, until))

    @mutation(Role.OPERATOR, rated=True, description=f"Of all links on a satellite. {WINDOW}")
    async def analyze_satellite(
        self, info: Info, name: Name, hours_lookback: Hours = USUAL_HOURS, until: Until = None
    ) -> AnalyzeResult:
        hours = _hours(hours_lookback)
        return CorrelationAnalysis.of(await correlation.analyze_satellite(info.context, name, hours, until))

    @mutation(Role.OPERATOR, rated=True, description=f"Of a link's two directions, by other links. {WINDOW}")
    async def analyze_link_bidirectional(
        self, info: Info, link: ID, hours_lookback: Hours = USUAL_HOURS, until: Until = None
    ) -> AnalyzeResult:
        key, hours = Link.key(link), _hours(hours_lookback)
        return CorrelationAnalysis.of(await correlation.analyze_link(info.context, key, hours, until))
