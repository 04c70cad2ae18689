"""Ingests one batch in one transaction: stores and scores samples, tracks episodes, and publishes their changes."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.catalogue.units import DAY_MS
from ml.detection.detector import Detector
from resolvers.base.times import from_ms, to_ms
from resolvers.context import Context
from resolvers.detection import baselines
from resolvers.detection.anomaly_writer import AnomalyWriter
from resolvers.detection.arrivals import Arrivals
from resolvers.detection.cold_start import learn_from_batch
from resolvers.detection.episodes import EpisodeTracker
from resolvers.detection.late import judge_late
from resolvers.detection.scoring import BatchScorer, ScoredBatch
from resolvers.detection.silence_ends import end_silences
from resolvers.detection.stretches import LateStretches, load_late_stretches
from resolvers.store.tables.core import Anomaly, AuditEntry
from resolvers.store.tables.samples import target_column
from resolvers.store.telemetry import live_samples, samples, streams
from resolvers.store.telemetry.partitions import Partitions
from resolvers.store.telemetry.samples import EPOCH, AlreadyStored, PartitionMissing
from resolvers.store.telemetry.streams import StreamKey, StreamMissing, Streams
from resolvers.telemetry.duplicates import Duplicates, merge_with_stored

ATTEMPTS = 3  # each may find something missing
NO_DUPLICATES: Final = Duplicates()
REPLACEMENTS: Final = UUID(int=0)  # the subject of audit entries on samples that were replaced

logger = structlog.get_logger(__name__)

_partitions = Partitions()


@dataclass(frozen=True)
class Ingested:
    """What became of a batch's rows.

    accepted: how many are stored anew.
    duplicates: what the others did.
    anomalies: those that the rows opened, extended or ended.
    """

    accepted: int = 0
    duplicates: Duplicates = NO_DUPLICATES
    anomalies: list[Anomaly] = field(default_factory=list)


async def ingest(context: Context, kind: TargetKind, frame: pl.DataFrame, *, replace: bool = False) -> Ingested:
    """Stores and scores these rows, in one transaction.

    frame: the samples' key columns (`at` in epoch ms) and metric columns, and nothing twice; for links `is_graded`.
    replace: overwrite stored values with others.
    """
    detector = await context.services.registry.detector(kind)
    sensitivity = await context.services.sensitivity.get(kind)
    numbered, keys = await asyncio.to_thread(_number_streams, kind, frame)
    days = [EPOCH + timedelta(days=day) for day in (frame["at"] // DAY_MS).unique().to_list()]
    await _partitions.ensure(context.database, kind, days)
    cautious = False
    for _ in range(ATTEMPTS):
        try:
            return await _ingest_once(
                context, detector, sensitivity, numbered, keys, cautious=cautious, replace=replace
            )
        except StreamMissing:
            async with context.database.write() as session:
                await streams.create_streams(session, kind, keys)
        except PartitionMissing:  # dropped since this process saw it
            _partitions.forget(context.database)
            await _partitions.ensure(context.database, kind, days)
        except AlreadyStored:  # the streams know less than the tables: somebody restored the samples alone
            cautious = True
    return await _ingest_once(context, detector, sensitivity, numbered, keys, cautious=True, replace=replace)


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
    replace: bool,
) -> Ingested:
    async with context.database.write() as session:
        locked = await streams.lock_streams(session, detector.kind, keys)
        profiles = await context.services.profiles.load(session, detector.kind, keys, locked.profile)
        fresh, duplicates = await _merge_duplicates(session, locked, frame, cautious=cautious, replace=replace)
        if fresh.is_empty():
            return Ingested(0, duplicates)
        which, times = fresh["stream"].to_numpy(), fresh["at"].to_numpy()
        late, in_order = await _read_late(session, locked, fresh)
        rows = _add_pending(in_order, await _read_pending(session, locked, in_order))
        arrivals = Arrivals.note(locked, which, times, to_ms(context.now))
        scorer = BatchScorer(detector, locked, profiles, arrivals.limit_sensitivity(sensitivity))
        scored = await _store_and_score(session, scorer, fresh, rows)
        writer = AnomalyWriter(session, arrivals, detector.version, context.now, scored, rows["at"].to_numpy(), locked)
        anomalies = await EpisodeTracker(writer).run(rows["stream"].to_numpy())
        locked.memory = await asyncio.to_thread(scorer.compute_memory, rows, scored)
        if late is not None:
            anomalies += await judge_late(context, session, scorer, arrivals, sensitivity, late)
        await streams.store_episode_states(session, locked)
        anomalies += await end_silences(session, locked, arrivals, context.now)
        is_new = fresh["is_new"].to_numpy()
        await streams.advance_streams(session, locked, which, times, is_new, context.now, arrivals.gaps)
        if duplicates.replaced:
            _audit_replacement(context, session, locked.kind, duplicates.replaced, times[~is_new])
    if detector.kind is TargetKind.LINK:
        context.services.live.notify()
    return Ingested(int(is_new.sum()), duplicates, anomalies)


async def _read_late(
    session: AsyncSession, locked: Streams, fresh: pl.DataFrame
) -> tuple[LateStretches | None, pl.DataFrame]:
    """Returns the stretches that late samples lie in, and the rows that are scored as they come."""
    is_late = fresh["at"].to_numpy() <= locked.last_at[fresh["stream"].to_numpy()]
    if not is_late.any():
        return None, fresh
    chosen = pl.Series(is_late)
    in_time = fresh.filter(~chosen)
    late = await load_late_stretches(session, locked, fresh.filter(chosen), in_time)
    reached = late.streams[late.reaches_newest].tolist()
    return late, in_time.filter(~pl.col("stream").is_in(reached))


async def _read_pending(session: AsyncSession, locked: Streams, rows: pl.DataFrame) -> pl.DataFrame | None:
    """Returns stored samples from the first pending alarm of each stream of these rows on, to be scored again."""
    states = {number: state for number, state in locked.episode_states.items() if state.pending_since is not None}
    if not states:
        return None
    present = set(rows["stream"].unique().to_list())
    starts = {number: state.pending_since or 0 for number, state in states.items() if number in present}
    if not starts:
        return None
    keys = [locked.keys[number] for number in starts]
    frame = await samples.load_since(session, locked.kind, keys, list(starts.values()))
    return frame.with_columns(stream=pl.col("place").replace_strict(dict(enumerate(starts)), return_dtype=pl.Int64))


def _add_pending(fresh: pl.DataFrame, pending: pl.DataFrame | None) -> pl.DataFrame:
    if pending is None:
        return fresh
    columns = [column for column in pending.columns if column in fresh.columns]
    both = pl.concat([fresh.select(columns), pending.select(columns)])
    return both.unique(["stream", "at"], keep="first").sort("stream", "at")  # some pending ones changed just now


async def _merge_duplicates(
    session: AsyncSession, locked: Streams, frame: pl.DataFrame, *, cautious: bool, replace: bool
) -> tuple[pl.DataFrame, Duplicates]:
    """Returns the rows that are new or change a stored sample, and stores those not newer than their stream's newest.

    The newer ones are marked `in_time`: they cannot be stored yet, and nobody else can while the streams are locked.
    Those that change a stored sample have all its values, and are not marked `is_new`.
    """
    in_time = pl.Series((frame["at"].to_numpy() > locked.last_at[frame["stream"].to_numpy()]) & (not cautious))
    frame = frame.with_columns(in_time=in_time, is_new=pl.lit(True))  # noqa: FBT003
    if in_time.all():
        return frame, Duplicates()
    late = frame.filter(~in_time)
    stored = await samples.load_stored(session, locked.kind, late)
    is_known = pl.Series(np.isin(np.arange(len(late)), stored["place"].to_numpy()))
    repeated, new = late.filter(is_known), late.filter(~is_known)
    changed, duplicates = await asyncio.to_thread(merge_with_stored, locked.kind, repeated, stored, replace=replace)
    changed = changed.with_columns(is_new=pl.lit(False))  # noqa: FBT003
    if len(new):
        await samples.copy_samples(session, locked.kind, new)
    if len(changed):
        await samples.update_samples(session, locked.kind, changed)
    return pl.concat([frame.filter(in_time), new, changed]).sort("stream", "at"), duplicates


def _audit_replacement(
    context: Context, session: AsyncSession, kind: TargetKind, count: int, times: NDArray[np.int64]
) -> None:
    """Notes who replaced how many samples, and of when."""
    first, last = (from_ms(int(at)).isoformat() for at in (times.min(), times.max()))
    logger.warning("samples were replaced", kind=kind, samples=count, first=first, last=last)
    details = f"{count} samples of {kind.lower()}s, from {first} to {last}"
    by = context.caller.author_id if context.caller else None
    entry = AuditEntry(subject_id=REPLACEMENTS, by_id=by, action="SAMPLES_REPLACED", details=details, at=context.now)
    session.add(entry)


async def _store_and_score(
    session: AsyncSession, scorer: BatchScorer, fresh: pl.DataFrame, rows: pl.DataFrame
) -> ScoredBatch:
    """Stores and scores at the same time; but cold-start streams learn first, from what the batch itself brings."""
    locked, new = scorer.streams, fresh.filter("is_new")
    await learn_from_batch(session, scorer, new)
    added = np.bincount(new["stream"].to_numpy(), minlength=len(locked.keys))
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
