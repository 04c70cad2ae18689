"""Records samples, and says which ones a client may read or follow."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from resolvers.base import counters
from resolvers.base.errors import InvalidInput, NotFound
from resolvers.base.rate_limits import Budget
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.store.tables.core import Anomaly, Link
from resolvers.store.telemetry.live_samples import NewSamples
from resolvers.store.telemetry.series import Span
from resolvers.telemetry import validation
from resolvers.telemetry.ingest import Ingested, ingest
from resolvers.telemetry.left_out import LeftOutCells, count_cells

LARGEST_BATCH = 100_000
LISTED_REJECTIONS = 100
VARYING_PART = r"(?s)(, and is| with the number|:) .*$"  # of a reason, from row to row
LARGEST_SERIES = 10_000
MOST_FOLLOWED = 1000
LONGEST_WINDOW = timedelta(days=3660)
EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Rejection:
    """Why a row was refused; rows count from 0. line: of a file, from 1."""

    row: int
    reason: str
    line: int | None = None


@dataclass(frozen=True)
class RecordedBatch:
    """What became of a batch.

    duplicates: rows that were stored before, or earlier in the same batch.
    rejected: the first 100 refused rows.
    reasons: counts all refused rows by what is wrong, whatever the value.
    merged, conflicting, replaced: duplicates that filled in a metric, that have another value than what stays, and that
        replaced a value.
    left_out_count, left_out: cells of rows that were not refused, whose values are impossible or cannot be read.
    """

    accepted: int
    duplicates: int
    rejected_count: int
    rejected: list[Rejection]
    reasons: dict[str, int]
    anomalies: list[Anomaly]
    merged: int = 0
    conflicting: int = 0
    replaced: int = 0
    left_out_count: int = 0
    left_out: list[LeftOutCells] = field(default_factory=list)


async def record(context: Context, kind: TargetKind, frame: pl.DataFrame, *, replace: bool = False) -> RecordedBatch:
    """Stores and scores rows; those that cannot be stored are set aside with their reasons.

    All happens in one transaction: an accepted sample is stored, scored and published, or nothing happened and the
    batch can be sent again. Raises InvalidInput for too many rows, RateLimited for too many at a time.

    frame: `number` (Int64), for links `direction` ('IB', 'OB'), `at` (Int64, epoch ms) and any of the kind's metric
        columns (Float64, null = not measured). `unreadable` (String) may say what is wrong with a row already, and
        `left_out` (lists of `left_out.CELL`) which of its cells could not be read.
    replace: overwrite stored values with others; else these stay, and only what is missing is filled in.
    """
    require_recorder(context, replace=replace)
    most = largest_batch(context)
    if len(frame) > most:
        raise InvalidInput(f"At most {most} rows at once; these are {len(frame)}. Send them in parts.")
    await context.consume(Budget.SAMPLES, cost=len(frame))
    rows = await validation.validate_rows(context, kind, frame, replace=replace)
    good, rejected = rows.good, rows.rejected
    ingested = await ingest(context, kind, good, replace=replace) if len(good) else Ingested()
    duplicates = rows.repeated + len(good) - ingested.accepted
    details = rows.duplicates + ingested.duplicates
    counters.count_recorded(kind, ingested.accepted, duplicates, len(rejected))
    counters.count_details(kind, details.merged, details.conflicting, details.replaced, len(rows.left_out))
    return RecordedBatch(
        ingested.accepted,
        duplicates,
        *_describe_rejected(rejected),
        ingested.anomalies,
        details.merged,
        details.conflicting,
        details.replaced,
        len(rows.left_out),
        count_cells(rows.left_out),
    )


def require_recorder(context: Context, *, replace: bool) -> None:
    """Raises Forbidden or Unauthenticated; only an ADMIN may change what was measured and judged before."""
    if replace:
        context.require(Role.ADMIN, "replace metrics")
    else:
        context.require(Role.OPERATOR, "record metrics")


async def check(context: Context, kind: TargetKind, frame: pl.DataFrame, *, replace: bool = False) -> RecordedBatch:
    """Returns what `record` would refuse and leave out, and stores nothing."""
    require_recorder(context, replace=replace)
    rows = await validation.validate_rows(context, kind, frame, replace=replace)
    left_out = count_cells(rows.left_out)
    return RecordedBatch(
        0, 0, *_describe_rejected(rows.rejected), [], left_out_count=len(rows.left_out), left_out=left_out
    )


def _describe_rejected(rejected: pl.DataFrame) -> tuple[int, list[Rejection], dict[str, int]]:
    """Returns how many rows were refused, the first of them, and how many for each reason."""
    listed = [Rejection(row, reason) for row, reason in rejected.head(LISTED_REJECTIONS).iter_rows()]
    reasons = rejected.group_by(pl.col("reason").str.replace(VARYING_PART, "")).len()
    return len(rejected), listed, dict(reasons.iter_rows())


def largest_batch(context: Context) -> int:
    """Returns how many rows the caller may record at once: more than its budget of a window would never fit."""
    budget = context.largest_cost(Budget.SAMPLES)
    return LARGEST_BATCH if budget is None else min(LARGEST_BATCH, budget)


# ---------------------------------------------------------------- reading


def build_span(
    context: Context,
    kind: TargetKind,
    direction: str,
    metrics: Sequence[Metric] | None,
    start: datetime | None,
    end: datetime | None,
    hours: float,
) -> Span:
    """Returns which samples a client asks for. Raises InvalidInput for another kind's metric, or a bad window."""
    own = CATALOGUE[kind].recorded_metrics
    for metric in metrics or ():
        if metric not in own:
            raise InvalidInput(f"A {kind.lower()} has no {metric}; it has {', '.join(own)}.", ["metrics"])
    if start is None and not 0 < hours * 3600 <= LONGEST_WINDOW.total_seconds():
        raise InvalidInput(f"`hours` must be above 0 and at most {LONGEST_WINDOW.days * 24}.", ["window", "hours"])
    end = end or context.now
    start = start or end - min(timedelta(hours=hours), end - EARLIEST)
    if not timedelta(0) < end - start <= LONGEST_WINDOW:
        raise InvalidInput(f"`from` must be before `to`, by {LONGEST_WINDOW.days} days at most.", ["window", "from"])
    return Span(
        kind,
        direction,
        tuple(dict.fromkeys(metrics or CATALOGUE[kind].metrics)),
        start.astimezone(UTC),
        end.astimezone(UTC),
    )


