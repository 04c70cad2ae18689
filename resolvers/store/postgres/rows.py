"""Reads rows without the ORM: read-only records with just the columns that were asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy import ARRAY, BindParameter, ColumnElement, Enum, Select, any_, bindparam, inspect, select
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine

from ml.detection.episodes import Severity
from resolvers.store.postgres.column_types import SeverityRank, UtcDateTime
from resolvers.store.postgres.database import Database

Row = TypeVar("Row", bound=DeclarativeBase)
Columns = frozenset[str] | None  # None: all columns of an entity except the deferred ones

DIALECT: Final[Any] = dialect()  # type: ignore[no-untyped-call]
KEPT: Final = 1000  # clients choose columns
FLOAT8: Final = 701  # the type's oid; only floats need it to choose a result processor
SEVERITIES: Final[dict[int | None, Severity | None]] = {None: None, **dict(enumerate(Severity))}


# ---------------------------------------------------------------- statements


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """Compiled SQL. fixed: values that never change; the others are given by parameter name at each execution."""

    sql: str
    names: Sequence[str]
    fixed: Mapping[str, Any]
    processors: Mapping[str, Callable[[Any], Any]]
    record: type[Any]

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        values = {**self.fixed, **{name: _processed(self.processors, name, value) for name, value in given.items()}}
        return [values[name] for name in self.names]


def _processed(processors: Mapping[str, Callable[[Any], Any]], name: str, value: Any) -> Any:
    if name in processors:
        return processors[name](value)
    return value.name if isinstance(value, StrEnum) else value  # a list's item: each became a parameter


def compile_statement(query: Select[Any], record: type[Any] = asyncpg.Record) -> Statement:
    """Compiles a query. Keep the result: compiling takes many times as long as executing."""
    compiled = query.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})
    processors: Any = compiled._bind_processors  # noqa: SLF001  SQLAlchemy has them nowhere else
    fixed = {name: _processed(processors, name, value) for name, value in compiled.params.items()}
    return Statement(str(compiled), compiled.positiontup or (), fixed, processors, record)


def parameter(name: str, kind: TypeEngine[Any]) -> BindParameter[Any]:
    """Returns a parameter whose value is given at each execution."""
    return bindparam(name, type_=kind, required=False)


async def fetch(database: Database, wanted: Statement, **values: Any) -> list[Any]:
    """Executes a statement and returns its records."""
    async with database.driver() as connection:
        found: list[Any] = await connection.fetch(wanted.sql, *wanted.arguments(values), record_class=wanted.record)
        return found


# ---------------------------------------------------------------- entities' rows


async def fetch_by_keys(
    database: Database, entity: type[Row], columns: Columns, keys: Sequence[Any]
) -> dict[Any, Row | None]:
    """Returns the row for each `id`, None if there is none."""
    rows = await fetch(database, _by_keys(entity, columns), keys=[*keys])
    return {**dict.fromkeys(keys), **{row.id: row for row in rows}}


@lru_cache(KEPT)
def _by_keys(entity: type[DeclarativeBase], columns: Columns) -> Statement:
    names = columns_of(entity, columns)
    key: Any = entity.__table__.c.id
    query = select(*select_columns(entity, names)).where(key == any_(parameter("keys", ARRAY(key.type))))
    return compile_statement(query, record_type(entity, names))


async def fetch_first(database: Database, entity: type[Row], columns: Columns, **values: Any) -> Row | None:
    """Returns a row whose columns have these values, None if there is none."""
    found: list[Row] = await fetch(database, _first(entity, columns, tuple(values)), **values)
    return found[0] if found else None


@lru_cache(KEPT)
def _first(entity: type[DeclarativeBase], columns: Columns, keys: tuple[str, ...]) -> Statement:
    names = columns_of(entity, columns)
    conditions = (getattr(entity, key) == parameter(key, entity.__table__.c[key].type) for key in keys)
    query = select(*select_columns(entity, names)).where(*conditions).limit(1)
    return compile_statement(query, record_type(entity, names))


def columns_of(entity: type[DeclarativeBase], columns: Columns) -> tuple[str, ...]:
    """Returns the names of the columns and of the primary key, in the table's order."""
    known = inspect(entity).column_attrs
    if columns is None:
        return tuple(one.key for one in known if not one.deferred)
    return tuple(one.key for one in known if one.key in columns or one.columns[0].primary_key)


def select_columns(entity: type[DeclarativeBase], names: Sequence[str]) -> list[ColumnElement[Any]]:
    return [getattr(entity, name) for name in names]


@lru_cache(KEPT)
def record_type(entity: type[DeclarativeBase], names: tuple[str, ...]) -> type[Any]:
    """Returns a record type whose first fields are these columns; attributes work as on the entity."""
    views: dict[str, Any] = {one.key: _refuse_column(entity, one.key) for one in inspect(entity).column_attrs}
    for index, name in enumerate(names):
        views[name] = _view(index, _reader(entity.__table__.c[name].type))
    return type(entity.__name__, (asyncpg.Record,), {"__slots__": (), **views})


def _view(index: int, read: Callable[[Any], Any] | None) -> property:
    return property(itemgetter(index) if read is None else lambda record: read(record[index]))


def _refuse_column(entity: type[DeclarativeBase], name: str) -> property:
    def refuse(_: Any) -> None:
        raise AttributeError(f"{name} of {entity.__name__} was not loaded; declare that you need it")

    return property(refuse)


@cache
def _reader(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Returns a function that converts a driver's value to what the ORM returns; None if no conversion is needed."""
    if isinstance(kind, UtcDateTime):  # the driver returns UTC already
        return None
    if isinstance(kind, Enum):
        members: dict[str | None, Any] = {None: None, **{one.name: one for one in kind.enum_class or ()}}
        return members.__getitem__
    if isinstance(kind, SeverityRank):
        return SEVERITIES.__getitem__
    return kind.dialect_impl(DIALECT).result_processor(DIALECT, FLOAT8)
