"""The culprit's own names, and those of what depends on it: the advice about a fault speaks of nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind
from resolvers.store.postgres.conditions import is_among
from resolvers.store.queries.labels import add_transponder, load_culprit_labels, load_labels, make_label
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import Link, Network, Satellite, Site, SiteRole

MOST_NAMED: Final = 3  # of several networks or hubs, in a sentence
Phrases = dict[str, str]  # by the names of `CasePhrases`


@dataclass(frozen=True)
class CulpritLabels:
    """What an operator calls a culprit, and what depends on it."""

    label: str | None  # "satellite SES-9, transponder 5K"; None: the row is gone
    phrases: Phrases = field(default_factory=dict)
    worst_link: int | None = None  # of those affected: the first that depends on the culprit
    mobile: bool | None = None  # whether its remote moves; None: it is not one remote's


async def load_labels_of_culprit(session: AsyncSession, culprit: Culprit, links: Sequence[int]) -> CulpritLabels:
    """Returns the culprit's labels. links: affected, worst first; those that do not depend on it are passed by."""
    key = (culprit.kind, culprit.key)
    label = (await load_culprit_labels(session, [culprit], {})).get(key)
    if label is None:
        return CulpritLabels(None)
    worst = await _find_worst(session, culprit, links)
    of_link = await load_labels(session, TargetKind.LINK, worst) if worst is not None else None
    phrases = {**(of_link.phrases if of_link else {}), **await _load_networks(session, culprit)}
    site = await session.get(Site, culprit.key) if culprit.kind is CulpritKind.SITE else None
    is_remote = site is not None and site.role is SiteRole.REMOTE
    if is_remote:
        phrases["site"] = label
    mobile = of_link.mobile if of_link and (is_remote or culprit.kind is CulpritKind.LINK) else None
    return CulpritLabels(add_transponder(label, culprit), phrases, worst, mobile)


def join_labels(word: str, names: Iterable[str]) -> str:
    """Returns 'network A', or 'networks A, B and C', or 'networks A, B, C and 4 more'."""
    each = [*dict.fromkeys(names)]
    if len(each) == 1:
        return make_label(word, each[0])
    if len(each) > MOST_NAMED + 1:
        each = [*each[:MOST_NAMED], f"{len(each) - MOST_NAMED} more"]
    return f"{word}s {', '.join(each[:-1])} and {each[-1]}"


async def _find_worst(session: AsyncSession, culprit: Culprit, links: Sequence[int]) -> int | None:
    query = select(Link.id).join(Network, Network.id == Link.network_id)
    under = set(await session.scalars(query.where(is_among(Link.id, links), _depends_on(culprit))))
    return next((link for link in links if link in under), None)


def _depends_on(culprit: Culprit) -> ColumnElement[bool]:
    """Whether a link, joined with its network, depends on the culprit."""
    match culprit.kind:
        case CulpritKind.SATELLITE:
            return _is_on(culprit)
        case CulpritKind.SITE:
            return or_(Network.hub_id == culprit.key, Link.site_id == culprit.key)
        case CulpritKind.NETWORK:
            return Network.id == culprit.key
        case CulpritKind.LINK:
            return Link.id == culprit.key


def _is_on(culprit: Culprit) -> ColumnElement[bool]:
    on_it = Network.transponder == culprit.transponder if culprit.transponder else true()
    return and_(Network.satellite_id == culprit.key, on_it)


async def _load_networks(session: AsyncSession, culprit: Culprit) -> Phrases:
    """Returns how the networks that depend on the culprit are called, with their hubs and satellites."""
    hub = aliased(Site)
    query = (
        select(Network.name, hub.name, Satellite.name, Network.transponder)
        .join(hub, hub.id == Network.hub_id)
        .join(Satellite, Satellite.id == Network.satellite_id)
        .where(_has_network(culprit))
        .order_by(Network.name, Network.id)
    )
    rows = (await session.execute(query)).all()
    if not rows:
        return {}
    networks, hubs, satellites, transponders = zip(*rows, strict=True)
    named = {"network": networks, "hub": hubs, "satellite": satellites}
    return {word: join_labels(word, names) for word, names in named.items()} | _name_transponder(transponders)


def _has_network(culprit: Culprit) -> ColumnElement[bool]:
    """Whether a network has links that depend on the culprit."""
    match culprit.kind:
        case CulpritKind.SATELLITE:
            return _is_on(culprit)
        case CulpritKind.NETWORK:
            return Network.id == culprit.key
        case CulpritKind.SITE:
            return or_(Network.hub_id == culprit.key, _is_of_link(Link.site_id == culprit.key))
        case CulpritKind.LINK:
            return _is_of_link(Link.id == culprit.key)


def _is_of_link(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return Network.id.in_(select(Link.network_id).where(condition))


def _name_transponder(transponders: Sequence[str | None]) -> Phrases:
    different = set(transponders)
    if len(different) > 1:
        return {"transponder": "the transponders in use"}
    [name] = different
    return {"transponder": make_label("transponder", name)} if name else {}
