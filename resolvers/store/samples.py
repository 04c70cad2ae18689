"""The three wide sample tables, one column per metric of the catalogue, partitioned by week.

Every query and the primary key begin with the target, so that the tables can be distributed by it (Citus).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from ml.metrics import CATALOGUE, TargetKind
from resolvers.store.columns import UtcDateTime
from resolvers.store.database import Database
from resolvers.store.tables import Table

PARTITION_LOCK = 0x6263_6F6D_0003
WEEK = timedelta(days=7)


def _table(kind: TargetKind) -> sa.Table:
    name = kind.value.lower()
    direction = [sa.Column("direction", sa.String(2), primary_key=True)] if kind is TargetKind.LINK else []
    return sa.Table(
        f"{name}_samples",
        Table.metadata,
        sa.Column(f"{name}_id", sa.Integer, primary_key=True),
        *direction,
        sa.Column("at", UtcDateTime, primary_key=True),
        *(sa.Column(column, sa.REAL) for column in CATALOGUE[kind].columns),
        postgresql_partition_by="RANGE (at)",
    )


SAMPLES = {kind: _table(kind) for kind in TargetKind}


def target_column(kind: TargetKind) -> str:
    return f"{kind.value.lower()}_id"


def key_columns(kind: TargetKind) -> list[str]:
    """The primary key, in its order."""
    return [column.name for column in SAMPLES[kind].primary_key]


class Partitions:
    """Makes the weeks that a batch needs; remembers those that it has seen in each database."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Database, set[tuple[TargetKind, datetime]]] = WeakKeyDictionary()

    async def ensure(self, database: Database, kind: TargetKind, times: Iterable[datetime]) -> None:
        """A transaction of its own: attaching a partition locks out the table's readers and writers until it ends."""
        known = self._known.setdefault(database, set())
        weeks = {week_of(at) for at in times}
        missing = sorted(week for week in weeks if (kind, week) not in known)
        if not missing:
            return
        async with database.write() as session:
            await session.execute(sa.select(sa.func.pg_advisory_xact_lock(PARTITION_LOCK)))
            for week in missing:
                if await session.scalar(sa.select(sa.func.to_regclass(_name(kind, week)))) is None:
                    await session.execute(sa.text(_create(kind, week)))
        known.update((kind, week) for week in missing)


def week_of(at: datetime) -> datetime:
    """The Monday, 00:00 UTC, that begins its week."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _name(kind: TargetKind, week: datetime) -> str:
    return f"{SAMPLES[kind].name}_{week:%Y%m%d}"


def _create(kind: TargetKind, week: datetime) -> str:
    bounds = f"FROM ('{week:%Y-%m-%d}T00:00Z') TO ('{week + WEEK:%Y-%m-%d}T00:00Z')"
    return f"CREATE TABLE {_name(kind, week)} PARTITION OF {SAMPLES[kind].name} FOR VALUES {bounds}"
