"""Anomalies: listing them, publishing their changes, and what people do about them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import Conflict, InvalidInput, NotFound
from resolvers.base.roles import Role
from resolvers.base.texts import is_blank
from resolvers.context import Context
from resolvers.detection.filters import AnomalyFilter, build_conditions, list_satellites
from resolvers.lists.listings import Listing, cached_listing
from resolvers.lists.pagination import Page, Window, fetch_page
from resolvers.store.events.followers import Events, filter_events
from resolvers.store.events.log import Event, publish
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry, Stream, Verdict

TOPIC = "anomaly"
IS_ITS_OWN = (Anomaly.merged_into_id.is_(None), Anomaly.withdrawn_at.is_(None))  # late samples did not disprove it
LONGEST_NOTE = 4000


class AnomalyChange(StrEnum):
    OPENED = "OPENED"
    UPDATED = "UPDATED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"
    JUDGED = "JUDGED"
    COMMENTED = "COMMENTED"
    MERGED = "MERGED"
    WITHDRAWN = "WITHDRAWN"


class AnomalyOrder(StrEnum):
    NEWEST = "NEWEST"
    OLDEST = "OLDEST"
    SEVERITY = "SEVERITY"


# ---------------------------------------------------------------- reading


def build_listing(filter: AnomalyFilter, order: AnomalyOrder = AnomalyOrder.NEWEST) -> Listing[Anomaly]:
    """Returns the listing of all anomalies that pass the filter."""
    values = filter.values()
    return _cached_listing(frozenset(values), order).with_values(values)


@cached_listing
def _cached_listing(names: frozenset[str], order: AnomalyOrder) -> Listing[Anomaly]:
    by_time = (Anomaly.started_at, Anomaly.id)
    by = (Anomaly.severity, *by_time) if order is AnomalyOrder.SEVERITY else by_time
    return Listing(Anomaly, by, order is not AnomalyOrder.OLDEST, (*IS_ITS_OWN, *build_conditions(names)))


def build_listing_of_kind(kind: TargetKind, filter: AnomalyFilter) -> Listing[Anomaly]:
    """Returns the listing of the anomalies of many targets of one kind, newest first."""
    values = filter.values()
    return _cached_listing_of_kind(frozenset(values), kind).with_values(values)


@cached_listing
def _cached_listing_of_kind(names: frozenset[str], kind: TargetKind) -> Listing[Anomaly]:
    pairs = select(Anomaly.target_id.label("parent"), Anomaly.id.label("child")).where(Anomaly.kind == kind)
    return replace(_cached_listing(names, AnomalyOrder.NEWEST), relation=pairs, statements={})


async def list_anomalies(context: Context, filter: AnomalyFilter, order: AnomalyOrder, window: Window) -> Page[Anomaly]:
    """Returns a page of the anomalies that pass the filter."""
    context.require(Role.VIEWER, "see anomalies")
    return await fetch_page(context.database, build_listing(filter, order), window, context.columns_of(Anomaly))


# ---------------------------------------------------------------- publishing


async def publish_changes(session: AsyncSession, changed: Sequence[tuple[AnomalyChange, Anomaly]]) -> None:
    """Publishes what happened to anomalies, but of historical ones; they must have been flushed."""
    changed = [(change, anomaly) for change, anomaly in changed if not anomaly.is_historical]
    satellites: dict[TargetKind, dict[int, list[str]]] = {}
    for kind in {anomaly.kind for _, anomaly in changed}:
        targets = {anomaly.target_id for _, anomaly in changed if anomaly.kind is kind}
        satellites[kind] = await list_satellites(session, kind, targets)
    for change, anomaly in changed:
        facts = _build_facts(change, anomaly, satellites[anomaly.kind][anomaly.target_id])
        publish(session, Event(TOPIC, change, str(anomaly.id), facts))


def _build_facts(change: AnomalyChange, anomaly: Anomaly, satellites: list[str]) -> dict[str, Any]:
    opened = change is AnomalyChange.OPENED  # where the same batch also ended it, the status is a later one
    return {
        "kind": anomaly.kind,
        "target_id": anomaly.target_id,
        "status": AnomalyStatus.OPEN if opened else anomaly.status,
        "severity": anomaly.severity.rank,
        "confidence": anomaly.confidence,
        "started_at": anomaly.started_at.isoformat(),
        "satellites": satellites,
    }


def follow_changes(
    context: Context, filter: AnomalyFilter, changes: Sequence[AnomalyChange], after: str | None
) -> Events:
    """Returns changes as they happen. Raises InvalidInput for a bad cursor at once; later Expired, Lagged."""
    context.require(Role.VIEWER, "follow anomalies")
    wanted, matches = frozenset(changes), filter.build_matcher()
    return filter_events(context.follow(TOPIC, after), lambda event: event.change in wanted and matches(event.facts))


# ---------------------------------------------------------------- acting


async def acknowledge(context: Context, anomaly_id: UUID, note: str | None) -> Anomaly:
    """Tells colleagues that the caller is on it. Raises NotFound, Conflict."""
    caller = context.require(Role.OPERATOR, "acknowledge anomalies")
    async with context.database.write() as session:
        anomaly = await _lock_anomaly(session, anomaly_id)
        if anomaly.status is not AnomalyStatus.OPEN:
            raise Conflict(f"This anomaly is already {anomaly.status.lower()}.")
        anomaly.status = AnomalyStatus.ACKNOWLEDGED
        anomaly.acknowledged_by_id = caller.author_id
        await _record_change(session, anomaly, context.now, AnomalyChange.ACKNOWLEDGED, caller.author_id, note)
    return anomaly


async def resolve(context: Context, anomaly_id: UUID, note: str | None) -> Anomaly:
    """Ends an anomaly by hand; if the target goes on misbehaving, another one opens. Raises NotFound, Conflict."""
    caller = context.require(Role.OPERATOR, "resolve anomalies")
    async with context.database.write() as session:
        query = select(Stream).filter_by(anomaly_id=anomaly_id).with_for_update()
        stream = await session.scalar(query)  # locked before the anomaly, as ingest does
        anomaly = await _lock_anomaly(session, anomaly_id)
        if anomaly.status is AnomalyStatus.RESOLVED:
            raise Conflict("This anomaly is already resolved.")
        anomaly.status = AnomalyStatus.RESOLVED
        anomaly.ended_at = max(context.now, anomaly.last_seen_at)  # samples may be a few minutes ahead of our clock
        if stream:
            stream.anomaly_id, stream.alarms, stream.quiets, stream.alarming_since = None, 0, 0, None
        await _record_change(session, anomaly, context.now, AnomalyChange.RESOLVED, caller.author_id, note)
    return anomaly


async def judge(context: Context, anomaly_id: UUID, verdict: Verdict, note: str | None) -> Anomaly:
    """Records whether it was real, for the next training. A later verdict replaces it. Raises NotFound."""
    caller = context.require(Role.OPERATOR, "judge anomalies")
    async with context.database.write() as session:
        anomaly = await _lock_anomaly(session, anomaly_id)
        anomaly.feedback = verdict
        await _record_change(session, anomaly, context.now, AnomalyChange.JUDGED, caller.author_id, note, verdict)
    return anomaly


async def comment(context: Context, anomaly_id: UUID, note: str) -> Anomaly:
    """Adds a comment. Raises InvalidInput for an empty one, NotFound."""
    caller = context.require(Role.OPERATOR, "comment on anomalies")
    if is_blank(note):
        raise InvalidInput("A comment must not be empty.", ["note"])
    async with context.database.write() as session:
        anomaly = await _lock_anomaly(session, anomaly_id)
        await _record_change(session, anomaly, context.now, AnomalyChange.COMMENTED, caller.author_id, note)
    return anomaly


async def _lock_anomaly(session: AsyncSession, anomaly_id: UUID) -> Anomaly:
    anomaly = await session.get(Anomaly, anomaly_id, with_for_update=True)
    if anomaly is None:
        raise NotFound("anomaly")
    return anomaly


async def _record_change(
    session: AsyncSession,
    anomaly: Anomaly,
    now: datetime,
    change: AnomalyChange,
    by: int | None,
    note: str | None,
    verdict: Verdict | None = None,
) -> None:
    action = f"{change}: {verdict}" if verdict else change
    session.add(AuditEntry(subject_id=anomaly.id, by_id=by, action=action, note=note, at=now))
    await session.flush()
    await publish_changes(session, [(change, anomaly)])
