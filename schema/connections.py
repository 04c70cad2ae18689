"""Pages of lists, as in the Relay cursor connections specification."""

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

import strawberry

from resolvers.lists.listings import Listing
from resolvers.lists.loaders import Children
from resolvers.lists.pagination import Page, Window, count_rows
from schema.batched_fields import needs
from schema.directives import connection_size
from schema.relay import Info, Node

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


def build_connection(page: Page[Any], node: type[T], counter: Callable[[], Awaitable[int]]) -> Connection[T]:
    return Connection(page=page, nodes=[node.from_row(row) for row in page.rows], counter=counter)


async def load_children(
    info: Info,
    node: type[T],
    make: Callable[..., Listing[Any]],
    parent: int | str | UUID,
    window: Window,
    *arguments: Hashable,
) -> Connection[T]:
    """Returns a page of a parent's list.

    make: returns the listing for these arguments; parents with the same one are loaded together.
    """
    loaders, children = info.context.loaders, Children(make, arguments)
    page = await loaders.page.load(((children, window), parent))
    return build_connection(page, node, partial(loaders.count.load, (children, parent)))


def child_connection(node: type[T], make: Callable[..., Listing[Any]], default: int, description: str) -> Any:
    """Returns a field with the pages of a list of its object, forward and backward. default: nodes of a page."""

    @needs("id")
    async def resolve(
        self: Node,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[node]:  # type: ignore[valid-type]
        return await load_children(info, node, make, self.row.id, Window(first, after, last, before))

    return strawberry.field(resolve, description=description, directives=[connection_size(default, "last")])


def page_to_connection(info: Info, node: type[T], listing: Listing[Any], page: Page[Any]) -> Connection[T]:
    return build_connection(page, node, partial(_count_rows, info, listing))


async def _count_rows(info: Info, listing: Listing[Any]) -> int:
    async with info.context.read_turn():
        return await count_rows(info.context.database, listing)
