"""Coerces an operation's variables: checks plain values itself, and leaves others to graphql-core."""

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

from bcom_graphql.graphql.errors import MAX_REQUEST_ERRORS

FITS: Final[dict[Any, Callable[[Any], bool]]] = {
    GraphQLInt: lambda value: type(value) is int and GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT,
    GraphQLFloat: lambda value: type(value) is float and value - value == 0.0,  # finite
    GraphQLString: lambda value: type(value) is str,
    GraphQLID: lambda value: type(value) is str,
    GraphQLBoolean: lambda value: type(value) is bool,
}


class Variables:
    """The variables that a valid operation declares."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._declared = [VariableDeclaration(schema, node) for node in operation.variable_definitions or ()]

    def coerce(self, values: dict[str, Any], *, hide_suggestions: bool) -> VariableValues | list[GraphQLError]:
        """Returns what graphql-core's `get_variable_values` does: the values, or errors."""
        accepted = VariableValues({}, {})
        others = [
            declaration.node
            for declaration in self._declared
            if not declaration.accept(values.get(declaration.name, Undefined), accepted)
        ]
        if not others:
            return accepted
        coerced = get_variable_values(
            self._schema, others, values, max_errors=MAX_REQUEST_ERRORS - 1, hide_suggestions=hide_suggestions
        )
        if isinstance(coerced, list):
            return coerced
        return VariableValues(accepted.sources | coerced.sources, accepted.coerced | coerced.coerced)


class VariableDeclaration:
    """One of these variables."""

    def __init__(self, schema: GraphQLSchema, node: VariableDefinitionNode) -> None:
        signature: Any = get_variable_signature(schema, node)
        self.node, self.name = node, node.variable.name.value
        self._signature = signature
        self._nullable = not is_non_null_type(signature.type)
        self._may_be_absent = self._nullable and node.default_value is None
        self._fits = FITS.get(get_nullable_type(signature.type))

    def accept(self, value: Any, accepted: VariableValues) -> bool:
        """Accepts an absent variable, an allowed null, or a value that needs no coercion, and returns True."""
        if value is Undefined:
            if self._may_be_absent:
                accepted.sources[self.name] = VariableValueSource(self._signature)
            return self._may_be_absent
        is_settled = self._nullable if value is None else self._fits is not None and self._fits(value)
        if is_settled:
            accepted.sources[self.name] = VariableValueSource(self._signature, value)
            accepted.coerced[self.name] = value
        return is_settled
