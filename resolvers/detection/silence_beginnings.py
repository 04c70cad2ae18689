"""Opens an anomaly for each target that fell silent: what else was open of it ends, as nothing is known of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import Direction, TargetKind
from ml.detection.episodes import Severity
from ml.detection.features import NEVER
from ml.detection.silence import (
    FEW_GAPS,
    FEW_SPAN_SECONDS,
    KEPT_GAPS,
    MIN_FACTOR,
    MIN_GAPS,
    MIN_PATIENCE_SECONDS,
)
from resolvers.base.times import from_ms, to_ms
from resolvers.context import Services
from resolvers.detection.anomalies import AnomalyChange, publish_changes
from resolvers.detection.silent_targets import SilentTarget, StreamState, ToldSilence, find_silent
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.database import driver
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly, AnomalyCategory, AnomalyStatus, AuditEntry

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

VERSION: Final = "silence-1"
CONFIDENCE: Final = 0.95  # a stream that missed 3.5 times its long gap is back by itself in one case of twenty


async def open_silences(services: Services, kind: TargetKind, now: datetime, resumed_at: datetime) -> int:
    """Opens anomalies for the targets of a kind that fell silent, in one transaction; returns how many."""
    async with services.database.write() as session:
        connection = await driver(session)
        records = await connection.fetch(_FIND_CANDIDATES, kind.value, now, resumed_at)
        if not records:
            return 0
        states = await _lock_streams(connection, kind, [record["target_id"] for record in records])
        silent = find_silent(states, to_ms(now), to_ms(resumed_at))
        if silent:
            await _open(session, connection, kind, silent, now)
        return len(silent)


async def _lock_streams(connection: "Connection", kind: TargetKind, targets: Sequence[int]) -> list[StreamState]:
    """Locks all streams of these targets in the order of the ingest, so that what they say stays true."""
    records = await connection.fetch(_LOCK_STREAMS, kind.value, sorted(set(targets)))
    heard = [] if kind is TargetKind.LINK else await connection.fetch(_RELATED_HEARD[kind], sorted(set(targets)))
    related = {record["target_id"]: record["heard_at"] for record in heard}
    return [
        StreamState(
            record["target_id"],
            record["direction"],
            record["last_at"],
            record["heard_at"],
            record["gaps"],
            ToldSilence(record["silence_id"], record["is_open"], record["is_whole"]) if record["silence_id"] else None,
            related.get(record["target_id"], NEVER),
        )
        for record in records
    ]


async def _open(
    session: AsyncSession, connection: "Connection", kind: TargetKind, silent: Sequence[SilentTarget], now: datetime
) -> None:
    ended = await _end_deviations(session, connection, kind, silent, now)
    widened = await _widen(session, [target.widens for target in silent if target.widens is not None], now)
    opened = {target.target_id: _make_anomaly(kind, target, now) for target in silent if target.widens is None}
    session.add_all(opened.values())
    session.add_all(
        AuditEntry(subject_id=anomaly.id, action=AnomalyChange.OPENED, at=now) for anomaly in opened.values()
    )
    await session.flush()
    keys = [
        (target.target_id, direction, target.widens or opened[target.target_id].id)
        for target in silent
        for direction in target.streams
    ]
    await connection.execute(_POINT_STREAMS, kind.value, *zip(*keys, strict=True))
    changes = [(AnomalyChange.RESOLVED, anomaly) for anomaly in ended]
    changes += [(AnomalyChange.UPDATED, anomaly) for anomaly in widened]
    await publish_changes(session, changes + [(AnomalyChange.OPENED, anomaly) for anomaly in opened.values()])


def _make_anomaly(kind: TargetKind, target: SilentTarget, now: datetime) -> Anomaly:
    due_at = min(from_ms(target.due_at), now)
    return Anomaly(
        id=uuid7(),
        kind=kind,
        target_id=target.target_id,
        direction=Direction(target.direction) if target.direction else None,
        category=AnomalyCategory.SILENCE,
        status=AnomalyStatus.OPEN,
        severity=Severity.CRITICAL,
        score=1.0,
        confidence=CONFIDENCE,
        contributions=[],
        model_version=VERSION,
        started_at=due_at,
        last_seen_at=due_at,
        detected_at=now,
    )


async def _widen(session: AsyncSession, ids: Sequence[UUID], now: datetime) -> list[Anomaly]:
    """Makes silences of one direction silences of the whole link."""
    if not ids:
        return []
    query = update(Anomaly).where(is_among(Anomaly.id, ids)).values(direction=None).returning(Anomaly)
    widened = list(await session.scalars(query))
    action, details = f"{AnomalyChange.UPDATED}: BOTH DIRECTIONS", "The other direction fell silent, too."
    session.add_all(AuditEntry(subject_id=anomaly.id, action=action, details=details, at=now) for anomaly in widened)
    return widened


async def _end_deviations(
    session: AsyncSession, connection: "Connection", kind: TargetKind, silent: Sequence[SilentTarget], now: datetime
) -> list[Anomaly]:
    """Ends what was open of targets that nothing is known of any more; their streams are locked."""
    targets = [(target.target_id, target.direction) for target in silent]
    records = await connection.fetch(_OPEN_DEVIATIONS, kind.value, *zip(*targets, strict=True))
    ids = [record["id"] for record in records]
    if not ids:
        return []
    query = update(Anomaly).where(is_among(Anomaly.id, ids))
    values = {"status": AnomalyStatus.RESOLVED, "ended_at": Anomaly.last_seen_at}
    ended = list(await session.scalars(query.values(values).returning(Anomaly)))
    await connection.execute(_RESET_STREAMS, kind.value, [target for target, _ in targets], ids)
    details = f"The {kind.lower()} fell silent."
    session.add_all(
        AuditEntry(subject_id=anomaly.id, action=AnomalyChange.RESOLVED, details=details, at=now) for anomaly in ended
    )
    return ended


# ---------------------------------------------------------------- statements

# At most one or two of the gaps are longer than the long one, so the least of three is not: a cheap lower bound of
# the patience. A direction that stayed silent when the other one was heard again is a candidate, too.
_FIND_CANDIDATES: Final = f"""
SELECT DISTINCT target_id FROM streams WHERE kind = $1 AND silence_id IS NULL AND cardinality(gaps) >= {FEW_GAPS}
  AND extract(epoch FROM $2 - greatest(heard_at, $3))
    > greatest({MIN_PATIENCE_SECONDS}, {MIN_FACTOR} * least(gaps[1], gaps[2], gaps[3]))
  AND (cardinality(gaps) >= {MIN_GAPS} OR (SELECT sum(gap) FROM unnest(gaps) AS gap) >= {FEW_SPAN_SECONDS})
