"""Relay's object identification: one opaque id for every object, and lists in pages."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

import strawberry
from strawberry import ID

from resolvers.context import Context
from resolvers.lists.pagination import Page
from resolvers.store.postgres.identifiers import entity_key

Info = strawberry.Info[Context, None]


def global_id(type_name: str, key: object) -> ID:
    return ID(binascii.b2a_base64(f"{type_name}:{key}".encode(), newline=False).decode())


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
_NAMED: dict[str, "type[Node]"] = {}


@strawberry.interface(description="An object with an id. Fetch it again with `node` or `nodes`.")
class Node:
    """Columns and fields share names, so a row maps itself: see `read_from_rows`."""

    id: ID = strawberry.field(description="A globally unique id. Opaque: do not parse it.")
    row: strawberry.Private[Any]

    def __init_subclass__(cls) -> None:
        _NAMED[cls.__name__] = cls

    @staticmethod
    def named(name: str) -> "type[Node]":
        """The type of objects that is called so; an entity's is called like it."""
        return _NAMED[name]

    @classmethod
    def of(cls, row: Any) -> Self:
        node = object.__new__(cls)  # there may be thousands in an answer
        node.row = row
        return node

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


def read_from_rows(cls: type[Node]) -> None:
    """Each field without a resolver becomes a view of the row's column of the same name."""
    for name in plain_fields(cls):
        setattr(cls, name, property(attrgetter(f"row.{name}")))
    cls.id = property(_id_of(cls.__name__))  # type: ignore[assignment]


def plain_fields(cls: type[Node]) -> frozenset[str]:
    """Those that a column answers, besides `id`."""
    fields = cls.__strawberry_definition__.fields  # type: ignore[attr-defined]
    return frozenset(f.python_name for f in fields if f.base_resolver is None and f.python_name != "id")


def _id_of(type_name: str) -> Callable[[Node], str]:
    """`global_id` in one call: there may be thousands in an answer."""

    def read(node: Node) -> str:
        return binascii.b2a_base64(f"{type_name}:{node.row.id}".encode(), newline=False).decode()

    return read


T = TypeVar("T", bound=Node)


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None = strawberry.field(
        description="The cursor of the first item: pass it as `before` to page backward. Null if the page is empty."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last item: pass it as `after` to page forward. Null if the page is empty."
    )


@strawberry.type(description="An item of a list, with its cursor.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="The position of the item in the list, for `after` and `before`.")
    node: T


@strawberry.type(
    description="A page of a list, as in the Relay specification: `first` items after the cursor `after`, or `last`"
    " items before the cursor `before`. 50 items by default."
)
class Connection(Generic[T]):
    page: strawberry.Private[Page[Any]]
    nodes: list[T]
    counter: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field
    def edges(self) -> list[Edge[T]]:
        return [Edge(cursor=c, node=n) for c, n in zip(self.page.cursors, self.nodes, strict=True)]

    @strawberry.field
    def page_info(self) -> PageInfo:
        start, end = self.page.ends
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=start,
            end_cursor=end,
        )

    @strawberry.field(
        description="The length of the whole list. It takes a query of its own, so select it only if you need it."
    )
    async def total_count(self) -> int:
        return await self.counter()


def connection(page: Page[Any], node: type[T], counter: Callable[[], Awaitable[int]]) -> Connection[T]:
    return Connection(page=page, nodes=[node.of(row) for row in page.rows], counter=counter)
