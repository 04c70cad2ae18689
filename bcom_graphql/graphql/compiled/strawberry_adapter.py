"""Reads Strawberry's declarations, to do without its machinery where a field or type has nothing unusual.

Otherwise each method says no, and graphql-core's way is taken.
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
Resolve = Callable[..., Any]  # takes a source, an info and arguments
Arguments = Callable[[dict[str, Any], Any], dict[str, Any]]


class Declarations:
    """The declarations of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema: Schema = getattr(schema, "_strawberry_schema", None)  # type: ignore[assignment]

    def attribute(self, definition: GraphQLField) -> str | None:
        """Returns the attribute that the field reads, if it does nothing else."""
        field = _field(definition)
        is_plain = field and field.is_basic_field and cast("Any", field.default_resolver) is getattr
        return field.python_name if field and is_plain and field.python_name.isidentifier() else None

    def find_plain_field(self, definition: GraphQLField) -> StrawberryField | None:
        """Returns the field if its resolver has no extensions, permissions or exception handlers."""
        field = _field(definition)
        if field is None or type(field) is not StrawberryField or field.base_resolver is None or field.extensions:
            return None
        return None if self._schema.schema_converter._get_field_exception_handlers(field) else field  # noqa: SLF001

    def info(self, raw: Any, field: StrawberryField) -> Any:
        """Returns the info for Strawberry's resolvers."""
        return self._schema.config.info_class(raw, field)

    def arguments(self, definition: GraphQLField, field: StrawberryField) -> Arguments:
        """Returns a function that converts values by GraphQL name to the resolver's; leaves stay as they are."""
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

    def identifies_by_class(self, of: GraphQLObjectType, value: Any) -> bool:
        """Tells whether all objects of the value's class are of the type, as the value is."""
        declared = of.extensions.get(DECLARED)
        usual = isinstance(declared, StrawberryObjectDefinition) and declared.is_type_of is None
        return _is_identified_by_class(value) and (of.is_type_of is None or usual)

    def resolves_by_class(self, of: GraphQLAbstractType, to: GraphQLNamedType, value: Any) -> bool:
        """Tells whether the interface or union resolves all objects of the value's class to this type, as the value."""
        declared = of.extensions.get(DECLARED)
        usual = isinstance(declared, StrawberryUnion) or (
            isinstance(declared, StrawberryObjectDefinition) and declared.resolve_type is None
        )
        own = getattr(type(value), "__strawberry_definition__", None)
        is_own = isinstance(own, StrawberryObjectDefinition) and not own.is_graphql_generic and own.name == to.name
        return usual and is_own and _is_identified_by_class(value)


def get_wrapper(definition: GraphQLField) -> Callable[[Resolve], Resolve]:
    """Returns what wraps the field's resolver, to wrap another: see `operation_metrics.time_root_fields`."""
    wrapper: Callable[[Resolve], Resolve] = getattr(definition.resolve, "wrapper", lambda resolve: resolve)
    return wrapper


def make_caller(resolver: StrawberryResolver[Any]) -> Resolve:
    """Returns a function that calls the resolver with what its signature asks for."""
    function: Any = resolver.wrapped_func
    takes_self = resolver.self_parameter is not None
    info_name = None if resolver.info_parameter is None else resolver.info_parameter.name
    sources = [p.name for p in (resolver.parent_parameter, resolver.root_parameter) if p is not None]

    def call(source: Any, info: Any, /, **arguments: Any) -> Any:
        if info_name is not None:
            arguments[info_name] = info
        for name in sources:
            arguments[name] = source
        return function(source, **arguments) if takes_self else function(**arguments)

    return call


def _is_global_id(of: Any) -> bool:
    return GlobalID in (of, getattr(of, "of_type", None))


def _field(definition: GraphQLField) -> StrawberryField | None:
    """Returns the declaration, unless the field's resolver was replaced by another."""
    declared, resolve = definition.extensions.get(DECLARED), definition.resolve
    resolve = getattr(resolve, "__wrapped__", None) if hasattr(resolve, "wrapper") else resolve
    is_own = getattr(resolve, "__module__", None) == CONVERTER and not hasattr(resolve, "__wrapped__")
    if not is_own or not isinstance(declared, StrawberryField) or declared.is_subscription:  # whose resolver subscribes
        return None
    return declared


def _is_identified_by_class(value: Any) -> bool:
    """Says no for generators, which may be awaitable, and for objects cast to another type by `strawberry.cast`."""
    return not isinstance(value, GeneratorType) and get_strawberry_type_cast(value) is None
