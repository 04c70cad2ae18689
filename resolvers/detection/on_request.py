"""Detection on request: scores measurements that somebody sends, and keeps the result."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, Direction, TargetKind
from ml.detection.baselines import fill_from_catalogue
from ml.detection.detector import Detector
from ml.detection.features import NOMINAL_CADENCE_SECONDS, Memory, StreamSamples
from ml.detection.profiles import Profiles
from ml.detection.severity import rate_severity
from ml.numerics.arrays import Floats
from resolvers.base.errors import InvalidInput, NotFound, to_camel_case
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.detection import baselines
from resolvers.detection.anomalies import AnomalyChange, publish_changes
from resolvers.detection.scoring import ScoredBatch
from resolvers.lists.listings import Listing, cached_listing
from resolvers.lists.pagination import Page, Window, fetch_page
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly, AnomalyCategory, AnomalyStatus, AuditEntry, Detection, Stream
from resolvers.store.tables.targets import TARGET_TABLES
from resolvers.store.telemetry.profiles import combine_profiles
from resolvers.store.telemetry.streams import lock_stream


@dataclass(frozen=True)
class StreamState:
    """What measurements are scored by: one profile, and the memory of the newest samples."""

    profile: Profiles
    memory: Memory


async def detect(
    context: Context,
    kind: TargetKind,
    measurements: Mapping[str, float],
    target_id: int | None,
    direction: Direction | None,
    sensitivity: float | None,
) -> Detection:
    """Scores by the target's own history, else by the fleet's; an alarm of a target opens an anomaly.

    measurements: the kind's five metrics, by column.

    Raises InvalidInput for impossible values, NotFound for the target.
    """
    caller = context.require(Role.OPERATOR, "detect anomalies")
    readings = _read_measurements(kind, measurements)
    if sensitivity is not None and not 0 <= sensitivity <= 1:
        raise InvalidInput(f"The sensitivity is between 0 and 1, not {sensitivity:g}.", ["input", "sensitivity"])
    detector = await context.services.registry.detector(kind)
    limit = await context.services.sensitivity.get(kind) if sensitivity is None else sensitivity
    async with context.database.write() as session:
        state = await _load_state(context, session, detector, target_id, direction)
        rows = StreamSamples.of_one_stream(readings, np.array([round(context.now.timestamp() * 1000)]))
        scores = await asyncio.to_thread(detector.score, rows, state.profile, state.memory, limit)
        scored = ScoredBatch(CATALOGUE[kind], readings, scores)
        detection = Detection(
            id=uuid7(),
            kind=kind,
            target_id=target_id,
            direction=direction,
            measurements=dict(measurements),
            is_anomaly=bool(scores.score[0] > 0),
            anomaly_score=float(scores.score[0]),
            confidence=float(scores.confidence[0]),
            contributions=scored.list_contributions(0),
            model_version=detector.version,
            created_at=context.now,
            requested_by_id=caller.author_id,
        )
        if detection.is_anomaly and target_id is not None:
            detection.anomaly_id = await _open_anomaly(context, session, detection, scored)
        session.add(detection)
    return detection


def _read_measurements(kind: TargetKind, measurements: Mapping[str, float]) -> Floats:
    """Returns shape (1, metrics), NaN for metrics that are not among the five. Raises InvalidInput."""
    readings = np.full((1, len(CATALOGUE[kind].specs)), np.nan)
    for index, spec in enumerate(CATALOGUE[kind].specs):
        if spec.column not in measurements:
            continue
        value = measurements[spec.column]
        if not spec.low <= value <= spec.high:
            words = f"{spec.metric} must be between {spec.low:,.0f} and {spec.high:,.0f} {spec.unit}".rstrip()
            raise InvalidInput(f"{words}, and is {value:g}.", ["input", to_camel_case(spec.column)])
        readings[0, index] = value
    return readings


async def _load_state(
    context: Context, session: AsyncSession, detector: Detector, target_id: int | None, direction: Direction | None
) -> StreamState:
    """Returns the target's own state, as far as it is known, else the fleet's. Raises NotFound."""
    kind = detector.kind
    streams = await _load_streams(session, kind, target_id, direction) if target_id is not None else []
    blank = Memory.blank(1, len(CATALOGUE[kind].specs))
    if len(streams) == 1:
        stream = streams[0]
        memory = Memory.from_bytes([stream.memory], blank.values.shape[2])
        keys, numbers = [(stream.target_id, stream.direction)], np.array([stream.profile])
        stored = await context.services.profiles.load(session, kind, keys, numbers)
        return StreamState(combine_profiles(detector, _make_prior(detector, streams), stored), memory)
    if streams:
        return StreamState(_make_prior(detector, streams), blank)
    centre, spread = await baselines.pool_fleet(session, kind)
    return StreamState(detector.make_prior_profiles(centre[None], spread[None], np.zeros(1, dtype=np.int64)), blank)


async def _load_streams(
    session: AsyncSession, kind: TargetKind, target_id: int, direction: Direction | None
) -> list[Stream]:
    """Returns the target's streams that have learned something. Raises NotFound for a target that there is not."""
    if await session.get(TARGET_TABLES[kind], target_id) is None:
        raise NotFound(kind.lower())
    query = select(Stream).where(Stream.kind == kind, Stream.target_id == target_id, Stream.learned_samples > 0)
    return list(await session.scalars(query.where(Stream.direction == direction) if direction else query))


