"""Coerces a field's arguments; those without variables only once."""

from enum import Enum
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLField,
    ListValueNode,
    ObjectValueNode,
    VariableNode,
    get_argument_values,
    is_non_null_type,
)
from graphql.execution.values import VariableValues, coerce_argument

NO_VARIABLES: Final = VariableValues({}, {})
CONSTANTS: Final = str | int | float | Enum | None  # immutable, and so may be shared


class Arguments:
    """The arguments of one field of an operation. graphql-core coerces lists and objects, each time."""

    def __init__(self, definition: GraphQLField, node: FieldNode) -> None:
        self._definition, self._node = definition, node
        nodes = {argument.name.value: argument for argument in node.arguments or ()}
        self._constants: dict[str, Any] = {}
        self._variables: list[tuple[str, str, bool]] = []  # names of argument and variable, whether null is allowed
        self._is_plain = True
        for name, argument in definition.args.items():
            value = nodes[name].value if name in nodes else None
            if isinstance(value, VariableNode):
                variable = value.name.value
                self._variables.append((argument.out_name or name, variable, not is_non_null_type(argument.type)))
            else:
                self._coerce_constant(name, nodes.get(name))

    def _coerce_constant(self, name: str, node: Any) -> None:
        """Coerces an argument that is a literal, or absent."""
        coerced: dict[str, Any] = {}
        if node is not None and isinstance(node.value, ObjectValueNode | ListValueNode):  # may contain variables
            self._is_plain = False
            return
        try:
            coerce_argument(coerced, self._node, name, self._definition.args[name], node, NO_VARIABLES, None)
        except Exception:  # noqa: BLE001  reported when the field is resolved
            self._is_plain = False
        self._is_plain = self._is_plain and all(isinstance(value, CONSTANTS) for value in coerced.values())
        self._constants |= coerced

    def values(self, variables: VariableValues, *, hide_suggestions: bool) -> dict[str, Any]:
        """Returns the values by their Python names. Raises GraphQLError for a value that does not fit."""
        values = self._read_variables(variables.coerced) if self._is_plain else None
        if values is None:
            return get_argument_values(self._definition, self._node, variables, None, hide_suggestions)
        return values

    def _read_variables(self, coerced: dict[str, Any]) -> dict[str, Any] | None:
        values = dict(self._constants)
        for name, variable, nullable in self._variables:
            if variable not in coerced or (coerced[variable] is None and not nullable):
                return None
            values[name] = coerced[variable]
        return values
