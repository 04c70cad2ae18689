"""What an incident says of its anomalies: since when, until when, how severe, and which links it affects."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy.ext.asyncio import AsyncSession

from ml.detection.episodes import Severity
from ml.detection.severity import rate_incident_severity
from resolvers.store.postgres.database import driver
from resolvers.store.tables.incidents import Incident

if TYPE_CHECKING:
    from uuid import UUID

    from resolvers.store.postgres.database import Connection


async def refresh_summaries(session: AsyncSession, incidents: Sequence[Incident]) -> None:
    """Recomputes start, end, severity and links from the incidents' anomalies and patterns; flushes before and after.

    The start is that of the earliest anomaly. The end is the latest one, null while any anomaly is open. The severity
    is rated by the worst open anomaly, by the worst of all once it ended, by the links and by how long it lasts. The
    links are those of the anomalies' targets and of the pattern; a merged incident affects none of its own. One without
    anomalies keeps its times and severity. The caller holds the incidents' locks.
    """
    if not incidents:
        return
    await session.flush()
    connection, ids = await driver(session), [incident.id for incident in incidents]
    records = {record["incident_id"]: record for record in await connection.fetch(_SUMMARIES, ids)}
    links = await _store_links(connection, incidents, ids)
    named = await find_named(connection, incidents)
    for incident in incidents:
        affected, network_links = links.get(incident.id, (0, 0))
        incident.affected_link_count = affected
        if record := records.get(incident.id):
            incident.started_at, incident.ended_at = record["started_at"], record["ended_at"]
            worst, minutes = list(Severity)[record["severity"]], float(record["minutes"])
            counted = affected if incident.id in named else 0  # what a network says of itself is no worse for its size
            incident.severity = rate_incident_severity([worst], counted, network_links, minutes)
    await session.flush()


async def find_named(connection: "Connection", incidents: Sequence[Incident]) -> "set[UUID]":
    """Returns the incidents of which an anomaly or the pattern says which links they affect.

    The others are of what a network or a hub measures of itself: one of its links may be down, or none.
    """
    records = await connection.fetch(_FIND_NAMED, [incident.id for incident in incidents])
    by_pattern = {incident.id for incident in incidents if incident.pattern and incident.pattern.links}
    return {record["id"] for record in records} | by_pattern


async def _store_links(
    connection: "Connection", incidents: Sequence[Incident], ids: "list[UUID]"
) -> "dict[UUID, tuple[int, int]]":
    """Stores the links that incidents affect; returns for each how many, and how many links their networks have."""
    patterns = [(incident.id, incident.pattern) for incident in incidents if incident.merged_into_id is None]
    pairs = [(id, link) for id, pattern in patterns if pattern for link in pattern.links]
    await connection.execute(_SET_LINKS, ids, [id for id, _ in pairs], [link for _, link in pairs])
    counts = await connection.fetch(_COUNT_LINKS, ids)
    return {record["incident_id"]: (record["links"], record["network_links"]) for record in counts}


_SUMMARIES: Final = """
SELECT incident_id, min(started_at) AS started_at,
  CASE WHEN bool_or(ended_at IS NULL) THEN NULL ELSE max(ended_at) END AS ended_at,
  coalesce(max(severity) FILTER (WHERE ended_at IS NULL), max(severity)) AS severity,
  extract(epoch FROM max(coalesce(ended_at, last_seen_at)) - min(started_at)) / 60 AS minutes
FROM anomalies WHERE incident_id = ANY($1::uuid[]) GROUP BY incident_id"""
# What a network or a hub measures of itself stands for all its links only where nothing says which they are.
# Only what differs is written: an incident of thousands of links is summarised again and again.
_SET_LINKS: Final = """
WITH targets AS (
  SELECT DISTINCT incident_id, kind, target_id FROM anomalies WHERE incident_id = ANY($1::uuid[])
), pattern AS (
  SELECT * FROM unnest($2::uuid[], $3::int[]) AS pattern (incident_id, link_id)
), named AS (
  SELECT incident_id, links.id FROM targets JOIN links ON links.id = target_id WHERE kind = 'LINK'
  UNION SELECT incident_id, links.id FROM targets JOIN links ON site_id = target_id WHERE kind = 'SITE'
  UNION SELECT incident_id, links.id FROM pattern JOIN links ON links.id = link_id
), unnamed AS (
  SELECT * FROM targets WHERE incident_id NOT IN (SELECT incident_id FROM named)
), affected AS (
  SELECT incident_id, id AS link_id FROM named
  UNION SELECT incident_id, links.id FROM unnamed JOIN links ON network_id = target_id WHERE kind = 'NETWORK'
  UNION SELECT incident_id, links.id FROM unnamed JOIN networks ON hub_id = target_id
    JOIN links ON network_id = networks.id WHERE kind = 'SITE'
), gone AS (
  DELETE FROM incident_links WHERE incident_id = ANY($1::uuid[])
    AND NOT EXISTS (SELECT FROM affected WHERE (affected.incident_id, affected.link_id)
      = (incident_links.incident_id, incident_links.link_id))
)
INSERT INTO incident_links (incident_id, link_id) SELECT incident_id, link_id FROM affected
ON CONFLICT DO NOTHING"""
_FIND_NAMED: Final = """
SELECT id FROM unnest($1::uuid[]) AS own (id) WHERE EXISTS (
  SELECT FROM anomalies WHERE incident_id = own.id AND (
    kind = 'LINK' OR (kind = 'SITE' AND EXISTS (SELECT FROM links WHERE site_id = target_id))))"""
_COUNT_LINKS: Final = """
SELECT incident_id, count(*) AS links,
  (SELECT count(*) FROM links WHERE network_id = ANY(array_agg(DISTINCT own.network_id))) AS network_links
FROM incident_links JOIN links AS own ON own.id = link_id
WHERE incident_id = ANY($1::uuid[]) GROUP BY incident_id"""
