"""Ends silences with the next sample, inside its ingest; and what is open of imported history when no more comes."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ml.detection.features import NEVER
from resolvers.base.times import from_ms
from resolvers.context import Services
from resolvers.detection.anomalies import AnomalyChange, publish_changes
from resolvers.detection.arrivals import Arrivals
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.database import driver
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry
from resolvers.store.telemetry.streams import Streams

HISTORY_ENDS: Final = timedelta(minutes=5)  # after its last sample, what is open of imported history is over


async def end_silences(session: AsyncSession, streams: Streams, arrivals: Arrivals, now: datetime) -> list[Anomaly]:
    """Ends the silences of streams that a batch brings newer samples of, at the first of these; returns them.

    The streams are locked, and forget their silence when they are advanced.
    """
    heard_at: dict[UUID, int] = {}
    for number, id in streams.silences.items():
        if (first := int(arrivals.first_new[number])) != NEVER:
            heard_at[id] = min(heard_at.get(id, first), first)
    if not heard_at:
        return []
    query = select(Anomaly).where(is_among(Anomaly.id, heard_at), Anomaly.ended_at.is_(None))
    ended = list(await session.scalars(query.order_by(Anomaly.id).with_for_update()))
    for anomaly in ended:
        anomaly.status = AnomalyStatus.RESOLVED
        anomaly.ended_at = max(anomaly.started_at, from_ms(heard_at[anomaly.id]))
        anomaly.last_seen_at = anomaly.ended_at
        session.add(
            AuditEntry(subject_id=anomaly.id, action=AnomalyChange.RESOLVED, details="It was heard again.", at=now)
        )
    await session.flush()
    await publish_changes(session, [(AnomalyChange.RESOLVED, anomaly) for anomaly in ended])
    return ended


async def end_history(services: Services, now: datetime) -> None:
    """Ends what is open of imported history when no more of it comes."""
    async with services.database.write() as session:
        connection = await driver(session)
        records = await connection.fetch(_HISTORY_THAT_ENDED, now - HISTORY_ENDS)
        if not records:
            return
        ids = [record["anomaly_id"] for record in records]
        values = {"status": AnomalyStatus.RESOLVED, "ended_at": Anomaly.last_seen_at}
        await session.execute(update(Anomaly).where(is_among(Anomaly.id, ids)).values(values))
        session.add_all(
            AuditEntry(subject_id=id, action=AnomalyChange.RESOLVED, details="Its history ended.", at=now) for id in ids
        )


# What is locked is being stored to.
_HISTORY_THAT_ENDED: Final = """
WITH quiet AS (
  SELECT streams.target_id, streams.kind, streams.direction FROM anomalies JOIN streams
    ON anomaly_id = anomalies.id AND streams.target_id = anomalies.target_id AND streams.kind = anomalies.kind
  WHERE is_historical AND ended_at IS NULL AND (heard_at IS NULL OR heard_at < $1)
  FOR UPDATE OF streams SKIP LOCKED
), ended AS (SELECT target_id, kind, direction, anomaly_id FROM streams JOIN quiet USING (target_id, kind, direction))
UPDATE streams SET anomaly_id = NULL, alarms = 0, quiets = 0, alarming_since = NULL FROM ended
WHERE streams.target_id = ended.target_id AND streams.kind = ended.kind AND streams.direction = ended.direction
RETURNING ended.anomaly_id"""
