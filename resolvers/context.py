"""What every resolver gets: the services of this process, the caller, and the loaders of the operation."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Final
from uuid import UUID

from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.playbook.loading import default_playbook
from resolvers.base.access import SYSTEM, Caller, require, require_person
from resolvers.base.dataloader import Loader
from resolvers.base.errors import Busy
from resolvers.base.fair_queue import FairQueue
from resolvers.base.interfaces import FileReaders, PasswordHasher, Trainers
from resolvers.base.rate_limits import Budget, RateLimiter
from resolvers.base.roles import Role
from resolvers.base.tokens import Tokens
from resolvers.lists.loaders import Loaders
from resolvers.lists.row_loaders import RowLoaders
from resolvers.store.events.database import EventDatabase
from resolvers.store.events.feed import EventFeed
from resolvers.store.events.followers import Events
from resolvers.store.events.log import parse_cursor
from resolvers.store.models import registry, sensitivities
from resolvers.store.models.registry import Registry
from resolvers.store.models.sensitivities import Sensitivities
from resolvers.store.queries.sign_ins import Holder, find_holders
from resolvers.store.tables.core import Table
from resolvers.store.telemetry.live_samples import LiveSamples
from resolvers.store.telemetry.profiles import ProfileCache

Columns = Mapping[type[Table], frozenset[str]]  # to read of each entity; all of one that is missing
MAX_WAITING_READS: Final = 1000  # searches, series and statistics
READ_TURN_SECONDS: Final = 10.0  # to wait for a turn
TOO_MANY_READS: Final = "Too many searches, series and statistics are running."
ANALYSES_AT_ONCE: Final = 2  # of root causes, in a process: each may take a core, and memory for millions of samples


@dataclass(frozen=True)
class Services:
    """One per process."""

    database: EventDatabase
    feed: EventFeed
    registry: Registry
    tokens: Tokens
    trainers: Trainers
    passwords: PasswordHasher
    readers: FileReaders
    retention_days: int = 400
    event_retention_days: int = 7
    rates: RateLimiter = field(default_factory=RateLimiter)
    open_registration: bool = False  # anybody may register
    keys_per_user: int = 50
    playbook: Playbook = field(default_factory=default_playbook)
    clock: Callable[[], datetime] = field(default=partial(datetime.now, UTC))  # the demo's may run faster
    live: LiveSamples = field(init=False)
    sensitivity: Sensitivities = field(init=False)
    row_loaders: RowLoaders = field(init=False)
    read_turns: FairQueue = field(init=False)  # half of the pool: searching the fleet must not stop the recording
    holders: Loader[UUID, Holder | None] = field(init=False)  # of sign-ins, for all who ask at once
    profiles: ProfileCache = field(default_factory=ProfileCache)
    analyses: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ANALYSES_AT_ONCE))

    def __post_init__(self) -> None:
        at_once = max(1, self.database.pool.size // 2)
        object.__setattr__(self, "read_turns", FairQueue(at_once, MAX_WAITING_READS, TOO_MANY_READS))
        object.__setattr__(self, "live", LiveSamples(self.database, poll_seconds=self.feed.poll_seconds))
        object.__setattr__(self, "sensitivity", Sensitivities(self.database))
        object.__setattr__(self, "row_loaders", RowLoaders(self.database))
        object.__setattr__(self, "holders", Loader(partial(find_holders, self.database), cache=False))
        self.feed.add_hook(registry.TOPIC, self.registry.forget)
        self.feed.add_hook(sensitivities.TOPIC, self.sensitivity.forget)


@dataclass
class Context:
    """One per operation."""

    services: Services
    caller: Caller | None = None
    address: str = ""  # of the peer
    resume_after: str | None = None  # the last event that an interrupted event stream had seen
    pushes: bool = False  # events of subscriptions may be pushed
    columns: Columns | None = None

    @cached_property
    def now(self) -> datetime:
        """One time for the whole operation, so that siblings that ask for 'the last 24 hours' share a query.

        It is the fleet's, which runs ahead of itself in the demo: for samples and all that is found in them.
        """
        return self.services.clock()

    @cached_property
    def real_time(self) -> datetime:
        """The real time, for whatever grants access or ends it."""
        return datetime.now(UTC)

    @property
    def database(self) -> EventDatabase:
        return self.services.database

    def require(self, role: Role, to: str) -> Caller:
        """See `access.require`."""
        return require(self.caller, role, to)

    def require_person(self, role: Role, to: str) -> Caller:
        """See `access.require_person`."""
        return require_person(self.caller, role, to)

    def follow(self, topic: str, after: str | None) -> Events:
        """Returns the events after a cursor; see `EventFeed.stream`. Raises InvalidInput for an impossible cursor."""
        after = self.resume_after or after
        if after is not None:
            parse_cursor(after)
        return self.services.feed.stream(topic, after, pushes=self.pushes)

    @property
    def rate_limit_key(self) -> str:
        """Whose budgets the operation uses: the user's, else the address's; of IPv6 the network's (/64)."""
        if self.caller is not None:
            return f"user {self.caller.user_id}"
        return f"address {network_of(self.address)}"

    async def consume(self, budget: Budget, *what: str, cost: int = 1) -> None:
        """Takes `cost` from the caller's budget; the server's own work has no limit. Raises RateLimited."""
        if self.caller is not SYSTEM:
            await self.services.rates.consume(budget, *what, self.rate_limit_key, cost=cost)

    def largest_cost(self, budget: Budget) -> int | None:
        """Returns the most that the caller may ever spend at once; None without a limit."""
        return None if self.caller is SYSTEM else self.services.rates.largest_cost(budget)

    @asynccontextmanager
    async def read_turn(self) -> AsyncIterator[None]:
        """Waits for a place among the queries that keep the database busy. Raises Busy for too many, or too long."""
        turns = self.services.read_turns
        try:
            async with asyncio.timeout(READ_TURN_SECONDS):
                await turns.acquire(self.rate_limit_key, preferred=False)
        except TimeoutError:
            raise Busy(TOO_MANY_READS) from None
        try:
            yield
        finally:
            turns.release()

    @cached_property
    def loaders(self) -> Loaders:
        return Loaders(self.database, self.services.row_loaders, self.columns or {}, self.read_turn)

    def columns_of(self, entity: type[Table]) -> frozenset[str] | None:
        """Returns the columns that the operation reads of an entity; None for all."""
        return (self.columns or {}).get(entity)

    def look_ahead(self, columns: Columns) -> None:
        """Sets the columns that the operation reads; several operations in one context read what any of them reads."""
        if self.columns is None:
            self.columns = columns
        elif self.columns is not columns:
            before = self.columns
            self.columns = {entity: before[entity] | names for entity, names in columns.items() if entity in before}
        self.__dict__.pop("loaders", None)

    def forget(self) -> None:
        """Drops what was cached: the next event of a subscription must see fresh rows, at its own time."""
        self.__dict__.pop("loaders", None)
        self.__dict__.pop("now", None)
        self.__dict__.pop("real_time", None)


def network_of(address: str) -> str:
    """Returns an IPv4 address as it is, mapped to IPv6 or not, and the /64 of an IPv6 one: a client has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(parsed if parsed.version == 4 else parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
