"""Root fields: each declares the least role that it needs, and whether a caller may use it only so often.

The resolvers enforce the role; a test proves that they enforce what is declared.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension

from resolvers.base.rate_limits import Budget
from resolvers.base.roles import Role
from schema.directives import Access
from schema.relay import Info

ANYBODY = None


class ForgetLoaded(FieldExtension):
    """Mutations run one after the other: each must see what the one before it has done."""

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: object, info: Info, **arguments: Any
    ) -> Any:
        info.context.forget()
        return await next_(source, info, **arguments)


class LimitRate(FieldExtension):
    """So often an hour for each caller who may use this field, and for this field by itself."""

    def __init__(self, access: Role) -> None:
        self.access = access

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: object, info: Info, **arguments: Any
    ) -> Any:
        caller = info.context.caller
        if caller is not None and caller.role.rank >= self.access.rank:  # else the resolver says why not
            await info.context.consume(Budget.ANALYSES, info.field_name)
        return await next_(source, info, **arguments)


def query(access: Role | None, *directives: object, **options: Any) -> Any:
    """A field of `Query`."""
    return strawberry.field(directives=[Access(role=access), *directives], **options)


def mutation(access: Role | None, *, rate_limited: bool = False, **options: Any) -> Any:
    """A field of `Mutation`; `rate_limited`: one that is dear, and limited by RATE_ANALYSES."""
    extensions: list[FieldExtension] = (
        [LimitRate(access), ForgetLoaded()] if rate_limited and access else [ForgetLoaded()]
    )
    return strawberry.mutation(directives=[Access(role=access)], extensions=extensions, **options)


def subscription(access: Role | None, **options: Any) -> Any:
    """A field of `Subscription`."""
    return strawberry.subscription(directives=[Access(role=access)], **options)
