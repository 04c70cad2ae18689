"""Recording telemetry, and reading it back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.metrics import CATALOGUE, Metric, TargetKind, grade
from resolvers import baselines, scoring
from resolvers.context import Context
from resolvers.errors import InvalidInput
from resolvers.paging import among
from resolvers.rates import Budget
from resolvers.store import telemetry
from resolvers.store.identifiers import LARGEST_INTEGER
from resolvers.store.readings import Span
from resolvers.store.samples import Partitions, key_columns, target_column
from resolvers.store.tables import Anomaly, Link, Network, Role, Site, Stream

ENTITIES: dict[TargetKind, type[Network | Site | Link]] = {
    TargetKind.NETWORK: Network,
    TargetKind.SITE: Site,
    TargetKind.LINK: Link,
}
LARGEST_BATCH = 100_000
LISTED_REJECTIONS = 100
VALUE = r"(, and is| with the number|:) .*$"  # of a reason: what differs from row to row
AHEAD = timedelta(minutes=5)
LARGEST_SERIES = 10_000
LONGEST_WINDOW = timedelta(days=3660)
EARLIEST = datetime.min.replace(tzinfo=UTC)

_partitions = Partitions()


@dataclass(frozen=True)
class Rejected:
    row: int
    reason: str


@dataclass(frozen=True)
class Recorded:
    """Duplicates are rows that were stored before, or earlier in the same batch.

    At most 100 rejections are listed; `reasons` counts all of them by what is wrong, whatever the value.
    """

    accepted: int
    duplicates: int
    rejected_count: int
    rejected: list[Rejected]
    reasons: dict[str, int]
    anomalies: list[Anomaly]


async def record(context: Context, kind: TargetKind, frame: pl.DataFrame) -> Recorded:
    """Store and score rows; those that cannot be are set aside with their reasons.

    `frame` has `number` (Int64), for links `direction` ('IB', 'OB'), `at` (Int64, epoch ms) and any of the kind's
    metric columns (Float64, null = not measured); `unreadable` (String) may name what is wrong with a row already. All
    in one transaction: an accepted sample is stored, scored and told of, or nothing happened and the batch can be sent
    again. Raises InvalidInput for too many rows, RateLimited for too many at a time.
    """
    context.require(Role.OPERATOR, "record metrics")
    if len(frame) > LARGEST_BATCH:
        raise InvalidInput(f"At most {LARGEST_BATCH} rows at once; these are {len(frame)}. Send them in parts.")
    await context.spend(Budget.SAMPLES, cost=len(frame))
    checked = await _checked(context, kind, frame)
    rejected = checked.filter(pl.col("reason").is_not_null())
    good = checked.filter(pl.col("reason").is_null())
    unique = good.unique(key_columns(kind), keep="first", maintain_order=True)
    repeated = len(good) - len(unique)
    accepted, anomalies = await _store(context, kind, unique) if len(unique) else (0, [])
    listed = rejected.head(LISTED_REJECTIONS)
    return Recorded(
        accepted,
        repeated + len(unique) - accepted,
        len(rejected),
        [Rejected(row, reason) for row, reason in listed.select("row", "reason").iter_rows()],
        dict(rejected.group_by(pl.col("reason").str.replace(VALUE, "")).len().iter_rows()),
        anomalies,
    )


async def _store(context: Context, kind: TargetKind, frame: pl.DataFrame) -> tuple[int, list[Anomaly]]:
    detector = await context.services.registry.detector(kind)
    await _partitions.ensure(context.database, kind, frame["at"].dt.truncate("1d").unique().to_list())
    keyed = _keyed(kind, frame)
    keys: list[telemetry.StreamKey] = list(
        keyed.select("target", "direction").unique().sort("target", "direction").iter_rows()
    )
    order = pl.DataFrame(keys, schema=["target", "direction"], orient="row").with_row_index("stream")
    async with context.database.write() as session:
        streams = await telemetry.lock_streams(session, kind, keys)
        known = await telemetry.store(session, kind, frame)
        fresh = _fresh(keyed, known).join(order, on=["target", "direction"]).sort("stream", "at")
        if not len(fresh):
            return 0, []
        added = np.bincount(fresh["stream"].to_numpy(), minlength=len(streams))
        await baselines.refresh(session, kind, streams, added)
        rows = await _with_pending(session, kind, fresh, streams)
        judged = await scoring.judge(detector, rows, streams)
        times, which = rows["at"].dt.epoch("ms").to_numpy(), rows["stream"].to_numpy().astype(np.int64)
        anomalies = await scoring.Follow(session, detector.version, context.now, judged, times).run(streams, which)
        news = fresh.group_by("target", "direction").agg(samples=pl.len(), last=pl.col("at").max())
        await telemetry.advance(session, kind, news.sort("target", "direction"))
    return len(fresh), anomalies


async def _with_pending(
    session: AsyncSession, kind: TargetKind, fresh: pl.DataFrame, streams: Sequence[Stream]
) -> pl.DataFrame:
    """The batch, and before it the stored samples of streams whose alarms are pending, from the first of them on."""
    since = {
        number: start
        for number in fresh["stream"].unique().to_list()
        if (start := scoring.pending_since(streams[number])) is not None
    }
    if not since:
        return fresh
    begin = pl.col("stream").replace_strict(since, default=None, return_dtype=pl.Int64)
    before = fresh.filter((pl.col("at").dt.epoch("ms") < begin) | begin.is_null())
    keys = [(streams[number].target_id, streams[number].direction) for number in since]
    found = await telemetry.since(session, kind, keys, list(since.values()))
    number = pl.col("stream").replace_strict(dict(enumerate(since)), return_dtype=fresh.schema["stream"])
    replayed = found.with_columns(number, pl.col("at").cast(fresh.schema["at"]))
    return pl.concat([before.select(replayed.columns), replayed]).sort("stream", "at")


def _keyed(kind: TargetKind, frame: pl.DataFrame) -> pl.DataFrame:
    direction = pl.col("direction") if kind is TargetKind.LINK else pl.lit("")
    return frame.with_columns(target=pl.col(target_column(kind)), direction=direction)


def _fresh(frame: pl.DataFrame, known: Any) -> pl.DataFrame:
    keep = np.ones(len(frame), dtype=bool)
    keep[known] = False
    return frame.filter(pl.Series(keep))


# ---------------------------------------------------------------- checking


async def _checked(context: Context, kind: TargetKind, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its target ids, `at` as a time, all metric columns, `row` numbers and `reason`s where refused."""
    async with context.database.read() as session:
        ids = await _ids(session, kind, frame["number"].drop_nulls().unique().to_list())
    return await asyncio.to_thread(_completed, kind, frame, ids, _reason(context, kind))


