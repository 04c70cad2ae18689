"""Lists that clients page through. Each is cached with its compiled SQL."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Generic, ParamSpec, Self, TypeVar

from sqlalchemy import ColumnElement, Select

from resolvers.store.postgres.rows import Columns, Statement, columns_of
from resolvers.store.tables.core import Table

Row = TypeVar("Row", bound=Table)
Parameters = ParamSpec("Parameters")
AnyListing = TypeVar("AnyListing", bound="Listing[Any]")

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

    def get_statement(self, key: object, build: Callable[[], Statement]) -> Statement:
        """Returns the compiled statement of this key, built when it is first wanted."""
        statement = self.statements.get(key)
        if statement is None:
            if len(self.statements) >= KEPT_STATEMENTS:
                self.statements.clear()
            statement = self.statements[key] = build()
        return statement


def cached_listing(make: Callable[Parameters, AnyListing]) -> Callable[Parameters, AnyListing]:
    """Decorates a function that makes a listing: equal arguments get the same one, with its compiled SQL.

    The least recently used are dropped. Listings of long arguments are not kept.
    """
    listings: dict[Any, AnyListing] = {}

    @wraps(make)
    def get_or_make(*args: Parameters.args, **kwargs: Parameters.kwargs) -> AnyListing:
        key = (args, *kwargs.items())
        listing = listings.pop(key, None)
        if listing is None:
            listing = make(*args, **kwargs)
            if len(repr(key)) > LONGEST_KEY:
                return listing
            if len(listings) >= KEPT_LISTINGS:
                del listings[next(iter(listings))]
        listings[key] = listing
        return listing

    return get_or_make
