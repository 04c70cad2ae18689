"""Analyses of root causes: running and listing them."""

import time
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from ml.catalogue.metrics import TargetKind
from resolvers.base.access import Caller
from resolvers.base.errors import InvalidInput, NotFound
from resolvers.base.roles import Role
from resolvers.base.times import MAX_CLOCK_AHEAD
from resolvers.context import Context
from resolvers.lists.listings import Listing, cached_listing
from resolvers.lists.pagination import Page, Window, fetch_page
from resolvers.root_causes.analyzer import LONGEST_LOOKBACK, Limits, analyze, choose_start
from resolvers.store.queries.analysis_scope import Scope
from resolvers.store.tables.analyses import AnalysisScope, CorrelationAnalysis
from resolvers.store.tables.core import Link, Network, Satellite, Site, SiteRole
from resolvers.store.tables.targets import TARGET_TABLES

LONGEST_HOURS: Final = LONGEST_LOOKBACK / timedelta(hours=1)
TO: Final = "analyze root causes"
KINDS: Final = {
    AnalysisScope.NETWORK: TargetKind.NETWORK,
    AnalysisScope.HUB_ANTENNA: TargetKind.SITE,
    AnalysisScope.LINK: TargetKind.LINK,
}
WORDS: Final = {
    AnalysisScope.NETWORK: "network",
    AnalysisScope.HUB_ANTENNA: "hub",
    AnalysisScope.SATELLITE: "satellite",
    AnalysisScope.LINK: "link",
}

# ---------------------------------------------------------------- running


async def analyze_network(
    context: Context, network_id: int, hours: float | None, until: datetime | None
) -> CorrelationAnalysis:
    """Analyses all links of a network. Raises NotFound, and InvalidInput for a bad window or one without samples."""
    return await _analyze_target(context, AnalysisScope.NETWORK, network_id, hours, until)


async def analyze_hub(
    context: Context, site_id: int, hours: float | None, until: datetime | None
) -> CorrelationAnalysis:
    """Analyses all links of the networks of a hub. Raises NotFound, InvalidInput also for a remote."""
    return await _analyze_target(context, AnalysisScope.HUB_ANTENNA, site_id, hours, until)


async def analyze_satellite(
    context: Context, name: str, hours: float | None, until: datetime | None
) -> CorrelationAnalysis:
    """Analyses all links on a satellite. Raises NotFound, InvalidInput."""
    caller = context.require(Role.OPERATOR, TO)
    end = _check_window(context, hours, until)
    async with context.database.read() as session:
        key = None if "\0" in name else await session.scalar(select(Satellite.id).filter_by(name=name))
    if key is None:
        raise NotFound("satellite")
    return await _run(context, caller, Scope(AnalysisScope.SATELLITE, key), hours, end)


async def analyze_link(
    context: Context, link_id: int, hours: float | None, until: datetime | None
) -> CorrelationAnalysis:
    """Analyses both directions of a link, in comparison with other links. Raises NotFound, InvalidInput."""
    return await _analyze_target(context, AnalysisScope.LINK, link_id, hours, until)


async def _analyze_target(
    context: Context, kind: AnalysisScope, key: int, hours: float | None, until: datetime | None
) -> CorrelationAnalysis:
    caller = context.require(Role.OPERATOR, TO)
    end = _check_window(context, hours, until)
    async with context.database.read() as session:
        row: Network | Site | Link | None = await session.get(TARGET_TABLES[KINDS[kind]], key)
    if row is None:
        raise NotFound(KINDS[kind].lower())
    if isinstance(row, Site) and row.role is not SiteRole.HUB:
        raise InvalidInput(f"{row.name} is a remote, not a hub; analyze its link instead.", ["site"])
    return await _run(context, caller, Scope(kind, key), hours, end)


async def _run(
    context: Context, caller: Caller, scope: Scope, hours: float | None, end: datetime
) -> CorrelationAnalysis:
    """Analyses the hours before the end, or without them what fits what goes on then."""
    start = await choose_start(context.services, scope, end) if hours is None else end - timedelta(hours=hours)
    return await run_analysis(context, caller, scope, start, end)


def _check_window(context: Context, hours: float | None, until: datetime | None) -> datetime:
    """Returns the end. Raises InvalidInput if the window is empty or too long, or ends in the future."""
    if hours is not None and (not 0 < hours <= LONGEST_HOURS or not timedelta(hours=hours)):  # rounds to microseconds
        message = f"An analysis looks back more than 0 and at most {LONGEST_HOURS:g} hours (90 days), not {hours:g}."
        raise InvalidInput(message, ["hoursLookback"])
    end = until or context.now
    if end > context.now + MAX_CLOCK_AHEAD:
        raise InvalidInput("The window must not end more than 5 minutes in the future.", ["until"])
    kept = timedelta(days=context.services.retention_days)
    if end <= context.now - kept:
        raise InvalidInput(
            f"There are no samples this old: they are kept for {kept.days} days. Choose a later window.", ["until"]
        )
    return end


async def run_analysis(
    context: Context, caller: Caller, scope: Scope, start: datetime, end: datetime, limits: Limits | None = None
) -> CorrelationAnalysis:
    """Analyses a scope from `start` up to `end`, stores the result and returns it. Raises InvalidInput, Unavailable."""
    began = time.perf_counter()
    result = await analyze(context.services, scope, WORDS[scope.kind], start, end, limits)
    analysis = CorrelationAnalysis(
        scope=scope.kind,
        satellite_id=scope.key if scope.kind is AnalysisScope.SATELLITE else None,
        target_kind=KINDS.get(scope.kind),
        target_id=None if scope.kind is AnalysisScope.SATELLITE else scope.key,
        window_start=start,
        window_end=end,
        requested_by_id=caller.author_id,
        patterns=result.patterns,
        correlation_score=result.correlation,
        links_analyzed=result.links,
        links_compared=result.compared,
        duration_ms=1000.0 * (time.perf_counter() - began),
        model_version=result.model_version,
        created_at=context.services.clock(),  # it took a while
    )
    async with context.database.write() as session:
        session.add(analysis)
        await session.flush()
        await session.refresh(analysis)
    return analysis


# ---------------------------------------------------------------- listing


@cached_listing
def listing(scope: AnalysisScope | None) -> Listing[CorrelationAnalysis]:
    conditions = () if scope is None else (CorrelationAnalysis.scope == scope,)
    return Listing(CorrelationAnalysis, (CorrelationAnalysis.id,), descending=True, conditions=conditions)


async def list_analyses(context: Context, scope: AnalysisScope | None, window: Window) -> Page[CorrelationAnalysis]:
    """Returns a page of analyses, newest first."""
    context.require(Role.VIEWER, "see analyses")
    return await fetch_page(context.database, listing(scope), window, context.columns_of(CorrelationAnalysis))
