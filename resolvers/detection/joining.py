"""Joins anomalies that late samples show to be one, into the one that began first."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.detection.anomalies import AnomalyChange
from resolvers.detection.anomaly_writer import AnomalyWriter
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry, Detection
from resolvers.store.tables.recommendations import Recommendation


async def join_anomalies(writer: AnomalyWriter, first: Anomaly, others: Sequence[Anomaly]) -> None:
    """Joins anomalies of one stream into `first`, and tells of it. Its incident follows in `resolvers.incidents`.

    The others stay as rows that point to it, ended. What people did to them is told of it from now on; what was joined
    to them before points to it, too, so that no chain gets longer than one step.
    """
    ids, session = [other.id for other in others], writer.session
    for other in others:
        other.merged_into_id, other.status = first.id, AnomalyStatus.RESOLVED
        other.ended_at = other.ended_at or other.last_seen_at
        _inherit(first, other)
    await session.flush()
    quietly = {"synchronize_session": False}
    former = update(Anomaly).where(is_among(Anomaly.merged_into_id, ids)).values(merged_into_id=first.id)
    await session.execute(former, execution_options=quietly)
    await _retell_acts(session, first, ids)
    for table in (Detection, Recommendation):
        moved = update(table).where(is_among(table.anomaly_id, ids)).values(anomaly_id=first.id)
        await session.execute(moved, execution_options=quietly)
    writer.record(AnomalyChange.MERGED, first, details=f"Of this and {_describe(others)}.")
    for other in others:
        writer.record(AnomalyChange.MERGED, other, details=f"Into {_describe([first])}.")


async def _retell_acts(session: AsyncSession, first: Anomaly, others: Sequence[UUID]) -> None:
    """Adds what people did to the others to the history of the first; entries are only ever added."""
    query = select(AuditEntry).where(is_among(AuditEntry.subject_id, others), AuditEntry.by_id.is_not(None))
    for entry in await session.scalars(query.order_by(AuditEntry.id)):
        told = {name: getattr(entry, name) for name in ("at", "by_id", "action", "note", "details")}
        session.add(AuditEntry(subject_id=first.id, **told))
    await session.flush()


def _inherit(first: Anomaly, other: Anomaly) -> None:
    """Gives the first what the other knows better: who took it, what was judged, what explains it, how bad it was."""
    first.acknowledged_by_id = first.acknowledged_by_id or other.acknowledged_by_id
    first.feedback = first.feedback or other.feedback
    first.analysis_id = first.analysis_id or other.analysis_id
    first.incident_id = first.incident_id or other.incident_id
    first.is_historical = first.is_historical and other.is_historical
    first.last_seen_at = max(first.last_seen_at, other.last_seen_at)
    first.severity = max(first.severity, other.severity, key=lambda level: level.rank)
    if other.score > first.score:
        first.score, first.confidence, first.contributions = other.score, other.confidence, other.contributions
    if first.status is AnomalyStatus.OPEN and first.acknowledged_by_id is not None:
        first.status = AnomalyStatus.ACKNOWLEDGED


def _describe(anomalies: Sequence[Anomaly]) -> str:
    times = [anomaly.started_at.isoformat(timespec="seconds") for anomaly in anomalies]
    return "the one of " + ", ".join(times) if len(times) == 1 else "those of " + ", ".join(times)
