"""What the correlator reads: live anomalies, where they are in the topology, and the incidents they belong to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.detection.features import NOMINAL_CADENCE_SECONDS
from ml.detection.silence import CollectorKind
from resolvers.detection.profile_worker import YOUNG_SECONDS
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import AnomalyCategory
from resolvers.store.tables.incidents import Incident, IncidentStatus

if TYPE_CHECKING:
    import asyncpg

    from resolvers.store.postgres.database import Connection

RECURRING: Final = (RootCause.BLOCKAGE, RootCause.SATELLITE_INTERFERENCE)  # a mast in the view, a busy interferer

Group = tuple[str, int | tuple[int, str | None]]  # what several targets depend on: a kind, and a key


@dataclass(frozen=True)
class LiveAnomaly:
    """An anomaly, and where it is. links: its target's, of a remote all that end there. None or empty: not known.

    is_young: what is usual of its target is not known for all hours of a day yet.
    """

    id: UUID
    kind: TargetKind
    target_id: int
    direction: Direction | None
    category: AnomalyCategory
    severity: Severity
    started_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    detected_at: datetime
    incident_id: UUID | None
    is_historical: bool
    links: frozenset[int]
    site: int | None
    network: int | None
    hub: int | None
    transponder: tuple[int, str | None] | None
    collector: tuple[CollectorKind, int | None] | None = None  # of a silence: what went quiet as a whole
    is_young: bool = False

    @property
    def target(self) -> tuple[TargetKind, int]:
        return self.kind, self.target_id

    @property
    def is_aggregate(self) -> bool:
        """Whether its target's figures are of many links: a network, or a hub, at which no link ends."""
        return self.kind is TargetKind.NETWORK or (self.kind is TargetKind.SITE and not self.links)

    @property
    def groups(self) -> frozenset[Group]:
        """Returns what it shares with others: site, network, hub, transponder. A hub is also a site."""
        keys: list[Group] = []
        if self.site is not None:
            keys.append(("site", self.site))
        if self.hub is not None:
            keys.append(("site", self.hub))
        if self.network is not None:
            keys.append(("network", self.network))
        if self.transponder is not None:
            keys.append(("transponder", self.transponder))
        if self.collector is not None:
            keys.append(("collector", self.collector[1] or 0))
        return frozenset(keys)

    def depends_on(self, culprit: Culprit) -> bool:
        """Returns whether a fault of the culprit affects its target."""
        match culprit.kind:
            case CulpritKind.SATELLITE:
                satellite, transponder = self.transponder or (None, None)
                return satellite == culprit.key and culprit.transponder in (None, transponder)
            case CulpritKind.NETWORK:
                return self.network == culprit.key
            case CulpritKind.SITE:
                return culprit.key in (self.site, self.hub)
            case CulpritKind.LINK:
                return culprit.key in self.links


async def load_new(connection: "Connection", most: int) -> list[LiveAnomaly]:
    """Returns anomalies that belong to no incident yet, first detected first."""
    records = await connection.fetch(
        _QUERY.format(
            "incident_id IS NULL AND merged_into_id IS NULL AND withdrawn_at IS NULL"
            " ORDER BY detected_at, anomalies.id LIMIT $1"
        ),
        most,
    )
    return [_from_record(record) for record in records]


async def load_members(connection: "Connection", incidents: Collection[UUID]) -> list[LiveAnomaly]:
    """Returns the anomalies of these incidents, earliest first."""
    if not incidents:
        return []
    query = _QUERY.format("incident_id = ANY($1::uuid[]) ORDER BY started_at, anomalies.id")
    return [_from_record(record) for record in await connection.fetch(query, list(incidents))]


async def load_live_incidents(
    session: AsyncSession,
    ended_after: datetime,
    recurring_ended_after: datetime,
    among: Collection[UUID] | None = None,
) -> Sequence[Incident]:
    """Returns the incidents that a new anomaly may belong to: unresolved ones, and those that ended since then.

    recurring_ended_after: for causes that come and go by their nature. among: to look at these only.
    """
    comes_and_goes = Incident.root_cause.in_(RECURRING) & (Incident.ended_at >= recurring_ended_after)
    recently = or_(Incident.ended_at >= ended_after, comes_and_goes)
    query = select(Incident).where(
        or_(Incident.status != IncidentStatus.RESOLVED, recently),
        Incident.merged_into_id.is_(None),
        Incident.is_historical.is_(False),
    )
    if among is not None:
        query = query.where(is_among(Incident.id, among))
    return list(await session.scalars(query.order_by(Incident.started_at, Incident.id)))


def _from_record(record: "asyncpg.Record") -> LiveAnomaly:
    satellite, collector = record["satellite_id"], record["collector_kind"]
    return LiveAnomaly(
        id=record["id"],
        kind=TargetKind(record["kind"]),
        target_id=record["target_id"],
        direction=record["direction"] and Direction(record["direction"]),
        category=AnomalyCategory(record["category"]),
        severity=list(Severity)[record["severity"]],
        started_at=record["started_at"],
        last_seen_at=record["last_seen_at"],
        ended_at=record["ended_at"],
        detected_at=record["detected_at"],
        incident_id=record["incident_id"],
        is_historical=record["is_historical"],
        links=frozenset(record["links"]),
        site=record["site_id"],
        network=record["network_id"],
        hub=record["hub_id"],
        transponder=None if satellite is None else (satellite, record["transponder"]),
        collector=(CollectorKind(collector), record["collector_id"]) if collector else None,
        is_young=record["is_young"],
    )


# A remote is in the network of its links, if they are of one.
# A target that has not learned for nearly two days is young.
_QUERY: Final = f"""
SELECT anomalies.id, kind, target_id, direction, category, severity, started_at, last_seen_at, ended_at, detected_at,
  incident_id, is_historical, collector_kind, collector_id, networks.id AS network_id, satellite_id, transponder,
  coalesce(links.site_id, sites.id) AS site_id, coalesce(hub_id, sites.id) AS hub_id,
  CASE WHEN links.id IS NULL THEN coalesce(remote.links, '{{{{}}}}') ELSE ARRAY[links.id] END AS links,
  EXISTS (SELECT FROM streams WHERE streams.target_id = anomalies.target_id AND streams.kind = anomalies.kind
    AND coalesce(learned_seconds, {NOMINAL_CADENCE_SECONDS} * learned_samples) < {YOUNG_SECONDS}) AS is_young
FROM anomalies LEFT JOIN links ON kind = 'LINK' AND links.id = target_id
LEFT JOIN sites ON kind = 'SITE' AND sites.id = target_id
LEFT JOIN LATERAL (
  SELECT array_agg(own.id) AS links, CASE WHEN min(network_id) = max(network_id) THEN min(network_id) END AS network_id
  FROM links AS own WHERE own.site_id = sites.id
) AS remote ON true
LEFT JOIN networks ON networks.id
  = CASE kind WHEN 'NETWORK' THEN target_id WHEN 'SITE' THEN remote.network_id ELSE links.network_id END
WHERE {{}}"""  # noqa: S608
