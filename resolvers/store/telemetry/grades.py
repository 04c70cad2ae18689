"""The latest quality grades of links, and from when on they say nothing any more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.detection.silence import MIN_FACTOR, MIN_LIVE_MS, compute_patience, pad_gaps
from resolvers.store.telemetry.series import shorten
from resolvers.store.telemetry.streams import StreamKey

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

SINGLE_SECONDS: Final = 86_400.0  # that a grade counts for whose pace nobody knows


@dataclass(frozen=True, slots=True)
class Grade:
    """The latest grade of one direction. due_at: of the next one. stale_at: when that is clearly missing."""

    value: float
    at: datetime
    due_at: datetime
    stale_at: datetime

    def is_stale(self, now: datetime) -> bool:
        return now > self.stale_at


async def load_latest_grades(connection: "Connection", keys: Sequence[StreamKey]) -> dict[StreamKey, Grade]:
    """Returns the newest grade of each link and direction that has one."""
    rows = await connection.fetch(_LATEST, [key[0] for key in keys], [key[1] for key in keys])
    patience = compute_patience(pad_gaps([row["gaps"] for row in rows])).tolist()
    return {(row["target"], row["way"]): _make_grade(row, seconds) for row, seconds in zip(rows, patience, strict=True)}


def _make_grade(row: Any, patience: float) -> Grade:
    """patience: seconds without samples after which the stream is silent, infinite where it has no cadence."""
    at, spacing = row["at"], row["spacing"] or 0.0
    allowed = max(MIN_LIVE_MS / 1000.0, MIN_FACTOR * spacing) if spacing else SINGLE_SECONDS
    if np.isfinite(patience):
        allowed = max(MIN_FACTOR * spacing, patience + row["lag"])
    return Grade(shorten(row["grade"]), at, at + timedelta(seconds=spacing), at + timedelta(seconds=allowed))


# spacing: of the newest grades, in seconds. lag: how old the newest sample was when it came.
_LATEST: Final = """
SELECT target, way, sample.grade, sample.at, spacing, coalesce(gaps, '{}') AS gaps,
  greatest(0, extract(epoch FROM heard_at - last_at)::float8) AS lag
FROM unnest($1::int[], $2::text[]) AS key (target, way) CROSS JOIN LATERAL
  (SELECT at, grade FROM link_samples WHERE link_id = target AND direction = way AND grade IS NOT NULL
   ORDER BY at DESC LIMIT 1) AS sample
CROSS JOIN LATERAL
  (SELECT extract(epoch FROM max(at) - min(at))::float8 / nullif(count(*) - 1, 0) AS spacing FROM
    (SELECT at FROM link_samples WHERE link_id = target AND direction = way AND grade IS NOT NULL
     AND at > sample.at - interval '1 day' AND at <= sample.at ORDER BY at DESC LIMIT 4) AS recent) AS pace
LEFT JOIN streams ON streams.target_id = target AND kind = 'LINK' AND streams.direction = way"""
