"""An operation's variables: values that are what they should be pass as they are, graphql-core coerces the others."""

from collections.abc import Callable
from typing import Any, Final

from graphql import (
    GraphQLBoolean,
    GraphQLError,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    VariableDefinitionNode,
    get_nullable_type,
    is_non_null_type,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.type import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT

from bcom_graphql.graphql.errors import MOST_REFUSALS

FITS: Final[dict[Any, Callable[[Any], bool]]] = {
    GraphQLInt: lambda value: type(value) is int and GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT,
    GraphQLFloat: lambda value: type(value) is float and value - value == 0.0,  # finite
    GraphQLString: lambda value: type(value) is str,
    GraphQLID: lambda value: type(value) is str,
    GraphQLBoolean: lambda value: type(value) is bool,
}


class Variables:
    """Those that a valid operation declares."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._declared = [Declared(schema, node) for node in operation.variable_definitions or ()]

    def coerced(self, given: dict[str, Any], *, hide_suggestions: bool) -> VariableValues | list[GraphQLError]:
        """As `get_variable_values` has them, or what is wrong with them."""
        found = VariableValues({}, {})
        others = [one.node for one in self._declared if not one.passes(given.get(one.name, Undefined), found)]
        if not others:
            return found
        coerced = get_variable_values(
            self._schema, others, given, max_errors=MOST_REFUSALS - 1, hide_suggestions=hide_suggestions
        )
        if isinstance(coerced, list):
            return coerced
        return VariableValues(found.sources | coerced.sources, found.coerced | coerced.coerced)


class Declared:
    """One of them."""

    def __init__(self, schema: GraphQLSchema, node: VariableDefinitionNode) -> None:
        signature: Any = get_variable_signature(schema, node)
        self.node, self.name = node, node.variable.name.value
        self._signature = signature
        self._nullable = not is_non_null_type(signature.type)
        self._may_lack = self._nullable and node.default_value is None
        self._fits = FITS.get(get_nullable_type(signature.type))

    def passes(self, value: Any, found: VariableValues) -> bool:
        """Whether it is settled: left out, null where that is allowed, or a value that needs no coercion."""
        if value is Undefined:
            if self._may_lack:
                found.sources[self.name] = VariableValueSource(self._signature)
            return self._may_lack
        is_settled = self._nullable if value is None else self._fits is not None and self._fits(value)
        if is_settled:
            found.sources[self.name] = VariableValueSource(self._signature, value)
            found.coerced[self.name] = value
        return is_settled
