"""What Strawberry has declared of a schema's fields and types, and so may be done without its machinery.

Each question is answered with no where a field or a type has anything unusual about it; graphql-core's own way of
going about it is right then.
"""

from collections.abc import Callable
from types import GeneratorType
from typing import Any, cast

from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_nullable_type,
    is_leaf_type,
)
from strawberry.relay.types import GlobalID
from strawberry.schema import Schema
from strawberry.types.arguments import convert_arguments
from strawberry.types.base import StrawberryMaybe, StrawberryObjectDefinition
from strawberry.types.cast import get_strawberry_type_cast
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.union import StrawberryUnion

DECLARED = "strawberry-definition"
CONVERTER = "strawberry.schema.schema_converter"
Resolve = Callable[..., Any]  # of a source, an info and arguments
Arguments = Callable[[dict[str, Any], Any], dict[str, Any]]


class Declarations:
    """Of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema: Schema = getattr(schema, "_strawberry_schema", None)  # type: ignore[assignment]

    def attribute(self, definition: GraphQLField) -> str | None:
        """The attribute of an object that is all there is to the field."""
        field = _field(definition)
        is_plain = field and field.is_basic_field and cast("Any", field.default_resolver) is getattr
        return field.python_name if field and is_plain and field.python_name.isidentifier() else None

    def bare(self, definition: GraphQLField) -> StrawberryField | None:
        """The field, if its resolver can be called as it is: without extensions, permissions, exception handlers."""
        field = _field(definition)
        if field is None or type(field) is not StrawberryField or field.base_resolver is None or field.extensions:
            return None
        return None if self._schema.schema_converter._get_field_exception_handlers(field) else field  # noqa: SLF001

    def info(self, raw: Any, field: StrawberryField) -> Any:
        """What Strawberry's resolvers are told."""
        return self._schema.config.info_class(raw, field)

    def arguments(self, definition: GraphQLField, field: StrawberryField) -> Arguments:
        """Makes what the field's resolver takes, of values by their names in GraphQL; leaves pass as they are."""
        config, scalars = self._schema.config, self._schema.schema_converter.scalar_registry
        names, leaves = {}, set()
        for argument in field.arguments:
            name = config.name_converter.from_argument(argument)
            if not isinstance(argument.type, StrawberryMaybe):
                names[name] = argument.python_name
                is_leaf = is_leaf_type(get_nullable_type(definition.args[name].type))
                leaves |= {name} if is_leaf and not _is_global_id(argument.type) else set()

        def arguments(values: dict[str, Any], info: Any) -> dict[str, Any]:
            plain = {names[n]: value for n, value in values.items() if n in leaves or (value is None and n in names)}
            if len(plain) == len(values):
                return plain
            return convert_arguments(values, field.arguments, scalars, config, info)

        return arguments

    def tells_by_class(self, of: GraphQLObjectType, value: Any) -> bool:
        """Whether all objects of the value's class are of the type, as the value is."""
        declared = of.extensions.get(DECLARED)
        usual = isinstance(declared, StrawberryObjectDefinition) and declared.is_type_of is None
        return _is_told_by_class(value) and (of.is_type_of is None or usual)

    def resolves_by_class(self, of: GraphQLAbstractType, to: GraphQLNamedType, value: Any) -> bool:
        """Whether the interface or union resolves all objects of the value's class to this type, as the value."""
        declared = of.extensions.get(DECLARED)
        usual = isinstance(declared, StrawberryUnion) or (
            isinstance(declared, StrawberryObjectDefinition) and declared.resolve_type is None
        )
        own = getattr(type(value), "__strawberry_definition__", None)
        is_own = isinstance(own, StrawberryObjectDefinition) and not own.is_graphql_generic and own.name == to.name
        return usual and is_own and _is_told_by_class(value)


def around(definition: GraphQLField) -> Callable[[Resolve], Resolve]:
    """What stands around its resolver, and can as well stand around another: see `meters.time_root_fields`."""
    found: Callable[[Resolve], Resolve] = getattr(definition.resolve, "around", lambda resolve: resolve)
    return found


def calling(resolver: StrawberryResolver[Any]) -> Resolve:
    """The resolver's function, called with what its signature asks for."""
    function: Any = resolver.wrapped_func
    takes_self = resolver.self_parameter is not None
    info = None if resolver.info_parameter is None else resolver.info_parameter.name
    sources = [one.name for one in (resolver.parent_parameter, resolver.root_parameter) if one is not None]

    def call(source: Any, told: Any, /, **arguments: Any) -> Any:
        if info is not None:
            arguments[info] = told
        for name in sources:
            arguments[name] = source
        return function(source, **arguments) if takes_self else function(**arguments)

    return call


def _is_global_id(of: Any) -> bool:
    return GlobalID in (of, getattr(of, "of_type", None))


def _field(definition: GraphQLField) -> StrawberryField | None:
    """The declaration, if Strawberry's own resolver still does what it says: nobody has put another in its place."""
    declared, resolve = definition.extensions.get(DECLARED), definition.resolve
    resolve = getattr(resolve, "__wrapped__", None) if hasattr(resolve, "around") else resolve
    is_own = getattr(resolve, "__module__", None) == CONVERTER and not hasattr(resolve, "__wrapped__")
    usual = (
        is_own and isinstance(declared, StrawberryField) and not declared.is_subscription
    )  # whose resolver subscribes
    return declared if usual else None


def _is_told_by_class(value: Any) -> bool:
    """Generators may be awaitable; `strawberry.cast` gives one object another type."""
    return not isinstance(value, GeneratorType) and get_strawberry_type_cast(value) is None
