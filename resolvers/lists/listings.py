"""Lists that clients page through. Each is cached with its compiled SQL."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Generic, ParamSpec, Self, TypeVar

from sqlalchemy import ColumnElement, Select

from resolvers.store.postgres.rows import Columns, Statement, columns_of
from resolvers.store.tables.core import Table

Row = TypeVar("Row", bound=Table)
Given = ParamSpec("Given")
Made = TypeVar("Made", bound="Listing[Any]")

KEPT_LISTINGS = 64  # of each function; clients choose what they filter by
KEPT_STATEMENTS = 16  # of each listing; clients choose columns
LONGEST_KEY = 1000  # characters


@dataclass(frozen=True, eq=False)
class Listing(Generic[Row]):
    """The rows of a list: their conditions, order and parents.

    order: the sort keys; the last one is unique.
    descending: whether the largest come first, by all sort keys or by each of them.
    relation: selects pairs of ids, labelled `parent` and `child`, if rows are listed as somebody's children.
    values: of the parameters in the conditions.
    statements: the compiled ones, kept for the next time.
    """

    entity: type[Row]
    order: tuple[Any, ...]
    descending: bool | tuple[bool, ...] = False
    conditions: tuple[ColumnElement[bool], ...] = ()
    relation: Select[Any, Any] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    statements: dict[object, Statement] = field(default_factory=dict, repr=False)

    @property
    def directions(self) -> tuple[bool, ...]:
        """Whether each sort key descends."""
        whole = self.descending
        return (whole,) * len(self.order) if isinstance(whole, bool) else whole

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Returns the same list with other values in its conditions."""
        return replace(self, values=values) if values else self

    def column_names(self, columns: Columns) -> tuple[str, ...]:
        """Returns the columns to read; the sort keys are always among them."""
        return columns_of(self.entity, None if columns is None else columns.union(key.key for key in self.order))

    def get_statement(self, of: object, build: Callable[[], Statement]) -> Statement:
        found = self.statements.get(of)
        if found is None:
            if len(self.statements) >= KEPT_STATEMENTS:
                self.statements.clear()
            found = self.statements[of] = build()
        return found


def cached_listing(make: Callable[Given, Made]) -> Callable[Given, Made]:
    """Decorates a function: equal arguments give the same listing, with its compiled SQL; unless they are long."""
    known: dict[Any, Made] = {}

    @wraps(make)
    def found(*given: Given.args, **named: Given.kwargs) -> Made:
        key = (given, *named.items())
        listing = known.pop(key, None)
        if listing is None:
            listing = make(*given, **named)
            if len(repr(key)) > LONGEST_KEY:
                return listing
            if len(known) >= KEPT_LISTINGS:
                del known[next(iter(known))]  # the least recently used
        known[key] = listing
        return listing

    return found
