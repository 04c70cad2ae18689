"""Fields that lead from one object to another by a key: declared by it, and resolved for many objects at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Protocol, TypeVar, cast

import strawberry

from resolvers.store.tables.core import Table
from schema.relay import Info, Node

RowKey = tuple[type[Table], Any]  # which row: its entity and its key; no key, no row
NO_ROW: Final[RowKey] = (Table, None)
Function = TypeVar("Function", bound=Callable[..., Any])


class ResolveMany(Protocol):
    """Resolves a field for many objects at once.

    One value for each, in their order: an object, None, or an exception that is to be raised for that one.
    """

    async def __call__(self, sources: Sequence[Any], info: Info) -> Sequence[Any]: ...


class Resolver(Protocol):
    """What is known of a field's resolver function, besides how to call it."""

    resolve_many: ResolveMany
    needs: frozenset[str]  # columns of the row; where it is missing, all of them


def needs(*columns: str) -> Callable[[Function], Function]:
    """Declares which columns of its object's row a resolver reads, so that no others have to be fetched for it."""

    def declared(function: Function) -> Function:
        cast("Resolver", function).needs = frozenset(columns)
        return function

    return declared


def relation(kind: Any, entity: type[Table], *, by: str, **options: Any) -> Any:
    """A field: the object of type `kind` whose row of `entity` has the key that this row's column `by` holds."""
    key = attrgetter(f"row.{by}")

    async def resolve_many(sources: Sequence[Any], info: Info) -> Sequence[Any]:
        keys = [key(source) for source in sources]
        found = _wrap_rows(entity, await _load_rows(info, entity, keys))
        return [found[key] for key in keys]

    return _field(kind, resolve_many, (by,), options)


def polymorphic_relation(
    kind: Any, point: Callable[[Any], RowKey], *, needs: Sequence[str] = (), **options: Any
) -> Any:
    """A field: the object of type `kind` that `point` finds the way to, which may be of one entity or another.

    `needs`: the columns that `point` reads.
    """

    async def resolve_many(sources: Sequence[Any], info: Info) -> Sequence[Any]:
        pointers = [point(source) for source in sources]
        keys: dict[type[Table], list[Any]] = {}
        for entity, key in pointers:
            if key is not None:
                keys.setdefault(entity, []).append(key)
        if len(keys) == 1:
            [(entity, those)] = keys.items()
            objects = _wrap_rows(entity, await _load_rows(info, entity, those))
            return [objects[key] for _, key in pointers]
        asked = await asyncio.gather(*(_load_rows(info, entity, those) for entity, those in keys.items()))
        found = {entity: _wrap_rows(entity, rows) for entity, rows in zip(keys, asked, strict=True)}
        return [None if key is None else found[entity][key] for entity, key in pointers]

    return _field(kind, resolve_many, needs, options)


def _load_rows(info: Info, entity: type[Table], keys: Iterable[Any]) -> Awaitable[Mapping[Any, Any]]:
    return info.context.loaders.rows(entity).find({key for key in keys if key is not None})


def _wrap_rows(entity: type[Table], rows: Mapping[Any, Any]) -> dict[Any, Any]:
    """By key: an object, None where there is none, or what went wrong."""
    from_row = Node.find_type(entity.__name__).from_row
    found = {key: row if row is None or isinstance(row, BaseException) else from_row(row) for key, row in rows.items()}
    found[None] = None
    return found


def _field(kind: Any, resolve_many: ResolveMany, columns: Sequence[str], options: dict[str, Any]) -> Any:
    async def one(self: Any, info: Info) -> Any:
        [found] = await resolve_many([self], info)
        if isinstance(found, BaseException):
            raise found
        return found

    needs(*columns)(one)
    cast("Resolver", one).resolve_many = resolve_many
    return strawberry.field(resolver=one, graphql_type=kind, **options)
