"""The anomalies of incidents: resolved and reopened with them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.detection.anomalies import AnomalyChange, publish_changes
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry, Stream


async def resolve_open(session: AsyncSession, incidents: Sequence[UUID], now: datetime, by: int | None) -> None:
    """Resolves the open anomalies of incidents that are locked.

    Their streams stay attached to them: what still misbehaves opens no new anomaly until the episode ends by itself,
    unless it clearly worsens (see `EpisodeTracker`).
    """
    is_open = (is_among(Anomaly.incident_id, incidents), Anomaly.ended_at.is_(None))
    rows = await session.scalars(select(Anomaly).where(*is_open).order_by(Anomaly.id).with_for_update())
    anomalies = list(rows)
    for anomaly in anomalies:
        anomaly.status = AnomalyStatus.RESOLVED
        anomaly.ended_at = max(now, anomaly.last_seen_at)  # samples may be a few minutes ahead of our clock
    await _tell(session, anomalies, AnomalyChange.RESOLVED, AnomalyChange.RESOLVED, "With its incident.", now, by)


async def reopen_lasting(session: AsyncSession, incidents: Sequence[UUID], now: datetime, by: int | None) -> None:
    """Opens those anomalies of incidents again whose episode or silence lasts. Locks streams first, as ingest does."""
    is_attached = and_(
        Stream.kind == Anomaly.kind,
        Stream.target_id == Anomaly.target_id,
        or_(Stream.anomaly_id == Anomaly.id, Stream.silence_id == Anomaly.id),
    )
    was_resolved = (is_among(Anomaly.incident_id, incidents), Anomaly.status == AnomalyStatus.RESOLVED)
    query = select(Stream, Anomaly.id).join(Anomaly, is_attached).where(*was_resolved)
    ordered = query.order_by(Stream.kind, Stream.target_id, Stream.direction)
    lasting = {id for _, id in (await session.execute(ordered.with_for_update(of=Stream))).all()}
    rows = await session.scalars(
        select(Anomaly).where(is_among(Anomaly.id, lasting)).order_by(Anomaly.id).with_for_update()
    )
    anomalies = list(rows)
    for anomaly in anomalies:
        anomaly.status, anomaly.ended_at = AnomalyStatus.OPEN, None
    action = f"{AnomalyChange.UPDATED}: REOPENED"
    await _tell(session, anomalies, AnomalyChange.UPDATED, action, "With its incident.", now, by)


async def _tell(
    session: AsyncSession,
    anomalies: Sequence[Anomaly],
    change: AnomalyChange,
    action: str,
    details: str,
    now: datetime,
    by: int | None,
) -> None:
    entry = {"by_id": by, "action": action, "details": details, "at": now}
    session.add_all(AuditEntry(subject_id=anomaly.id, **entry) for anomaly in anomalies)
    await session.flush()
    await publish_changes(session, [(change, anomaly) for anomaly in anomalies])
