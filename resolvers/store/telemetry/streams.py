"""The state of the streams of a batch, as arrays: locked and read in one statement, written back in a few."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isnan
from typing import TYPE_CHECKING, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, Direction, TargetKind
from ml.catalogue.units import HOUR_MS
from ml.detection.features import NEVER, Memory
from ml.detection.silence import KEPT_GAPS
from ml.numerics.arrays import Bools, Floats
from resolvers.store.postgres import binary_copy
from resolvers.store.postgres.database import driver
from resolvers.store.tables.core import Stream

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

StreamKey = tuple[int, str]  # target id, direction ('' for networks and sites)
WatchedKey = tuple[TargetKind, int, Direction | None]  # one stream of a target, or without a direction all of them


@dataclass
class StoredEpisodeState:
    """Where one stream's episode stands; `alarming_since` is epoch ms."""

    anomaly_id: UUID | None = None  # of the open episode
    alarms: int = 0
    clear_count: int = 0
    alarming_since: int | None = None

    @property
    def pending_since(self) -> int | None:
        """When the alarms began that are still too few and too mild to open an episode; epoch ms."""
        return self.alarming_since if self.anomaly_id is None and self.alarms > 0 else None


@dataclass
class Streams:
    """The streams of a batch; all arrays have one entry per key.

    samples: stored so far.
    last_at: epoch ms of the newest sample, NEVER where nothing is stored.
    learned: samples that were stored when the stream learned its baseline.
    learned_seconds: time that these span, NaN where that was not kept.
    centre, spread: the baseline, shape (streams, metrics), NaN where unknown.
    profile: the number of the profile, 0 where there is none yet.
    heard_at: epoch ms when the newest sample came, or a later one of since then, NEVER where nobody noted it.
    episode_states: of the streams that are not at rest, by index.
    silences: the anomalies that tell that a stream fell silent, by index.

    A batch changes only `episode_states`, `memory` and what its streams learn (`learned`, `learned_seconds`, `centre`,
    `spread`).
    """

    kind: TargetKind
    keys: list[StreamKey]
    samples: NDArray[np.int64]
    last_at: NDArray[np.int64]
    learned: NDArray[np.int64]
    learned_seconds: Floats
    centre: Floats
    spread: Floats
    memory: Memory
    profile: NDArray[np.int64]
    heard_at: NDArray[np.int64]
    episode_states: dict[int, StoredEpisodeState] = field(default_factory=dict)
    silences: dict[int, UUID] = field(default_factory=dict)

    def episode_state(self, number: int) -> StoredEpisodeState:
        return self.episode_states.setdefault(number, StoredEpisodeState())


class StreamMissing(Exception):
    """A target was never measured before: create its stream, then try again."""


async def create_streams(session: AsyncSession, kind: TargetKind, keys: list[StreamKey]) -> None:
    """Creates the streams of these sorted keys that are missing; they stay for ever.

    Needs a transaction of its own: one that holds streams and then waits for another's new ones could deadlock.
    """
    connection = await driver(session)
    await connection.execute(
        "INSERT INTO streams (target_id, kind, direction)"
        " SELECT target, $3, direction FROM unnest($1::int[], $2::text[]) AS key (target, direction)"
        " ORDER BY target, direction ON CONFLICT DO NOTHING",
        *_split_keys(kind, keys),
    )


async def lock_streams(session: AsyncSession, kind: TargetKind, keys: list[StreamKey]) -> Streams:
    """Locks the streams of these sorted keys, in their order, until the transaction ends. Raises StreamMissing."""
    connection = await driver(session)
    records = await connection.fetch(_LOCK, *_split_keys(kind, keys))
    if len(records) < len(keys):
        raise StreamMissing
    columns = dict(zip(records[0].keys(), zip(*records, strict=True), strict=True))
    numbers = {name: np.array(columns[name], dtype=np.int64) for name in _NUMBERS}
    metrics = len(CATALOGUE[kind].specs)
    episode_states = {
        number: StoredEpisodeState(record["anomaly_id"], record["alarms"], record["quiets"], record["since"])
        for number, record in enumerate(records)
        if record["anomaly_id"] or record["alarms"]
    }
    return Streams(
        kind,
        keys,
        **numbers,
        learned_seconds=np.array(columns["learned_seconds"], dtype=np.float64),
        centre=binary_copy.matrix(columns["centre"], metrics),
        spread=binary_copy.matrix(columns["spread"], metrics),
        memory=Memory.from_bytes(columns["memory"], metrics),
        episode_states=episode_states,
        silences={number: id for number, id in enumerate(columns["silence_id"]) if id},
    )


