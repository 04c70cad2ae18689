"""Inputs that stay mappings, because an object for each of thousands would be made for nothing."""

from collections.abc import Mapping
from typing import Any

from strawberry.types import get_object_definition


def _keep_mapping(_: type, given: Mapping[str, Any], __: object) -> Mapping[str, Any]:
    return given


def keep_mappings(*inputs: type) -> None:
    """Makes these inputs arrive as mappings by GraphQL field name instead of objects."""
    for input in inputs:
        get_object_definition(input, strict=True).from_input = _keep_mapping
