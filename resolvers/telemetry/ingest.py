"""Ingests one batch in one transaction: stores and scores samples, tracks episodes, and publishes their changes."""

import asyncio
from datetime import timedelta

import numpy as np
import polars as pl
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.catalogue.units import DAY_MS
from ml.detection.detector import Detector
from resolvers.base.times import to_ms
from resolvers.context import Context
from resolvers.detection import baselines
from resolvers.detection.arrivals import Arrivals
from resolvers.detection.cold_start import learn_from_batch
from resolvers.detection.episodes import EpisodeTracker
from resolvers.detection.scoring import BatchScorer, ScoredBatch
from resolvers.detection.silence_ends import end_silences
from resolvers.store.tables.core import Anomaly
from resolvers.store.tables.samples import target_column
from resolvers.store.telemetry import live_samples, samples, streams
from resolvers.store.telemetry.partitions import Partitions
from resolvers.store.telemetry.samples import EPOCH, AlreadyStored, PartitionMissing
from resolvers.store.telemetry.streams import StreamKey, StreamMissing, Streams

ATTEMPTS = 3  # each may find something missing

_partitions = Partitions()


async def ingest(context: Context, kind: TargetKind, frame: pl.DataFrame) -> tuple[int, list[Anomaly]]:
    """Returns how many of these rows were new, and the anomalies that they opened, extended or ended.

    frame: the samples' key columns (`at` in epoch ms) and metric columns, and nothing twice.
    """
    detector = await context.services.registry.detector(kind)
    sensitivity = await context.services.sensitivity.get(kind)
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
        except AlreadyStored:  # the streams know less than the tables: somebody restored the samples alone
            cautious = True
    return await _ingest_once(context, detector, sensitivity, numbered, keys, cautious=True)


def _number_streams(kind: TargetKind, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[StreamKey]]:
    """Returns the rows by stream and time, with `stream` as an index into the sorted keys, and these keys."""
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
        locked = await streams.lock_streams(session, detector.kind, keys)
        profiles = await context.services.profiles.load(session, detector.kind, keys, locked.profile)
        pending = await _read_pending(session, locked)
        fresh = await _drop_duplicates(session, locked, frame, cautious=cautious)
        if fresh.is_empty():
            return 0, []
        rows, which, times = _add_pending(fresh, pending), fresh["stream"].to_numpy(), fresh["at"].to_numpy()
        arrivals = Arrivals.note(locked, which, times, to_ms(context.now))
        scorer = BatchScorer(detector, locked, profiles, arrivals.limit_sensitivity(sensitivity))
        scored = await _store_and_score(session, scorer, fresh, rows)
        at = rows["at"].to_numpy()
        tracker = EpisodeTracker(session, arrivals, detector.version, context.now, scored, at, locked)
        anomalies = await tracker.run(rows["stream"].to_numpy())
        anomalies += await end_silences(session, locked, arrivals, context.now)
        locked.memory = await asyncio.to_thread(scorer.compute_memory, rows, scored)
        await streams.advance_streams(session, locked, which, times, context.now, arrivals.gaps)
    if detector.kind is TargetKind.LINK:
        context.services.live.notify()
    return len(fresh), anomalies


async def _read_pending(session: AsyncSession, locked: Streams) -> pl.DataFrame | None:
    """Returns stored samples from the first pending alarm of each stream on, to be scored again."""
    starts = {n: s.pending_since for n, s in locked.episode_states.items() if s.pending_since is not None}
    if not starts:
        return None
    keys = [locked.keys[number] for number in starts]
    frame = await samples.load_since(session, locked.kind, keys, list(starts.values()))
    return frame.with_columns(stream=pl.col("place").replace_strict(dict(enumerate(starts)), return_dtype=pl.Int64))


def _add_pending(fresh: pl.DataFrame, pending: pl.DataFrame | None) -> pl.DataFrame:
    if pending is None:
        return fresh
    columns = [column for column in pending.columns if column in fresh.columns]
    return pl.concat([fresh.select(columns), pending.select(columns)]).sort("stream", "at")


async def _drop_duplicates(
    session: AsyncSession, locked: Streams, frame: pl.DataFrame, *, cautious: bool
) -> pl.DataFrame:
    """Returns the rows that were not stored before, and stores those that are older than their stream's newest sample.

    The newer ones are marked `in_time`: they cannot be stored yet, and nobody else can while the streams are locked.
    """
    in_time = pl.Series((frame["at"].to_numpy() > locked.last_at[frame["stream"].to_numpy()]) & (not cautious))
    frame = frame.with_columns(in_time=in_time)
    if in_time.all():
        return frame
    late = frame.filter(~in_time)
    stored = np.ones(len(late), dtype=bool)
    stored[await samples.insert_missing(session, locked.kind, late)] = False
    return pl.concat([frame.filter(in_time), late.filter(pl.Series(stored))]).sort("stream", "at")


async def _store_and_score(
    session: AsyncSession, scorer: BatchScorer, fresh: pl.DataFrame, rows: pl.DataFrame
) -> ScoredBatch:
    """Stores and scores at the same time; but cold-start streams learn first, from what the batch itself brings."""
    locked = scorer.streams
    await learn_from_batch(session, scorer, fresh)
    added = np.bincount(fresh["stream"].to_numpy(), minlength=len(locked.keys))
    cold = baselines.choose_learning_batch(locked, added, cold_start=True)
    if cold.streams:
        await baselines.apply(session, locked, await _store_and_refit(session, locked, fresh, cold))
        return await scorer.score(rows)
    due = baselines.choose_learning_batch(locked, added, cold_start=False)
    scored, refitted = await asyncio.gather(scorer.score(rows), _store_and_refit(session, locked, fresh, due))
    await baselines.apply(session, locked, refitted)
    return scored


async def _store_and_refit(
    session: AsyncSession, locked: Streams, fresh: pl.DataFrame, batch: baselines.LearningBatch
) -> baselines.RefittedBaselines | None:
    await samples.copy_samples(session, locked.kind, fresh.filter("in_time"))
    if locked.kind is TargetKind.LINK:
        await live_samples.note_batch(session, locked, fresh["stream"].to_numpy(), fresh["at"].to_numpy())
    return await baselines.refit(session, locked, batch) if batch.streams else None
