"""The values that come with an operation, as JSON, before anything is made of them."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from bcom_graphql.graphql.errors import bad_request

MANY: Final = 1_000  # values that graphql-core coerces within some 10 ms
CHARACTERS_OF_VALUE: Final = 100
DEEPEST_CUT: Final = 20  # levels; graphql-core refuses what is nested much deeper


def are_many(given: Mapping[str, Any]) -> bool:
    """Whether coercing them takes its time. Looks at no more than it must."""
    return count(given, MANY) > MANY


def count(given: Mapping[str, Any], most: int | None = None) -> int:
    """How many values there are at all levels, a long text for many; not to the end once there are more than `most`."""
    seen = 0
    waiting: list[Any] = [given]
    while waiting and (most is None or seen <= most):
        value = waiting.pop()
        if isinstance(value, str):
            seen += len(value) // CHARACTERS_OF_VALUE
        elif isinstance(value, list | dict):
            seen += len(value)
            if most is None or seen <= most:
                waiting += [*value, *value.values()] if isinstance(value, dict) else value
    return seen


def refuse_long_lists(given: Mapping[str, Any], most: int) -> None:
    """Raises Refused for a variable with a list of more entries, at any level."""
    for name, whole in given.items():
        waiting = [whole]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list) and len(value) > most:
                raise bad_request(f"`${name}` has a list of {len(value)} entries; at most {most} are allowed.")
            if isinstance(value, list | dict):
                within = value.values() if isinstance(value, dict) else value
                waiting += [one for one in within if isinstance(one, list | dict)]


def cut(given: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The same, but only the first entry of each list in these variables: nobody is going to look at the others."""
    return {name: _cut(value, DEEPEST_CUT) if name in names else value for name, value in given.items()}


def _cut(value: Any, levels: int) -> Any:
    if isinstance(value, list):
        return [_cut(one, levels - 1) for one in value[:1]] if levels else []
    if isinstance(value, dict):
        return {name: _cut(one, levels - 1) for name, one in value.items()} if levels else {}
    return value
