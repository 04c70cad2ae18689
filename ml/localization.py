"""Who is at fault, and why: every pair of culprit and cause that could explain an event, weighed against each other.

The links and what they share are a graph: satellite, transponder, network, hub; network, link, site. A hypothesis says
which directions ought to be hit; those hit elsewhere and those healthy within speak against it, whatever was not
measured is silent. What the hit ones show is held against the cause's signature.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.causes import CulpritKind, RootCause
from ml.events import Event
from ml.plant import Bools, Plant
from ml.shown import Shown
from ml.signatures import SIGNATURES, Feature, Signature, at_least, at_most

HIT_IF_MEMBER: Final = 0.96
MOST_MEMBERS: Final = 12  # count: those of a larger group are no independent witnesses
UNEXPLAINED: Final = 14.0  # nats, were all hits elsewhere
MOST_OF_ONE_LINK: Final = 8  # links hit: of more, no single one can be at fault
HOPELESS: Final = 16.0  # nats
UNKNOWN_SCORE: Final = -11.0  # nats: an explanation must be better than none
BALANCES: Final = {RootCause.ANTENNA_ALIGNMENT: at_least(0.15, 0.25), RootCause.ANTENNA_MISALIGNMENT: at_most(0.5, 0.3)}


@dataclass(frozen=True)
class Suspect:
    """A culprit with the streams (streams,) that it would hit; `index` is that of the plant."""

    kind: CulpritKind
    index: int
    members: Bools


@dataclass(frozen=True)
class Explanation:
    """score: log-likelihood, nats; against: what of it each part costs."""

    cause: RootCause
    suspect: Suspect | None
    signature: Signature | None
    score: float
    against: dict[str, float]
    features: dict[Feature, float]
    probability: float = 0.0


def explanations(plant: Plant, event: Event, seen: Shown) -> list[Explanation]:
    """All that are possible; for each culprit and cause the best signature. The last resort is UNKNOWN."""
    best = dict[tuple[RootCause, CulpritKind, int], Explanation]()
    known = dict[bytes, dict[Feature, float]]()
    for signature in SIGNATURES:
        if event.channel not in signature.channels:
            continue
        for way in signature.ways:
            for suspect in _suspects(plant, event, seen, signature, way):
                one = _weighed(event, seen, signature, suspect, way, known)
                if one is None:
                    continue
                key = (one.cause, suspect.kind, suspect.index)
                if key not in best or best[key].score < one.score:
                    best[key] = one
    best[RootCause.UNKNOWN, CulpritKind.LINK, -1] = Explanation(RootCause.UNKNOWN, None, None, UNKNOWN_SCORE, {}, {})
    return list(best.values())


# ---------------------------------------------------------------- suspects


def _suspects(plant: Plant, event: Event, seen: Shown, signature: Signature, way: str) -> Iterator[Suspect]:
    """Whoever has to do with a link that is hit."""
    links = len(plant.links)
    hit_links = np.unique(event.hits % links)
    ways = np.concatenate([np.full(links, way != "OB"), np.full(links, way != "IB")])

    def shared(kind: CulpritKind, index: int, of: Bools) -> Suspect:
        return Suspect(kind, index, np.tile(of, 2) & ways)

    if signature.culprit is CulpritKind.LINK:
        if signature.cause is RootCause.CONGESTION:  # of a carrier: a link's only where it has one to itself
            alone = np.bincount(plant.network) == 1
            hit_links = hit_links[alone[plant.network[hit_links]]]
        for link in hit_links.tolist() if len(hit_links) <= MOST_OF_ONE_LINK else ():
            yield shared(CulpritKind.LINK, link, np.arange(links) == link)
    elif signature.culprit is CulpritKind.NETWORK:
        for network in np.unique(plant.network[hit_links]).tolist():
            yield shared(CulpritKind.NETWORK, network, plant.network == network)
    elif signature.culprit is CulpritKind.SATELLITE:
        for transponder in np.unique(plant.transponder[hit_links]).tolist():
            index = int(plant.transponder_satellite[transponder])
            yield shared(CulpritKind.SATELLITE, index, plant.transponder == transponder)
    elif signature.cause in (RootCause.POWER_OUTAGE, RootCause.BLOCKAGE):
        sites = np.unique(plant.site[hit_links]).tolist()
        for site in sites if len(sites) <= MOST_OF_ONE_LINK else ():
            yield shared(CulpritKind.SITE, site, plant.site == site)
        if signature.cause is RootCause.POWER_OUTAGE:
            for hub in np.unique(plant.hub[hit_links]).tolist():
                yield shared(CulpritKind.SITE, hub, plant.hub == hub)
    else:
        yield from _open_air(plant, event, seen, signature, way, shared)


def _open_air(plant: Plant, event: Event, seen: Shown, signature: Signature, way: str, shared) -> Iterator[Suspect]:  # type: ignore[no-untyped-def]
    """Hub antennas, rain and sun."""
    links = len(plant.links)
    hit_links = np.unique(event.hits % links)
    hubs = np.unique(plant.hub[hit_links]).tolist()
    wet = plant.networks.band[plant.network] != "C"  # which rain hardly dims
    if signature.cause is RootCause.ANTENNA_ALIGNMENT:
        for hub in hubs:
            yield shared(CulpritKind.SITE, hub, plant.hub == hub)
    elif signature.cause is RootCause.SUN_TRANSIT and way == "IB":
        for hub in hubs:
            for satellite in np.unique(plant.satellite[hit_links[plant.hub[hit_links] == hub]]).tolist():
                yield shared(CulpritKind.SITE, hub, (plant.hub == hub) & (plant.satellite == satellite))
    elif signature.cause is RootCause.SUN_TRANSIT:
        satellites = np.unique(plant.satellite[hit_links]).tolist()
        for satellite in satellites:
            of = np.isin(np.arange(links), hit_links) & (plant.satellite == satellite)
            yield shared(CulpritKind.SATELLITE, satellite, of)
    elif signature.cause is RootCause.RAIN_FADE and signature.at_hub:
        for hub in hubs:
            yield shared(CulpritKind.SITE, hub, (plant.hub == hub) & wet)
    else:
        yield shared(CulpritKind.SITE, seen.centre, np.isin(np.arange(links), hit_links) & wet)



# ---------------------------------------------------------------- weighing


def _weighed(  # noqa: PLR0913, PLR0917
    event: Event, seen: Shown, signature: Signature, suspect: Suspect, way: str, known: dict[bytes, dict[Feature, float]]
) -> Explanation | None:
    """None where it is so poor that its features need not be looked at."""
    against = {"rarity": signature.rarity + signature.way_cost(way)} | _coverage(event, signature, suspect)
    if signature.cause is RootCause.RAIN_FADE and not signature.at_hub:
        against["coincidence"] = seen.coincidence
    if sum(against.values()) > HOPELESS:
        return None
    features = known.setdefault(suspect.members.tobytes(), {}) or seen.features(suspect.members)
    known[suspect.members.tobytes()] = features
    for feature, interval in signature.expects.items():
        against[feature.value] = interval.against(features[feature])
    if signature.cause in BALANCES:
        against[Feature.BALANCE.value] = BALANCES[signature.cause].against(features[Feature.BALANCE])
    return Explanation(signature.cause, suspect, signature, -sum(against.values()), against, features)


def _coverage(event: Event, signature: Signature, suspect: Suspect) -> dict[str, float]:
    """Nats against a suspect: for its healthy members, and for hits that it does not explain."""
    weight = event.hit * event.evidence
    members = suspect.members & event.evidence
    inside, count = float(weight[members].sum()), int(members.sum())
    if not count:
        return {"healthy": 6.0, "elsewhere": UNEXPLAINED}
    share = inside / count
    cost = -(share * np.log(HIT_IF_MEMBER) + (1.0 - share) * np.log(1.0 - HIT_IF_MEMBER))
    elsewhere = float(weight.sum()) - inside
    return {
        "healthy": float(signature.misses * min(count, MOST_MEMBERS) * cost),
        "elsewhere": UNEXPLAINED * elsewhere / max(1e-6, float(weight.sum())),
    }
