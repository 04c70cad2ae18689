"""Relay's object identification: one opaque id for every object, and lists in pages."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

import strawberry
from strawberry import ID

from resolvers.context import Context
from resolvers.paging import Page
from resolvers.store.identifiers import entity_key

Info = strawberry.Info[Context, None]


def global_id(type_name: str, key: object) -> ID:
    return ID(base64.b64encode(f"{type_name}:{key}".encode()).decode())


def parse_id(id: str) -> tuple[str, str]:
    """Type name and key. Raises ValueError for what is no id of ours."""
    try:
        type_name, _, key = base64.b64decode(id, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(id) from error
    if not type_name or not key:
        raise ValueError(id)
    return type_name, key


NO_ROW: dict[type, int | UUID] = {int: -1, UUID: UUID(int=0)}


@strawberry.interface(description="An object that `node` finds again by its id.")
class Node:
    id: ID
    row: strawberry.Private[Any]

    @classmethod
    def of(cls, row: Any) -> Self:
        """Columns and fields share names, so a row maps itself."""
        values = {name: getattr(row, name) for name in _plain_fields(cls)}  # type: ignore[arg-type]  # a class is hashable
        return cls(id=global_id(cls.__name__, row.id), row=row, **values)

    @classmethod
    def maybe(cls, row: Any) -> Self | None:
        return None if row is None else cls.of(row)

    @classmethod
    def key(cls, id: str, kind: type[int] | type[UUID] = int) -> Any:
        """The key in a global id of this very type; for any other id a key that no row has.

        So the resolver checks access before anybody learns that there is no such thing.
        """
        try:
            type_name, key = parse_id(id)
            parse = entity_key if kind is int else UUID
            return parse(key) if type_name == cls.__name__ else NO_ROW[kind]
        except ValueError:
            return NO_ROW[kind]


@cache
def _plain_fields(cls: type[Node]) -> tuple[str, ...]:
    fields = cls.__strawberry_definition__.fields  # type: ignore[attr-defined]
    return tuple(f.python_name for f in fields if f.base_resolver is None and f.python_name not in ("id", "row"))


T = TypeVar("T", bound=Node)


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class Edge(Generic[T]):
    cursor: str
    node: T


@strawberry.type
class Connection(Generic[T]):
    page: strawberry.Private[Page[Any]]
    nodes: list[T]
    counter: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field
    def edges(self) -> list[Edge[T]]:
        return [Edge(cursor=c, node=n) for c, n in zip(self.page.cursors, self.nodes, strict=True)]

    @strawberry.field
    def page_info(self) -> PageInfo:
        cursors = self.page.cursors
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )

    @strawberry.field(description="Of the whole list; counted only when asked for.")
    async def total_count(self) -> int:
        return await self.counter()


def connection(page: Page[Any], node: type[T], counter: Callable[[], Awaitable[int]]) -> Connection[T]:
    return Connection(page=page, nodes=[node.of(row) for row in page.rows], counter=counter)
