"""Root fields: each declares the role it needs and whether it is rate limited.

Resolvers enforce the role; a test proves that they enforce what is declared here.
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
    """Clears the loaders before each mutation, so that it sees what the one before it did."""

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: object, info: Info, **arguments: Any
    ) -> Any:
        info.context.forget()
        return await next_(source, info, **arguments)


class LimitRate(FieldExtension):
    """Limits how often each caller may use a field. Each field has a budget of its own."""

    def __init__(self, access: Role) -> None:
        self.access = access

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: object, info: Info, **arguments: Any
    ) -> Any:
        caller = info.context.caller
        if caller is not None and caller.role.rank >= self.access.rank:  # otherwise the resolver says why not
            await info.context.consume(Budget.ANALYSES, info.field_name)
        return await next_(source, info, **arguments)


def query(access: Role | None, *directives: object, **options: Any) -> Any:
    """Returns a field of `Query`. access: the lowest role that may use it; None: no sign-in is needed."""
    return strawberry.field(directives=[Access(role=access), *directives], **options)


def mutation(access: Role | None, *directives: object, rate_limited: bool = False, **options: Any) -> Any:
    """Returns a field of `Mutation`. rate_limited: it is expensive, and limited by RATE_ANALYSES."""
    extensions: list[FieldExtension] = (
        [LimitRate(access), ForgetLoaded()] if rate_limited and access else [ForgetLoaded()]
    )
    return strawberry.mutation(directives=[Access(role=access), *directives], extensions=extensions, **options)


def subscription(access: Role | None, **options: Any) -> Any:
    """Returns a field of `Subscription`."""
    return strawberry.subscription(directives=[Access(role=access)], **options)
