"""Inputs that stay as GraphQL has them, because there may be thousands."""

from collections.abc import Mapping
from typing import Any

from strawberry.types import get_object_definition


def _keep_mapping(_: type, given: Mapping[str, Any], __: object) -> Mapping[str, Any]:
    return given


def keep_mappings(*inputs: type) -> None:
    """Has these inputs arrive as mappings by the GraphQL names of their fields, not as objects."""
    for input in inputs:
        get_object_definition(input, strict=True).from_input = _keep_mapping
