"""Labels: names of a target, and of what it depends on, as phrases for a person: "hub Singapore", "link Aurora"."""

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

TargetKey = tuple[CulpritKind, int]  # the id of a row of this kind


@dataclass(frozen=True)
class TargetLabels:
    """The labels of a target and of what it depends on."""

    phrases: Mapping[str, str] = field(default_factory=dict)  # by the names of `CasePhrases`; only what is unambiguous
    by_key: Mapping[TargetKey, str] = field(default_factory=dict)
    links: int = 1  # that depend on it
    mobile: bool | None = None  # whether its remote moves; None: it is not one remote's

    @property
    def suffix(self) -> str:
        """' (network 7, hub Fucino)', to stand behind a link's or a network's name."""
        parts = [self.phrases[name] for name in ("network", "hub") if name in self.phrases]
        return f" ({', '.join(parts)})" if parts else ""


async def load_labels(session: AsyncSession, kind: TargetKind, key: int) -> TargetLabels:
    """Returns the labels of a link, a network or a site. A remote depends on what its link does, a hub on itself."""
    match kind:
        case TargetKind.LINK:
            return await _load_network_labels(session, Link.id == key)
        case TargetKind.NETWORK:
            return await _load_network_labels(session, Network.id == key)
        case TargetKind.SITE:
            return await _load_site_labels(session, key)


async def _load_network_labels(session: AsyncSession, condition: Any) -> TargetLabels:
    """Returns the labels of a network and of the link that the condition selects, if it is only one."""
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
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return TargetLabels()
    network, own_hub, satellite, link, site, links = row
    phrases = {
        "network": make_label("network", network.name),
        "hub": make_label("hub", own_hub.name),
        "satellite": make_label("satellite", satellite.name),
    }
    if network.transponder:
        phrases["transponder"] = make_label("transponder", network.transponder)
    by_key = {
        (CulpritKind.NETWORK, network.id): phrases["network"],
        (CulpritKind.SITE, own_hub.id): phrases["hub"],
    }
    if links == 1 and link is not None:
        phrases |= {"link": make_label("link", link.name), "site": make_label("remote", site.name)}
        phrases["links"] = phrases["link"]
        by_key |= {(CulpritKind.LINK, link.id): phrases["link"], (CulpritKind.SITE, site.id): phrases["site"]}
    mobile = site.mobile if links == 1 and site is not None else None
    return TargetLabels(phrases, by_key, max(1, links), mobile)


async def _load_site_labels(session: AsyncSession, key: int) -> TargetLabels:
    site = await session.get(Site, key)
    if site is None:
        return TargetLabels()
    own_key = (CulpritKind.SITE, key)
    if site.role is SiteRole.HUB:
        own = make_label("hub", site.name)
        query = select(func.count()).select_from(Link).join(Network, Network.id == Link.network_id)
        links = await session.scalar(query.where(Network.hub_id == key))
        return TargetLabels({"hub": own, "site": own}, {own_key: own}, max(1, links or 0), site.mobile)
    own = make_label("remote", site.name)
    network = await _load_network_labels(session, Link.site_id == key)
    return TargetLabels({**network.phrases, "site": own}, {**network.by_key, own_key: own}, network.links, site.mobile)


async def load_culprit_labels(
    session: AsyncSession, culprits: Iterable[Culprit], loaded: Mapping[TargetKey, str]
) -> dict[TargetKey, str]:
    """Returns a label for each culprit, beside those that are loaded already."""
    labels = dict(loaded)
    wanted = {(culprit.kind, culprit.key) for culprit in culprits} - set(labels)
    for kind in sorted({kind for kind, _ in wanted}):
        rows = await session.scalars(select(_TABLES[kind]).where(is_among(_TABLES[kind].id, _ids_of(wanted, kind))))
        labels |= {(kind, row.id): _label_row(row) for row in rows}
    return labels


def add_transponder(label: str, culprit: Culprit) -> str:
    """Returns a culprit's label with its transponder, if it has one: "satellite SES-9, transponder 5K"."""
    return f"{label}, {make_label('transponder', culprit.transponder)}" if culprit.transponder else label


def _ids_of(wanted: Iterable[TargetKey], kind: CulpritKind) -> list[int]:
    return sorted(key for of, key in wanted if of is kind)


def _label_row(row: Any) -> str:
    if isinstance(row, Site):
        return make_label("hub" if row.role is SiteRole.HUB else "remote", row.name)
    return make_label(type(row).__name__.lower(), row.name)


def make_label(word: str, name: str) -> str:
    """Returns the name with this word before it, unless the name has it already."""
    return name if word in name.lower() else f"{word} {name}"


_TABLES: Final[dict[CulpritKind, Any]] = {
    CulpritKind.SATELLITE: Satellite,
    CulpritKind.SITE: Site,
    CulpritKind.NETWORK: Network,
    CulpritKind.LINK: Link,
}