def check_max_points(max_points: int) -> int:
    """Returns the number. Raises InvalidInput outside of 1 to 10 000."""
    if not 1 <= max_points <= LARGEST_SERIES:
        raise InvalidInput(f"`maxPoints` must be between 1 and {LARGEST_SERIES}, and is {max_points}.", ["maxPoints"])
    return max_points


# ---------------------------------------------------------------- following


async def follow_samples(context: Context, links: Sequence[int]) -> AsyncIterator[NewSamples]:
    """Returns new samples of these links as they are stored.

    Raises InvalidInput for too many links, NotFound; later Lagged.
    """
    context.require(Role.VIEWER, "follow metrics")
    if not 1 <= len(links) <= MOST_FOLLOWED:
        raise InvalidInput(f"Follow 1 to {MOST_FOLLOWED} links at once, not {len(links)}.", ["links"])
    if None in await context.loaders.rows(Link).load_many(list(dict.fromkeys(links))):
        raise NotFound("link")
    return _follow(context, frozenset(links))


async def _follow(context: Context, links: frozenset[int]) -> AsyncIterator[NewSamples]:
    async for stored in context.services.live.follow(links):
        context.forget()
        await context.loaders.rows(Link).load_many(list({samples.link_id for samples in stored}))  # at once
        for samples in stored:
            yield samples
