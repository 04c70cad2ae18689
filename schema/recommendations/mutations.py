"""Mutations that recommend, and that record what came of it."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from resolvers.context import Context
from resolvers.recommendations import recommendations
from resolvers.store.tables.recommendations import Recommendation as Row
from schema.directives import Note
from schema.enums import Outcome, Role
from schema.problems import Conflict, Forbidden, InvalidInput, NotFound
from schema.recommendations.inputs import RecommendFor
from schema.recommendations.types import Recommendation, Recommendations
from schema.relay import Info, Node
from schema.root_fields import mutation

SUBJECTS: dict[str, tuple[str, Callable[[Context, UUID], Awaitable[list[Row]]]]] = {
    "anomaly": ("Anomaly", recommendations.recommend_for_anomaly),
    "detection": ("Detection", recommendations.recommend_for_detection),
    "analysis": ("CorrelationAnalysis", recommendations.recommend_for_analysis),
    "incident": ("Incident", recommendations.recommend_for_incident),
}
RecommendResult = Annotated[Recommendations | InvalidInput | NotFound | Forbidden, strawberry.union("RecommendResult")]
RecommendationResult = Annotated[
    Recommendation | InvalidInput | NotFound | Forbidden | Conflict, strawberry.union("RecommendationResult")
]


@strawberry.type
class RecommendationMutations:
    @mutation(
        Role.OPERATOR,
        rate_limited=True,
        description="Recommends up to 7 actions for an incident, an anomaly, a detection or an analysis, best first. An"
        " anomaly of an incident gets the incident's. Asked again, it returns the same ones as long as nothing has"
        " changed. While no cause is certain enough for a repair, they are what to read or to ask to tell the likeliest"
        " ones apart.",
    )
    async def recommend(
        self, info: Info, for_: Annotated[RecommendFor, strawberry.argument(name="for")]
    ) -> RecommendResult:
        [(of, id)] = ((name, id) for name, id in vars(for_).items() if id is not strawberry.UNSET)
        node, recommend = SUBJECTS[of]
        rows = await recommend(info.context, Node.find_type(node).parse_key(id, UUID))
        return Recommendations(recommendations=[Recommendation.from_row(row) for row in rows])

    @mutation(
        Role.OPERATOR,
        description="Records what came of a recommendation. The ranking learns from it. A later outcome replaces an"
        " earlier one; the history keeps both.",
    )
    async def record_outcome(
        self, info: Info, recommendation: ID, outcome: Outcome, note: Note = None
    ) -> RecommendationResult:
        key = Recommendation.parse_key(recommendation, UUID)
        return Recommendation.from_row(await recommendations.record_outcome(info.context, key, outcome, note))
