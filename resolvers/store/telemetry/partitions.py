"""Weekly partitions of samples and roll-ups: made before they are needed, dropped when their retention is over."""

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
WEEKS_AHEAD = 2  # so long may maintenance fail before a batch has to make its week itself
PATIENCE = "2s"  # a drop locks the whole table: rather try again later than let everybody wait behind it


class Partitions:
    """Makes the weeks that a batch needs; remembers those that it has seen in each database."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Database, set[tuple[TargetKind, datetime]]] = WeakKeyDictionary()

    async def ensure(self, database: Database, kind: TargetKind, times: Iterable[datetime]) -> None:
        """In transactions of their own. Maintenance has made the current weeks; what is missing is history's."""
        known = self._known.setdefault(database, set())
        unsure = sorted({week for week in map(find_week, times) if (kind, week) not in known})
        if unsure:
            await create_partitions(database, kind, unsure)
            known.update((kind, week) for week in unsure)

    def forget(self, database: Database) -> None:
        """What is remembered is wrong: somebody dropped a partition."""
        self._known.pop(database, None)


def find_week(at: datetime) -> datetime:
    """The Monday, 00:00 UTC, that begins its week."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def list_upcoming_weeks(now: datetime) -> list[datetime]:
    """The weeks that are kept ready: this one, the last one for what comes late, and some more."""
    return [find_week(now) + number * WEEK for number in range(-1, WEEKS_AHEAD + 1)]


async def list_kept_weeks(database: Database, kind: TargetKind) -> list[datetime]:
    """The weeks that samples are kept of."""
    return [week for _, week in await _list_partitions(database, SAMPLES[kind].name)]


async def create_partitions(database: Database, kind: TargetKind, weeks: Sequence[datetime]) -> None:
    """Make those that are missing.

    Attached rather than created in place, which would lock out the table's readers and writers meanwhile.
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
    """The database's time, and that of the newest sample of all; None where there is none."""
    query = sa.select(sa.func.now(), sa.select(sa.func.max(Stream.last_at)).scalar_subquery())
    async with database.read() as session:
        now, newest = (await session.execute(query)).one()
    return now, newest


async def drop_oldest(database: Database, kind: TargetKind, before: datetime) -> list[str]:
    """Drop the partitions of the first week that ends before this time; their names.

    Raises TimedOut when a table is too busy for it.
    """
    found = [partition for table in _get_tables(kind) for partition in await _list_partitions(database, table)]
    oldest = min((week for _, week in found), default=before)
    over = [name for name, week in found if week == oldest and week + WEEK <= before]
    for name in over:
        async with database.write() as session:
            await session.execute(sa.text(f"SET LOCAL lock_timeout = '{PATIENCE}'"))
            await session.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))
    return over


def _get_tables(kind: TargetKind) -> tuple[str, str]:
    return SAMPLES[kind].name, ROLLUPS[kind].name


def _format_name(table: str, week: datetime) -> str:
    return f"{table}_{week:%Y%m%d}"


async def _find_missing(session: AsyncSession, names: list[str]) -> list[str]:
    """Read from pg_class: `to_regclass` may answer from a cache that does not know of the last commit."""
    query = sa.text("SELECT relname FROM pg_class WHERE relname = ANY(:names) AND pg_table_is_visible(oid)")
    found = set(await session.scalars(query, {"names": names}))
    return [name for name in names if name not in found]


async def _list_partitions(database: Database, table: str) -> list[tuple[str, datetime]]:
    query = sa.text("SELECT relid::regclass::text FROM pg_partition_tree(:table) WHERE isleaf ORDER BY 1")
    async with database.read() as session:
        names = list(await session.scalars(query, {"table": table}))
    return [(name, datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC)) for name in names if name != table]


def is_declared(_: object, name: str | None, kind: str, reflected: bool, _compare_to: object) -> bool:
    """For Alembic: partitions come and go, and some databases have no indexes for `search`.

    They are no part of the schema that the code declares.
    """
    if not reflected or name is None:
        return True
    return not (kind == "table" and name[-8:].isdigit()) and not (kind == "index" and name.startswith("ix_search_"))
