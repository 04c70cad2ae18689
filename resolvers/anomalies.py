"""Anomalies: finding them, telling of them, and what people do about them."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, or_, select, true, union
from sqlalchemy.ext.asyncio import AsyncSession

from ml.episodes import Severity
from ml.metrics import TargetKind
from resolvers.context import Context
from resolvers.errors import Conflict, InvalidInput, NotFound
from resolvers.paging import Listing, Page, Window, among, page
from resolvers.store.events import Event, parse_cursor, publish
from resolvers.store.tables import (
    Anomaly,
    AnomalyStatus,
    AuditEntry,
    Link,
    Network,
    Role,
    Satellite,
    Stream,
    Verdict,
)

TOPIC = "anomaly"
LONGEST_NOTE = 4000


class AnomalyChange(StrEnum):
    OPENED = "OPENED"
    UPDATED = "UPDATED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"
    JUDGED = "JUDGED"


class AnomalyOrder(StrEnum):
    NEWEST = "NEWEST"
    OLDEST = "OLDEST"
    SEVERITY = "SEVERITY"


@dataclass(frozen=True)
class TargetKey:
    kind: TargetKind
    id: int


@dataclass(frozen=True)
class AnomalyFilter:
    """All that is given must hold."""

    kind: TargetKind | None = None
    statuses: tuple[AnomalyStatus, ...] | None = None
    min_severity: Severity | None = None
    min_confidence: float | None = None
    target: TargetKey | None = None
    satellite: str | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """For a query over anomalies."""
        wanted: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
            (self.kind, lambda: Anomaly.kind == self.kind),
            (self.statuses, lambda: Anomaly.status.in_(self.statuses or ())),
            (self.min_severity, lambda: Anomaly.severity >= self.min_severity),
            (self.min_confidence, lambda: Anomaly.confidence >= self.min_confidence),
            (self.target, lambda: _is_target(self.target)),
            (self.satellite, lambda: _under_satellite(self.satellite)),
            (self.started_after, lambda: Anomaly.started_at >= self.started_after),
            (self.started_before, lambda: Anomaly.started_at < self.started_before),
        ]
        return [condition() for given, condition in wanted if given is not None]

    def admits(self, facts: dict[str, Any]) -> bool:
        """The same for an event's facts, as they were when it happened."""
        started_at = datetime.fromisoformat(facts["started_at"])
        return all(
            (
                self.kind in (None, facts["kind"]),
                self.statuses is None or facts["status"] in self.statuses,
                self.min_severity is None or facts["severity"] >= self.min_severity.rank,
                self.min_confidence is None or facts["confidence"] >= self.min_confidence,
                self.target is None or (self.target.kind, self.target.id) == (facts["kind"], facts["target_id"]),
                self.satellite is None or self.satellite in facts["satellites"],
                self.started_after is None or started_at >= self.started_after,
                self.started_before is None or started_at < self.started_before,
            )
        )


def _is_target(target: TargetKey | None) -> ColumnElement[bool]:
    return and_(Anomaly.kind == target.kind, Anomaly.target_id == target.id) if target else true()


def _under_satellite(name: str | None) -> ColumnElement[bool]:
    if name is None or not storable(name):
        return false()
    return or_(
        *(
            and_(Anomaly.kind == kind, Anomaly.target_id.in_(query.where(Satellite.name == name)))
            for kind, query in ((kind, _satellites_of(kind, named=False)) for kind in TargetKind)
        )
    )


def _satellites_of(kind: TargetKind, *, named: bool = True) -> Any:
    """A query for pairs of a target's id and the name of a satellite that it depends on."""
    names = [Satellite.name] if named else []
    through_network: Any = select(Network.id, *names).join(Satellite, Satellite.id == Network.satellite_id)
    if kind is TargetKind.NETWORK:
        return through_network
    through_link = through_network.join(Link, Link.network_id == Network.id)
    if kind is TargetKind.LINK:
        return through_link.with_only_columns(Link.id, *names)
    site = _sites_of_networks()
    joined = through_network.join(site, site.c.network_id == Network.id)
    return joined.with_only_columns(site.c.site_id, *names)


def _sites_of_networks() -> Any:
    hubs = select(Network.hub_id.label("site_id"), Network.id.label("network_id"))
    return union(hubs, select(Link.site_id, Link.network_id)).subquery("site")


async def satellites_of(session: AsyncSession, kind: TargetKind, targets: Iterable[int]) -> dict[int, list[str]]:
    """The names of the satellites that each target depends on."""
    query = _satellites_of(kind)
    id, name = query.selected_columns
    found: dict[int, list[str]] = {target: [] for target in targets}
    for target, satellite in (await session.execute(query.where(among(id, found)).distinct().order_by(name))).all():
        found[target].append(satellite)
    return found


# ---------------------------------------------------------------- reading


def listing(filter: AnomalyFilter, order: AnomalyOrder = AnomalyOrder.NEWEST) -> Listing[Anomaly]:
    by_time = (Anomaly.started_at, Anomaly.id)
    by = (Anomaly.severity, *by_time) if order is AnomalyOrder.SEVERITY else by_time
    return Listing(Anomaly, by, order is not AnomalyOrder.OLDEST, tuple(filter.conditions()))


def listing_of(kind: TargetKind, filter: AnomalyFilter) -> Listing[Anomaly]:
    """The anomalies of many targets of one kind, newest first."""
    of_kind = listing(filter)
    pairs = select(Anomaly.target_id.label("parent"), Anomaly.id.label("child")).where(Anomaly.kind == kind)
    return Listing(Anomaly, of_kind.order, of_kind.descending, of_kind.conditions, pairs)


