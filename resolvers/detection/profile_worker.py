"""Fits the profiles of streams again as their history grows: beside the ingest, one process at a time."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.catalogue.units import DAY_SECONDS
from ml.detection import baselines
from ml.detection.detector import Detector
from ml.detection.features import NOMINAL_CADENCE_SECONDS, Memory, StreamSamples
from ml.detection.profile_fitting import choose_even_rows, fit_profiles
from ml.detection.profiles import Profiles
from ml.numerics.arrays import Floats
from resolvers.base.worker import Worker
from resolvers.context import Services
from resolvers.detection.baselines import measure_spans
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.database import driver
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.telemetry import profiles, streams
from resolvers.store.telemetry import samples as telemetry
from resolvers.store.telemetry.readings import to_readings
from resolvers.store.telemetry.streams import StreamKey, Streams

MIN_SAMPLES: Final = 500  # younger streams are scored by the prior and their baseline
LEARN_FROM: Final = 4320  # newest samples: 15 days of one each five minutes,
LEARN_SECONDS: Final = 3 * DAY_SECONDS  # but more where they span less,
MAX_LEARN_FROM: Final = 26_000  # up to this many
YOUNG_SECONDS: Final = 0.95 * MIN_SAMPLES * NOMINAL_CADENCE_SECONDS  # many samples of a shorter time know no day
REFIT_AFTER: Final = 72  # new samples (six hours), or a tenth more, whichever is later
AT_ONCE: Final = 16  # streams
NOTHING_CONFIRMED: Final = np.zeros((0, 3), dtype=np.int64)
BREAK: Final = 4.0  # times as long as the last few streams took, so that the server does not feel it


def build_worker(services: Services, every_seconds: float) -> Worker:
    """Returns the worker that learns profiles. It has no deadline: a large fleet takes hours."""
    return Worker("learning", lambda: learn_due(services, BREAK), every_seconds=every_seconds)


async def learn_due(services: Services, pause: float = 0.0) -> int:
    """Fits the profiles of all streams that are due; returns how many. 0 where another process is at it.

    pause: times as long as the last few streams took, before the next ones.
    """
    async with single_runner(services.database, AdvisoryLock.PROFILE_LEARNING) as mine:
        return sum([await _learn_kind(services, kind, pause) for kind in TargetKind]) if mine else 0


async def _learn_kind(services: Services, kind: TargetKind, pause: float) -> int:
    done = 0
    while True:
        began = time.monotonic()
        learned = await _learn_some(services, await services.registry.detector(kind))
        if not learned:
            return done
        done += learned
        await asyncio.sleep(pause * (time.monotonic() - began))


async def _learn_some(services: Services, detector: Detector) -> int:
    """Fits a few streams: reads them in one transaction, fits them in none, and stores them in another."""
    async with services.database.read() as session:
        connection = await driver(session)
        due = await connection.fetch(
            _DUE, detector.kind.value, MIN_SAMPLES, REFIT_AFTER, LEARN_FROM, detector.version, AT_ONCE
        )
        if not due:
            return 0
        due.sort(key=lambda record: (record["target_id"], record["direction"]))
        keys: list[StreamKey] = [(record["target_id"], record["direction"]) for record in due]
        memory = Memory.from_bytes([record["memory"] for record in due], len(CATALOGUE[detector.kind].specs))
        most = count_to_read(memory.cadence_seconds)
        frame = await telemetry.load_newest(session, detector.kind, keys, most.tolist())
        confirmed = await connection.fetch(_CONFIRMED, detector.kind.value, *zip(*keys, strict=True))
    windows = np.array([tuple(record) for record in confirmed], dtype=np.int64).reshape(-1, 3)
    fits = await asyncio.to_thread(fit, detector, frame, len(keys), windows)
    async with services.database.write() as session:
        locked = await streams.lock_streams(session, detector.kind, keys)
        await _store(session, detector, locked, fits, np.array([record["samples"] for record in due]), most)
    return len(keys)


def count_to_read(cadence: Floats) -> NDArray[np.int64]:
    """Returns how many of its newest samples each stream learns from, shape (streams,).

    cadence: usual seconds between a stream's samples, shape (streams,), NaN where unknown.
    """
    spanning = LEARN_SECONDS / np.where(np.isnan(cadence), NOMINAL_CADENCE_SECONDS, cadence)
    return np.clip(np.ceil(spanning), LEARN_FROM, MAX_LEARN_FROM).astype(np.int64)


def count_until_refit(samples: NDArray[np.int64], most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the number of samples with which streams are fitted again, shape (streams,).

    samples: that the history of each stream had. most: how many of them it is fitted to, at most.
    """
    due: NDArray[np.int64] = samples + np.maximum(REFIT_AFTER, np.minimum(samples, most) // 10)
    return due


async def _store(
    session: AsyncSession,
    detector: Detector,
    locked: Streams,
    fits: "Fits | None",
    samples: NDArray[np.int64],
    most: NDArray[np.int64],
) -> None:
    """Stores profiles and baselines.

    samples: that the history of each stream had.
    most: how many of them it learned from, at most.
    """
    due = count_until_refit(samples, most)
    contents: list[bytes | None] = [None] * len(locked.keys)
    for place, content in zip(fits.places, fits.profiles.to_bytes(), strict=True) if fits else ():
        contents[place] = content
    counts = list(zip(samples.tolist(), due.tolist(), strict=True))
    await profiles.store_profiles(session, locked.kind, locked.keys, counts, detector.version, contents)
    if fits:
        locked.learned[fits.places], locked.learned_seconds[fits.places] = samples[fits.places], fits.seconds
        locked.centre[fits.places], locked.spread[fits.places] = fits.base.centre, fits.base.spread
        await streams.store_baselines(session, locked, fits.places)


@dataclass(frozen=True)
class Fits:
    """Profiles and baselines of the streams whose history sufficed.

    places: their indices.
    seconds: that their histories span, shape (places,).
    """

    places: list[int]
    profiles: Profiles
    base: baselines.Baselines
    seconds: Floats


def fit(
    detector: Detector, frame: pl.DataFrame, streams: int, confirmed: NDArray[np.int64] = NOTHING_CONFIRMED
) -> Fits | None:
    """Fits the streams with enough samples; None where there are none.

    frame: samples sorted by `place`, the index of their stream, and `at`.
    confirmed: place, first and last epoch ms of true anomalies, shape (windows, 3). They are not learned from, so that
        their like goes on alarming.
    """
    kind = CATALOGUE[detector.kind]
    even = frame.filter(pl.Series(choose_even_rows(frame["place"].to_numpy(), frame["at"].to_numpy())))
    places = even["place"].to_numpy()
    seconds = measure_spans(places, even["at"].to_numpy(), streams)
    enough = (np.bincount(places, minlength=streams) >= MIN_SAMPLES) & (seconds >= YOUNG_SECONDS)
    if not enough.any():
        return None
    kept = even.filter(pl.Series(enough[places]))
    place_of, at = kept["place"].to_numpy(), kept["at"].to_numpy()
    left_out = np.zeros(len(kept), dtype=bool)
    for place, first, last in confirmed.tolist():
        left_out |= (place_of == place) & (at >= first) & (at <= last)
    samples = StreamSamples(to_readings(kept, kind), at, (np.cumsum(enough) - 1)[place_of], int(enough.sum()))
    ordinary = np.where(left_out[:, None], np.nan, samples.values)
    base = baselines.fit_baselines(kind, ordinary, samples.stream, samples.streams)
    fitted = fit_profiles(samples, detector.scales, detector.forest, left_out if left_out.any() else None)
    return Fits(np.flatnonzero(enough).tolist(), fitted, base, seconds[enough])


_DUE = """
SELECT target_id, direction, streams.samples, memory FROM streams LEFT JOIN profiles USING (target_id, kind, direction)
WHERE kind = $1 AND streams.samples >= $2 AND (profiles.samples IS NULL OR model_version <> $5
  OR streams.samples >= coalesce(due_samples, profiles.samples + greatest($3, least(profiles.samples, $4) / 10)))
ORDER BY profiles.samples NULLS FIRST, target_id, direction LIMIT $6"""

_CONFIRMED = """
SELECT key.place - 1, (extract(epoch FROM started_at) * 1000)::bigint,
  (extract(epoch FROM coalesce(ended_at, last_seen_at)) * 1000)::bigint
FROM unnest($2::int[], $3::text[]) WITH ORDINALITY AS key (target, direction, place) JOIN anomalies
  ON target_id = key.target AND kind = $1 AND coalesce(anomalies.direction, key.direction) = key.direction
WHERE feedback = 'TRUE_ALARM'"""
