"""Where a target is in the topology, in phrases for a person: "hub Singapore", "link Aurora"."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import Link, Network, Satellite, Site, SiteRole

Key = tuple[CulpritKind, int]


@dataclass(frozen=True)
class Place:
    """What a target depends on, in phrases; those of what it has none of, or several, are missing.

    named: the same by kind and key. links: how many depend on it. mobile: whether the remote moves, if it is of one.
    """

    phrases: Mapping[str, str] = field(default_factory=dict)  # by the names of `Facts`
    named: Mapping[Key, str] = field(default_factory=dict)
    links: int = 1
    mobile: bool | None = None

    @property
    def around(self) -> str:
        """' (network 7, hub Fucino)', to stand behind a link's or a network's name."""
        known = [self.phrases[name] for name in ("network", "hub") if name in self.phrases]
        return f" ({', '.join(known)})" if known else ""


async def place(session: AsyncSession, kind: TargetKind, key: int) -> Place:
    """Of a link, of a network, or of a site: a remote is where its link is, a hub depends on nothing but itself."""
    match kind:
        case TargetKind.LINK:
            return await _of_network(session, Link.id == key)
        case TargetKind.NETWORK:
            return await _of_network(session, Network.id == key)
        case TargetKind.SITE:
            return await _of_site(session, key)


async def _of_network(session: AsyncSession, condition: Any) -> Place:
    """A network, with the first of those of its links that are meant, and how many these are."""
    hub, remote = aliased(Site), aliased(Site)
    query = (
        select(Network, hub, Satellite, Link, remote, func.count().over())
        .join(hub, hub.id == Network.hub_id)
        .join(Satellite, Satellite.id == Network.satellite_id)
        .outerjoin(Link, Link.network_id == Network.id)
        .outerjoin(remote, remote.id == Link.site_id)
        .where(condition)
        .order_by(Link.id)
        .limit(1)
    )
    found = (await session.execute(query)).one_or_none()
    if found is None:
        return Place()
    network, own_hub, satellite, link, site, links = found
    phrases = {
        "network": phrase("network", network.name),
        "hub": phrase("hub", own_hub.name),
        "satellite": phrase("satellite", satellite.name),
    }
    if network.transponder:
        phrases["transponder"] = phrase("transponder", network.transponder)
    named = {
        (CulpritKind.NETWORK, network.id): phrases["network"],
        (CulpritKind.SITE, own_hub.id): phrases["hub"],
    }
    if links == 1 and link is not None:
        phrases |= {"link": phrase("link", link.name), "site": phrase("remote", site.name)}
        phrases["links"] = phrases["link"]
        named |= {(CulpritKind.LINK, link.id): phrases["link"], (CulpritKind.SITE, site.id): phrases["site"]}
    return Place(phrases, named, max(1, links), site.mobile if links == 1 and site is not None else None)


async def _of_site(session: AsyncSession, key: int) -> Place:
    site = await session.get(Site, key)
    if site is None:
        return Place()
    if site.role is SiteRole.HUB:
        own = phrase("hub", site.name)
        query = select(func.count()).select_from(Link).join(Network, Network.id == Link.network_id)
        links = await session.scalar(query.where(Network.hub_id == key))
        return Place({"hub": own, "site": own}, {(CulpritKind.SITE, key): own}, max(1, links or 0), site.mobile)
    own = phrase("remote", site.name)
    found = await _of_network(session, Link.site_id == key)
    return Place(
        {**found.phrases, "site": own}, {**found.named, (CulpritKind.SITE, key): own}, found.links, site.mobile
    )


async def names(session: AsyncSession, culprits: Iterable[Culprit], known: Mapping[Key, str]) -> dict[Key, str]:
    """A phrase for each that may be at fault: those known already, and the others."""
    found = dict(known)
    wanted = {(one.kind, one.key) for one in culprits} - set(found)
    for kind in sorted({kind for kind, _ in wanted}):
        rows = await session.scalars(select(_TABLES[kind]).where(is_among(_TABLES[kind].id, _keys(wanted, kind))))
        found |= {(kind, row.id): _called(row) for row in rows}
    return found


def _keys(wanted: Iterable[Key], kind: CulpritKind) -> list[int]:
    return sorted(key for of, key in wanted if of is kind)


def _called(row: Any) -> str:
    if isinstance(row, Site):
        return phrase("hub" if row.role is SiteRole.HUB else "remote", row.name)
    return phrase(type(row).__name__.lower(), row.name)


def phrase(word: str, name: str) -> str:
    """The name with what it is of before it, unless it says that itself."""
    return name if word in name.lower() else f"{word} {name}"


_TABLES: Final[dict[CulpritKind, Any]] = {
    CulpritKind.SATELLITE: Satellite,
    CulpritKind.SITE: Site,
    CulpritKind.NETWORK: Network,
    CulpritKind.LINK: Link,
}
