"""Rolls up samples by 5 minutes, hours and days, so that long windows cost what short ones do.

Each stream has the hours whose roll-ups are out of date (`streams.unrolled`). Storing samples adds to them in the same
transaction, and `roll_up` brings them up to date. Readers use roll-ups outside of those hours, and samples within: an
answer never depends on when maintenance last ran.
"""

from datetime import datetime
from typing import Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.numerics.arrays import Floats
from resolvers.store.postgres.database import driver
from resolvers.store.tables.samples import ROLLUPS, SAMPLES, Level, target_column, value_types

STREAMS_AT_ONCE: Final = 50  # samples of these cannot be stored meanwhile
LONGEST_PART: Final = "168 hours"  # of a stream's history at once
LONGEST_SECONDS: Final = 900.0  # of a statement: if it were cut off sooner, it would begin anew for ever

# A day's distribution as 22 values that stand for these shares of it, finer at the top for the sake of p95.
SHARES: Final[Floats] = np.repeat([0.1, 0.025, 0.01], [8, 4, 10])
QUANTILES: Final[Floats] = np.cumsum(SHARES) - SHARES / 2


async def roll_up(session: AsyncSession, kind: TargetKind, now: datetime) -> int:
    """Rolls up some past hours of some streams that nobody is storing to; returns of how many streams.

    now: of the fleet, whose clock may be behind the database's.
    """
    connection = await driver(session)
    await connection.execute("SET LOCAL statement_timeout = 0")  # the deadline on this side ends it
    due = await connection.fetch(_DUE, kind.value, STREAMS_AT_ONCE, now)
    arguments = [list(column) for column in zip(*due, strict=True)]
    if due:
        for level in Level:
            await connection.execute(_build_statement(kind, level), *arguments, timeout=LONGEST_SECONDS)
        await connection.execute(_DONE, kind.value, *arguments, timeout=LONGEST_SECONDS)
    return len(due)


# The current hour waits until it is over: it would be rolled up again and again.
_DUE = f"""
SELECT target_id, direction,
  (due * tstzmultirange(tstzrange(lower(due), lower(due) + interval '{LONGEST_PART}')))::text AS part
FROM streams CROSS JOIN LATERAL
  (SELECT unrolled * tstzmultirange(tstzrange(NULL, date_trunc('hour', least(now(), $3::timestamptz), 'UTC')))
   AS due) AS part
WHERE kind = $1 AND NOT isempty(due)
ORDER BY target_id, direction LIMIT $2 FOR UPDATE OF streams SKIP LOCKED"""  # noqa: S608
_DONE = """
UPDATE streams SET unrolled = nullif(unrolled - done.part::tstzmultirange, '{}')
FROM unnest($2::int[], $3::text[], $4::text[]) AS done (target, direction, part)
WHERE kind = $1 AND target_id = done.target AND streams.direction = done.direction"""


def _build_statement(kind: TargetKind, level: Level) -> str:
    """Returns SQL that rolls up samples to a level: $1 targets, $2 directions, $3 multiranges of hours.

    LATERAL forces an index look-up per range, as in `series.select_during`.
    """
    target = target_column(kind)
    identity = [target, "direction"] if kind is TargetKind.LINK else [target]
    same = " AND ".join(f"{column} = part.{of}" for column, of in zip(identity, ("target", "direction"), strict=False))
    aggregates = {
        name: expression
        for column, type in value_types(kind).items()
        for name, expression in _build_aggregates(column, type, level).items()
    }
    return (
        f"INSERT INTO {ROLLUPS[kind].name} ({', '.join(identity)}, seconds, at, {', '.join(aggregates)})"  # noqa: S608
        f" SELECT {', '.join(f'sample.{column}' for column in identity)}, {level:d}, {bucket_sql(level)},"
        f" {', '.join(aggregates.values())}"
        " FROM unnest($1::int[], $2::text[], $3::text[]) AS part (target, direction, hours)"
        f" CROSS JOIN LATERAL unnest({whole_buckets_sql('part.hours::tstzmultirange', level)}) AS during"
        f" CROSS JOIN LATERAL (SELECT * FROM {SAMPLES[kind].name}"
        f" WHERE {same} AND at >= lower(during) AND at < upper(during) OFFSET 0) AS sample"
        f" GROUP BY {', '.join(f'sample.{column}' for column in identity)}, {bucket_sql(level)}"
        f" ON CONFLICT ({', '.join(identity)}, seconds, at)"
        f" DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in aggregates)}"
    )


def _build_aggregates(column: str, type: str, level: Level) -> dict[str, str]:
    """Returns columns and their SQL. A single value is stored as its mean alone, to take no more room than a sample."""
    several = f"CASE WHEN count({column}) > 1 THEN {{}}({column}) END"
    aggregates = {
        f"{column}_n": several.format("count"),
        f"{column}_mean": f"avg({column})",
        f"{column}_min": several.format("min"),
        f"{column}_max": several.format("max"),
    }
    if level is Level.DAY:
        at = ", ".join(f"{quantile:.4f}" for quantile in QUANTILES)
        ordered = f"percentile_cont(ARRAY[{at}]::float8[]) WITHIN GROUP (ORDER BY {column})"
        aggregates[f"{column}_quantiles"] = f"({ordered})::{type}[]"
    return aggregates


def count_sql(column: str) -> str:
    """Returns SQL for how many values a roll-up is of."""
    return f"coalesce({column}_n, ({column}_mean IS NOT NULL)::int)"


def min_sql(column: str) -> str:
    """Returns SQL for the least value of a roll-up."""
    return f"coalesce({column}_min, {column}_mean)"


def max_sql(column: str) -> str:
    """Returns SQL for the greatest value of a roll-up."""
    return f"coalesce({column}_max, {column}_mean)"


def bucket_sql(seconds: int) -> str:
    """Returns SQL for the beginning of the bucket that `at` is in."""
    return f"date_bin(interval '{seconds:d} s', at, to_timestamp(0))"


def whole_buckets_sql(hours: str, level: Level) -> str:
    """Returns SQL for the whole buckets that a multirange of hours touches, merged so that none comes twice."""
    if level is not Level.DAY:
        return hours
    day = "date_trunc('day', {}, 'UTC')"
    begin, end = day.format("lower(during)"), day.format("upper(during) - interval '1 us'") + " + interval '24 hours'"
    return f"(SELECT range_agg(tstzrange({begin}, {end})) FROM unnest({hours}) AS during)"  # noqa: S608
