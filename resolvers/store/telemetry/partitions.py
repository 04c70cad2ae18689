"""Weekly partitions of samples and roll-ups: created before they are needed, dropped after their retention."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from resolvers.store.postgres.advisory_locks import AdvisoryLock, lock
from resolvers.store.postgres.database import Database
from resolvers.store.tables.core import Stream
from resolvers.store.tables.samples import ROLLUPS, SAMPLES

WEEK = timedelta(days=7)
WEEKS_AHEAD = 2  # maintenance may fail so long before a batch has to create its week itself
LOCK_TIMEOUT = "2s"  # a drop locks the whole table: rather try again later than make everybody wait


class Partitions:
    """Creates the weeks that a batch needs; remembers which exist in each database."""

    def __init__(self) -> None:
        self._existing: WeakKeyDictionary[Database, set[tuple[TargetKind, datetime]]] = WeakKeyDictionary()

    async def ensure(self, database: Database, kind: TargetKind, times: Iterable[datetime]) -> None:
        """Creates missing weeks, in transactions of their own: maintenance creates current ones, but not history's."""
        existing = self._existing.setdefault(database, set())
        unsure = sorted({week for week in map(find_week, times) if (kind, week) not in existing})
        if unsure:
            await create_partitions(database, kind, unsure)
            existing.update((kind, week) for week in unsure)

    def forget(self, database: Database) -> None:
        """Forgets what exists, because somebody dropped a partition."""
        self._existing.pop(database, None)


def find_week(at: datetime) -> datetime:
    """Returns the Monday, 00:00 UTC, that begins the week."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def list_upcoming_weeks(now: datetime) -> list[datetime]:
    """Returns the weeks that must be ready: the last one for late samples, this one, and the next ones."""
    return [find_week(now) + number * WEEK for number in range(-1, WEEKS_AHEAD + 1)]


async def list_kept_weeks(database: Database, kind: TargetKind) -> list[datetime]:
    """Returns the weeks that have a partition."""
    return [week for _, week in await _list_partitions(database, SAMPLES[kind].name)]


async def create_partitions(database: Database, kind: TargetKind, weeks: Sequence[datetime]) -> None:
    """Creates the partitions that are missing.

    They are attached rather than created in place, which would lock out the table's readers and writers.
    """
    wanted = {_format_name(table, week): (table, week) for table in _get_tables(kind) for week in weeks}
    async with database.read() as session:
        if not await _find_missing(session, list(wanted)):
            return
    async with database.write() as session:
        await lock(session, AdvisoryLock.PARTITIONS)
        for name in await _find_missing(session, list(wanted)):
            table, week = wanted[name]
            await session.execute(sa.text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
            bounds = f"FROM ('{week:%Y-%m-%d}T00:00Z') TO ('{week + WEEK:%Y-%m-%d}T00:00Z')"
            await session.execute(sa.text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}"))


async def read_clock(database: Database) -> tuple[datetime, datetime | None]:
    """Returns the database's time, and that of the newest sample of all; None where there is none."""
    query = sa.select(sa.func.now(), sa.select(sa.func.max(Stream.last_at)).scalar_subquery())
    async with database.read() as session:
        now, newest = (await session.execute(query)).one()
    return now, newest


async def drop_oldest(database: Database, kind: TargetKind, before: datetime) -> list[str]:
    """Drops the partitions of the oldest week, if it ends before this time, and returns their names.

    Raises TimedOut when a table is too busy.
    """
    partitions = [entry for table in _get_tables(kind) for entry in await _list_partitions(database, table)]
    oldest = min((week for _, week in partitions), default=before)
    over = [name for name, week in partitions if week == oldest and week + WEEK <= before]
    for name in over:
        async with database.write() as session:
            await session.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            await session.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))
    return over


def _get_tables(kind: TargetKind) -> tuple[str, str]:
    return SAMPLES[kind].name, ROLLUPS[kind].name


def _format_name(table: str, week: datetime) -> str:
    return f"{table}_{week:%Y%m%d}"


async def _find_missing(session: AsyncSession, names: list[str]) -> list[str]:
    """Returns the tables that do not exist.

    Reads pg_class: `to_regclass` may answer from a cache that does not know of the last commit.
    """
    query = sa.text("SELECT relname FROM pg_class WHERE relname = ANY(:names) AND pg_table_is_visible(oid)")
    existing = set(await session.scalars(query, {"names": names}))
    return [name for name in names if name not in existing]


async def _list_partitions(database: Database, table: str) -> list[tuple[str, datetime]]:
    query = sa.text("SELECT relid::regclass::text FROM pg_partition_tree(:table) WHERE isleaf ORDER BY 1")
    async with database.read() as session:
        names = list(await session.scalars(query, {"table": table}))
    return [(name, datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC)) for name in names if name != table]


def is_declared(_: object, name: str | None, kind: str, reflected: bool, _compare_to: object) -> bool:
    """Returns, for Alembic, whether the code declares a table or an index.

    Partitions come and go, and some databases have no indexes for `search`.
    """
    if not reflected or name is None:
        return True
    return not (kind == "table" and name[-8:].isdigit()) and not (kind == "index" and name.startswith("ix_search_"))
