"""Checks and counts an operation's variables before they are coerced."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from bcom_graphql.graphql.errors import BadRequest

MANY_VALUES: Final = 1_000  # graphql-core coerces as many in some 10 ms
CHARACTERS_PER_VALUE: Final = 100
MAX_TRUNCATED_DEPTH: Final = 20  # graphql-core refuses values that are nested much deeper


def is_large(variables: Mapping[str, Any]) -> bool:
    """Tells whether coercing them takes long. Looks at no more than it must."""
    return count_variable_values(variables, MANY_VALUES) > MANY_VALUES


def count_variable_values(variables: Mapping[str, Any], stop_after: int | None = None) -> int:
    """Counts values at all levels, a long text as many; may stop once there are more than `stop_after`."""
    counted = 0
    waiting: list[Any] = [variables]
    while waiting and (stop_after is None or counted <= stop_after):
        value = waiting.pop()
        if isinstance(value, str):
            counted += len(value) // CHARACTERS_PER_VALUE
        elif isinstance(value, list | dict):
            counted += len(value)
            if stop_after is None or counted <= stop_after:
                waiting += [*value, *value.values()] if isinstance(value, dict) else value
    return counted


def check_list_lengths(variables: Mapping[str, Any], max_entries: int) -> None:
    """Raises BadRequest for a variable with a list of more entries, at any level."""
    for name, variable in variables.items():
        waiting = [variable]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list) and len(value) > max_entries:
                raise BadRequest(f"`${name}` has a list of {len(value)} entries; at most {max_entries} are allowed.")
            if isinstance(value, list | dict):
                within = value.values() if isinstance(value, dict) else value
                waiting += [entry for entry in within if isinstance(entry, list | dict)]


def truncate_lists(variables: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Returns the variables with only the first entry of each list in those named, which no resolver will read."""
    return {
        name: _truncate(value, MAX_TRUNCATED_DEPTH) if name in names else value for name, value in variables.items()
    }


def _truncate(value: Any, levels: int) -> Any:
    if isinstance(value, list):
        return [_truncate(entry, levels - 1) for entry in value[:1]] if levels else []
    if isinstance(value, dict):
        return {name: _truncate(entry, levels - 1) for name, entry in value.items()} if levels else {}
    return value
