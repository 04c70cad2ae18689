"""Outages that are none: what a quiet collector did not tell looks as if nothing had had electricity meanwhile."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ml.catalogue.root_causes import RootCause
from resolvers.context import Context
from resolvers.store.tables.analysis_documents import Pattern

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

SHARE: Final = 0.5  # of a pattern's links, from which its silence is the collector's
BEFORE: Final = timedelta(hours=1)  # that the last sample may come before a silence is told
AFTER: Final = timedelta(minutes=10)


async def drop_telemetry_gaps(context: Context, patterns: Sequence[Pattern]) -> tuple[Pattern, ...]:
    """Returns the patterns without the power outages of links that a quiet collector did not report meanwhile."""
    if not any(pattern.cause is RootCause.POWER_OUTAGE for pattern in patterns):
        return tuple(patterns)
    async with context.database.driver() as connection:
        return tuple([one for one in patterns if not await _is_telemetry_gap(connection, one, context.now)])


async def _is_telemetry_gap(connection: "Connection", pattern: Pattern, now: datetime) -> bool:
    if pattern.cause is not RootCause.POWER_OUTAGE or not pattern.links:
        return False
    ended_at = pattern.ended_at or now
    unheard: int = await connection.fetchval(
        _COUNT_UNHEARD, list(pattern.links), ended_at + BEFORE, pattern.started_at - AFTER
    )
    return unheard >= SHARE * len(pattern.links)


_COUNT_UNHEARD: Final = """
SELECT count(DISTINCT link_id) FROM incident_links JOIN incidents ON incidents.id = incident_id
WHERE link_id = ANY($1::int[]) AND kind = 'NO_TELEMETRY' AND incidents.started_at <= $2
  AND (incidents.ended_at IS NULL OR incidents.ended_at >= $3)"""
