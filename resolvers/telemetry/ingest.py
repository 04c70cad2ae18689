"""One batch, one transaction: stored, scored, its episodes followed, its streams advanced, and told of."""

import asyncio
from datetime import timedelta

import numpy as np
import polars as pl
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.catalogue.units import DAY_MS
from ml.detection.detector import Detector
from resolvers.context import Context
from resolvers.detection import baselines
from resolvers.detection.episodes import EpisodeTracker
from resolvers.detection.scoring import BatchScorer, ScoredBatch
from resolvers.store.tables.core import Anomaly
from resolvers.store.tables.samples import target_column
from resolvers.store.telemetry import live_samples as live
from resolvers.store.telemetry import samples as telemetry
from resolvers.store.telemetry import streams
from resolvers.store.telemetry.partitions import Partitions
from resolvers.store.telemetry.samples import EPOCH, AlreadyStored, PartitionMissing
from resolvers.store.telemetry.streams import StreamKey, StreamMissing, Streams

ATTEMPTS = 3  # each of which may find something missing

_partitions = Partitions()


async def ingest(context: Context, kind: TargetKind, frame: pl.DataFrame) -> tuple[int, list[Anomaly]]:
    """How many of these rows were new, and the anomalies that they opened, extended or ended.

    `frame` has the samples' key columns (`at` in epoch ms) and metric columns, and nothing twice.
    """
    detector = await context.services.registry.detector(kind)
    sensitivity = await context.services.sensitivity.of(kind)
    numbered, keys = await asyncio.to_thread(_number_streams, kind, frame)
    days = [EPOCH + timedelta(days=day) for day in (frame["at"] // DAY_MS).unique().to_list()]
    await _partitions.ensure(context.database, kind, days)
    cautious = False
    for _ in range(ATTEMPTS):
        try:
            return await _ingest_once(context, detector, sensitivity, numbered, keys, cautious=cautious)
        except StreamMissing:
            async with context.database.write() as session:
                await streams.create_streams(session, kind, keys)
        except PartitionMissing:  # dropped since this process saw it
            _partitions.forget(context.database)
            await _partitions.ensure(context.database, kind, days)
        except AlreadyStored:  # the streams know less than the tables: somebody restored these without those
            cautious = True
    return await _ingest_once(context, detector, sensitivity, numbered, keys, cautious=True)


def _number_streams(kind: TargetKind, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[StreamKey]]:
    """The rows by stream and time, their `stream` an index into the sorted keys."""
    direction = pl.col("direction") if kind is TargetKind.LINK else pl.lit("")
    keyed = frame.with_columns(target=pl.col(target_column(kind)), direction=direction)
    ordered = keyed.sort("target", "direction", "at")
    numbered = ordered.with_columns(stream=pl.struct("target", "direction").rle_id().cast(pl.Int64))
    return numbered, list(ordered.select("target", "direction").unique(maintain_order=True).iter_rows())


async def _ingest_once(
    context: Context,
    detector: Detector,
    sensitivity: float,
    frame: pl.DataFrame,
    keys: list[StreamKey],
    *,
    cautious: bool,
) -> tuple[int, list[Anomaly]]:
    async with context.database.write() as session:
        known = await streams.lock_streams(session, detector.kind, keys)
        profiles = await context.services.profiles.load(session, detector.kind, keys, known.profile)
        judge = BatchScorer(detector, known, profiles, sensitivity)
        pending = await _read_pending(session, known)
        fresh = await _drop_duplicates(session, known, frame, cautious=cautious)
        if fresh.is_empty():
            return 0, []
        rows = _with_pending(fresh, pending)
        judged = await _store_and_score(session, judge, fresh, rows)
        follow = EpisodeTracker(session, detector.version, context.now, judged, rows["at"].to_numpy(), known)
        anomalies = await follow.run(rows["stream"].to_numpy())
        known.memory = await asyncio.to_thread(judge.update_memory, rows, judged)
        await streams.advance_streams(session, known, fresh["stream"].to_numpy(), fresh["at"].to_numpy())
    if detector.kind is TargetKind.LINK:
        context.services.live.notify()
    return len(fresh), anomalies


async def _read_pending(session: AsyncSession, known: Streams) -> pl.DataFrame | None:
    """The stored samples of streams whose alarms are pending, from the first of them on: scored again."""
    starts = {n: s.pending_since for n, s in known.episode_states.items() if s.pending_since is not None}
    if not starts:
        return None
    keys = [known.keys[number] for number in starts]
    found = await telemetry.load_since(session, known.kind, keys, list(starts.values()))
    return found.with_columns(stream=pl.col("place").replace_strict(dict(enumerate(starts)), return_dtype=pl.Int64))


def _with_pending(fresh: pl.DataFrame, pending: pl.DataFrame | None) -> pl.DataFrame:
    if pending is None:
        return fresh
    columns = [column for column in pending.columns if column in fresh.columns]
    return pl.concat([fresh.select(columns), pending.select(columns)]).sort("stream", "at")


async def _drop_duplicates(
    session: AsyncSession, known: Streams, frame: pl.DataFrame, *, cautious: bool
) -> pl.DataFrame:
    """The rows that were not stored before; those older than their stream's newest sample are stored by this.

    The others, `in_time`, cannot be stored yet, and nobody else can store them while their streams are locked.
    """
    in_time = pl.Series((frame["at"].to_numpy() > known.last_at[frame["stream"].to_numpy()]) & (not cautious))
    frame = frame.with_columns(in_time=in_time)
    if in_time.all():
        return frame
    late = frame.filter(~in_time)
    stored = np.ones(len(late), dtype=bool)
    stored[await telemetry.insert_missing(session, known.kind, late)] = False
    return pl.concat([frame.filter(in_time), late.filter(pl.Series(stored))]).sort("stream", "at")


async def _store_and_score(
    session: AsyncSession, judge: BatchScorer, fresh: pl.DataFrame, rows: pl.DataFrame
) -> ScoredBatch:
    """Stored and learned from while they are judged; but strangers learn first, from what the batch itself brings."""
    known = judge.streams
    added = np.bincount(fresh["stream"].to_numpy(), minlength=len(known.keys))
    strangers = baselines.choose_learning_batch(known, added, cold_start=True)
    if strangers.streams:
        await baselines.apply(session, known, await _store_and_refit(session, known, fresh, strangers))
        return await judge.judge(rows)
    again = baselines.choose_learning_batch(known, added, cold_start=False)
    judged, learned = await asyncio.gather(judge.judge(rows), _store_and_refit(session, known, fresh, again))
    await baselines.apply(session, known, learned)
    return judged


async def _store_and_refit(
    session: AsyncSession, known: Streams, fresh: pl.DataFrame, lesson: baselines.LearningBatch
) -> baselines.RefittedBaselines | None:
    await telemetry.copy_samples(session, known.kind, fresh.filter("in_time"))
    if known.kind is TargetKind.LINK:
        await live.note_batch(session, known, fresh["stream"].to_numpy(), fresh["at"].to_numpy())
    return await baselines.refit(session, known, lesson) if lesson.streams else None