def _make_prior(detector: Detector, streams: list[Stream]) -> Profiles:
    """Returns a profile from a stream's centre and spread; without a direction, one that covers both of a link's."""
    kind = CATALOGUE[detector.kind]
    centre, spread = baselines.collect_baselines(detector.kind, streams)
    centre, spread = fill_from_catalogue(kind, centre.mean(axis=0), spread.max(axis=0) + np.ptp(centre, axis=0) / 2)
    young = min(streams, key=lambda stream: stream.learned_samples)
    samples, seconds = np.array([young.learned_samples]), young.learned_seconds
    seconds = NOMINAL_CADENCE_SECONDS * young.learned_samples if seconds is None else seconds
    return detector.make_prior_profiles(centre[None], spread[None], samples, np.array([seconds]))


async def _open_anomaly(context: Context, session: AsyncSession, detection: Detection, scored: ScoredBatch) -> UUID:
    """Returns the open anomaly of the target and direction, else a new one. Locks the stream first, like ingest.

    The anomaly that the stream's episode belongs to counts even if somebody resolved it while it lasts.
    """
    assert detection.target_id is not None  # noqa: S101
    key = (detection.target_id, detection.direction or "")
    stream = await lock_stream(session, detection.kind, key)
    query = select(Anomaly.id).where(
        Anomaly.kind == detection.kind,
        Anomaly.target_id == detection.target_id,
        Anomaly.direction.is_not_distinct_from(detection.direction),
        Anomaly.category == AnomalyCategory.DEVIATION,
        or_(Anomaly.ended_at.is_(None), Anomaly.id == stream.anomaly_id),
    )
    if anomaly_id := await session.scalar(query.order_by(Anomaly.ended_at.desc().nulls_first())):
        return anomaly_id
    service = float(scored.grade_service([0])[0])
    anomaly = Anomaly(
        id=uuid7(),
        kind=detection.kind,
        target_id=detection.target_id,
        direction=detection.direction,
        status=AnomalyStatus.OPEN,
        model_version=detection.model_version,
        started_at=context.now,
        last_seen_at=context.now,
        detected_at=context.now,
        score=detection.anomaly_score,
        confidence=detection.confidence,
        severity=rate_severity(service, detection.anomaly_score, scored.count_metrics(0), 0.0),
        contributions=detection.contributions,
    )
    session.add(anomaly)
    session.add(
        AuditEntry(subject_id=anomaly.id, by_id=detection.requested_by_id, action=AnomalyChange.OPENED, at=context.now)
    )
    stream.anomaly_id, stream.alarms, stream.quiets, stream.alarming_since = anomaly.id, 1, 0, None
    await session.flush()
    await publish_changes(session, [(AnomalyChange.OPENED, anomaly)])
    return anomaly.id


@cached_listing
def build_listing(kind: TargetKind | None, is_anomaly: bool | None) -> Listing[Detection]:
    conditions: list[ColumnElement[bool]] = []
    if kind is not None:
        conditions.append(Detection.kind == kind)
    if is_anomaly is not None:
        conditions.append(Detection.is_anomaly == is_anomaly)
    return Listing(Detection, (Detection.id,), descending=True, conditions=tuple(conditions))


async def list_detections(
    context: Context, kind: TargetKind | None, is_anomaly: bool | None, window: Window
) -> Page[Detection]:
    """Returns a page of detections, newest first."""
    context.require(Role.VIEWER, "see detections")
    return await fetch_page(context.database, build_listing(kind, is_anomaly), window, context.columns_of(Detection))
