"""Fits the baselines of streams again as their history grows, inside the ingest transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection.baselines import MIN_SAMPLES, Baselines, fill_from_catalogue, fit_baselines, pool_baselines
from ml.numerics.arrays import Bools, Floats, Integers
from resolvers.store.tables.core import Stream
from resolvers.store.telemetry import samples as telemetry
from resolvers.store.telemetry.streams import Streams, store_baselines

LEARN_FROM = 4000  # newest samples of a stream that its baseline rests on
MAX_READ = 1000  # of them, evenly chosen: a median needs no more
REFIT_AFTER = 2000  # new samples; a young stream learns each time that it has doubled
READ_PER_SAMPLE = 0.5  # samples read again for each that a batch brings, so that it need not wait long
READ_PER_COLD_SAMPLE = 4.0  # the same for streams without a baseline, which are scored badly until they have one
MAX_FLEET_STREAMS = 1000  # that the fleet's baseline rests on


def is_due(samples: Integers, learned: Integers) -> Bools:
    """Returns which streams should learn again, shape (streams,): seldom enough that reading stays cheap per sample.

    samples: stored now, shape (streams,).
    learned: stored when they learned last, shape (streams,).
    """
    doubled: Bools = samples >= np.minimum(2 * learned, learned + REFIT_AFTER)
    return doubled & (samples >= MIN_SAMPLES)


@dataclass(frozen=True)
class LearningBatch:
    """The streams of a batch that learn now.

    streams: their indices.
    stored: samples that each has in the tables, shape (chosen,).
    """

    streams: list[int]
    stored: Integers


def choose_learning_batch(streams: Streams, added: Integers, *, cold_start: bool) -> LearningBatch:
    """Chooses which due streams learn now: the least learned first, one at least, as many as the batch may read for.

    The others wait for a later batch. Streams with a profile learn in `resolvers.detection.profile_worker` instead.

    added: samples that the batch brings each stream, not counted in `streams.samples` yet, shape (streams,).
    cold_start: choose among the streams without a baseline, else among the others.
    """
    stored = streams.samples + added
    learned = streams.learned
    due = np.flatnonzero(is_due(stored, learned) & ((learned == 0) == cold_start) & (streams.profile == 0))
    ordered = due[np.argsort(learned[due], kind="stable")]
    reads = np.cumsum(np.minimum(MAX_READ, stored[ordered]))
    max_reads = (READ_PER_COLD_SAMPLE if cold_start else READ_PER_SAMPLE) * added.sum()
    chosen = ordered[: max(1, int(np.searchsorted(reads, max_reads, side="right")))]
    return LearningBatch(chosen.tolist(), stored[chosen])


@dataclass(frozen=True)
class RefittedBaselines:
    """New baselines, in the order of the batch's streams; seconds: that their samples span, shape (chosen,)."""

    batch: LearningBatch
    baselines: Baselines
    seconds: Floats


async def refit(session: AsyncSession, streams: Streams, batch: LearningBatch) -> RefittedBaselines:
    """Fits new baselines to what is stored; they count once they are applied."""
    keys = [streams.keys[number] for number in batch.streams]
    strides = np.maximum(1, np.minimum(LEARN_FROM, batch.stored) // MAX_READ)
    index, at, readings = await telemetry.load_recent(session, streams.kind, keys, LEARN_FROM, strides.tolist())
    baselines = await asyncio.to_thread(fit_baselines, CATALOGUE[streams.kind], readings, index, len(keys))
    return RefittedBaselines(batch, baselines, measure_spans(index, at, len(keys)))


def measure_spans(stream: Integers, at: Integers, streams: int) -> Floats:
    """Returns the seconds from each stream's oldest to its newest sample, shape (streams,)."""
    first, last = np.full(streams, np.iinfo(np.int64).max), np.full(streams, np.iinfo(np.int64).min)
    np.minimum.at(first, stream, at)
    np.maximum.at(last, stream, at)
    seen = np.bincount(stream, minlength=streams) > 0
    return np.where(seen, last, 0.0) / 1000.0 - np.where(seen, first, 0.0) / 1000.0


async def apply(session: AsyncSession, streams: Streams, refitted: RefittedBaselines | None) -> None:
    """Gives the streams their new baselines, and stores these."""
    if refitted is None:
        return
    chosen, baselines = refitted.batch.streams, refitted.baselines
    streams.learned[chosen], streams.learned_seconds[chosen] = refitted.batch.stored, refitted.seconds
    streams.centre[chosen], streams.spread[chosen] = baselines.centre, baselines.spread
    await store_baselines(session, streams, chosen)


def get_baselines(streams: Streams) -> tuple[Floats, Floats]:
    """Returns centre and spread, shape (streams, metrics); the catalogue's where a stream has not learned yet."""
    return _fill_cold_start(streams.kind, streams.centre, streams.spread, streams.learned)


def collect_baselines(kind: TargetKind, rows: Sequence[Stream]) -> tuple[Floats, Floats]:
    """Returns the same of rows of the table."""
    unknown = [np.nan] * len(CATALOGUE[kind].specs)
    centre = np.array([row.centre or unknown for row in rows], dtype=np.float64)
    spread = np.array([row.spread or unknown for row in rows], dtype=np.float64)
    return _fill_cold_start(kind, centre, spread, np.array([row.learned_samples for row in rows]))


def _fill_cold_start(kind: TargetKind, centre: Floats, spread: Floats, learned: Integers) -> tuple[Floats, Floats]:
    is_cold = (learned == 0)[:, None]
    usual_centre, usual_spread = fill_from_catalogue(CATALOGUE[kind], centre, spread)
    return np.where(is_cold, usual_centre, centre), np.where(is_cold, usual_spread, spread)


async def pool_fleet(session: AsyncSession, kind: TargetKind) -> tuple[Floats, Floats]:
    """Returns one centre and spread for all targets of a kind, shape (metrics,); the catalogue's for a new fleet."""
    query = select(Stream).where(Stream.kind == kind, Stream.learned_samples > 0).limit(MAX_FLEET_STREAMS)
    streams = list(await session.scalars(query.order_by(Stream.learned_samples.desc())))
    if not streams:
        return CATALOGUE[kind].usual, CATALOGUE[kind].usual_spread
    return pool_baselines(CATALOGUE[kind], *collect_baselines(kind, streams))
