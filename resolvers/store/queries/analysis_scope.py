"""The links of an analysis: those in scope, some around them for comparison, and the topology of all."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.catalogue.topology import NetworkArrays, SiteArrays, Topology
from ml.numerics.arrays import Integers
from ml.numerics.geodesy import KM_PER_DEGREE
from resolvers.store.tables.analyses import AnalysisScope

if TYPE_CHECKING:
    import asyncpg

    from resolvers.store.postgres.database import Connection

    Record = asyncpg.Record

SIBLINGS: Final = 8  # links of a single link's own network
SIBLINGS_OF_SET: Final = 24  # further links of each network that a set of links touches
TOUCHED: Final = 6  # networks of a set whose further links are read
CENTRES: Final = 12  # links of a set around which the nearest are read
RELATED: Final = 10  # networks that share the hub or a transponder
OF_RELATED: Final = 8  # links of each
CONTRASTS: Final = 3  # networks on other transponders of a satellite
OF_CONTRAST: Final = 2  # links of each
NEAREST: Final = 8  # links around a single one that have the same weather
NEAR_KM: Final = 60.0


@dataclass(frozen=True)
class Scope:
    """What an analysis is about. key: of the satellite, the hub's site, the network or the link."""

    kind: AnalysisScope
    key: int

    @property
    def condition(self) -> tuple[str, int]:
        """SQL that is true of the links in scope, and its parameter `$1`."""
        return _IN_SCOPE[self.kind], self.key

    @property
    def centres(self) -> list[int]:
        """The links around which the nearest remotes are read."""
        return [self.key] if self.kind is AnalysisScope.LINK else []

    @property
    def siblings(self) -> int:
        """How many further links of a network that it touches tell whether the fault is the network's."""
        return SIBLINGS if self.kind is AnalysisScope.LINK else 0


