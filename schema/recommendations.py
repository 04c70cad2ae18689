"""Recommendations, as clients ask for them, see them, and say what became of them."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from ml.recommendation.case import Past
from resolvers.context import Context
from resolvers.recommendations import recommendations
from resolvers.recommendations.recommendations import RecommendationFilter as Filter
from resolvers.store.tables import analyses as analysis_tables
from resolvers.store.tables import core as tables
from resolvers.store.tables.recommendations import Recommendation as Row
from schema.accounts import User
from schema.batched_fields import NOWHERE, needs, pointing, related
from schema.directives import Note, sized
from schema.enums import Outcome, Priority, Role, RootCause
from schema.problems import Conflict, Forbidden, InvalidInput, NotFound
from schema.relay import Info, Node
from schema.root_causes import CULPRITS, CorrelationAnalysis, Culprit
from schema.root_fields import mutation
from schema.types import Anomaly, AuditEntry, Detection, history_of


@strawberry.type(description="An action that should help with a fault.")
class Recommendation(Node):
    title: str = strawberry.field(description="The action in a few words.")
    description: str = strawberry.field(
        description="What was found, who should do what, and which metric to check afterwards."
    )
    priority: Priority
    rank_score: float = strawberry.field(description="How much it is expected to help, 0 to 1. Higher is better.")
    tags: list[str] = strawberry.field(
        description="Topics: any of rf, hub, remote, satellite, power, capacity, configuration, software, weather,"
        " vendor, customer, safety, field, monitoring.",
        directives=[sized(4)],
    )
    root_cause: RootCause | None = strawberry.field(
        description="The root cause it is for. Null if it follows from the metrics alone."
    )
    outcome: Outcome
    outcome_note: str | None = strawberry.field(description="The note given with the outcome, if any.")
    model_version: str = strawberry.field(description="The version of the ranking model that was used.")
    created_at: datetime
    superseded_at: datetime | None = strawberry.field(
        description="When newer recommendations replaced it because the situation had changed. Null if it is current."
    )

    requested_by = related(
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
        past = await self._past(info)
        tried = past.solved + past.failed
        return past.solved / tried if tried else None

    @strawberry.field(description="The number of outcomes, SOLVED or DID_NOT_HELP, behind `successRate`.")
    @needs("action", "root_cause")
    async def sample_size(self, info: Info) -> int:
        past = await self._past(info)
        return past.solved + past.failed

    culprit = pointing(
        Culprit | None,
        lambda node: NOWHERE if node.row.target_kind is None else (CULPRITS[node.row.target_kind], node.row.target_id),
        needs=("target_kind", "target_id"),
        description="What to act on. Null if nothing in particular.",
    )
    anomaly = related(
        Anomaly | None, tables.Anomaly, by="anomaly_id", description="The anomaly it was requested for, if any."
    )
    analysis = related(
        CorrelationAnalysis | None,
        analysis_tables.CorrelationAnalysis,
        by="analysis_id",
        description="The analysis it was requested for, or that explains the anomaly, if any.",
    )

    @strawberry.field(description="Everything that happened to it. Oldest first.", directives=[sized(5)])
    @needs("id")
    async def history(self, info: Info) -> list[AuditEntry]:
        return await history_of(info, self.row.id)

    def _past(self, info: Info) -> Awaitable[Past]:
        return info.context.loaders.past.load((self.row.action, self.row.root_cause))


@strawberry.type(description="A recommendation was made.")
class RecommendationEvent:
    cursor: str = strawberry.field(description="Pass it as `after` to resume after this event.")
    key: strawberry.Private[UUID]

    recommendation = pointing(Recommendation, lambda event: (Row, event.key))


@strawberry.type(description="Recommended actions, best first. Empty if nothing is wrong.")
class Recommendations:
    recommendations: list[Recommendation] = strawberry.field(directives=[sized(7)])


# ---------------------------------------------------------------- what clients send


@strawberry.input(description="Recommendations that match all given conditions.")
class RecommendationFilter:
    priorities: list[Priority] | None = strawberry.field(default=None, description="Any of these.")
    tags: list[str] | None = strawberry.field(default=None, description="At least one of these.")
    outcomes: list[Outcome] | None = strawberry.field(default=None, description="Any of these.")
    root_cause: RootCause | None = None
    anomaly: ID | None = strawberry.field(default=None, description="Made for this anomaly.")
    created_after: datetime | None = strawberry.field(default=None, description="Created at this time or later.")
    superseded: bool | None = strawberry.field(default=False, description="Include superseded recommendations.")

    def value(self) -> Filter:
        lists = {name: getattr(self, name) for name in ("priorities", "tags", "outcomes")}
        return Filter(
            **{name: None if given is None else tuple(given) for name, given in lists.items()},
            root_cause=self.root_cause,
            anomaly=None if self.anomaly is None else Anomaly.key(self.anomaly, UUID),
            created_after=self.created_after,
            superseded=bool(self.superseded),
        )


def filter_of(filter: RecommendationFilter | None) -> Filter:
    return filter.value() if filter else Filter()


@strawberry.input(one_of=True, description="What recommendations are about: exactly one of these ids.")
class RecommendFor:
    anomaly: ID | None = strawberry.UNSET
    detection: ID | None = strawberry.UNSET
    analysis: ID | None = strawberry.UNSET


SUBJECTS: dict[str, tuple[type[Node], Callable[[Context, UUID], Awaitable[list[Row]]]]] = {
    "anomaly": (Anomaly, recommendations.for_anomaly),
    "detection": (Detection, recommendations.for_detection),
    "analysis": (CorrelationAnalysis, recommendations.for_analysis),
}
RecommendResult = Annotated[Recommendations | InvalidInput | NotFound | Forbidden, strawberry.union("RecommendResult")]
RecommendationResult = Annotated[
    Recommendation | InvalidInput | NotFound | Forbidden | Conflict, strawberry.union("RecommendationResult")
]


@strawberry.type
class Advice:
    """The part of `Mutation` that recommends."""

    @mutation(
        Role.OPERATOR,
        rated=True,
        description="Recommends 3 to 7 actions for an anomaly, a detection or an analysis, best first. Asked again, it"
        " returns the same ones as long as nothing has changed.",
    )
    async def recommend(
        self, info: Info, for_: Annotated[RecommendFor, strawberry.argument(name="for")]
    ) -> RecommendResult:
        [(of, id)] = ((name, id) for name, id in vars(for_).items() if id is not strawberry.UNSET)
        node, about = SUBJECTS[of]
        found = await about(info.context, node.key(id, UUID))
        return Recommendations(recommendations=[Recommendation.of(row) for row in found])

    @mutation(
        Role.OPERATOR,
        description="Records what came of a recommendation. The ranking learns from it. A later outcome replaces an"
        " earlier one; the history keeps both.",
    )
    async def record_outcome(
        self, info: Info, recommendation: ID, outcome: Outcome, note: Note = None
    ) -> RecommendationResult:
        key = Recommendation.key(recommendation, UUID)
        return Recommendation.of(await recommendations.record_outcome(info.context, key, outcome, note))
