"""Delivers new samples of links to their followers, in whichever process they were recorded.

A transaction that stores a batch also notes in `stored_batches` what it stored. Each process reads the notes that its
snapshot of the database sees and its last snapshot did not. So it reads each batch exactly once, in whatever order the
transactions commit, and no writer waits for another. Commits wake the readers, once for all batches of a moment. They
also read every few seconds, in case a wake-up is lost.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import asyncpg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from resolvers.base.counters import LAGGED, SAMPLES_TOPIC
from resolvers.base.errors import Lagged
from resolvers.base.worker import Worker
from resolvers.store.events.database import EventDatabase
from resolvers.store.events.wakeups import Channel
from resolvers.store.postgres.database import driver
from resolvers.store.tables.core import StoredBatch
from resolvers.store.telemetry.series import Series, array_sql, read_raw, times_sql
from resolvers.store.telemetry.streams import Streams

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

POLL_SECONDS: Final = 5.0
KEPT: Final = timedelta(minutes=5)
QUEUE_LENGTH: Final = 100  # reads whose samples may wait for a follower


@dataclass(frozen=True, slots=True)
class NewSamples:
    """New samples of one link and direction, raw."""

    link_id: int
    direction: Direction
    series: Series


async def note_batch(
    session: AsyncSession, streams: Streams, which: NDArray[np.int64], times: NDArray[np.int64]
) -> None:
    """Notes which samples of links this transaction stores.

    which, times: stream (index) and epoch ms of each row, shape (rows,), sorted by both.
    """
    numbers, samples = np.unique(which, return_counts=True)
    keys = [streams.keys[number] for number in numbers.tolist()]
    connection = await driver(session)
    await connection.execute(
        "INSERT INTO stored_batches (id, links, directions, samples, times) VALUES (gen_random_uuid(), $1, $2, $3, $4)",
        [key[0] for key in keys],
        [key[1] for key in keys],
        samples.tolist(),
        times.tolist(),
    )


async def forget_old(session: AsyncSession) -> None:
    """Deletes the notes of batches that every reader saw long ago."""
    await session.execute(delete(StoredBatch).where(StoredBatch.stored_at < func.now() - KEPT))


Queue = asyncio.Queue[list[NewSamples] | None]  # None: the follower fell too far behind


class LiveSamples:
    """Reads new samples once per process, however many follow.

    poll_seconds: between reads without a wake-up.
    queue_length: reads whose samples may wait for a follower; one that falls further behind is lost.
    """

    def __init__(
        self, database: EventDatabase, *, poll_seconds: float = POLL_SECONDS, queue_length: int = QUEUE_LENGTH
    ) -> None:
        self.queue_length = queue_length
        self._database = database
        self._followers: dict[Queue, frozenset[int]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._snapshot: str | None = None  # what was read so far; None while nobody follows
        self._read_at = 0.0
        self.worker = Worker("new samples", self._read, every_seconds=poll_seconds, longest_pause_seconds=1.0)
        database.wakeups.listen(Channel.SAMPLES, self.worker.wake)

    @property
    def followers(self) -> int:
        return len(self._followers)

    def notify(self) -> None:
        """Tells the readers of all processes that a batch was committed here."""
        self._database.wakeups.notify(Channel.SAMPLES)

    async def follow(self, links: frozenset[int]) -> AsyncIterator[list[NewSamples]]:
        """Yields what is stored of these links from now on. Raises Lagged for a follower that falls too far behind."""
        queue: Queue = asyncio.Queue(self.queue_length + 1)
        async with self._one_at_a_time:
            await self._advance()  # what was stored before is not for this follower
            self._followers[queue] = links
        try:
            while stored := await queue.get():
                yield stored
            raise Lagged
        finally:
            self._followers.pop(queue, None)

    async def _read(self) -> None:
        async with self._one_at_a_time:
            if self._followers:
                await self._advance()

    async def _advance(self) -> None:
        """Hands on what is new. A snapshot counts only once its samples are handed on, so a failed read is repeated."""
        now = time.monotonic()
        if not self._followers:
            self._snapshot = None
        elif now - self._read_at > KEPT.total_seconds():  # notes may be deleted that nobody here has read
            self._lose_all()
        async with self._database.driver() as connection:
            batches, snapshot = await _read_batches(connection, self._snapshot)
            wanted = frozenset[int]().union(*self._followers.values())
            stored = await _read_samples(connection, batches, wanted) if batches and wanted else []
        self._snapshot, self._read_at = snapshot, now
        for queue, links in list(self._followers.items()):
            own = [samples for samples in stored if samples.link_id in links]
            if own:
                self._hand(queue, own)

    def _lose_all(self) -> None:
        for queue in list(self._followers):
            self._lose(queue)

    def _lose(self, queue: Queue) -> None:
        queue.put_nowait(None)
        self._followers.pop(queue, None)
        LAGGED.labels(SAMPLES_TOPIC).inc()

    def _hand(self, queue: Queue, stored: list[NewSamples]) -> None:
        if queue.qsize() < self.queue_length:
            queue.put_nowait(stored)
        else:  # a slow reader must neither hold up the others nor fill the memory
            self._lose(queue)


@dataclass(frozen=True, slots=True)
class _Batch:
    links: list[int]
    directions: list[str]
    samples: list[int]
    times: list[int]


async def _read_batches(connection: "Connection", snapshot: str | None) -> tuple[list[_Batch], str]:
    """Returns batches that are visible now and were not in that snapshot (none without one), and the new snapshot."""
    rows = await connection.fetch(
        "SELECT pg_current_snapshot()::text AS now, links, directions, samples, times FROM (VALUES (1)) AS always"
        " LEFT JOIN stored_batches ON transaction_id >= pg_snapshot_xmin($1::text::pg_snapshot)"
        " AND NOT pg_visible_in_snapshot(transaction_id, $1::text::pg_snapshot)"
        " AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())",  # else of another cluster, restored here
        snapshot,
    )
    batches = [_Batch(r["links"], r["directions"], r["samples"], r["times"]) for r in rows if r["links"] is not None]
    return batches, rows[0]["now"]


async def _read_samples(connection: "Connection", batches: list[_Batch], links: frozenset[int]) -> list[NewSamples]:
    """Returns the samples of these links that the batches stored."""
    keys = [key for batch in batches for key in _expand_keys(batch, links)]
    if not keys:
        return []
    kind = CATALOGUE[TargetKind.LINK]
    arrays = ", ".join(array_sql(column, "at") for column in kind.recorded_columns)
    measured = ", ".join(f"count({spec.column}) > 0 AS has_{spec.column}" for spec in kind.context_specs)
    rows = await connection.fetch(
        f"SELECT link_id, direction, {times_sql('at')}, {arrays}, {measured}"  # noqa: S608
        " FROM unnest($1::int[], $2::text[], $3::bigint[]) AS key (link, way, ms) JOIN link_samples AS sample"
        " ON link_id = key.link AND direction = key.way AND at = to_timestamp(0) + key.ms * interval '1 ms'"
        " GROUP BY link_id, direction ORDER BY link_id, direction",
        *(list(column) for column in zip(*keys, strict=True)),
    )
    return [
        NewSamples(row["link_id"], Direction(row["direction"]), read_raw(kind.kind, _list_measured(row), row))
        for row in rows
    ]


def _list_measured(row: asyncpg.Record) -> list[Metric]:
    """Returns the scored metrics, and of the others those that were measured."""
    kind = CATALOGUE[TargetKind.LINK]
    return [*kind.metrics, *(spec.metric for spec in kind.context_specs if row[f"has_{spec.column}"])]


def _expand_keys(batch: _Batch, links: frozenset[int]) -> list[tuple[int, str, int]]:
    keys, begin = [], 0
    for link, direction, samples in zip(batch.links, batch.directions, batch.samples, strict=True):
        if link in links:
            keys += [(link, direction, at) for at in batch.times[begin : begin + samples]]
        begin += samples
    return keys
