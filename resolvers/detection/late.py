"""Judges late samples together with their stored neighbours, so that their order of arrival makes no difference."""

import asyncio
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE
from ml.catalogue.units import HOUR_MS
from ml.detection.detector import Scores
from ml.detection.features import NEVER, Memory, StreamSamples
from ml.detection.replay import ReplayedStretch, remember_stretches, replay_episodes
from ml.numerics.arrays import Bools, Floats, Integers
from resolvers.base.counters import LATE_SAMPLES, SCORING
from resolvers.context import Context
from resolvers.detection.anomaly_writer import AnomalyWriter
from resolvers.detection.arrivals import Arrivals
from resolvers.detection.rewriting import JudgedStretch, StretchRewriter
from resolvers.detection.scoring import BatchScorer, ScoredBatch
from resolvers.detection.stretches import LateStretches
from resolvers.store.tables.core import Anomaly
from resolvers.store.telemetry.streams import Streams

SEEDED_MS: Final = 12 * HOUR_MS  # up to so long ago, today's slow averages say more than a few samples

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Replayed:
    """What the stretches say.

    scores: of their samples. memory: behind each. stretches: the rest.
    """

    scores: Scores
    memory: Memory
    stretches: list[ReplayedStretch]


async def judge_late(
    context: Context,
    session: AsyncSession,
    scorer: BatchScorer,
    arrivals: Arrivals,
    sensitivity: float,
    late: LateStretches,
) -> list[Anomaly]:
    """Rewrites the anomalies of stretches that late samples lie in, and returns those that changed.

    Streams whose newest sample lies in a stretch get their episode state and memory anew. sensitivity: as it is set.
    """
    streams, kind = scorer.streams, CATALOGUE[scorer.detector.kind]
    arrivals = arrivals.widen_bounds(late.streams, _find_pace(streams, late))
    with SCORING[scorer.detector.kind].time():
        replayed = await asyncio.to_thread(_replay, scorer, arrivals, sensitivity, late)
    scored = ScoredBatch(kind, late.samples.values, replayed.scores)
    writer = AnomalyWriter(session, arrivals, scorer.detector.version, context.now, scored, late.samples.at, streams)
    judged = [
        JudgedStretch(number, stretch, bool(complete), bool(newest), _is_silent(streams, arrivals, number))
        for number, stretch, complete, newest in zip(
            late.streams.tolist(), replayed.stretches, late.is_complete, late.reaches_newest, strict=True
        )
    ]
    changed = await StretchRewriter(writer).run(judged)
    newest = np.flatnonzero(late.reaches_newest)
    streams.memory.replace_at(late.streams[newest], replayed.memory.take(newest))
    _count(scorer, late)
    return changed


def _find_pace(streams: Streams, late: LateStretches) -> Floats:
    """Returns the seconds between the samples of each stretch, shape (stretches,)."""
    spans = [late.samples.at[rows] for rows in late.samples.slices]
    return np.array([float(np.median(np.diff(at))) / 1000.0 if len(at) > 1 else 0.0 for at in spans])


def _is_silent(streams: Streams, arrivals: Arrivals, number: int) -> bool:
    return number in streams.silences and int(arrivals.first_new[number]) == NEVER


def _count(scorer: BatchScorer, late: LateStretches) -> None:
    """Counts late samples; tells of those that were not judged with all their neighbours."""
    judged = sum(
        int((late.samples.at[rows] >= first).sum())
        for rows, first in zip(late.samples.slices, late.changed_at.tolist(), strict=True)
    )
    for samples, result in ((judged, "judged_again"), (late.unjudged, "unjudged")):
        LATE_SAMPLES.labels(scorer.detector.kind.lower(), result).inc(samples)
    if late.unjudged:
        logger.warning("late samples were stored but not judged", kind=scorer.detector.kind, samples=late.unjudged)


# ---------------------------------------------------------------- off the event loop


def _replay(scorer: BatchScorer, arrivals: Arrivals, sensitivity: float, late: LateStretches) -> _Replayed:
    samples, memory = late.samples, _seed_memory(scorer.streams, late)
    ends = np.array([samples.at[rows.stop - 1] for rows in samples.slices])
    is_past = arrivals.now - ends > arrivals.live_bounds[late.streams]
    scores = _score(scorer, samples, late.streams, memory, sensitivity, arrivals, is_past)
    stretches = replay_episodes(samples, scores, late.changed_at)
    scales = scorer.smoothing_scales(late.streams)
    return _Replayed(scores, remember_stretches(memory, samples, scores, stretches, scales), stretches)


def _seed_memory(streams: Streams, late: LateStretches) -> Memory:
    """Returns what is known before each stretch.

    Nothing before a stream's first sample, or long ago. Of the last hours, the slow averages as they are now.
    """
    memory = streams.memory.take(late.streams)
    blank = Memory.blank(len(late.streams), memory.values.shape[2])
    seeded = np.flatnonzero(~late.is_complete & (memory.at - late.changed_at < SEEDED_MS))
    if len(seeded):
        part = memory.take(seeded)
        part.values[:, :3] = np.nan  # last value, last jump and fast average are of other samples
        part.at[:], part.gap_seconds[:] = NEVER, np.nan
        blank.replace_at(seeded, part)
    return blank


def _score(
    scorer: BatchScorer,
    samples: StreamSamples,
    streams: Integers,
    memory: Memory,
    sensitivity: float,
    arrivals: Arrivals,
    is_past: Bools,
) -> Scores:
    """Scores what is all of the past with a lower sensitivity, as in batches that are."""
    parts = [
        (which, value)
        for which, value in ((~is_past, sensitivity), (is_past, arrivals.limit_past(sensitivity)))
        if which.any()
    ]
    rows = [which[samples.stream] for which, _ in parts]
    scores = [
        scorer.score_again(samples.where(chosen), streams, memory, value)
        for chosen, (_, value) in zip(rows, parts, strict=True)
    ]
    if len(scores) == 1:
        return scores[0]
    first, second = scores
    behind = np.flatnonzero(is_past)
    first.memory.replace_at(behind, second.memory.take(behind))
    names = [field.name for field in fields(Scores) if field.name != "memory"]
    joined = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    order = np.argsort(np.concatenate([np.flatnonzero(chosen) for chosen in rows]))
    return Scores(**joined, memory=first.memory).reorder(order, samples.streams)