@dataclass(frozen=True)
class LinkSet:
    """What an analysis is about: any links, whatever they share, such as those of an incident."""

    links: tuple[int, ...]

    @property
    def condition(self) -> tuple[str, list[int]]:
        """As `Scope.condition`."""
        return "links.id = ANY($1::int[])", [*self.links]

    @property
    def centres(self) -> list[int]:
        """As `Scope.centres`; of many links some, evenly."""
        return [*self.links[:: -(-len(self.links) // CENTRES) or 1]]

    @property
    def siblings(self) -> int:
        """As `Scope.siblings`."""
        return SIBLINGS_OF_SET


@dataclass(frozen=True)
class Groups:
    """Possible culprits of many links. sites: hubs and remotes. transponders: satellite and name, None if unnamed."""

    networks: Collection[int] = ()
    sites: Collection[int] = ()
    transponders: Collection[tuple[int, str | None]] = ()

    def __bool__(self) -> bool:
        return bool(self.networks or self.sites or self.transponders)


_IN_SCOPE: Final = {
    AnalysisScope.NETWORK: "network_id = $1",
    AnalysisScope.HUB_ANTENNA: "hub_id = $1",
    AnalysisScope.SATELLITE: "satellite_id = $1",
    AnalysisScope.LINK: "links.id = $1",
}
_LINKS: Final = "links JOIN networks ON networks.id = network_id"


async def list_links(connection: "Connection", scope: Scope | LinkSet) -> list[int]:
    """Returns the links in scope, ascending."""
    condition, key = scope.condition
    query = f"SELECT links.id FROM {_LINKS} WHERE {condition} ORDER BY links.id"  # noqa: S608
    return [record[0] for record in await connection.fetch(query, key)]


async def find_first_open(connection: "Connection", scope: Scope | LinkSet, at: datetime) -> datetime | None:
    """Returns when the oldest anomaly began that is open at a time on the links in scope, their networks or sites."""
    condition, key = scope.condition
    own = f"WITH own AS (SELECT links.id, network_id, site_id, hub_id FROM {_LINKS} WHERE {condition})"  # noqa: S608
    started_at: datetime | None = await connection.fetchval(own + _FIRST_OPEN, key, at)
    return started_at


_FIRST_OPEN: Final = """
SELECT min(started_at) FROM anomalies WHERE started_at < $2 AND (ended_at IS NULL OR ended_at >= $2) AND (
  (kind = 'LINK' AND target_id IN (SELECT id FROM own))
  OR (kind = 'NETWORK' AND target_id IN (SELECT network_id FROM own))
  OR (kind = 'SITE' AND target_id IN (SELECT site_id FROM own UNION SELECT hub_id FROM own)))"""


async def list_links_around(connection: "Connection", scope: Scope | LinkSet) -> list[int]:
    """Returns links around the scope that tell culprits of other levels apart: some hundred, always the same."""
    condition, key = scope.condition
    networks = await connection.fetch(
        f"WITH own AS (SELECT DISTINCT networks.* FROM {_LINKS} WHERE {condition})"  # noqa: S608
        " SELECT one.id, bool_or(one.id = own.id) AS own, bool_or(one.hub_id = own.hub_id) AS same_hub,"
        " bool_or(one.satellite_id = own.satellite_id AND one.transponder IS NOT DISTINCT FROM own.transponder)"
        " AS same_transponder FROM networks AS one"
        " JOIN own ON one.hub_id = own.hub_id OR one.satellite_id = own.satellite_id GROUP BY one.id ORDER BY one.id",
        key,
    )
    shares = _shares(scope, networks)
    chosen = await connection.fetch(_EVENLY.format(condition), key, list(shares), [*shares.values()])
    near = await connection.fetch(_NEAR.format(condition), key, scope.centres) if scope.centres else []
    return sorted({record[0] for record in [*chosen, *near]})


def _shares(scope: Scope | LinkSet, networks: "Sequence[Record]") -> dict[int, int]:
    """Returns how many links to take of which networks; those that share most with the scope come first."""
    own = [network["id"] for network in networks if network["own"]][:TOUCHED] if scope.siblings else []
    others = [network for network in networks if not network["own"]]
    sharing = [network for network in others if network["same_hub"] or network["same_transponder"]]
    sharing.sort(key=lambda network: network["same_hub"] + network["same_transponder"], reverse=True)
    related = [network["id"] for network in sharing[:RELATED]]
    contrasts = [network["id"] for network in others if network not in sharing][:CONTRASTS]
    return (
        dict.fromkeys(own, scope.siblings) | dict.fromkeys(related, OF_RELATED) | dict.fromkeys(contrasts, OF_CONTRAST)
    )


_EVENLY: Final = f"""
SELECT id FROM (
  SELECT links.id, wanted, row_number() OVER same AS place, count(*) OVER (PARTITION BY network_id) AS size
  FROM unnest($2::int[], $3::int[]) AS share (network, wanted) JOIN {_LINKS} ON networks.id = share.network
  WHERE NOT {{}} WINDOW same AS (PARTITION BY network_id ORDER BY links.id)
) AS placed WHERE place * wanted / size > (place - 1) * wanted / size"""  # noqa: S608
_NEAR: Final = f"""
SELECT DISTINCT found.id FROM
  (SELECT latitude, longitude FROM sites JOIN links ON sites.id = site_id
    WHERE links.id = ANY($2::int[]) AND NOT mobile) AS here,
  LATERAL (SELECT links.id FROM {_LINKS} JOIN sites ON sites.id = site_id,
    LATERAL (SELECT abs(sites.longitude - here.longitude) AS degrees) AS east,
    LATERAL (SELECT {KM_PER_DEGREE} * sqrt((sites.latitude - here.latitude) ^ 2
      + (least(degrees, abs(360 - degrees)) * cosd(here.latitude)) ^ 2) AS km) AS distance
    WHERE NOT {{}} AND NOT mobile AND km <= {NEAR_KM} ORDER BY km, links.id LIMIT {NEAREST}) AS found"""  # noqa: S608


async def list_members(connection: "Connection", groups: Groups, known: Collection[int], most: int) -> list[int]:
    """Returns at most `most` further links of these groups, besides the known ones."""
    satellites, names = [key for key, _ in groups.transponders], [name for _, name in groups.transponders]
    records = await connection.fetch(
        f"SELECT links.id FROM {_LINKS} WHERE NOT links.id = ANY($1::int[]) AND (network_id = ANY($2::int[])"  # noqa: S608
        " OR hub_id = ANY($3::int[]) OR site_id = ANY($3::int[])"
        " OR EXISTS (SELECT FROM unnest($4::int[], $5::text[]) AS of (satellite, name)"
        " WHERE of.satellite = satellite_id AND of.name IS NOT DISTINCT FROM transponder))"
        " ORDER BY links.id LIMIT $6",
        list(known),
        list(groups.networks),
        list(groups.sites),
        satellites,
        names,
        most,
    )
    return [record[0] for record in records]


# ---------------------------------------------------------------- as arrays


async def load_topology(connection: "Connection", links: Collection[int], in_scope: Collection[int]) -> Topology:
    """Returns the topology of these links, ascending. The transponder of a network that names none is ''."""
    return _build_topology(await connection.fetch(_WIDE, list(links)), in_scope)


_SITE: Final = ("name", "latitude", "longitude", "antenna_diameter_m", "mobile")
_WIDE: Final = f"""
SELECT links.id AS link, links.name AS link_name, network_id, networks.name AS network_name, band, site_id, hub_id,
  satellite_id, coalesce(transponder, '') AS transponder, satellites.name AS satellite_name,
  satellites.longitude AS satellite_longitude,
  {", ".join(f"remote.{column} AS remote_{column}, hub.{column} AS hub_{column}" for column in _SITE)}
FROM {_LINKS} JOIN sites AS remote ON remote.id = site_id JOIN sites AS hub ON hub.id = hub_id
  JOIN satellites ON satellites.id = satellite_id
WHERE links.id = ANY($1::int[]) ORDER BY links.id"""  # noqa: S608


def _build_topology(records: "Sequence[Record]", in_scope: Collection[int]) -> Topology:
    networks = _Numbered(records, lambda one: one["network_id"])
    satellites = _Numbered(records, lambda one: one["satellite_id"])
    transponders = _Numbered(records, lambda one: (one["satellite_id"], one["transponder"]))
    sites = {one["site_id"]: [one[f"remote_{column}"] for column in _SITE] for one in records}
    sites |= {one["hub_id"]: [one[f"hub_{column}"] for column in _SITE] for one in records}
    site_at = {key: place for place, key in enumerate(sites)}
    links = _integers(one["link"] for one in records)
    return Topology(
        links=links,
        link_names=tuple(one["link_name"] for one in records),
        network=_integers(networks.place(one) for one in records),
        site=_integers(site_at[one["site_id"]] for one in records),
        in_scope=np.isin(links, list(in_scope)),
        networks=NetworkArrays(
            _integers(networks.keys),
            tuple(one["network_name"] for one in networks.rows),
            _integers(site_at[one["hub_id"]] for one in networks.rows),
            _integers(satellites.place(one) for one in networks.rows),
            _integers(transponders.place(one) for one in networks.rows),
            np.array([one["band"] for one in networks.rows], dtype=np.str_),
        ),
        sites=_places(sites),
        satellites=_integers(satellites.keys),
        satellite_names=tuple(one["satellite_name"] for one in satellites.rows),
        satellite_longitude=np.array([one["satellite_longitude"] for one in satellites.rows], dtype=np.float64),
        transponder_names=tuple(one["transponder"] for one in transponders.rows),
        transponder_satellite=_integers(satellites.place(one) for one in transponders.rows),
    )


class _Numbered:
    """The distinct things in the rows, in order of appearance, each with its first row."""

    def __init__(self, records: "Sequence[Record]", key: "Callable[[Record], Hashable]") -> None:
        first: dict[Any, Record] = {}
        for one in records:
            first.setdefault(key(one), one)
        self._key, self._places = key, {each: place for place, each in enumerate(first)}
        self.keys, self.rows = [*first], [*first.values()]

    def place(self, record: "Record") -> int:
        return self._places[self._key(record)]


def _places(sites: dict[int, list[Any]]) -> SiteArrays:
    names, latitudes, longitudes, diameters, mobile = zip(*sites.values(), strict=True)
    return SiteArrays(
        _integers(sites),
        names,
        np.array(latitudes, dtype=np.float64),
        np.array(longitudes, dtype=np.float64),
        np.array(diameters, dtype=np.float64),
        np.array(mobile, dtype=bool),
    )


def _integers(values: Iterable[int]) -> Integers:
    return np.array(list(values), dtype=np.int64)
