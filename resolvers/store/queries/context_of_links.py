"""What is told of links and moving sites besides their readings: MODCODs, beams, positions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

LONGEST_AGO: Final = timedelta(days=1)  # of a position that still counts: a ship is a thousand kilometers away by then
LOOKED_AT: Final = 10  # newest samples of a site, some of which may lack a position


async def list_telling_modcod(connection: "Connection", links: Sequence[int], until: datetime) -> list[int]:
    """Returns those of the links whose newest sample before `until` has a MODCOD: a look at one row of each stream."""
    return [record[0] for record in await connection.fetch(_TELLING, [*links], until)]


async def load_beams(connection: "Connection", links: Sequence[int]) -> dict[int, str]:
    """Returns the beams of the links that have one."""
    query = "SELECT id, beam FROM links WHERE id = ANY($1::int[]) AND beam IS NOT NULL"
    return {record["id"]: record["beam"] for record in await connection.fetch(query, [*links])}


async def load_positions(
    connection: "Connection", sites: Sequence[int], until: datetime
) -> dict[int, tuple[float, float]]:
    """Returns degrees north and east of the sites that told their position in the day before `until`, the newest.

    A receiver of positions without a fix says 0, 0, where no remote is.
    """
    records = await connection.fetch(_POSITIONS, [*sites], until, until - LONGEST_AGO, LOOKED_AT)
    return {record["site"]: (record["latitude_deg"], record["longitude_deg"]) for record in records}


_TELLING: Final = """
SELECT DISTINCT link FROM unnest($1::int[]) AS link CROSS JOIN (VALUES ('IB'), ('OB')) AS of (direction)
CROSS JOIN LATERAL (SELECT modcod FROM link_samples WHERE link_id = link AND link_samples.direction = of.direction
  AND at < $2 ORDER BY at DESC LIMIT 1) AS newest
WHERE modcod IS NOT NULL ORDER BY link"""
_POSITIONS: Final = """
SELECT site, latitude_deg, longitude_deg FROM unnest($1::int[]) AS site CROSS JOIN LATERAL (
  SELECT latitude_deg, longitude_deg FROM (
    SELECT at, latitude_deg, longitude_deg FROM site_samples WHERE site_id = site AND at < $2 AND at >= $3
    ORDER BY at DESC LIMIT $4) AS recent
  WHERE latitude_deg IS NOT NULL AND longitude_deg IS NOT NULL AND NOT (latitude_deg = 0 AND longitude_deg = 0)
  ORDER BY at DESC LIMIT 1) AS newest"""
