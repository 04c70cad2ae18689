"""How long related anomalies are gathered before anybody is told: until all that could take part have reported."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from resolvers.context import Context
from resolvers.incidents.evidence import LiveAnomaly

LONGEST: Final = timedelta(seconds=20)
REPORTED: Final = 0.9  # of the links around: as many never report all


async def is_gathered(context: Context, new: Sequence[LiveAnomaly]) -> bool:
    """Returns whether the others of a fault had their chance: the links around have reported since, or time is up."""
    if any(anomaly.detected_at <= context.now - LONGEST for anomaly in new):
        return True
    networks = {anomaly.network for anomaly in new if anomaly.network is not None}
    hubs = {anomaly.hub for anomaly in new if anomaly.hub is not None}
    transponders = {anomaly.transponder for anomaly in new if anomaly.transponder is not None}
    since = max(anomaly.last_seen_at for anomaly in new)
    async with context.database.driver() as connection:
        row = await connection.fetchrow(
            _REPORTED, list(networks), list(hubs), [s for s, _ in transponders], [t for _, t in transponders], since
        )
    around, reported = row or (0, 0)
    return bool(around == 0 or reported >= REPORTED * around)


_REPORTED: Final = """
SELECT count(*), count(*) FILTER (WHERE last_at >= $5)
FROM streams JOIN links ON links.id = target_id JOIN networks ON networks.id = network_id
WHERE kind = 'LINK' AND last_at >= $5 - interval '1 hour' AND (
  network_id = ANY($1::int[]) OR hub_id = ANY($2::int[]) OR EXISTS (
    SELECT FROM unnest($3::int[], $4::text[]) AS wanted (satellite, name)
    WHERE satellite = satellite_id AND name IS NOT DISTINCT FROM transponder))"""