UNION SELECT streams.target_id FROM streams JOIN anomalies ON anomalies.id = silence_id
WHERE streams.kind = $1 AND silence_id IS NOT NULL AND ended_at IS NOT NULL AND anomalies.direction IS NULL
  AND EXISTS (SELECT FROM streams AS other WHERE other.target_id = streams.target_id AND other.kind = $1
    AND other.direction <> streams.direction AND other.silence_id IS NULL AND other.heard_at > streams.heard_at)
"""  # noqa: S608

# LATERAL forces an index look-up per target.
_LOCK_STREAMS: Final = f"""
SELECT stream.target_id, stream.direction, coalesce((extract(epoch FROM last_at) * 1000)::bigint, {NEVER}) AS last_at,
  coalesce((extract(epoch FROM heard_at) * 1000)::bigint, {NEVER}) AS heard_at, coalesce(gaps, '{{}}') AS gaps,
  silence_id, anomalies.ended_at IS NULL AS is_open, anomalies.direction IS NULL AS is_whole
FROM unnest($2::int[]) AS key (target) CROSS JOIN LATERAL
  (SELECT * FROM streams WHERE target_id = key.target AND kind = $1 ORDER BY direction FOR UPDATE) AS stream
LEFT JOIN anomalies ON anomalies.id = silence_id
ORDER BY stream.target_id, stream.direction
"""  # noqa: S608

# When any link was last heard of a network; of a remote, or of a hub's networks.
_RELATED_HEARD: Final = {
    TargetKind.NETWORK: """
SELECT network_id AS target_id, (extract(epoch FROM max(heard_at)) * 1000)::bigint AS heard_at
FROM links JOIN streams ON streams.kind = 'LINK' AND streams.target_id = links.id
WHERE heard_at IS NOT NULL AND network_id = ANY($1::int[]) GROUP BY network_id""",
    TargetKind.SITE: """
SELECT site.id AS target_id, (extract(epoch FROM max(heard_at)) * 1000)::bigint AS heard_at
FROM unnest($1::int[]) AS site (id) CROSS JOIN LATERAL (
  SELECT id FROM links WHERE site_id = site.id
  UNION ALL SELECT links.id FROM links JOIN networks ON networks.id = network_id WHERE hub_id = site.id
) AS own JOIN streams ON streams.kind = 'LINK' AND streams.target_id = own.id
WHERE heard_at IS NOT NULL GROUP BY site.id""",
}

_POINT_STREAMS: Final = """
UPDATE streams SET silence_id = silent.id
FROM unnest($2::int[], $3::text[], $4::uuid[]) AS silent (target, direction, id)
WHERE target_id = silent.target AND kind = $1 AND streams.direction = silent.direction"""

_OPEN_DEVIATIONS: Final = """
SELECT id FROM unnest($2::int[], $3::text[]) AS silent (target, direction) JOIN anomalies ON target_id = silent.target
WHERE kind = $1 AND category = 'DEVIATION' AND ended_at IS NULL
  AND (silent.direction = '' OR anomalies.direction = silent.direction)
ORDER BY id FOR UPDATE OF anomalies"""

_RESET_STREAMS: Final = """
UPDATE streams SET anomaly_id = NULL, alarms = 0, quiets = 0, alarming_since = NULL
WHERE kind = $1 AND target_id = ANY($2::int[]) AND anomaly_id = ANY($3::uuid[])"""
assert KEPT_GAPS >= MIN_GAPS >= FEW_GAPS >= 3  # noqa: S101  the bound above