def _completed(kind: TargetKind, frame: pl.DataFrame, ids: list[tuple[int, int]], reason: pl.Expr) -> pl.DataFrame:
    numbers = pl.DataFrame(ids, schema={"number": pl.Int64, target_column(kind): pl.Int32}, orient="row")
    wide = frame.with_row_index("row").with_columns(
        pl.lit(None, pl.Float64).alias(column) for column in CATALOGUE[kind].columns if column not in frame.columns
    )
    if "unreadable" not in wide.columns:
        wide = wide.with_columns(unreadable=pl.lit(None, pl.String))
    joined = wide.join(numbers, on="number", how="left", maintain_order="left")
    nan_free = joined.with_columns(pl.col(column).fill_nan(None) for column in CATALOGUE[kind].columns)
    judged = nan_free.with_columns(reason=reason)
    timed = judged.with_columns(at=pl.from_epoch("at", time_unit="ms").dt.replace_time_zone("UTC"))
    complete = _graded(timed) if kind is TargetKind.LINK else timed
    return complete.with_columns(pl.col(CATALOGUE[kind].columns).cast(pl.Float32))  # as they are kept and read again


async def _ids(session: AsyncSession, kind: TargetKind, numbers: Sequence[int]) -> list[tuple[int, int]]:
    entity = ENTITIES[kind]
    known = [number for number in numbers if 0 <= number <= LARGEST_INTEGER]
    rows = await session.execute(select(entity.number, entity.id).where(among(entity.number, known)))
    return [(number, id) for number, id in rows]


