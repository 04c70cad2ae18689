"""Keyset pages over (sort keys, id), forward and backward; many parents' pages in one query."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, ColumnElement, Select, Subquery, any_, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from resolvers.errors import InvalidInput
from resolvers.store.identifiers import LARGEST_INTEGER
from resolvers.store.tables import Table

Row = TypeVar("Row", bound=Table)
Parent = TypeVar("Parent", int, str)
Rows = TypeVar("Rows", bound=Select[*tuple[Any, ...]])

DEFAULT_PAGE = 50  # the largest is the protocol server's business, which knows an operation's whole cost


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list: `first` after a cursor, or `last` before one."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    @property
    def backward(self) -> bool:
        return self.last is not None

    @property
    def size(self) -> int:
        """Raises InvalidInput for impossible combinations and sizes."""
        if self.first is not None and self.last is not None:
            raise InvalidInput("Ask for `first` or for `last`, not for both.", ["last"])
        name = "last" if self.backward else "first"
        size = self.last if self.backward else self.first
        if size is not None and size < 0:
            raise InvalidInput(f"`{name}` must not be negative, and is {size}.", [name])
        return DEFAULT_PAGE if size is None else size


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """Rows that somebody may page through: under which conditions, in which order, and as whose children.

    `order` lists the sort keys, the last of them unique. `relation` selects pairs labelled `parent` and `child` (ids).
    """

    entity: type[Row]
    order: tuple[Any, ...]
    descending: bool = False
    conditions: tuple[ColumnElement[bool], ...] = ()
    relation: Select[Any, Any] | None = None


@dataclass(frozen=True)
class Page(Generic[Row]):
    rows: list[Row]
    cursors: list[str]
    has_next: bool
    has_previous: bool


async def page(session: AsyncSession, listing: Listing[Row], window: Window) -> Page[Row]:
    """One page of a list without parents."""
    backward, size = window.backward, window.size
    query = _keyset(select(listing.entity).where(*listing.conditions), listing, window)
    query = query.order_by(*_order(listing, backward)).limit(size + 1)
    return _page(list(await session.scalars(query)), listing, window)


async def pages(
    session: AsyncSession, listing: Listing[Row], window: Window, parents: Sequence[Parent]
) -> list[Page[Row]]:
    """The same page of each parent's children, in the order of `parents`, in one query."""
    entity, pairs = listing.entity, _pairs(listing)
    rank = func.row_number().over(partition_by=pairs.c.parent, order_by=_order(listing, window.backward))
    inner = (
        select(entity, pairs.c.parent.label("parent"), rank.label("rank"))
        .join(pairs, pairs.c.child == _id(entity))
        .where(among(pairs.c.parent, parents), *listing.conditions)
    )
    ranked = _keyset(inner, listing, window).subquery()
    child = aliased(entity, ranked)
    query = select(child, ranked.c.parent).where(ranked.c.rank <= window.size + 1).order_by(ranked.c.rank)
    children: dict[Parent, list[Row]] = {parent: [] for parent in parents}
    for row, parent in (await session.execute(query)).all():
        children[parent].append(row)
    return [_page(children[parent], listing, window) for parent in parents]


async def count(session: AsyncSession, listing: Listing[Row]) -> int:
    return await session.scalar(select(func.count()).select_from(listing.entity).where(*listing.conditions)) or 0


async def counts(session: AsyncSession, listing: Listing[Row], parents: Sequence[Parent]) -> list[int]:
    """How many children each parent has, in the order of `parents`."""
    pairs = _pairs(listing)
    query = (
        select(pairs.c.parent, func.count())
        .join(listing.entity, pairs.c.child == _id(listing.entity))
        .where(among(pairs.c.parent, parents), *listing.conditions)
        .group_by(pairs.c.parent)
    )
    found: dict[Parent, int] = {parent: number for parent, number in await session.execute(query)}  # noqa: C416
    return [found.get(parent, 0) for parent in parents]


def among(column: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """IN as one parameter, however many there are: a statement has at most 32 767."""
    return column == any_(literal(list(values), ARRAY(column.type)))  # type: ignore[no-any-return]


def _pairs(listing: Listing[Row]) -> Subquery:
    assert listing.relation is not None  # noqa: S101
    return listing.relation.subquery()


def _id(entity: type[Table]) -> ColumnElement[Any]:
    identifier: ColumnElement[Any] = entity.__table__.c.id
    return identifier


def _order(listing: Listing[Row], backward: bool) -> list[Any]:
    down = listing.descending != backward
    return [column.desc() if down else column.asc() for column in listing.order]


def _keyset(query: Rows, listing: Listing[Row], window: Window) -> Rows:
    for name, cursor, ahead in (("after", window.after, True), ("before", window.before, False)):
        if cursor is not None:
            here = tuple_(*listing.order)
            there = tuple_(*decode(cursor, listing, name))
            query = query.where(here > there if ahead != listing.descending else here < there)
    return query


def _page(rows: list[Row], listing: Listing[Row], window: Window) -> Page[Row]:
    more, rows = len(rows) > window.size, rows[: window.size]
    if window.backward:
        rows.reverse()
    cursors = [encode(row, listing) for row in rows]
    has_next = bool(window.before) if window.backward else more
    return Page(rows, cursors, has_next, more if window.backward else bool(window.after))


def encode(row: Row, listing: Listing[Row]) -> str:
    """An opaque cursor: whose list it is of, and the row's sort keys."""
    values = [getattr(row, column.key) for column in listing.order]
    plain = [str(value) if isinstance(value, UUID) else value for value in values]  # asyncpg's UUID is not orjson's
    return base64.urlsafe_b64encode(orjson.dumps([listing.entity.__tablename__, *plain])).decode()


def decode(cursor: str, listing: Listing[Row], name: str = "after") -> list[ColumnElement[Any]]:
    """The sort keys again, typed like their columns. Raises InvalidInput for a cursor that this list did not give."""
    try:
        entity, *values = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        if entity != listing.entity.__tablename__:
            raise ValueError(entity)
        pairs = list(zip(listing.order, values, strict=True))
        return [literal(_typed(column.type.python_type, value), column.type) for column, value in pairs]
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput("This cursor does not belong to this list.", [name]) from None


def _typed(kind: type[Any], value: Any) -> Any:
    """Raises ValueError, TypeError or OverflowError for what cannot have been such a sort key."""
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
