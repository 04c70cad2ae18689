"""What the schema's own directives say of its fields and arguments."""

from typing import Any


def declared(definition: Any, name: str) -> list[Any]:
    """The directives of this Python name on a field, an argument or an input field, as they stand in the schema."""
    of = definition.extensions.get("strawberry-definition")
    return [one for one in getattr(of, "directives", None) or () if type(one).__name__ == name]
