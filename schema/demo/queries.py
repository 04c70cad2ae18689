"""Queries of the demo."""

import strawberry

from resolvers.demo import evidence
from schema.demo.types import DemoScorecard
from schema.directives import Cost
from schema.enums import Role
from schema.relay import Info
from schema.root_fields import query

SCORECARD_COST = Cost(weight=100)  # it reads every anomaly since the demo began


@strawberry.type
class DemoQueries:
    @query(
        Role.ADMIN,
        SCORECARD_COST,
        description="For admins. How well incidents told of the demo's faults. Null unless the server runs the demo.",
    )
    async def demo_scorecard(self, info: Info) -> DemoScorecard | None:
        judged = await evidence.judge_demo(info.context)
        return None if judged is None else DemoScorecard.from_judgement(judged)
