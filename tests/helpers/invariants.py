"""What holds of anomalies, incidents and recommendations whatever died meanwhile: as queries for what is wrong."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text

from resolvers.context import Services

# At any time.
ALWAYS: Final = {
    "a merged incident that is not over, has anomalies, or leads to another merged one": """
SELECT merged.id FROM incidents AS merged JOIN incidents AS survivor ON survivor.id = merged.merged_into_id
WHERE merged.status <> 'RESOLVED' OR survivor.merged_into_id IS NOT NULL
  OR EXISTS (SELECT FROM anomalies WHERE incident_id = merged.id)""",
    "an incident of no anomaly, unless it was merged": """
SELECT id FROM incidents WHERE merged_into_id IS NULL
  AND NOT EXISTS (SELECT FROM anomalies WHERE incident_id = incidents.id)""",
    "a start or an end that is not that of its anomalies": """
SELECT incidents.id FROM incidents JOIN anomalies ON incident_id = incidents.id GROUP BY incidents.id
HAVING incidents.started_at <> min(anomalies.started_at)
  OR (incidents.ended_at IS NOT NULL AND bool_or(anomalies.ended_at IS NULL) AND incidents.status = 'RESOLVED')""",
    "a number of links that is not that of its links": """
SELECT id FROM incidents WHERE affected_link_count <> (SELECT count(*) FROM incident_links WHERE incident_id = id)""",
    "a stream with two open anomalies": """
SELECT kind, target_id, direction FROM anomalies WHERE ended_at IS NULL AND category = 'DEVIATION'
GROUP BY 1, 2, 3 HAVING count(*) > 1""",
}
# Where the server alone opened incidents, and nobody reopened one of imported history.
TOLD: Final = {
    "an incident that was not opened exactly once in its timeline": """
SELECT id FROM incidents
WHERE (SELECT count(*) FROM audit_entries WHERE subject_id = incidents.id AND action = 'OPENED') <> 1""",
    "an incident of which subscribers were not told exactly once": """
SELECT id FROM incidents WHERE NOT is_historical
  AND (SELECT count(*) FROM events
    WHERE topic = 'incident' AND change = 'OPENED' AND subject = incidents.id::text) <> 1""",
}
# Once the workers have done all that is due, and nothing has happened for a while.
SETTLED: Final = {
    "an anomaly of no incident": "SELECT id FROM anomalies WHERE incident_id IS NULL",
    "two incidents that last at the same target": """
SELECT anomalies.kind, target_id FROM anomalies JOIN incidents ON incidents.id = incident_id
WHERE anomalies.ended_at IS NULL AND incidents.status <> 'RESOLVED'
GROUP BY 1, 2 HAVING count(DISTINCT incident_id) > 1""",
    "an incident that goes on though nothing lasts": """
SELECT incidents.id FROM incidents JOIN anomalies ON incident_id = incidents.id WHERE incidents.status <> 'RESOLVED'
GROUP BY incidents.id HAVING bool_and(anomalies.ended_at IS NOT NULL)""",
    "an incident that is over though an anomaly lasts": """
SELECT incidents.id FROM incidents JOIN anomalies ON incident_id = incidents.id
WHERE incidents.status = 'RESOLVED' AND anomalies.ended_at IS NULL""",
    "a recommendation that waits for an incident that is over": """
SELECT recommendations.id FROM recommendations JOIN incidents ON incidents.id = incident_id
WHERE incidents.status = 'RESOLVED' AND superseded_at IS NULL AND outcome = 'PENDING'""",
    "a recommendation for nothing": """
SELECT id FROM recommendations WHERE incident_id IS NULL AND anomaly_id IS NULL AND analysis_id IS NULL""",
    "an open incident that nobody advised on": """
SELECT id FROM incidents WHERE status <> 'RESOLVED' AND ended_at IS NULL AND advised_for IS NULL""",
}


async def find_broken(services: Services, *rules: Mapping[str, str]) -> dict[str, list[Any]]:
    """Returns what is wrong, by the rule that it breaks."""
    async with services.database.read() as session:
        found = {
            name: [tuple(row) for row in await session.execute(text(query))]
            for each in rules
            for name, query in each.items()
        }
    return {name: rows for name, rows in found.items() if rows}
