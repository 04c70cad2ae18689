"""A field's arguments: what an operation's variables do not change is worked out once."""

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
CONSTANTS: Final = str | int | float | Enum | None  # what nobody who gets it can change


class Arguments:
    """Of one field of one operation. Whatever is not plain is left to graphql-core, each time."""

    def __init__(self, definition: GraphQLField, node: FieldNode) -> None:
        self._definition, self._node = definition, node
        given = {argument.name.value: argument for argument in node.arguments or ()}
        self._constants: dict[str, Any] = {}
        self._variables: list[tuple[str, str, bool]] = []  # the argument's name, the variable's, whether it may be null
        self._is_plain = True
        for name, argument in definition.args.items():
            value = given[name].value if name in given else None
            if isinstance(value, VariableNode):
                variable = value.name.value
                self._variables.append((argument.out_name or name, variable, not is_non_null_type(argument.type)))
            else:
                self._settle(name, given.get(name))

    def _settle(self, name: str, node: Any) -> None:
        """One that is a literal, or not there."""
        found: dict[str, Any] = {}
        if node is not None and isinstance(node.value, ObjectValueNode | ListValueNode):  # there may be variables in it
            self._is_plain = False
            return
        try:
            coerce_argument(found, self._node, name, self._definition.args[name], node, NO_VARIABLES, None)
        except Exception:  # noqa: BLE001  told when the field is resolved
            self._is_plain = False
        self._is_plain = self._is_plain and all(isinstance(value, CONSTANTS) for value in found.values())
        self._constants |= found

    def values(self, variables: VariableValues, *, hide_suggestions: bool) -> dict[str, Any]:
        """By their names for resolvers. Raises GraphQLError for those that do not fit."""
        values = self._plain(variables.coerced) if self._is_plain else None
        if values is None:
            return get_argument_values(self._definition, self._node, variables, None, hide_suggestions)
        return values

    def _plain(self, coerced: dict[str, Any]) -> dict[str, Any] | None:
        values = dict(self._constants)
        for name, variable, nullable in self._variables:
            if variable not in coerced or (coerced[variable] is None and not nullable):
                return None
            values[name] = coerced[variable]
        return values
