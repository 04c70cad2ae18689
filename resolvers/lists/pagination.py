"""Keyset pagination by sort keys, forward and backward; the pages of many parents in one query."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, ColumnElement, Integer, Select, Subquery, and_, any_, func, or_, select, tuple_

from resolvers.base.errors import InvalidInput
from resolvers.lists.listings import Listing
from resolvers.store.postgres.database import Database
from resolvers.store.postgres.identifiers import LARGEST_INTEGER
from resolvers.store.postgres.rows import (
    Columns,
    Statement,
    compile_statement,
    fetch,
    parameter,
    record_type,
    select_columns,
)
from resolvers.store.tables.core import Table

Row = TypeVar("Row", bound=Table)
Parent = TypeVar("Parent", int, str)
Rows = TypeVar("Rows", bound=Select[*tuple[Any, ...]])

DEFAULT_PAGE = 50  # the largest is limited by the operation's cost


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a list that is asked for: `first` after a cursor, or `last` before one."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    @property
    def backward(self) -> bool:
        return self.last is not None

    @property
    def size(self) -> int:
        """How many rows are asked for. Raises InvalidInput for impossible combinations and sizes."""
        if self.first is not None and self.last is not None:
            raise InvalidInput("Ask for `first` or for `last`, not for both.", ["last"])
        name = "last" if self.backward else "first"
        size = self.last if self.backward else self.first
        if size is not None and size < 0:
            raise InvalidInput(f"`{name}` must not be negative, and is {size}.", [name])
        return DEFAULT_PAGE if size is None else size


@dataclass(frozen=True)
class PageShape:
    """What a page's SQL depends on, besides the parameters."""

    columns: Columns
    backward: bool = False
    after: bool = False
    before: bool = False

    @classmethod
    def of(cls, window: Window, columns: Columns) -> Self:
        return cls(columns, window.backward, window.after is not None, window.before is not None)


@dataclass(frozen=True)
class Page(Generic[Row]):
    rows: list[Row]
    listing: Listing[Row]
    has_next: bool
    has_previous: bool

    @cached_property
    def cursors(self) -> list[str]:
        return [encode_cursor(row, self.listing) for row in self.rows]

    @property
    def ends(self) -> tuple[str | None, str | None]:
        """The first and the last cursor."""
        if not self.rows:
            return None, None
        return encode_cursor(self.rows[0], self.listing), encode_cursor(self.rows[-1], self.listing)


async def fetch_page(database: Database, listing: Listing[Row], window: Window, columns: Columns = None) -> Page[Row]:
    """Returns one page of a list without parents, with these columns and the sort keys."""
    size, shape = window.size, PageShape.of(window, columns)
    found = listing.get_statement(shape, partial(_page_statement, listing, shape))
    return _page(await fetch(database, found, most=size + 1, **_values(listing, window)), listing, window)


def _page_statement(listing: Listing[Row], shape: PageShape) -> Statement:
    names = listing.column_names(shape.columns)
    query = _keyset(select(*select_columns(listing.entity, names)).where(*listing.conditions), listing, shape)
    query = query.order_by(*_order(listing, shape.backward)).limit(parameter("most", Integer()))
    return compile_statement(query, record_type(listing.entity, names))


async def fetch_pages(
    database: Database, listing: Listing[Row], window: Window, parents: Sequence[Parent], columns: Columns = None
) -> list[Page[Row]]:
    """Returns the page of each parent's children, in the order of `parents`, by one query."""
    size, shape = window.size, PageShape.of(window, columns)
    found = listing.get_statement((shape, "pages"), partial(_pages_statement, listing, shape))
    rows = await fetch(database, found, parents=[*parents], most=size + 1, **_values(listing, window))
    children: dict[Parent, list[Row]] = {parent: [] for parent in parents}
    for row in rows:
        children[row["parent"]].append(row)
    return [_page(children[parent], listing, window) for parent in parents]


def _pages_statement(listing: Listing[Row], shape: PageShape) -> Statement:
    entity, pairs, names = listing.entity, _pairs(listing), listing.column_names(shape.columns)
    rank = func.row_number().over(partition_by=pairs.c.parent, order_by=_order(listing, shape.backward))
    inner = (
        select(*select_columns(entity, names), pairs.c.parent.label("parent"), rank.label("rank"))
        .join(pairs, pairs.c.child == _id(entity))
        .where(_among(pairs.c.parent), *listing.conditions)
    )
    ranked = _keyset(inner, listing, shape).subquery()
    query = select(*(ranked.c[name] for name in names), ranked.c.parent).order_by(ranked.c.rank)
    return compile_statement(query.where(ranked.c.rank <= parameter("most", Integer())), record_type(entity, names))


async def count_rows(database: Database, listing: Listing[Row]) -> int:
    found = listing.get_statement("count", partial(_count_statement, listing))
    [[number]] = await fetch(database, found, **listing.values)
    return int(number)


def _count_statement(listing: Listing[Row]) -> Statement:
    return compile_statement(select(func.count()).select_from(listing.entity).where(*listing.conditions))


