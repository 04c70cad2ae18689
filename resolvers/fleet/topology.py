"""The topology: satellites, sites, networks, links."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sqlalchemy import Column, ColumnElement, Select, and_, exists, false, or_, select, union
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import String

from resolvers.base.errors import InvalidInput, to_camel_case
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.lists.listings import Listing, cached_listing
from resolvers.lists.pagination import Page, Window, fetch_page
from resolvers.store.postgres.advisory_locks import AdvisoryLock, lock
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.identifiers import LARGEST_INTEGER
from resolvers.store.postgres.rows import fetch_first
from resolvers.store.tables.core import Band, Link, Network, Satellite, Site, SiteRole, Table

Row = TypeVar("Row", bound=Table)

LARGEST_TOPOLOGY = 20_000  # of each kind at once
AT_ONCE = 1000  # rows that are made ready for the database before the event loop goes on
RANGES = {
    "number": (0, LARGEST_INTEGER),
    "latitude": (-90, 90),
    "longitude": (-180, 360),
    "antenna_diameter_m": (0.1, 100),
}


@dataclass(frozen=True)
class SatelliteSpec:
    name: str
    longitude: float | None = None


@dataclass(frozen=True)
class SiteSpec:
    number: int
    name: str
    role: SiteRole
    latitude: float | None = None
    longitude: float | None = None
    antenna_diameter_m: float | None = None
    mobile: bool = False


@dataclass(frozen=True)
class NetworkSpec:
    number: int
    name: str
    hub: int
    satellite: str
    transponder: str | None = None
    band: Band = Band.KU
    symbol_rate_ksps: float | None = None


@dataclass(frozen=True)
class LinkSpec:
    number: int
    name: str
    network: int
    site: int
    beam: str | None = None


@dataclass(frozen=True)
class TopologySpec:
    """References are names of satellites and numbers, of this input or of stored rows."""

    satellites: Sequence[SatelliteSpec] = field(default_factory=tuple)
    sites: Sequence[SiteSpec] = field(default_factory=tuple)
    networks: Sequence[NetworkSpec] = field(default_factory=tuple)
    links: Sequence[LinkSpec] = field(default_factory=tuple)


@dataclass(frozen=True)
class Topology:
    """How many rows of each were created or updated."""

    satellites: int
    sites: int
    networks: int
    links: int


async def upsert(context: Context, spec: TopologySpec) -> Topology:
    """Creates or updates everything, or nothing. Raises InvalidInput, which names the entry."""
    context.require(Role.ADMIN, "change the topology")
    await asyncio.to_thread(_check, spec)
    async with context.database.write() as session:
        await lock(session, AdvisoryLock.TOPOLOGY)
        await _upsert(session, Satellite, Satellite.name, [vars(s) for s in spec.satellites])
        await _upsert(session, Site, Site.number, [vars(s) for s in spec.sites])
        await _upsert(session, Network, Network.number, await _network_rows(session, spec.networks))
        await _upsert(session, Link, Link.number, await _link_rows(session, spec.links))
        await _keep_roles(session, spec.sites)
    return Topology(len(spec.satellites), len(spec.sites), len(spec.networks), len(spec.links))


async def _upsert(session: AsyncSession, entity: type[Table], key: Any, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    query = insert(cast("Any", entity.__table__))
    changed = {name: query.excluded[name] for name in rows[0] if name != key.key}
    query = query.on_conflict_do_update(index_elements=[key.key], set_=changed)
    for start in range(0, len(rows), AT_ONCE):
        await session.execute(query, rows[start : start + AT_ONCE])


async def _network_rows(session: AsyncSession, specs: Sequence[NetworkSpec]) -> list[dict[str, Any]]:
    hub_sites = select(Site.number, Site.id).where(Site.role == SiteRole.HUB)
    hubs = await _find_ids(session, hub_sites, Site.number, [s.hub for s in specs])
    by_name = select(Satellite.name, Satellite.id)
    satellites = await _find_ids(session, by_name, Satellite.name, [s.satellite for s in specs])
    for index, spec in enumerate(specs):
        _check_reference(hubs, spec.hub, "site with the role HUB", ["networks", str(index), "hub"])
        _check_reference(satellites, spec.satellite, "satellite", ["networks", str(index), "satellite"])
    return [
        {
            "number": s.number,
            "name": s.name,
            "hub_id": hubs[s.hub],
            "satellite_id": satellites[s.satellite],
            "transponder": s.transponder,
            "band": s.band,
            "symbol_rate_ksps": s.symbol_rate_ksps,
        }
        for s in specs
    ]


async def _link_rows(session: AsyncSession, specs: Sequence[LinkSpec]) -> list[dict[str, Any]]:
    networks = await _find_ids(session, select(Network.number, Network.id), Network.number, [s.network for s in specs])
    remotes = select(Site.number, Site.id).where(Site.role == SiteRole.REMOTE)
    sites = await _find_ids(session, remotes, Site.number, [s.site for s in specs])
    for index, spec in enumerate(specs):
        _check_reference(networks, spec.network, "network", ["links", str(index), "network"])
        _check_reference(sites, spec.site, "site with the role REMOTE", ["links", str(index), "site"])
    return [
        {
            "number": s.number,
            "name": s.name,
            "network_id": networks[s.network],
            "site_id": sites[s.site],
            "beam": s.beam,
        }
        for s in specs
    ]


async def _find_ids(session: AsyncSession, query: Select[Any, Any], key: Any, wanted: Iterable[Any]) -> dict[Any, int]:
    rows = await session.execute(query.where(is_among(key, set(wanted))))
    return {name: id for name, id in rows.all()}  # noqa: C416  a row is no pair to the type checker


def _check_reference(known: dict[Any, int], reference: Any, what: str, path: list[str]) -> None:
    if reference not in known:
        raise InvalidInput(f"There is no {what} {reference!r}.", ["input", *path])


async def _keep_roles(session: AsyncSession, specs: Sequence[SiteSpec]) -> None:
    """Raises InvalidInput if a hub of networks, or a remote site of links, would change its role."""
    given = {spec.number: index for index, spec in enumerate(specs)}
    misused = or_(
        and_(Site.role != SiteRole.HUB, exists().where(Network.hub_id == Site.id)),
        and_(Site.role != SiteRole.REMOTE, exists().where(Link.site_id == Site.id)),
    )
    number = await session.scalar(
        select(Site.number).where(is_among(Site.number, given), misused).order_by(Site.number)
    )
    if number is not None:
        message = f"Site {number} cannot change its role: networks have it as their hub, or links as their remote site."
        raise InvalidInput(message, ["input", "sites", str(given[number]), "role"])


def _check(spec: TopologySpec) -> None:
    for name, entries, key in (
        ("satellites", spec.satellites, "name"),
        ("sites", spec.sites, "number"),
        ("networks", spec.networks, "number"),
        ("links", spec.links, "number"),
    ):
        seen: set[Any] = set()
        for index, entry in enumerate(entries):
            _check_entry(entry, ["input", name, str(index)])
            identity = getattr(entry, key)
            if identity in seen:
                raise InvalidInput(f"{identity!r} is listed twice.", ["input", name, str(index), key])
            seen.add(identity)


def _check_entry(entry: Any, path: list[str]) -> None:
    if not entry.name.strip():
        raise InvalidInput("A name must not be empty.", [*path, "name"])
    for name, longest in (("name", 200), ("satellite", 200), ("transponder", 100), ("beam", 100)):
        text = getattr(entry, name, None) or ""
        if len(text) > longest or "\0" in text:
            raise InvalidInput(f"{name} has at most {longest} characters, none of them U+0000.", [*path, name])
    ranges = (
        ("number", 0, LARGEST_INTEGER),
        ("latitude", -90, 90),
        ("longitude", -180, 360),
        ("antenna_diameter_m", 0.1, 100),
        ("symbol_rate_ksps", 0.001, 1e7),
    )
    for name, low, high in ranges:
        value = getattr(entry, name, None)
        if value is not None and not low <= value <= high:
            shown = to_camel_case(name)
            raise InvalidInput(f"{shown} must be between {low} and {high}, and is {value:g}.", [*path, shown])


# ---------------------------------------------------------------- lists


@cached_listing
def satellites() -> Listing[Satellite]:
    return Listing(Satellite, (Satellite.name,))


@cached_listing
def sites(role: SiteRole | None = None, search: str | None = None) -> Listing[Site]:
    conditions = [Site.role == role] if role else []
    return Listing(Site, (Site.number,), conditions=(*conditions, *_search_conditions(Site, search)))


@cached_listing
def networks(search: str | None = None) -> Listing[Network]:
    return Listing(Network, (Network.number,), conditions=_search_conditions(Network, search))


@cached_listing
def links(search: str | None = None) -> Listing[Link]:
    return Listing(Link, (Link.number,), conditions=_search_conditions(Link, search))


def _search_conditions(entity: type[Site | Network | Link], search: str | None) -> tuple[ColumnElement[bool], ...]:
    """Returns conditions: a part of the name, in any case, or the beginning of the number."""
    if not search:
        return ()
    if "\0" in search:  # which PostgreSQL knows no text with
        return (false(),)
    number = sql_cast(entity.number, String).startswith(search, autoescape=True)
    return (or_(entity.name.icontains(search, autoescape=True), number),)


def _related(parent: Column[int] | Any, child: Column[int] | Any) -> Select[Any, Any]:
    return select(parent.label("parent"), child.label("child"))


@cached_listing
def satellite_networks() -> Listing[Network]:
    return Listing(Network, (Network.number,), relation=_related(Network.satellite_id, Network.id))


@cached_listing
def network_links() -> Listing[Link]:
    return Listing(Link, (Link.number,), relation=_related(Link.network_id, Link.id))


@cached_listing
def site_networks() -> Listing[Network]:
    """The networks that a hub's antenna serves, or that a remote site takes part in."""
    pairs = union(_related(Network.hub_id, Network.id), _related(Link.site_id, Link.network_id)).subquery()
    return Listing(Network, (Network.number,), relation=select(pairs))


@cached_listing
def site_links() -> Listing[Link]:
    """The links of a remote site, or of the networks of a hub."""
    through_hub = _related(Network.hub_id, Link.id).join(Link, Link.network_id == Network.id)
    pairs = union(_related(Link.site_id, Link.id), through_hub).subquery()
    return Listing(Link, (Link.number,), relation=select(pairs))


async def list_rows(context: Context, listing: Listing[Row], window: Window) -> Page[Row]:
    """Returns a page of any list above. Raises Busy if too many search."""
    context.require(Role.VIEWER, "see the fleet")
    async with context.read_turn() if listing.conditions else nullcontext():
        return await fetch_page(context.database, listing, window, context.columns_of(listing.entity))


async def find(context: Context, entity: type[Row], **key: str | int) -> Row | None:
    """Returns the row with this name or number, or None."""
    context.require(Role.VIEWER, "see the fleet")
    if any("\0" in str(value) for value in key.values()):
        return None
    return await fetch_first(context.database, entity, context.columns_of(entity), **key)
