"""The wide sample tables, one column per metric of the catalogue, and their roll-ups; partitioned by week.

Every primary key begins with the target, and every query and upsert names it, so that each stays inside one shard when
the tables are distributed by it (Citus). Both tables of a kind then have the same colocation group as `streams`.
"""

from enum import IntEnum
from typing import Any

import sqlalchemy as sa

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from resolvers.store.postgres.column_types import UtcDateTime
from resolvers.store.tables.core import Table


class Level(IntEnum):
    """Seconds that a roll-up's bucket lasts; each a multiple of the one before. Buckets begin at multiples of it."""

    FIVE_MINUTES = 300
    HOUR = 3600
    DAY = 86_400


def target_column(kind: TargetKind) -> str:
    return f"{kind.lower()}_id"


def value_type(kind: TargetKind, metric: Metric) -> str:
    """Returns the SQL type of a metric's values: counts must not be rounded, four bytes hold them up to 16 777 216."""
    return "double precision" if CATALOGUE[kind].spec(metric).whole else "real"


def value_types(kind: TargetKind) -> dict[str, str]:
    """Returns the SQL type of each scored metric's column, in catalogue order."""
    return {metric.column: value_type(kind, metric) for metric in CATALOGUE[kind].metrics}


def recorded_types(kind: TargetKind) -> dict[str, str]:
    """Returns the SQL type of each recorded metric's column, in catalogue order."""
    return {metric.column: value_type(kind, metric) for metric in CATALOGUE[kind].recorded_metrics}


def real_columns(kind: TargetKind) -> list[str]:
    """Returns the metric columns whose values are stored in four bytes."""
    return [column for column, type in recorded_types(kind).items() if type == "real"]


def _value(kind: TargetKind, column: str) -> Any:
    return sa.DOUBLE_PRECISION if recorded_types(kind)[column] == "double precision" else sa.REAL


def _key(kind: TargetKind) -> list[sa.Column[Any]]:
    target: sa.Column[Any] = sa.Column(target_column(kind), sa.Integer, primary_key=True, autoincrement=False)
    direction: sa.Column[Any] = sa.Column("direction", sa.String(2), primary_key=True)
    return [target, direction] if kind is TargetKind.LINK else [target]


def _samples(kind: TargetKind) -> sa.Table:
    return sa.Table(
        f"{kind.lower()}_samples",
        Table.metadata,
        *_key(kind),
        sa.Column("at", UtcDateTime, primary_key=True),
        *(sa.Column(column, _value(kind, column)) for column in CATALOGUE[kind].recorded_columns),
        postgresql_partition_by="RANGE (at)",
    )


def _rollups(kind: TargetKind) -> sa.Table:
    """Of each metric the mean; of several values also their number, least and greatest; of a day also quantiles.

    Those of context (`Kind.context_specs`) are read from the samples: a mean of beams says nothing, and one of headings
    cannot be made of means.
    """

    def parts(column: str) -> dict[str, Any]:
        value = _value(kind, column)
        return {"n": sa.Integer, "mean": value, "min": value, "max": value, "quantiles": sa.ARRAY(value)}

    return sa.Table(
        f"{kind.lower()}_rollups",
        Table.metadata,
        *_key(kind),
        sa.Column("seconds", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", UtcDateTime, primary_key=True),
        *(
            sa.Column(f"{column}_{part}", of)
            for column in CATALOGUE[kind].columns
            for part, of in parts(column).items()
        ),
        postgresql_partition_by="RANGE (at)",
    )


SAMPLES = {kind: _samples(kind) for kind in TargetKind}
ROLLUPS = {kind: _rollups(kind) for kind in TargetKind}


def key_columns(kind: TargetKind) -> list[str]:
    """The samples' primary key, in its order."""
    return [column.name for column in SAMPLES[kind].primary_key]
