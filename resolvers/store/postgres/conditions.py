"""Conditions that several queries share."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, any_, literal


def is_among(column: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """Returns an IN that is one parameter, however many values there are: a statement has at most 32 767."""
    return column == any_(literal(list(values), ARRAY(column.type)))  # type: ignore[no-any-return]
