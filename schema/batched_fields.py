"""Fields that follow a key to another object, resolved for many objects at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Protocol, TypeVar, cast

import strawberry

from resolvers.store.tables.core import Table
from schema.relay import Info, Node

RowKey = tuple[type[Table], Any]  # entity and primary key; the key None means no row
NO_ROW: Final[RowKey] = (Table, None)
Function = TypeVar("Function", bound=Callable[..., Any])


class ResolveMany(Protocol):
    """Resolves a field for many objects at once.

    Returns one value per source, in the same order: an object, None, or an exception to raise for that source.
    """

    async def __call__(self, sources: Sequence[Any], info: Info) -> Sequence[Any]: ...


class Resolver(Protocol):
    """Attributes of a field's resolver function."""

    resolve_many: ResolveMany
    needs: frozenset[str]  # columns of the row that it reads; all of them if the attribute is missing


def needs(*columns: str) -> Callable[[Function], Function]:
    """Declares the columns that a resolver reads of its object's row, so that only these are fetched."""

    def declare(function: Function) -> Function:
        cast("Resolver", function).needs = frozenset(columns)
        return function

    return declare


def relation(kind: Any, entity: type[Table], *, by: str, **options: Any) -> Any:
    """Returns a field that follows the foreign key in column `by` to a row of `entity`, an object of type `kind`."""
    key = attrgetter(f"row.{by}")

    async def resolve_many(sources: Sequence[Any], info: Info) -> Sequence[Any]:
        keys = [key(source) for source in sources]
        objects = _wrap_rows(entity, await _load_rows(info, entity, keys))
        return [objects[key] for key in keys]

    return _field(kind, resolve_many, (by,), options)


def polymorphic_relation(
    kind: Any, get_key: Callable[[Any], RowKey], *, needs: Sequence[str] = (), **options: Any
) -> Any:
    """Returns a field that follows `get_key` to a row of one entity or another, as an object of type `kind`.

    get_key: returns the RowKey for an object. needs: the columns that it reads.
    """

    async def resolve_many(sources: Sequence[Any], info: Info) -> Sequence[Any]:
        row_keys = [get_key(source) for source in sources]
        keys: dict[type[Table], list[Any]] = {}
        for entity, key in row_keys:
            if key is not None:
                keys.setdefault(entity, []).append(key)
        if len(keys) == 1:
            [(entity, wanted)] = keys.items()
            objects = _wrap_rows(entity, await _load_rows(info, entity, wanted))
            return [objects[key] for _, key in row_keys]
        loaded = await asyncio.gather(*(_load_rows(info, entity, wanted) for entity, wanted in keys.items()))
        wrapped = {entity: _wrap_rows(entity, rows) for entity, rows in zip(keys, loaded, strict=True)}
        return [None if key is None else wrapped[entity][key] for entity, key in row_keys]

    return _field(kind, resolve_many, needs, options)


def _load_rows(info: Info, entity: type[Table], keys: Iterable[Any]) -> Awaitable[Mapping[Any, Any]]:
    return info.context.loaders.rows(entity).find({key for key in keys if key is not None})


def _wrap_rows(entity: type[Table], rows: Mapping[Any, Any]) -> dict[Any, Any]:
    """Returns by key: an object, None if there is no row, or the exception that the loader returned."""
    from_row = Node.find_type(entity.__name__).from_row
    objects = {
        key: row if row is None or isinstance(row, BaseException) else from_row(row) for key, row in rows.items()
    }
    objects[None] = None
    return objects


def _field(kind: Any, resolve_many: ResolveMany, columns: Sequence[str], options: dict[str, Any]) -> Any:
    async def resolve(self: Any, info: Info) -> Any:
        [value] = await resolve_many([self], info)
        if isinstance(value, BaseException):
            raise value
        return value

    needs(*columns)(resolve)
    cast("Resolver", resolve).resolve_many = resolve_many
    return strawberry.field(resolver=resolve, graphql_type=kind, **options)
