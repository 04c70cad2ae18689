"""Which of a subscription's variables change the payload of an event, and not only which events are sent.

Two subscribers get the same payload for an event if they sent the same document and operation, have the same rights,
and gave the same values to these variables. Variables that occur only in the root field's arguments (filters and
cursors) make no difference, so a thousand subscribers with different filters share one execution.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from graphql import DocumentNode, FieldNode, OperationDefinitionNode

from bcom_graphql.graphql.documents.variable_uses import VariableUses


def find_payload_variables(operation: OperationDefinitionNode, document: DocumentNode) -> frozenset[str]:
    """Returns the variables below a subscription's root field, in its directives and in fragments."""
    root = operation.selection_set.selections
    is_one_field = len(root) == 1 and isinstance(root[0], FieldNode)
    field: Any = root[0]
    parts = [*(field.directives or ()), field.selection_set] if is_one_field else [operation.selection_set]
    return VariableUses(document).find(*parts)


def encode_variables(names: frozenset[str], variables: Mapping[str, object]) -> str:
    """Returns the values of these variables as canonical JSON: equal values give equal text."""
    values = {name: variables[name] for name in names if name in variables}
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()  # bytes may sit in a buffer of kilobytes