def _split_keys(kind: TargetKind, keys: list[StreamKey]) -> tuple[list[int], list[str], str]:
    return [key[0] for key in keys], [key[1] for key in keys], kind.value


_NUMBERS = ("samples", "last_at", "learned", "profile", "heard_at")

# LATERAL forces an index look-up per key, whatever the planner believes of a table that has grown since.
_LOCK = (
    f"SELECT samples, coalesce((extract(epoch FROM last_at) * 1000)::bigint, {NEVER}) AS last_at,"  # noqa: S608
    " learned_samples AS learned, coalesce(learned_seconds, 'NaN') AS learned_seconds,"
    " array_send(centre) AS centre, array_send(spread) AS spread,"
    f" coalesce((date_part('epoch', heard_at) * 1000)::bigint, {NEVER}) AS heard_at,"
    " memory, profile, silence_id,"
    " anomaly_id, alarms, quiets, (extract(epoch FROM alarming_since) * 1000)::bigint AS since"
    " FROM unnest($1::int[], $2::text[]) AS key (target, direction) CROSS JOIN LATERAL"
    " (SELECT * FROM streams WHERE target_id = key.target AND kind = $3 AND direction = key.direction FOR UPDATE)"
    " AS stream"
)


async def lock_stream(session: AsyncSession, kind: TargetKind, key: StreamKey) -> Stream:
    """Locks a single stream, created where it is new, and returns its row."""
    await create_streams(session, kind, [key])
    query = select(Stream).where(Stream.kind == kind, Stream.target_id == key[0], Stream.direction == key[1])
    return (await session.scalars(query.with_for_update())).one()


async def load_centres(connection: "Connection", kind: TargetKind, keys: list[StreamKey], least_samples: int) -> Floats:
    """Returns the centres of streams that learned from at least so many samples, shape (keys, metrics), else NaN."""
    records = await connection.fetch(
        "SELECT array_send(centre) FROM unnest($1::int[], $2::text[]) WITH ORDINALITY AS key (target, direction, place)"
        " LEFT JOIN streams ON target_id = key.target AND kind = $3 AND streams.direction = key.direction"
        " AND learned_samples >= $4 ORDER BY place",
        *_split_keys(kind, keys),
        least_samples,
    )
    return binary_copy.matrix([record[0] for record in records], len(CATALOGUE[kind].specs))


async def find_newest(connection: "Connection", kind: TargetKind, targets: Sequence[int]) -> datetime | None:
    """Returns when any of these targets was last measured."""
    query = "SELECT max(last_at) FROM streams WHERE kind = $1 AND target_id = ANY($2::int[])"
    newest: datetime | None = await connection.fetchval(query, kind.value, list(targets))
    return newest


async def find_newest_around(connection: "Connection", links: Sequence[int]) -> datetime | None:
    """Returns when any link of these links' networks and hubs was last measured: these may be silent themselves."""
    newest: datetime | None = await connection.fetchval(_NEWEST_AROUND, list(links))
    return newest


_NEWEST_AROUND: Final = """
WITH own AS (SELECT network_id, hub_id FROM links JOIN networks ON networks.id = network_id
  WHERE links.id = ANY($1::int[]))
SELECT max(last_at) FROM streams JOIN links ON links.id = target_id JOIN networks ON networks.id = network_id
WHERE kind = 'LINK' AND (network_id IN (SELECT network_id FROM own) OR hub_id IN (SELECT hub_id FROM own))"""


async def find_last_samples(connection: "Connection", keys: Sequence[WatchedKey]) -> dict[WatchedKey, datetime | None]:
    """Returns when each was last measured; None if never."""
    records = await connection.fetch(
        "SELECT place, max(last_at) FROM unnest($1::text[], $2::int[], $3::text[])"
        " WITH ORDINALITY AS key (kind, target, direction, place) JOIN streams ON streams.kind = key.kind"
        " AND target_id = key.target AND (key.direction IS NULL OR streams.direction = key.direction) GROUP BY place",
        *(list(column) for column in zip(*keys, strict=True)),
    )
    newest = dict[int, datetime](map(tuple, records))
    return {key: newest.get(place) for place, key in enumerate(keys, start=1)}


