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


@strawberry.type(description="Something to do about a fault, told for that case.")
class Recommendation(Node):
    title: str
    description: str = strawberry.field(
        description="What was found, who does what, and which reading to check afterwards."
    )
    priority: Priority
    rank_score: float = strawberry.field(description="0 to 1: how much it can be expected to bring; best first.")
    tags: list[str] = strawberry.field(
        description="What it is about: rf, hub, remote, satellite, power, capacity, configuration, software, weather,"
        " vendor, customer, safety, field, monitoring.",
        directives=[sized(4)],
    )
    root_cause: RootCause | None = strawberry.field(
        description="That it is for; null where the readings alone speak for it."
    )
    outcome: Outcome
    outcome_note: str | None
    model_version: str = strawberry.field(description="Of the ranking.")
    created_at: datetime
    superseded_at: datetime | None = strawberry.field(
        description="When others took its place, as the situation had changed; null for a present one."
    )

    requested_by = related(
        User | None, tables.User, by="requested_by_id", description="Null where the server made it by itself."
    )

    @strawberry.field(description="How often this action solved this cause so far; null without any outcome.")
    @needs("action", "root_cause")
    async def success_rate(self, info: Info) -> float | None:
        past = await self._past(info)
        tried = past.solved + past.failed
        return past.solved / tried if tried else None

    @strawberry.field(description="The outcomes, SOLVED or DID_NOT_HELP, that `successRate` is of.")
    @needs("action", "root_cause")
    async def sample_size(self, info: Info) -> int:
        past = await self._past(info)
        return past.solved + past.failed

    culprit = pointing(
        Culprit | None,
        lambda node: NOWHERE if node.row.target_kind is None else (CULPRITS[node.row.target_kind], node.row.target_id),
        needs=("target_kind", "target_id"),
        description="What it is to be done to, or about.",
    )
    anomaly = related(
        Anomaly | None, tables.Anomaly, by="anomaly_id", description="That it was asked for, if it was one."
    )
    analysis = related(
        CorrelationAnalysis | None,
        analysis_tables.CorrelationAnalysis,
        by="analysis_id",
        description="That it was asked for, or that explains the anomaly.",
    )

    @strawberry.field(description="Everything that happened to it, oldest first.", directives=[sized(5)])
    @needs("id")
    async def history(self, info: Info) -> list[AuditEntry]:
        return await history_of(info, self.row.id)

    def _past(self, info: Info) -> Awaitable[Past]:
        return info.context.loaders.past.load((self.row.action, self.row.root_cause))


@strawberry.type
class RecommendationEvent:
    cursor: str = strawberry.field(description="Pass it as `after` to resume behind this event.")
    key: strawberry.Private[UUID]

    recommendation = pointing(Recommendation, lambda event: (Row, event.key))


@strawberry.type(description="Best first; none where nothing is wrong.")
class Recommendations:
    recommendations: list[Recommendation] = strawberry.field(directives=[sized(7)])


# ---------------------------------------------------------------- what clients send


@strawberry.input(description="All that is given must hold.")
class RecommendationFilter:
    priorities: list[Priority] | None = None
    tags: list[str] | None = strawberry.field(default=None, description="Any of them.")
    outcomes: list[Outcome] | None = None
    root_cause: RootCause | None = None
    anomaly: ID | None = None
    created_after: datetime | None = strawberry.field(default=None, description="Inclusive.")
    superseded: bool | None = strawberry.field(
        default=False, description="Those that others have taken the place of, too."
    )

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


@strawberry.input(one_of=True, description="Exactly one of these.")
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
        description="What to do about an anomaly, a detection or an analysis: 3 to 7 actions, best first. Asked again"
        " while nothing has changed, it answers the same ones.",
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
        description="What became of it, so that the ranking learns what works. A later outcome replaces it; the history"
        " keeps both.",
    )
    async def record_outcome(
        self, info: Info, recommendation: ID, outcome: Outcome, note: Note = None
    ) -> RecommendationResult:
        key = Recommendation.key(recommendation, UUID)
        return Recommendation.of(await recommendations.record_outcome(info.context, key, outcome, note))
