"""Learns again what is ordinary for each stream as its history grows: beside the ingest, one process at a time."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection import baselines
from ml.detection.detector import Detector
from ml.detection.features import StreamSamples
from ml.detection.profile_fitting import fit_profiles
from ml.detection.profiles import Profiles
from resolvers.base.readings import to_readings
from resolvers.base.worker import Worker
from resolvers.context import Services
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.database import driver
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.telemetry import profiles, streams
from resolvers.store.telemetry import samples as telemetry
from resolvers.store.telemetry.streams import StreamKey, Streams

MIN_SAMPLES: Final = 500  # younger streams are judged by a prior and their centre and spread
LEARN_FROM: Final = 4320  # the newest samples: 15 days of one each five minutes
REFIT_AFTER: Final = 72  # new samples (six hours), or a tenth more, whichever is later
AT_ONCE: Final = 16  # streams
BREAK: Final = 4.0  # times as long as a round took before the next, so that the server does not feel it


def build_worker(services: Services, every_seconds: float) -> Worker:
    """Returns the worker that learns profiles. It has no deadline: a large fleet takes hours."""
    return Worker("learning", lambda: learn_due(services, BREAK), every_seconds=every_seconds)


async def learn_due(services: Services, pause: float = 0.0) -> int:
    """All streams that are due; how many these were. None where another process is at it."""
    async with single_runner(services.database, AdvisoryLock.PROFILE_LEARNING) as mine:
        return sum([await _learn_kind(services, kind, pause) for kind in TargetKind]) if mine else 0


async def _learn_kind(services: Services, kind: TargetKind, pause: float) -> int:
    done = 0
    while True:
        began = time.monotonic()
        learned = await _round(services, await services.registry.detector(kind))
        if not learned:
            return done
        done += learned
        await asyncio.sleep(pause * (time.monotonic() - began))


async def _round(services: Services, detector: Detector) -> int:
    """A few streams: read in one transaction, learned from in none, stored in another."""
    async with services.database.read() as session:
        connection = await driver(session)
        due = await connection.fetch(
            _DUE, detector.kind.value, MIN_SAMPLES, REFIT_AFTER, LEARN_FROM, detector.version, AT_ONCE
        )
        if not due:
            return 0
        due.sort(key=lambda record: (record["target_id"], record["direction"]))
        keys: list[StreamKey] = [(record["target_id"], record["direction"]) for record in due]
        frame = await telemetry.load_newest(session, detector.kind, keys, LEARN_FROM)
        confirmed = await connection.fetch(_CONFIRMED, detector.kind.value, *zip(*keys, strict=True))
    windows = np.array([tuple(record) for record in confirmed], dtype=np.int64).reshape(-1, 3)
    learned = await asyncio.to_thread(_learned, detector, frame, len(keys), windows)
    async with services.database.write() as session:
        known = await streams.lock_streams(session, detector.kind, keys)
        await _keep(session, detector, known, learned, [record["samples"] for record in due])
    return len(keys)


async def _keep(
    session: AsyncSession, detector: Detector, known: Streams, learned: "_Learned | None", samples: list[int]
) -> None:
    contents: list[bytes | None] = [None] * len(known.keys)
    for place, content in zip(learned.places, learned.profiles.to_bytes(), strict=True) if learned else ():
        contents[place] = content
    await profiles.store_profiles(session, known.kind, known.keys, samples, detector.version, contents)
    if learned:
        known.learned[learned.places] = np.array(samples)[learned.places]
        known.centre[learned.places], known.spread[learned.places] = learned.base.centre, learned.base.spread
        await streams.store_baselines(session, known, learned.places)


@dataclass(frozen=True)
class _Learned:
    """Of the streams, by place, whose history sufficed."""

    places: list[int]
    profiles: Profiles
    base: baselines.Baselines


def _learned(detector: Detector, frame: pl.DataFrame, streams: int, confirmed: NDArray[np.int64]) -> _Learned | None:
    """None where no history suffices.

    Confirmed anomalies (place, first and last ms) are not learned from: they must stay odd.
    """
    kind, places = CATALOGUE[detector.kind], frame["place"].to_numpy()
    enough = np.bincount(places, minlength=streams) >= MIN_SAMPLES
    if not enough.any():
        return None
    kept = frame.filter(pl.Series(enough[places]))
    of, at = kept["place"].to_numpy(), kept["at"].to_numpy()
    left_out = np.zeros(len(kept), dtype=bool)
    for place, first, last in confirmed.tolist():
        left_out |= (of == place) & (at >= first) & (at <= last)
    rows = StreamSamples(to_readings(kept, kind), at, (np.cumsum(enough) - 1)[of], int(enough.sum()))
    ordinary = np.where(left_out[:, None], np.nan, rows.values)
    base = baselines.fit_baselines(kind, ordinary, rows.stream, rows.streams)
    learned = fit_profiles(rows, detector.scales, detector.forest, left_out if left_out.any() else None)
    return _Learned(np.flatnonzero(enough).tolist(), learned, base)


_DUE = """
SELECT target_id, direction, streams.samples FROM streams LEFT JOIN profiles USING (target_id, kind, direction)
WHERE kind = $1 AND streams.samples >= $2 AND (profiles.samples IS NULL OR model_version <> $5
  OR streams.samples >= profiles.samples + greatest($3, least(profiles.samples, $4) / 10))
ORDER BY profiles.samples NULLS FIRST, target_id, direction LIMIT $6"""

_CONFIRMED = """
SELECT key.place - 1, (extract(epoch FROM started_at) * 1000)::bigint,
  (extract(epoch FROM coalesce(ended_at, last_seen_at)) * 1000)::bigint
FROM unnest($2::int[], $3::text[]) WITH ORDINALITY AS key (target, direction, place) JOIN anomalies
  ON target_id = key.target AND kind = $1 AND coalesce(anomalies.direction, key.direction) = key.direction
WHERE feedback = 'TRUE_ALARM'"""