async def store_baselines(session: AsyncSession, streams: Streams, numbers: Sequence[int]) -> None:
    """Writes back the baselines of these streams, given by index."""
    connection = await driver(session)
    await connection.executemany(
        "UPDATE streams SET learned_samples = $4, learned_seconds = $5, centre = $6, spread = $7"
        " WHERE target_id = $1 AND direction = $2 AND kind = $3",
        [
            (
                *streams.keys[number],
                streams.kind.value,
                int(streams.learned[number]),
                float(streams.learned_seconds[number]),
                streams.centre[number].tolist(),
                streams.spread[number].tolist(),
            )
            for number in numbers
        ],
    )


async def store_episode_states(session: AsyncSession, streams: Streams) -> None:
    """Writes back where episodes stand."""
    connection = await driver(session)
    await connection.executemany(
        "UPDATE streams SET anomaly_id = $4, alarms = $5, quiets = $6,"
        " alarming_since = to_timestamp($7::bigint / 1000.0)"
        " WHERE target_id = $1 AND direction = $2 AND kind = $3",
        [
            (*streams.keys[number], streams.kind.value, s.anomaly_id, s.alarms, s.clear_count, s.alarming_since)
            for number, s in sorted(streams.episode_states.items())
        ],
    )


async def advance_streams(
    session: AsyncSession,
    streams: Streams,
    which: NDArray[np.int64],
    times: NDArray[np.int64],
    is_new: Bools,
    now: datetime,
    gaps: Floats,
) -> None:
    """Counts the samples that were stored, marks their hours for roll-up, writes back memories, notes who was heard.

    which, times: stream (index into the keys) and epoch ms of each row, shape (rows,), sorted by both.
    is_new: whether it is stored anew, and not an earlier one that changed, shape (rows,).
    now: when the samples came.
    gaps: seconds since the stream was last heard, NaN where that says nothing of its cadence, shape (streams,).
    """
    hours = times // HOUR_MS
    begins = np.flatnonzero(np.diff(which, prepend=-1) | (np.diff(hours, prepend=hours[0]) > 1))
    ends = np.append(begins[1:], len(which)) - 1
    keys = [streams.keys[number] for number in which[begins].tolist()]
    runs = (
        np.add.reduceat(is_new, begins, dtype=np.int64),
        times[ends],
        hours[begins] * 3600,
        (hours[ends] + 1) * 3600,
    )
    changed = np.unique(which)
    memories = dict(zip(changed.tolist(), streams.memory.take(changed).to_bytes(), strict=True))
    connection = await driver(session)
    await connection.execute(
        _ADVANCE,
        [key[0] for key in keys],
        [key[1] for key in keys],
        streams.kind.value,
        *(run.tolist() for run in runs),
        [memories.pop(number, None) for number in which[begins].tolist()],  # with the first run of each stream
        [None if isnan(gap) else gap for gap in gaps[which[begins]].tolist()],
        now,
    )


_ADVANCE = f"""
UPDATE streams SET samples = streams.samples + news.samples, last_at = greatest(last_at, news.last),
  unrolled = coalesce(unrolled, '{{}}') + news.hours, memory = news.memory,
  heard_at = CASE WHEN news.last <= least(last_at, heard_at) THEN heard_at ELSE $10 END,
  silence_id = CASE WHEN news.last <= least(last_at, heard_at) THEN silence_id END,
  gaps = CASE WHEN news.gap IS NULL THEN gaps ELSE (array_prepend(news.gap, gaps))[:{KEPT_GAPS}] END
FROM (
  SELECT target, direction, sum(samples) AS samples, to_timestamp(max(last) / 1000.0) AS last, max(gap) AS gap,
    range_agg(tstzrange(to_timestamp(first), to_timestamp(until))) AS hours,
    (array_agg(memory) FILTER (WHERE memory IS NOT NULL))[1] AS memory
  FROM unnest($1::int[], $2::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::real[])
    AS run (target, direction, samples, last, first, until, memory, gap)
  GROUP BY target, direction
) AS news
WHERE target_id = news.target AND streams.direction = news.direction AND kind = $3"""  # noqa: S608