async def listed(context: Context, filter: AnomalyFilter, order: AnomalyOrder, window: Window) -> Page[Anomaly]:
    context.require(Role.VIEWER, "see anomalies")
    async with context.database.read() as session:
        return await page(session, listing(filter, order), window)


# ---------------------------------------------------------------- telling


async def tell(session: AsyncSession, changed: Sequence[tuple[AnomalyChange, Anomaly]]) -> None:
    """Publish what happened to anomalies; they must have been flushed."""
    satellites: dict[TargetKind, dict[int, list[str]]] = {}
    for kind in {anomaly.kind for _, anomaly in changed}:
        targets = {anomaly.target_id for _, anomaly in changed if anomaly.kind is kind}
        satellites[kind] = await satellites_of(session, kind, targets)
    for change, anomaly in changed:
        facts = _facts(change, anomaly, satellites[anomaly.kind][anomaly.target_id])
        publish(session, Event(TOPIC, change, str(anomaly.id), facts))


def _facts(change: AnomalyChange, anomaly: Anomaly, satellites: list[str]) -> dict[str, Any]:
    opened = change is AnomalyChange.OPENED  # in a batch that also ended it, the status is a later one
    return {
        "kind": anomaly.kind,
        "target_id": anomaly.target_id,
        "status": AnomalyStatus.OPEN if opened else anomaly.status,
        "severity": anomaly.severity.rank,
        "confidence": anomaly.confidence,
        "started_at": anomaly.started_at.isoformat(),
        "satellites": satellites,
    }


Followed = tuple[str, AnomalyChange, Anomaly]  # with the event's cursor


def follow(
    context: Context, filter: AnomalyFilter, changes: Sequence[AnomalyChange], after: str | None
) -> AsyncIterator[Followed]:
    """Changes as they happen. Raises InvalidInput for a bad cursor at once; later Lagged."""
    context.require(Role.VIEWER, "follow anomalies")
    if after is not None:
        parse_cursor(after)
    return _follow(context, filter, changes, after)


async def _follow(
    context: Context, filter: AnomalyFilter, changes: Sequence[AnomalyChange], after: str | None
) -> AsyncIterator[Followed]:
    async for event in context.services.feed.follow(TOPIC, after):
        if event.change not in changes or not filter.admits(event.facts):
            continue
        context.forget()
        anomaly = await context.loaders.anomaly.load(UUID(event.subject))
        if anomaly is not None:
            yield event.cursor, AnomalyChange(event.change), anomaly


# ---------------------------------------------------------------- acting


async def acknowledge(context: Context, anomaly_id: UUID, note: str | None) -> Anomaly:
    """Tell colleagues you are on it. Raises NotFound, Conflict."""
    caller = context.require(Role.OPERATOR, "acknowledge anomalies")
    _check(note)
    async with context.database.write() as session:
        anomaly = await _locked(session, anomaly_id)
        if anomaly.status is not AnomalyStatus.OPEN:
            raise Conflict(f"This anomaly is already {anomaly.status.lower()}.")
        anomaly.status = AnomalyStatus.ACKNOWLEDGED
        anomaly.acknowledged_by_id = caller.user_id
        await _note(session, anomaly, AnomalyChange.ACKNOWLEDGED, caller.user_id, note)
    return anomaly


async def resolve(context: Context, anomaly_id: UUID, note: str | None) -> Anomaly:
    """Close it by hand; should the target go on misbehaving, another one opens. Raises NotFound, Conflict."""
    caller = context.require(Role.OPERATOR, "resolve anomalies")
    _check(note)
    async with context.database.write() as session:
        streams = select(Stream).filter_by(anomaly_id=anomaly_id).with_for_update()
        stream = await session.scalar(streams)  # before the anomaly, as ingest does
        anomaly = await _locked(session, anomaly_id)
        if anomaly.status is AnomalyStatus.RESOLVED:
            raise Conflict("This anomaly is already resolved.")
        anomaly.status, anomaly.ended_at = AnomalyStatus.RESOLVED, context.now
        if stream:
            stream.anomaly_id, stream.alarms, stream.quiets, stream.alarming_since = None, 0, 0, None
        await _note(session, anomaly, AnomalyChange.RESOLVED, caller.user_id, note)
    return anomaly


async def judge(context: Context, anomaly_id: UUID, verdict: Verdict, note: str | None) -> Anomaly:
    """Say whether it was real; the next training learns from it. A later verdict replaces it. Raises NotFound."""
    caller = context.require(Role.OPERATOR, "judge anomalies")
    _check(note)
    async with context.database.write() as session:
        anomaly = await _locked(session, anomaly_id)
        anomaly.feedback = verdict
        await _note(session, anomaly, AnomalyChange.JUDGED, caller.user_id, note, verdict)
    return anomaly


async def _locked(session: AsyncSession, anomaly_id: UUID) -> Anomaly:
    anomaly = await session.get(Anomaly, anomaly_id, with_for_update=True)
    if anomaly is None:
        raise NotFound("anomaly")
    return anomaly


async def _note(
    session: AsyncSession,
    anomaly: Anomaly,
    change: AnomalyChange,
    by: int,
    note: str | None,
    verdict: Verdict | None = None,
) -> None:
    action = f"{change}: {verdict}" if verdict else change
    session.add(AuditEntry(subject_id=anomaly.id, by_id=by, action=action, note=note))
    await session.flush()
    await tell(session, [(change, anomaly)])


def storable(text: str) -> bool:
    """Whether the database can keep it, or compare with it."""
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _check(note: str | None) -> None:
    if note is not None and not storable(note):
        raise InvalidInput("A note is text without control character 0 and lone surrogates.", ["note"])
    if note is not None and len(note) > LONGEST_NOTE:
        raise InvalidInput(f"A note has at most {LONGEST_NOTE} characters; this one has {len(note)}.", ["note"])
