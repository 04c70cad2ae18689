"""Our schema with resolvers that make things up: the same each time for the same seed, and wrong now and then.

Attributes and resolvers give values of their type, null, values of other types, what is to be awaited, and exceptions.
So operations of any kind can be executed in different ways, without a database, and have to come to the same answer.
"""

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_nullable_type,
    is_abstract_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from resolvers.base.errors import Conflict, NotFound

DECLARED = "strawberry-definition"
LEAVES: dict[str, Any] = {
    "Int": lambda number: number % 1000 - 500,
    "Float": lambda number: number / 7,
    "String": lambda number: f"text {number}",
    "ID": lambda number: f"id {number}",
    "Boolean": lambda number: number % 2 == 0,
    "DateTime": lambda number: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number),
    "FloatArray": lambda number: np.array([number / 3, np.nan]),
    "IntArray": lambda number: np.array([number % 100, 7]),
    "TimeArray": lambda number: np.array([number, number + 1]),
    "DirectionArray": lambda number: ["IB", "OB"],
}


class Wrong:
    """Of no type that anybody expects."""

    def __repr__(self) -> str:
        return "something wrong"


class Later:
    """To be awaited, where usually nothing is."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "something later"

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


WRONG: tuple[Any, ...] = (Wrong(), "nonsense", 1.5, 3, True, float("nan"), {"a": 1}, [1], 2**40, ValueError("returned"))


class Context:
    """As much of one as resolvers' extensions ask for."""

    caller = None

    def forget(self) -> None:
        """There is nothing to forget."""


class Fakes:
    """`mischief`: of a hundred values, so many are not what they should be."""

    def __init__(self, schema: GraphQLSchema, seed: int, mischief: int) -> None:
        self._schema, self._seed, self._mischief = schema, seed, mischief
        self._classes: dict[str, type] = {}

    def value(self, of: Any, key: str) -> Any:
        """Of a type. Raises what a resolver might raise."""
        number = zlib.crc32(f"{self._seed} {key}".encode())
        kind, choice = number % 100, number // 100
        if kind >= self._mischief:
            return self._right(of, key, choice)
        if choice % 5 == 0:
            return None
        if choice % 5 == 1:
            return WRONG[choice // 5 % len(WRONG)]
        if choice % 5 == 2:
            return Later(self.outcome(of, f"{key} later"))
        if choice % 5 == 3 and not is_non_null_type(of):
            return None
        raise (ValueError, NotFound, Conflict)[choice // 5 % 3](f"failed at {key}")

    def outcome(self, of: Any, key: str) -> Any:
        """The same, or the exception."""
        try:
            value = self.value(of, key)
        except Exception as error:  # noqa: BLE001
            return error
        return self._right(of, key, 1) if isinstance(value, Later) else value

    def _right(self, of: Any, key: str, number: int) -> Any:
        inner: Any = get_nullable_type(of)
        if not is_non_null_type(of) and number % 11 == 0:
            return None
        if is_list_type(inner):
            return self._list(inner, key, number)
        if isinstance(inner, GraphQLEnumType):
            members = [*inner.wrapped_cls] if hasattr(inner, "wrapped_cls") else [*inner.values]
            return members[number % len(members)]
        if is_object_type(inner) or is_abstract_type(inner):
            return self._object(inner, key, number)
        return LEAVES[inner.name](number)

    def _list(self, of: GraphQLList[Any], key: str, number: int) -> list[Any]:
        items = []
        for index in range(number % 4):
            item = self.outcome(of.of_type, f"{key} {index}")
            items.append(item)
        return items

    def _object(self, of: GraphQLNamedType, key: str, number: int) -> Any:
        if is_abstract_type(of):
            possible = self._schema.get_possible_types(of)
            of = possible[number % len(possible)]
        made = object.__new__(self._class(of))  # type: ignore[arg-type]
        made.__dict__["key"] = key
        made.__dict__["row"] = _Attributes(self, of, key)
        return made

    def _class(self, of: GraphQLObjectType) -> type:
        """A subclass of the type's own, with attributes that are made up as they are read."""
        if of.name not in self._classes:
            origin = of.extensions[DECLARED].origin
            read = {"__getattr__": lambda made, name: getattr(made.__dict__["row"], name)}
            self._classes[of.name] = type(origin.__name__, (origin,), read)
        return self._classes[of.name]

    # ------------------------------------------------------------ resolvers

    @contextmanager
    def resolving(self) -> Iterator[None]:
        """All of the schema's resolvers, for as long as this lasts."""
        before = []
        for type in self._schema.type_map.values():
            if is_object_type(type) and DECLARED in type.extensions:
                for field in type.fields.values():
                    resolver = field.extensions[DECLARED].base_resolver
                    if resolver is not None:
                        before.append((resolver, resolver.wrapped_func))
                        resolver.wrapped_func = self._resolver(field, type.name, resolver.wrapped_func)
        try:
            yield
        finally:
            for resolver, function in reversed(before):
                resolver.wrapped_func = function

    def _resolver(self, field: Any, parent: str, real: Any) -> Any:
        declared = field.extensions[DECLARED]
        name = f"{parent}.{declared.python_name}"

        def key(source: Any) -> str:
            return f"{getattr(source, '__dict__', {}).get('key', '')} {name}"

        async def later(*arguments: Any, **_: Any) -> Any:
            await asyncio.sleep(0)
            value = self.outcome(field.type, key(arguments[0] if arguments else None))
            if isinstance(value, Exception):
                raise value
            return value

        def now(*arguments: Any, **_: Any) -> Any:
            return self.value(field.type, key(arguments[0] if arguments else None))

        async def resolve_many(sources: Any, _: Any) -> list[Any]:
            await asyncio.sleep(0)
            return [self.outcome(field.type, key(source)) for source in sources]

        if hasattr(real, "resolve_many"):

            async def one(source: Any, **_: Any) -> Any:
                [found] = await resolve_many([source], None)
                if isinstance(found, Exception):
                    raise found
                return found

            one.resolve_many = resolve_many  # type: ignore[attr-defined]
            return one
        return later if declared.is_async else now


class _Attributes:
    """Of an object, by the names that Python knows its fields by."""

    def __init__(self, fakes: Fakes, of: Any, key: str) -> None:
        self._fakes, self._key = fakes, key
        self._types = {field.extensions[DECLARED].python_name: field.type for field in of.fields.values()}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._types:
            raise AttributeError(name)
        return self._fakes.value(self._types[name], f"{self._key} {name}")
