"""Reads the fleet's samples of a window and the verdicts on its anomalies, for trainings."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import select

from ml.catalogue.metrics import CATALOGUE, Direction, TargetKind
from ml.catalogue.models import DETECTORS, History, Progress, TooLittleHistory
from resolvers.base.times import to_ms
from resolvers.store.postgres.database import Database
from resolvers.store.tables.core import Anomaly, Stream, Verdict
from resolvers.store.tables.samples import key_columns
from resolvers.store.telemetry import samples
from resolvers.store.telemetry.streams import StreamKey

MOST_ROWS: Final = 3_000_000  # that a training learns from: of links, some 300 MB
CHUNK_ROWS: Final = 250_000  # to be read at a time
ORDER_SEED: Final = 1  # of the choice of targets if they are too many: the same data gives the same history

Windows = NDArray[np.int64]


async def gather_history(
    database: Database,
    detector: str,
    start: datetime,
    end: datetime,
    progress: Progress = lambda _done, _what: None,
) -> History:
    """Returns the samples of the detector's kind from `start` up to `end`; of some targets only if there are too many.

    Raises TooLittleHistory if there are none.
    """
    kind = DETECTORS[detector]
    targets = await _find_targets(database, kind, start)
    frames: list[pl.DataFrame] = []
    rows, taken, size = 0, 0, 1
    while taken < len(targets) and rows < MOST_ROWS:
        progress(max(taken / len(targets), rows / MOST_ROWS), "reading the fleet's history")
        async with database.driver() as connection:
            frames.append(await samples.load(connection, kind, targets[taken : taken + size], start, end))
        taken, rows = taken + size, rows + len(frames[-1])
        size = max(1, min(4 * size, CHUNK_ROWS * taken // max(1, rows)))  # by what the targets so far had
    period = f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    if not rows:
        raise TooLittleHistory(f"No {kind.lower()} reported anything {period}.")
    judged = await _find_judged_anomalies(database, kind, start, end)
    return await asyncio.to_thread(_build_history, kind, f"the fleet's {kind.lower()}s {period}", frames, judged)


async def _find_targets(database: Database, kind: TargetKind, start: datetime) -> list[int]:
    """Returns the targets that have reported since, in a random but reproducible order."""
    query = select(Stream.target_id).where(Stream.kind == kind, Stream.last_at >= start).distinct()
    async with database.read() as session:
        targets = sorted(await session.scalars(query))
    return [targets[place] for place in np.random.default_rng(ORDER_SEED).permutation(len(targets))]


async def _find_judged_anomalies(
    database: Database, kind: TargetKind, start: datetime, end: datetime
) -> Sequence[Anomaly]:
    """Returns the anomalies in the window that have a verdict."""
    judged = (Anomaly.kind == kind, Anomaly.feedback.is_not(None))
    query = select(Anomaly).where(*judged, Anomaly.started_at < end, Anomaly.last_seen_at >= start)
    async with database.read() as session:
        return list(await session.scalars(query.order_by(Anomaly.started_at, Anomaly.id)))


def _build_history(kind: TargetKind, dataset: str, frames: list[pl.DataFrame], judged: Sequence[Anomaly]) -> History:
    frame = pl.concat(frames).sort(key_columns(kind))
    frames.clear()
    keys = [name for name in key_columns(kind) if name != "at"]
    stream = frame.select(pl.struct(keys).rle_id()).to_series().to_numpy().astype(np.int64)
    known = frame.select(keys).unique(maintain_order=True).rows()
    numbers = {(key[0], key[1] if len(key) > 1 else ""): number for number, key in enumerate(known)}
    return History(
        dataset,
        frame.select(pl.col(CATALOGUE[kind].columns).fill_null(np.nan)).to_numpy(order="c").astype(np.float64),
        stream,
        frame["at"].to_numpy().astype(np.int64),
        confirmed=_to_windows(judged, Verdict.TRUE_ALARM, numbers),
        dismissed=_to_windows(judged, Verdict.FALSE_ALARM, numbers),
    )


def _to_windows(judged: Sequence[Anomaly], verdict: Verdict, numbers: dict[StreamKey, int]) -> Windows:
    """Returns stream, first and last ms, shape (windows, 3); two windows for a link without direction."""
    windows = [
        (numbers[key], to_ms(anomaly.started_at), to_ms(anomaly.last_seen_at))
        for anomaly in judged
        for key in _stream_keys(anomaly)
        if anomaly.feedback is verdict and key in numbers
    ]
    return np.array(windows, dtype=np.int64).reshape(-1, 3)


def _stream_keys(anomaly: Anomaly) -> list[StreamKey]:
    either = list(Direction) if anomaly.kind is TargetKind.LINK else [""]
    directions = [anomaly.direction] if anomaly.direction else either
    return [(anomaly.target_id, str(direction)) for direction in directions]
