"""Marks the anomalies of streams that fell silent together, because what collects them went quiet as a whole."""

from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from ml.detection.silence import ObservedStreams, QuietCollector, find_quiet_collectors, find_usual_gaps, pad_gaps
from resolvers.store.postgres.database import Database, driver

if TYPE_CHECKING:
    import asyncpg

logger = structlog.get_logger(__name__)


async def mark_quiet_collectors(database: Database) -> list[QuietCollector]:
    """Names the quiet collector in the open anomalies of silence of its streams; returns the collectors."""
    async with database.write() as session:
        connection = await driver(session)
        records = await connection.fetch(_STREAMS)
        collectors = find_quiet_collectors(_observe(records)) if records else []
        for collector in collectors:  # a few at most: one statement for each
            ids = {record["silence_id"] for record, member in zip(records, collector.members, strict=True) if member}
            await connection.execute(_MARK, list(ids), collector.kind.value, collector.key)
    for collector in collectors:
        streams, share = int(collector.members.sum()), round(collector.share, 3)
        logger.warning("a collector went quiet", kind=collector.kind, key=collector.key, streams=streams, share=share)
    return collectors


def _observe(records: "list[asyncpg.Record]") -> ObservedStreams:
    columns = {name: np.array([record[name] for record in records]) for name in ("network", "hub", "heard_at")}
    names = [(record["kind"], record["target_id"]) for record in records]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return ObservedStreams(
        target=np.array([numbers[name] for name in names]),
        network=columns["network"],
        hub=columns["hub"],
        heard_at=columns["heard_at"],
        usual_gap_ms=1000.0 * find_usual_gaps(pad_gaps([record["gaps"] for record in records])),
        silent=np.array([record["is_silent"] for record in records]),
    )


# A remote belongs to the network of its links if they are of one.
_STREAMS: Final = """
WITH remotes AS (
  SELECT site_id, min(network_id) AS network_id FROM links GROUP BY site_id HAVING min(network_id) = max(network_id)
), hubs AS (SELECT DISTINCT hub_id FROM networks)
SELECT streams.kind, streams.target_id, silence_id, anomalies.id IS NOT NULL AS is_silent,
  coalesce(networks.id, -1) AS network, coalesce(networks.hub_id, hubs.hub_id, -1) AS hub,
  (extract(epoch FROM heard_at) * 1000)::bigint AS heard_at, coalesce(gaps, '{}') AS gaps
FROM streams
LEFT JOIN anomalies ON anomalies.id = silence_id AND ended_at IS NULL
LEFT JOIN links ON streams.kind = 'LINK' AND links.id = streams.target_id
LEFT JOIN remotes ON streams.kind = 'SITE' AND remotes.site_id = streams.target_id
LEFT JOIN hubs ON streams.kind = 'SITE' AND hubs.hub_id = streams.target_id
LEFT JOIN networks ON networks.id
  = CASE streams.kind WHEN 'NETWORK' THEN streams.target_id ELSE coalesce(links.network_id, remotes.network_id) END
WHERE heard_at IS NOT NULL AND cardinality(gaps) > 0"""

_MARK: Final = """
UPDATE anomalies SET collector_kind = $2, collector_id = $3
WHERE id = ANY($1::uuid[]) AND ended_at IS NULL
  AND (collector_kind, collector_id) IS DISTINCT FROM ($2::text, $3::int)"""
