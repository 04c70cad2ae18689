"""Incidents: listing, counting and following them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, func, select, union

from ml.catalogue.root_causes import CulpritKind
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.incidents.changes import TOPIC, IncidentChange
from resolvers.incidents.filters import IncidentFilter, build_conditions
from resolvers.lists.listings import Listing, cached_listing
from resolvers.lists.pagination import Page, Window, fetch_page
from resolvers.store.events.followers import Events, filter_events
from resolvers.store.postgres.rows import Statement, compile_statement, fetch
from resolvers.store.tables.core import Anomaly, Link, Network
from resolvers.store.tables.incidents import Incident, IncidentLink
from resolvers.store.tables.recommendations import Recommendation


class IncidentOrder(StrEnum):
    WORST = "WORST"
    NEWEST = "NEWEST"
    OLDEST = "OLDEST"
    LAST_CHANGED = "LAST_CHANGED"


# ---------------------------------------------------------------- lists


def build_listing(
    context: Context, filter: IncidentFilter, order: IncidentOrder = IncidentOrder.WORST
) -> Listing[Incident]:
    """Returns the listing of all incidents that pass the filter."""
    values = filter.values(context.now)
    return _cached_listing(frozenset(values), order).with_values(values)


@cached_listing
def _cached_listing(names: frozenset[str], order: IncidentOrder) -> Listing[Incident]:
    keys, descending = _SORT_KEYS[order]
    return Listing(Incident, keys, descending, build_conditions(names))


_BY_START = (Incident.started_at, Incident.id)
_SORT_KEYS: dict[IncidentOrder, tuple[tuple[Any, ...], bool | tuple[bool, ...]]] = {
    IncidentOrder.WORST: ((Incident.severity, Incident.affected_link_count, *_BY_START), (True, True, False, False)),
    IncidentOrder.NEWEST: (_BY_START, True),
    IncidentOrder.OLDEST: (_BY_START, False),
    IncidentOrder.LAST_CHANGED: ((Incident.last_changed_at, Incident.id), True),
}


async def list_incidents(
    context: Context, filter: IncidentFilter, order: IncidentOrder, window: Window
) -> Page[Incident]:
    """Returns a page of the incidents that pass the filter."""
    context.require(Role.VIEWER, "see incidents")
    listing = build_listing(context, filter, order)
    return await fetch_page(context.database, listing, window, context.columns_of(Incident))


@cached_listing
def build_listing_of(kind: CulpritKind) -> Listing[Incident]:
    """Returns the lists of the incidents that affect each satellite, site, network or link, newest first."""
    own = _cached_listing(frozenset({"not merged"}), IncidentOrder.NEWEST)
    return replace(own, relation=_relate(kind), statements={})


def _relate(kind: CulpritKind) -> Select[Any, Any]:
    """Returns pairs of what is affected, or at fault, and an incident."""
    affected = select(_AFFECTED[kind].label("parent"), IncidentLink.incident_id.label("child"))
    joined = affected.join(Link, Link.id == IncidentLink.link_id).join(Network, Network.id == Link.network_id)
    pairs = (
        [joined]
        if kind is not CulpritKind.SITE
        else [joined, joined.with_only_columns(Network.hub_id.label("parent"), IncidentLink.incident_id.label("child"))]
    )
    at_fault = select(Incident.culprit_id.label("parent"), Incident.id.label("child"))
    return select(union(*pairs, at_fault.where(Incident.culprit_kind == kind)).subquery())


_AFFECTED: dict[CulpritKind, Any] = {
    CulpritKind.SATELLITE: Network.satellite_id,
    CulpritKind.SITE: Link.site_id,
    CulpritKind.NETWORK: Network.id,
    CulpritKind.LINK: Link.id,
}


@cached_listing
def build_link_listing() -> Listing[Link]:
    """Returns the lists of the links that each incident affects, by number."""
    pairs = select(IncidentLink.incident_id.label("parent"), IncidentLink.link_id.label("child"))
    return Listing(Link, (Link.number,), relation=pairs)


@cached_listing
def build_anomaly_listing() -> Listing[Anomaly]:
    """Returns the lists of each incident's anomalies, earliest first."""
    pairs = select(Anomaly.incident_id.label("parent"), Anomaly.id.label("child"))
    is_its_own = Anomaly.merged_into_id.is_(None)
    return Listing(Anomaly, (Anomaly.started_at, Anomaly.id), conditions=(is_its_own,), relation=pairs)


@cached_listing
def build_recommendation_listing() -> Listing[Recommendation]:
    """Returns the lists of each incident's present recommendations, best first."""
    pairs = select(Recommendation.incident_id.label("parent"), Recommendation.id.label("child"))
    order, is_present = (Recommendation.rank_score, Recommendation.id), Recommendation.superseded_at.is_(None)
    return Listing(Recommendation, order, descending=True, conditions=(is_present,), relation=pairs)


# ---------------------------------------------------------------- counts


@dataclass(frozen=True)
class IncidentCounts:
    """Numbers of incidents. by_severity: of every severity, the highest first."""

    total: int
    by_severity: dict[Severity, int]
    unowned: int


async def count_incidents(context: Context, filter: IncidentFilter) -> IncidentCounts:
    """Returns how many incidents pass the filter."""
    context.require(Role.VIEWER, "see incidents")
    listing = build_listing(context, filter)
    statement = listing.get_statement("by severity", lambda: _count_statement(listing))
    async with context.read_turn():
        rows = await fetch(context.database, statement, **listing.values)
    counts = {rank: (total, unowned) for rank, total, unowned in rows}
    by_severity = {severity: counts.get(severity.rank, (0, 0))[0] for severity in reversed(Severity)}
    return IncidentCounts(sum(by_severity.values()), by_severity, sum(unowned for _, unowned in counts.values()))


def _count_statement(listing: Listing[Incident]) -> Statement:
    unowned = func.count().filter(Incident.owner_id.is_(None))
    query: Any = select(Incident.severity, func.count(), unowned).where(*listing.conditions)
    return compile_statement(query.group_by(Incident.severity))


# ---------------------------------------------------------------- following


def follow_changes(
    context: Context, filter: IncidentFilter, changes: Sequence[IncidentChange], after: str | None
) -> Events:
    """Returns changes as they happen. Raises InvalidInput for a bad cursor at once; later Expired, Lagged."""
    context.require(Role.VIEWER, "follow incidents")
    wanted, matches = frozenset(changes), filter.build_matcher(context.services.clock)
    return filter_events(context.follow(TOPIC, after), lambda event: event.change in wanted and matches(event.facts))
