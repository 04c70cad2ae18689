"""What every resolver gets: the services of this process, the caller, and loaders that live for one operation."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from resolvers.access import Caller, require
from resolvers.store.database import Database
from resolvers.store.events import EventFeed
from resolvers.store.registry import Registry
from resolvers.store.tables import Role
from resolvers.tokens import Tokens

if TYPE_CHECKING:
    from resolvers.loaders import Loaders


@dataclass(frozen=True)
class Services:
    """One per process."""

    database: Database
    feed: EventFeed
    registry: Registry
    tokens: Tokens
    retention_days: int = 400


@dataclass
class Context:
    """One per operation."""

    services: Services
    caller: Caller | None = None

    @cached_property
    def now(self) -> datetime:
        """One time for the whole operation, so that siblings asking for 'the last 24 hours' share a query."""
        return datetime.now(UTC)

    @property
    def database(self) -> Database:
        return self.services.database

    def require(self, role: Role, to: str) -> Caller:
        """See `access.require`."""
        return require(self.caller, role, to)

    @cached_property
    def loaders(self) -> "Loaders":
        from resolvers.loaders import Loaders  # noqa: PLC0415  loaders know the topology, which knows the context

        return Loaders(self.database)

    def forget(self) -> None:
        """Drop what was cached: the next event of a subscription must see fresh rows, at its own time."""
        self.__dict__.pop("loaders", None)
        self.__dict__.pop("now", None)
