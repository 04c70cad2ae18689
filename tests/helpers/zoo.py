"""A schema with every construct of Strawberry, to execute operations on in different ways."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Generic, NewType, TypeVar, cast

import strawberry
from graphql import (
    GraphQLError,
)
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig

from tests.helpers.fakes import Later

T = TypeVar("T")
Celsius = NewType("Celsius", object)


@strawberry.enum
class Size(Enum):
    SMALL = 1
    LARGE = strawberry.enum_value("huge", name="GIANT")


@strawberry.input
class Filter:
    name: str | None = strawberry.UNSET
    sizes: list[Size] = strawberry.field(default_factory=lambda: [Size.SMALL])
    inner: "Filter | None" = None


class NotAllowed(BasePermission):
    message = "not for you"
    error_extensions = {"code": "FORBIDDEN"}  # noqa: RUF012  as Strawberry declares it

    def has_permission(self, source: Any, info: strawberry.Info, **arguments: Any) -> bool:
        return source is not None and source.name == "Rex"


class Shouted(FieldExtension):
    def resolve(self, next_: Callable[..., Any], source: Any, info: strawberry.Info, **arguments: Any) -> Any:
        return str(next_(source, info, **arguments)).upper()


@dataclass
class Context:
    """Of one execution: what its resolvers did."""

    calls: list[Any] = field(default_factory=list)
    here: dict[str, asyncio.Event] = field(default_factory=lambda: {"a": asyncio.Event(), "b": asyncio.Event()})
    ended: list[str] = field(default_factory=list)


Info = strawberry.Info[Context, None]


def for_each(resolve_many: Callable[..., Any]) -> Any:
    """A resolver that resolves many objects at once, or one."""

    async def one(self: Any, info: Info) -> Any:
        [found] = await resolve_many([self], info)
        if isinstance(found, Exception):
            raise found
        return found

    one.resolve_many = resolve_many  # type: ignore[attr-defined]
    return one


async def keepers(sources: Sequence[Any], info: Info) -> Sequence[Any]:
    info.context.calls.append(("keepers", [source.name for source in sources]))
    await asyncio.sleep(0)
    known = {"Rex": Keeper(name="Ann"), "Tom": None, "Ida": ValueError("no keeper for Ida")}
    return [known.get(source.name, Keeper(name=f"keeper of {source.name}")) for source in sources]


async def pets(sources: Sequence[Any], info: Info) -> Sequence[Any]:
    info.context.calls.append(("pets", [source.name for source in sources]))
    return [[Dog(name=f"{source.name}'s dog"), Cat(name="Tom")] for source in sources]


def described(info: Info, at: strawberry.Parent["Dog"], loudly: bool = False) -> str:
    return f"{at.name}{'!' if loudly else ''} by {info.field_name}"


@strawberry.interface
class Animal:
    name: str
    size: Size = Size.SMALL
    keeper: "Keeper | None" = strawberry.field(resolver=for_each(keepers))

    @strawberry.field
    async def friends(self, names: list[str] | None = None) -> "list[Animal]":
        return [Cat(name=name) for name in names or ()]


@strawberry.type
class Dog(Animal):
    ages: list[list[int] | None] | None = None
    described: str = strawberry.field(resolver=described)

    @strawberry.field(permission_classes=[NotAllowed])
    def secret(self) -> str | None:
        return f"{self.name} bites"

    @strawberry.field(extensions=[Shouted()])
    def bark(self, times: int = 1) -> str:
        return "wau " * times


@strawberry.type
class Cat(Animal):
    temperature: Celsius | None = None
    owner: "Keeper | None" = None

    @strawberry.field
    @staticmethod
    def sound() -> str:
        return "miau"

    @strawberry.field
    def told(self, info: Info) -> list[str]:
        nodes = [node.name.value for node in info._raw_info.field_nodes]
        return [str(info.path.as_list()), str(info.variable_values), str(info.return_type), info.python_name, *nodes]


@strawberry.type
class Stray:
    id: strawberry.ID

    @classmethod
    def is_type_of(cls, source: Any, info: Any) -> bool:
        return isinstance(source, str)

    @strawberry.field
    def name(self: str) -> str:
        return self


@strawberry.interface
class Place:
    name: str

    @classmethod
    def resolve_type(cls, source: Any, info: Any, of: Any) -> str:
        return str(source.kind)


@strawberry.type
class Cage(Place):
    number: int = 0


@strawberry.type
class Keeper:
    name: str
    pets: "list[Animal]" = strawberry.field(resolver=for_each(pets))


@strawberry.type
class Connection(Generic[T]):
    nodes: list[T]
    total: int | None = None

    @strawberry.field
    def first(self) -> T | None:
        return self.nodes[0] if self.nodes else None


@strawberry.type
class Missing:
    message: str


class HandleMissing(strawberry.ExceptionHandler[LookupError, Missing]):
    def handle(self, exception: LookupError, *, field: Any, info: Any) -> Missing:
        return Missing(message=str(exception))


Pet = Annotated[Dog | Cat | Missing | Stray, strawberry.union("Pet")]


class Row:
    """Of no type of the schema."""

    number, size, ages, temperature, owner = 7, Size.LARGE, None, None, None

    def __init__(self, name: str, kind: str = "") -> None:
        self.name, self.kind = name, kind


class Fresh(Row):
    @property
    def ages(self) -> Any:  # type: ignore[override]
        return asyncio.sleep(0, [[1]])


async def waits(context: Context, own: str, other: str) -> str:
    context.here[own].set()
    await context.here[other].wait()
    return own


@strawberry.type
class Query:
    @strawberry.field
    async def dogs(self) -> Connection[Dog]:
        rex, ida = Dog(name="Rex", ages=[[1], None]), Dog(name="Ida", size=Size.LARGE)
        return Connection(nodes=[rex, ida, Dog(name="Max")], total=2)

    @strawberry.field
    def cats(self) -> Connection[Cat]:
        return Connection(nodes=[Cat(name="Tom", temperature=Celsius(38)), Cat(name="Kit", owner=Keeper(name="Bob"))])

    @strawberry.field
    def animals(self) -> list[Animal | None] | None:
        return [Dog(name="Rex"), None, cast("Any", Later(Cat(name="Tom"))), Cat(name="Kit")]

    @strawberry.field
    def cast_dogs(self) -> list[Animal]:
        return [Dog(name="Rex"), strawberry.cast(Cat, cast("Any", Dog(name="Tom")))]

    @strawberry.field
    def fresh(self) -> Dog:
        return strawberry.cast(Dog, cast("Any", Fresh("Fay")))  # type: ignore[no-any-return]

    @strawberry.field
    def source(self, source: int) -> int:
        return source

    @strawberry.field
    def cast_rows(self) -> list[Animal]:
        return [strawberry.cast(kind, cast("Any", Row(kind.__name__))) for kind in (Dog, Cat, Dog)]

    @strawberry.field
    async def pet(self, which: str) -> Pet | None:
        returned = GraphQLError("returned", extensions={"code": "RETURNED"})
        kinds: Any = {
            "dog": Dog(name="Rex"),
            "cat": Cat(name="Tom"),
            "stray": "Felix",
            "wrong": 3,
            "returned": returned,
        }
        return kinds[which]  # type: ignore[no-any-return]

    @strawberry.field
    def places(self) -> list[Place | None]:
        rows: Any = [Row("right", "Cage"), Row("wrong", "Dog"), Row("unknown", "Nothing")]
        return rows  # type: ignore[no-any-return]

    @strawberry.field
    async def numbers(self, kind: str) -> list[int] | None:
        async def stream() -> AsyncIterator[Any]:
            yield 1
            yield Later(2)
            if kind == "broken stream":
                raise ValueError(kind)

        items: Any = {"tuple": (1, 2), "awaitables": [Later(1), 2, Later(3)], "null": [1, None], "number": 3}
        return items.get(kind, stream())  # type: ignore[no-any-return]

    @strawberry.field
    def echo(
        self,
        size: Size | None = Size.SMALL,
        filter: Filter | None = None,
        of: Annotated[list[Filter | None], strawberry.argument(name="among")] = [],  # noqa: B006
        id: strawberry.ID | None = strawberry.UNSET,
        temperature: Celsius | None = None,
    ) -> str | None:
        return repr((size, filter, of, id, temperature))

    @strawberry.field
    def selected(self, info: Info) -> Dog:
        return Dog(name=str(info.selected_fields))

    @strawberry.field
    async def a(self, info: Info) -> str:
        return await waits(info.context, "a", "b")

    @strawberry.field
    async def b(self, info: Info) -> str:
        return await waits(info.context, "b", "a")

    @strawberry.field
    async def never(self, info: Info) -> str | None:
        try:
            await asyncio.Event().wait()
        finally:
            info.context.ended.append("never")
        return None

    @strawberry.field
    async def fails(self) -> str:
        await asyncio.sleep(0)
        raise LookupError("failed")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def step(self, info: Info, name: str) -> str | None:
        info.context.calls.append(f"{name} begins")
        await asyncio.sleep(0)
        info.context.calls.append(f"{name} ends")
        return name

    @strawberry.mutation
    def must(self) -> str:
        raise ValueError("must not")


ZOO = strawberry.Schema(
    Query,
    Mutation,
    types=[Dog, Cat, Cage, Stray],
    exception_handlers=[HandleMissing()],
    config=StrawberryConfig(
        scalar_map={Celsius: strawberry.scalar(name="Celsius", serialize=lambda value: f"{value} °C", parse_value=str)}
    ),
)._schema
