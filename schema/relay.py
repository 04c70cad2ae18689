"""Relay's object identification: an opaque global id for every object."""

import base64
import binascii
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Self
from uuid import UUID

import strawberry
from strawberry import ID
from strawberry.types.lazy_type import LazyType

from resolvers.context import Context
from resolvers.store.postgres.identifiers import entity_key

Info = strawberry.Info[Context, None]


def global_id(type_name: str, key: object) -> ID:
    return ID(binascii.b2a_base64(f"{type_name}:{key}".encode(), newline=False).decode())


def parse_id(id: str) -> tuple[str, str]:
    """Returns type name and key. Raises ValueError if it is not a global id."""
    try:
        type_name, _, key = base64.b64decode(id, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(id) from error
    if not type_name or not key:
        raise ValueError(id)
    return type_name, key


MISSING_KEYS: dict[type, int | UUID] = {int: -1, UUID: UUID(int=0)}
_TYPES: dict[str, "type[Node]"] = {}


@strawberry.interface(description="An object with an id. Fetch it again with `node` or `nodes`.")
class Node:
    """An object made of a row. Fields and columns share names: see `read_from_rows`."""

    id: ID = strawberry.field(description="A globally unique id. Opaque: do not parse it.")
    row: strawberry.Private[Any]

    def __init_subclass__(cls) -> None:
        _TYPES[cls.__name__] = cls

    @staticmethod
    def find_type(name: str) -> "type[Node]":
        """Returns the type with this name; the type of an entity has the entity's name."""
        return _TYPES[name]

    @classmethod
    def from_row(cls, row: Any) -> Self:
        node = object.__new__(cls)  # without __init__: a response may hold thousands
        node.row = row
        return node

    @classmethod
    def from_optional_row(cls, row: Any) -> Self | None:
        return None if row is None else cls.from_row(row)

    @classmethod
    def parse_key(cls, id: str, kind: type[int] | type[UUID] = int) -> Any:
        """Returns the key in a global id of this type, or a key that no row has if the id is of another type.

        Raises nothing, so that the resolver checks access before it says that there is no such object.
        """
        try:
            type_name, key = parse_id(id)
            parse = entity_key if kind is int else UUID
            return parse(key) if type_name == cls.__name__ else MISSING_KEYS[kind]
        except ValueError:
            return MISSING_KEYS[kind]


def read_from_rows(cls: type[Node]) -> None:
    """Makes each field without a resolver read the column of the same name."""
    for name in plain_fields(cls):
        setattr(cls, name, property(attrgetter(f"row.{name}")))
    cls.id = property(_make_id_reader(cls.__name__))  # type: ignore[assignment]


def plain_fields(cls: type[Node]) -> frozenset[str]:
    """Returns the names of the fields that read a column, without `id`."""
    fields = cls.__strawberry_definition__.fields  # type: ignore[attr-defined]
    return frozenset(f.python_name for f in fields if f.base_resolver is None and f.python_name != "id")


def _make_id_reader(type_name: str) -> Callable[[Node], str]:
    """Returns a reader of `id` that does what `global_id` does in one call: a response may hold thousands."""

    def read(node: Node) -> str:
        return binascii.b2a_base64(f"{type_name}:{node.row.id}".encode(), newline=False).decode()

    return read


def lazy_type(name: str, module: str) -> Any:
    """Returns a type of a room above. It is read when the schema is built, so that no room imports one above it."""
    return LazyType(name, module)
