"""Reads the schema directives of fields and arguments."""

from typing import Any


def find_directives(definition: Any, name: str) -> list[Any]:
    """Returns the directives of this Python name on a field, an argument or an input field."""
    declaration = definition.extensions.get("strawberry-definition")
    directives = getattr(declaration, "directives", None) or ()
    return [directive for directive in directives if type(directive).__name__ == name]
