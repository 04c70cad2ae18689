"""What is usual for each stream, learned again as its history grows."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.baselines import MIN_SAMPLES, learn, or_usual, pooled
from ml.metrics import CATALOGUE, Floats, TargetKind
from resolvers.store import telemetry
from resolvers.store.tables import Stream

LEARN_FROM = 4000  # newest samples of a stream that its baseline rests on
READ_AT_MOST = 1000  # of them, evenly: a median needs no more
LEARN_AGAIN_AFTER = 2000  # new samples; a young stream learns each time that it has doubled
LEARN_AT_ONCE = 100  # streams; the others wait for the next batch, the least learned first
FLEET_FROM = 1000  # streams that the fleet's baseline rests on


def is_due(samples: int, learned: int) -> bool:
    """Whether a stream with so many samples should learn again: reading stays cheap per sample."""
    return samples >= MIN_SAMPLES and (samples >= 2 * learned or samples - learned >= LEARN_AGAIN_AFTER)


async def refresh(session: AsyncSession, kind: TargetKind, streams: Sequence[Stream], added: NDArray[np.int64]) -> None:
    """Learn the streams that are due from what is stored now; the `added` (streams,) are not counted on them yet."""
    stored = {id(stream): stream.samples + int(new) for stream, new in zip(streams, added, strict=True)}
    due = [stream for stream in streams if is_due(stored[id(stream)], stream.learned_samples)]
    chosen = sorted(due, key=lambda stream: stream.learned_samples)[:LEARN_AT_ONCE]
    if not chosen:
        return
    keys = [(stream.target_id, stream.direction) for stream in chosen]
    strides = [max(1, min(LEARN_FROM, stored[id(stream)]) // READ_AT_MOST) for stream in chosen]
    index, readings = await telemetry.recent(session, kind, keys, LEARN_FROM, strides)
    baselines = await asyncio.to_thread(learn, CATALOGUE[kind], readings, index, len(chosen))
    for number, stream in enumerate(chosen):
        stream.learned_samples = stored[id(stream)]
        stream.centre, stream.spread = _nulls(baselines.centre[number]), _nulls(baselines.spread[number])


def gathered(kind: TargetKind, streams: Sequence[Stream]) -> tuple[Floats, Floats]:
    """Centre and spread, (streams, metrics); strangers are judged by the catalogue, others by what they know."""
    nothing = [None] * len(CATALOGUE[kind].specs)
    centre = np.array([stream.centre or nothing for stream in streams], dtype=np.float64)
    spread = np.array([stream.spread or nothing for stream in streams], dtype=np.float64)
    strangers = np.array([stream.learned_samples == 0 for stream in streams], dtype=bool)
    centre[strangers], spread[strangers] = or_usual(CATALOGUE[kind], centre[strangers], spread[strangers])
    return centre, spread


async def fleet(session: AsyncSession, kind: TargetKind) -> tuple[Floats, Floats]:
    """What is usual over all targets of a kind, (metrics,) each."""
    query = select(Stream).where(Stream.kind == kind, Stream.learned_samples > 0).limit(FLEET_FROM)
    streams = list(await session.scalars(query.order_by(Stream.learned_samples.desc())))
    if not streams:
        return CATALOGUE[kind].usual, CATALOGUE[kind].usual_spread
    return pooled(CATALOGUE[kind], *gathered(kind, streams))


def _nulls(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
