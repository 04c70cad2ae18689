"""Notes what incidents say while they say it: their rows only have the last word."""

from datetime import timedelta
from typing import Final

from resolvers.base.worker import Worker
from resolvers.context import Services
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner

RECENT: Final = timedelta(hours=1)

# The best of the incident's present recommendations is its advice: null where it has none.
_NOTE: Final = """
INSERT INTO incident_sightings (incident_id, at, root_cause, culprit_kind, culprit_id, culprit_transponder, confidence,
  anomalies, action, action_cause, action_target_kind, action_target_id)
SELECT incidents.id, $1, incidents.root_cause, incidents.culprit_kind, incidents.culprit_id,
  incidents.culprit_transponder, incidents.confidence, joined.anomalies,
  advice.action, advice.root_cause, advice.target_kind, advice.target_id
FROM incidents
CROSS JOIN LATERAL (SELECT count(*) AS anomalies FROM anomalies WHERE incident_id = incidents.id) AS joined
LEFT JOIN LATERAL (SELECT * FROM recommendations WHERE incident_id = incidents.id AND superseded_at IS NULL
  ORDER BY rank_score DESC, id LIMIT 1) AS advice ON true
LEFT JOIN LATERAL (SELECT * FROM incident_sightings WHERE incident_id = incidents.id
  ORDER BY id DESC LIMIT 1) AS last ON true
WHERE NOT is_historical AND merged_into_id IS NULL AND (incidents.status <> 'RESOLVED' OR last_changed_at > $2)
  AND (last.id IS NULL OR
  (incidents.root_cause, incidents.culprit_kind, incidents.culprit_id, incidents.culprit_transponder,
    incidents.confidence, joined.anomalies, advice.action, advice.root_cause, advice.target_kind, advice.target_id)
  IS DISTINCT FROM
  (last.root_cause, last.culprit_kind, last.culprit_id, last.culprit_transponder, last.confidence, last.anomalies,
    last.action, last.action_cause, last.action_target_kind, last.action_target_id))
ORDER BY incidents.id"""


def build_worker(services: Services) -> Worker:
    """Returns the worker that looks every second, in one process at a time."""
    return Worker("the demo's scorecard", lambda: _look(services), every_seconds=1.0)


async def _look(services: Services) -> None:
    async with single_runner(services.database, AdvisoryLock.DEMO_SIGHTINGS) as is_ours:
        if is_ours:
            await note_sightings(services)


async def note_sightings(services: Services) -> None:
    """Stores what each incident that is open, or lately changed, says, if it says something new."""
    async with services.database.driver() as connection:
        now = services.clock()
        await connection.execute(_NOTE, now, now - RECENT)