async def count_children(database: Database, listing: Listing[Row], parents: Sequence[Parent]) -> list[int]:
    """Returns the number of each parent's children, in the order of `parents`."""
    found = listing.get_statement("counts", partial(_counts_statement, listing))
    numbers: dict[Parent, int] = dict(await fetch(database, found, parents=[*parents], **listing.values))
    return [numbers.get(parent, 0) for parent in parents]


def _counts_statement(listing: Listing[Row]) -> Statement:
    pairs = _pairs(listing)
    query = (
        select(pairs.c.parent, func.count())
        .join(listing.entity, pairs.c.child == _id(listing.entity))
        .where(_among(pairs.c.parent), *listing.conditions)
        .group_by(pairs.c.parent)
    )
    return compile_statement(query)


def _among(parent: Any) -> ColumnElement[bool]:
    return parent == any_(parameter("parents", ARRAY(parent.type)))  # type: ignore[no-any-return]


def _pairs(listing: Listing[Row]) -> Subquery:
    assert listing.relation is not None  # noqa: S101
    return listing.relation.subquery()


def _id(entity: type[Table]) -> ColumnElement[Any]:
    identifier: ColumnElement[Any] = entity.__table__.c.id
    return identifier


def _order(listing: Listing[Row], backward: bool) -> list[Any]:
    keys = zip(listing.order, listing.directions, strict=True)
    return [column.desc() if down != backward else column.asc() for column, down in keys]


def _keyset(query: Rows, listing: Listing[Row], shape: PageShape) -> Rows:
    for name, wanted, ahead in (("after", shape.after, True), ("before", shape.before, False)):
        if wanted:
            query = query.where(_lies_beyond(listing, name, ahead))
    return query


def _lies_beyond(listing: Listing[Row], cursor: str, ahead: bool) -> ColumnElement[bool]:
    """Returns the condition that a row comes after a cursor's, or before it.

    Sort keys that follow each other in one direction are compared as one tuple, as an index is searched by tuples. A
    later tuple decides where all earlier ones are equal. The first one limits the rows by itself, for the index again.
    """
    keys = zip(listing.order, listing.directions, strict=True)
    runs = [(down, [column for column, _ in run]) for down, run in groupby(keys, itemgetter(1))]
    here = [tuple_(*columns) for _, columns in runs]
    there = [tuple_(*(parameter(f"{cursor}_{key.key}", key.type) for key in columns)) for _, columns in runs]
    beyond = [a > b if ahead != down else a < b for a, b, (down, _) in zip(here, there, runs, strict=True)]
    if len(runs) == 1:
        return beyond[0]
    equal = [a == b for a, b in zip(here, there, strict=True)]
    first = here[0] >= there[0] if ahead != runs[0][0] else here[0] <= there[0]
    return and_(first, or_(*(and_(*equal[:number], condition) for number, condition in enumerate(beyond))))


def _values(listing: Listing[Row], window: Window) -> dict[str, Any]:
    """Returns the parameters: the listing's, and the cursors' sort keys, named as in `_keyset`."""
    cursors = {
        f"{name}_{key.key}": value
        for name, cursor in (("after", window.after), ("before", window.before))
        if cursor is not None
        for key, value in zip(listing.order, decode_cursor(cursor, listing, name), strict=True)
    }
    return {**listing.values, **cursors}


def _page(rows: list[Row], listing: Listing[Row], window: Window) -> Page[Row]:
    more, rows = len(rows) > window.size, rows[: window.size]
    if window.backward:
        rows.reverse()
    has_next = bool(window.before) if window.backward else more
    return Page(rows, listing, has_next, more if window.backward else bool(window.after))


def encode_cursor(row: Row, listing: Listing[Row]) -> str:
    """Returns an opaque cursor: the table's name and the row's sort keys."""
    values = [getattr(row, column.key) for column in listing.order]
    plain = [str(value) if isinstance(value, UUID) else value for value in values]  # asyncpg's UUID is not orjson's
    return base64.urlsafe_b64encode(orjson.dumps([listing.entity.__tablename__, *plain])).decode()


def decode_cursor(cursor: str, listing: Listing[Row], name: str = "after") -> list[Any]:
    """Returns the sort keys, typed like their columns. Raises InvalidInput for a cursor of another list."""
    try:
        entity, *values = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        if entity != listing.entity.__tablename__:
            raise ValueError(entity)
        pairs = list(zip(listing.order, values, strict=True))
        return [_typed(column.type.python_type, value) for column, value in pairs]
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput("This cursor is not from this list. Start again without a cursor.", [name]) from None


def _typed(kind: type[Any], value: Any) -> Any:
    """Returns a sort key from JSON. Raises ValueError, TypeError or OverflowError for one that cannot be."""
    if type(value) is not (kind if kind in (int, float, bool) else str):
        raise TypeError(kind)
    if (isinstance(value, int) and abs(value) > LARGEST_INTEGER) or "\0" in str(value):
        raise ValueError(value)
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError(value)
        return at.astimezone(UTC)
    return kind(value)
