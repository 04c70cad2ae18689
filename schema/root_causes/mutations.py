"""Mutations that analyze root causes."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from resolvers.root_causes import analyses
from schema.directives import Name
from schema.enums import Role
from schema.fleet.types import Link, Network, Site
from schema.problems import Forbidden, InvalidInput, NotFound
from schema.relay import Info
from schema.root_causes.types import CorrelationAnalysis
from schema.root_fields import mutation

AnalyzeResult = Annotated[CorrelationAnalysis | InvalidInput | NotFound | Forbidden, strawberry.union("AnalyzeResult")]
WINDOW = (
    "The window is the `hoursLookback` hours (at most 2160, which is 90 days) up to `until` (default now). Without"
    " `hoursLookback` it begins shortly before the oldest anomaly that is open there at `until`, or 24 hours before"
    " `until` if none is; `windowStart` tells."
)
Hours = float | None
Until = datetime | None


@strawberry.type
class RootCauseMutations:
    @mutation(
        Role.OPERATOR,
        rate_limited=True,
        description=f"Analyzes why the links of a network degraded. {WINDOW}",
    )
    async def analyze_network(
        self, info: Info, network: ID, hours_lookback: Hours = None, until: Until = None
    ) -> AnalyzeResult:
        key = Network.parse_key(network)
        return CorrelationAnalysis.from_row(await analyses.analyze_network(info.context, key, hours_lookback, until))

    @mutation(
        Role.OPERATOR,
        rate_limited=True,
        description=f"Analyzes why the links served by a hub's antenna degraded. {WINDOW}",
    )
    async def analyze_hub_antenna(
        self, info: Info, site: ID, hours_lookback: Hours = None, until: Until = None
    ) -> AnalyzeResult:
        key = Site.parse_key(site)
        return CorrelationAnalysis.from_row(await analyses.analyze_hub(info.context, key, hours_lookback, until))

    @mutation(
        Role.OPERATOR,
        rate_limited=True,
        description=f"Analyzes why the links on a satellite degraded. {WINDOW}",
    )
    async def analyze_satellite(
        self, info: Info, name: Name, hours_lookback: Hours = None, until: Until = None
    ) -> AnalyzeResult:
        return CorrelationAnalysis.from_row(await analyses.analyze_satellite(info.context, name, hours_lookback, until))

    @mutation(
        Role.OPERATOR,
        rate_limited=True,
        description=f"Analyzes why a link degraded, in both directions, by comparing it with other links. {WINDOW}",
    )
    async def analyze_link_bidirectional(
        self, info: Info, link: ID, hours_lookback: Hours = None, until: Until = None
    ) -> AnalyzeResult:
        key = Link.parse_key(link)
        return CorrelationAnalysis.from_row(await analyses.analyze_link(info.context, key, hours_lookback, until))
