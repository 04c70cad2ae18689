"""Looks for targets that fell silent, round after round, in one process at a time."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from prometheus_client import Gauge, Histogram

from ml.catalogue.metrics import TargetKind
from resolvers.base.worker import Worker
from resolvers.context import Services
from resolvers.detection.collectors import mark_quiet_collectors
from resolvers.detection.silence_beginnings import open_silences
from resolvers.detection.silence_ends import end_history
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.database import driver
from resolvers.store.postgres.single_runner import single_runner

BREAK_ROUNDS: Final = 3  # rounds that are missed: nobody was heard meanwhile
MIN_BREAK_SECONDS: Final = 30.0
DEADLINE_SECONDS: Final = 60.0

SILENT_TARGETS = Gauge(
    "bcom_silent_targets",
    "Networks, sites and links (or one direction) with an open anomaly of silence, as of the last round.",
    ["kind"],
    multiprocess_mode="livemostrecent",
)
ROUND_SECONDS = Histogram("bcom_silence_round_seconds", "Time in which silent targets were looked for, once.")


def build_worker(services: Services, every_seconds: float) -> Worker:
    """Returns the worker that looks for silent targets."""
    watch = SilenceWatch(services, max(MIN_BREAK_SECONDS, BREAK_ROUNDS * every_seconds))
    return Worker("silence", watch.look, every_seconds=every_seconds, deadline_seconds=DEADLINE_SECONDS)


@dataclass
class SilenceWatch:
    """Looks for silent targets, round after round.

    break_seconds: without a round, after which every stream gets its usual time again: nobody was heard meanwhile. The
        first round of a process begins anew, too.
    """

    services: Services
    break_seconds: float = MIN_BREAK_SECONDS
    _has_begun: bool = field(default=False, init=False)

    async def look(self) -> int:
        """Opens and ends what is due, and returns how many targets fell silent; 0 where another process looks."""
        async with single_runner(self.services.database, AdvisoryLock.SILENCE) as mine:
            if not mine:
                self._has_begun = False
                return 0
            began, now = time.monotonic(), self.services.clock()
            is_first = not self._has_begun  # whoever looked before may have died before it named a collector
            resumed_at = await self._note_round(now)
            opened = sum([await open_silences(self.services, kind, now, resumed_at) for kind in TargetKind])
            if opened or is_first:
                await mark_quiet_collectors(self.services.database)
            await end_history(self.services, now)
            await _count_silent(self.services)
            ROUND_SECONDS.observe(time.monotonic() - began)
            return opened

    async def _note_round(self, now: datetime) -> datetime:
        """Notes that somebody looks, and returns since when that goes on without a break."""
        async with self.services.database.write() as session:
            connection = await driver(session)
            resumed: datetime = await connection.fetchval(_NOTE_ROUND, now, self.break_seconds, not self._has_begun)
        self._has_begun = True
        return resumed


async def _count_silent(services: Services) -> None:
    async with services.database.driver() as connection:
        counts = {record["kind"]: record["silent"] for record in await connection.fetch(_COUNT_SILENT)}
    for kind in TargetKind:
        SILENT_TARGETS.labels(kind.lower()).set(counts.get(kind.value, 0))


_NOTE_ROUND: Final = """
INSERT INTO silence_watch AS watch (id, watched_at, resumed_at) VALUES (1, now(), $1)
ON CONFLICT (id) DO UPDATE SET watched_at = now(), resumed_at = CASE
  WHEN $3 OR watch.resumed_at > $1 OR now() - watch.watched_at > make_interval(secs => $2) THEN $1
  ELSE watch.resumed_at END
RETURNING resumed_at"""

_COUNT_SILENT: Final = """
SELECT kind, count(DISTINCT target_id) AS silent FROM anomalies WHERE category = 'SILENCE' AND ended_at IS NULL
GROUP BY kind"""