def _reason(context: Context, kind: TargetKind) -> pl.Expr:
    """The first thing that is wrong with a row, in words; null where nothing is."""
    now = int(context.now.timestamp() * 1000)
    latest = now + int(AHEAD.total_seconds() * 1000)
    earliest = now - context.services.retention_days * 86_400_000
    name = kind.value.lower()
    checks = [
        (pl.col("unreadable").is_not_null(), pl.col("unreadable")),
        (pl.col("number").is_null(), pl.lit(f"The {name}'s number is missing.")),
        (pl.col(target_column(kind)).is_null(), pl.format(f"There is no {name} with the number {{}}.", "number")),
        (pl.col("at").is_null(), pl.lit("The time is missing.")),
        (pl.col("at") > latest, pl.lit("The time is more than 5 minutes ahead of the server's.")),
        (
            pl.col("at") < earliest,
            pl.lit(f"The time is longer ago than samples are kept ({context.services.retention_days} days)."),
        ),
        (
            pl.all_horizontal(pl.col(column).is_null() for column in CATALOGUE[kind].columns),
            pl.lit("No metric was measured."),
        ),
    ]
    if kind is TargetKind.LINK:
        missing = pl.col("direction").is_null() | ~pl.col("direction").is_in(["IB", "OB"])
        checks.insert(3, (missing, pl.lit("The direction must be IB or OB.")))
    for spec in CATALOGUE[kind].specs:
        words = f"{spec.metric} must be between {spec.low:g} and {spec.high:g} {spec.unit}".rstrip() + ", and is {}."
        checks.append((~pl.col(spec.column).is_between(spec.low, spec.high), pl.format(words, spec.column)))
    reason: pl.Expr = pl.lit(None, pl.String)
    for wrong, words_of in reversed(checks):
        reason = pl.when(wrong).then(words_of).otherwise(reason)
    return reason


def _graded(frame: pl.DataFrame) -> pl.DataFrame:
    computed = grade(scoring.readings_of(frame, CATALOGUE[TargetKind.LINK]))
    column = Metric.GRADE.column
    return frame.with_columns(pl.coalesce(pl.col(column), pl.Series(computed).fill_nan(None)).alias(column))


# ---------------------------------------------------------------- reading


def span(
    context: Context,
    kind: TargetKind,
    direction: str,
    metrics: Sequence[Metric] | None,
    start: datetime | None,
    end: datetime | None,
    hours: float,
) -> Span:
    """Which samples a client asks for. Raises InvalidInput for a metric that the kind does not have, a bad window."""
    known = CATALOGUE[kind].metrics
    for metric in metrics or ():
        if metric not in known:
            raise InvalidInput(f"A {kind.lower()} has no {metric}; it has {', '.join(known)}.", ["metrics"])
    if start is None and not 0 < hours * 3600 <= LONGEST_WINDOW.total_seconds():
        raise InvalidInput(f"`hours` must be above 0 and at most {LONGEST_WINDOW.days * 24}.", ["window", "hours"])
    end = end or context.now
    start = start or end - min(timedelta(hours=hours), end - EARLIEST)
    if not timedelta(0) < end - start <= LONGEST_WINDOW:
        raise InvalidInput(f"`from` must be before `to`, by {LONGEST_WINDOW.days} days at most.", ["window", "from"])
    return Span(kind, direction, tuple(dict.fromkeys(metrics or known)), start.astimezone(UTC), end.astimezone(UTC))


def check_max_points(max_points: int) -> int:
    """Raises InvalidInput outside 1 to 10 000."""
    if not 1 <= max_points <= LARGEST_SERIES:
        raise InvalidInput(f"`maxPoints` must be between 1 and {LARGEST_SERIES}, and is {max_points}.", ["maxPoints"])
    return max_points
