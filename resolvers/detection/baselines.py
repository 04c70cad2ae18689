"""What is usual for each stream, learned again as its history grows."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection.baselines import MIN_SAMPLES, Baselines, fill_from_catalogue, fit_baselines, pool_baselines
from ml.numerics.arrays import Floats
from resolvers.store.tables.core import Stream
from resolvers.store.telemetry import samples as telemetry
from resolvers.store.telemetry.streams import Streams, store_baselines

LEARN_FROM = 4000  # newest samples of a stream that its baseline rests on
MAX_READ = 1000  # of them, evenly: a median needs no more
REFIT_AFTER = 2000  # new samples; a young stream learns each time that it has doubled
READ_PER_SAMPLE = 0.5  # samples read again for each that a batch brings, so that it need not wait long
READ_PER_COLD_SAMPLE = 4.0  # the same for those that nothing is known of, which are judged badly until then
MAX_FLEET_STREAMS = 1000  # streams that the fleet's baseline rests on


def is_due(samples: NDArray[np.int64], learned: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether streams with so many samples should learn again, (streams,): reading stays cheap per sample."""
    doubled: NDArray[np.bool_] = samples >= np.minimum(2 * learned, learned + REFIT_AFTER)
    return doubled & (samples >= MIN_SAMPLES)


@dataclass(frozen=True)
class LearningBatch:
    """Which of a batch's streams learn (indices), from how many stored samples each, (chosen,)."""

    streams: list[int]
    stored: NDArray[np.int64]


def choose_learning_batch(streams: Streams, added: NDArray[np.int64], *, cold_start: bool) -> LearningBatch:
    """Who is due: of those that know nothing yet, or of the others; the `added` samples are not counted on them yet.

    The least learned first, one at least, and no more than may be read for: the rest waits its turn.
    """
    stored = streams.samples + added
    known = streams.learned
    young = streams.profile == 0  # the others' profiles are learned apart, see `resolvers.detection.profile_worker`
    due = np.flatnonzero(is_due(stored, known) & ((known == 0) == cold_start) & young)
    ordered = due[np.argsort(known[due], kind="stable")]
    reads = np.cumsum(np.minimum(MAX_READ, stored[ordered]))
    most = (READ_PER_COLD_SAMPLE if cold_start else READ_PER_SAMPLE) * added.sum()
    chosen = ordered[: max(1, int(np.searchsorted(reads, most, side="right")))]
    return LearningBatch(chosen.tolist(), stored[chosen])


@dataclass(frozen=True)
class RefittedBaselines:
    lesson: LearningBatch
    baselines: Baselines


async def refit(session: AsyncSession, streams: Streams, lesson: LearningBatch) -> RefittedBaselines:
    """What these streams would know, from what is stored now; they know it when they `take` it."""
    keys = [streams.keys[number] for number in lesson.streams]
    strides = np.maximum(1, np.minimum(LEARN_FROM, lesson.stored) // MAX_READ)
    index, readings = await telemetry.load_recent(session, streams.kind, keys, LEARN_FROM, strides.tolist())
    return RefittedBaselines(
        lesson, await asyncio.to_thread(fit_baselines, CATALOGUE[streams.kind], readings, index, len(keys))
    )


async def apply(session: AsyncSession, streams: Streams, learned: RefittedBaselines | None) -> None:
    """From now on, and stored."""
    if learned is None:
        return
    chosen = learned.lesson.streams
    streams.learned[chosen] = learned.lesson.stored
    streams.centre[chosen], streams.spread[chosen] = learned.baselines.centre, learned.baselines.spread
    await store_baselines(session, streams, chosen)


def get_baselines(streams: Streams) -> tuple[Floats, Floats]:
    """Centre and spread, (streams, metrics); strangers are judged by the catalogue, others by what they know."""
    return _fill_cold_start(streams.kind, streams.centre, streams.spread, streams.learned)


def collect_baselines(kind: TargetKind, rows: Sequence[Stream]) -> tuple[Floats, Floats]:
    """The same of streams as rows."""
    nothing = [np.nan] * len(CATALOGUE[kind].specs)
    centre = np.array([row.centre or nothing for row in rows], dtype=np.float64)
    spread = np.array([row.spread or nothing for row in rows], dtype=np.float64)
    return _fill_cold_start(kind, centre, spread, np.array([row.learned_samples for row in rows]))


def _fill_cold_start(
    kind: TargetKind, centre: Floats, spread: Floats, samples: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    strangers = (samples == 0)[:, None]
    usual_centre, usual_spread = fill_from_catalogue(CATALOGUE[kind], centre, spread)
    return np.where(strangers, usual_centre, centre), np.where(strangers, usual_spread, spread)


async def pool_fleet(session: AsyncSession, kind: TargetKind) -> tuple[Floats, Floats]:
    """What is usual over all targets of a kind, (metrics,) each."""
    query = select(Stream).where(Stream.kind == kind, Stream.learned_samples > 0).limit(MAX_FLEET_STREAMS)
    streams = list(await session.scalars(query.order_by(Stream.learned_samples.desc())))
    if not streams:
        return CATALOGUE[kind].usual, CATALOGUE[kind].usual_spread
    return pool_baselines(CATALOGUE[kind], *collect_baselines(kind, streams))
