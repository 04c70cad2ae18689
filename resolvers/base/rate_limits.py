"""Rate limits: budgets of each caller, kept in memory or, shared by several processes, in Redis.

Windows slide: what was used in the former window counts in proportion to how much of it lies within the last minute
or hour. Several windows make a delay that grows.
"""

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

import structlog
from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from resolvers.base.errors import RateLimited

logger = structlog.get_logger(__name__)

Result = TypeVar("Result")


class Budget(StrEnum):
    """A rate-limited resource; the value completes 'At most N …'."""

    OPERATIONS = "points for operations (10 each, and 1 for each object they may return)"
    ANALYSES = "calls of this mutation"
    SAMPLES = "recorded samples"
    SIGN_INS_BY_ACCOUNT = "attempts to sign in to this account from this network"
    SIGN_INS_BY_STRANGERS = "attempts to sign in to this account from networks that it does not know"
    SIGN_INS_BY_ADDRESS = "attempts to sign in from this address"


DEFAULTS: Mapping[Budget, str] = {
    Budget.OPERATIONS: "1000000/minute",
    Budget.ANALYSES: "100/hour",
    Budget.SAMPLES: "6000000/minute",
    Budget.SIGN_INS_BY_ACCOUNT: "5/minute; 10/10 minutes; 20/hour",
    Budget.SIGN_INS_BY_STRANGERS: "100/hour; 500/day",
    Budget.SIGN_INS_BY_ADDRESS: "60/minute; 600/hour",
}


class InMemoryStorage(MemoryStorage):
    """Counters in memory; expired ones are removed every few seconds instead of at each hit.

    Unlike its parent it takes no lock: a hit awaits nothing, so no other comes between.
    """

    STORAGE_SCHEME: list[str] = []  # noqa: RUF012  not to be found by a URL
    _swept = 0.0

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = time.time()
        if now - self._swept > 10:
            self._swept = now
            for window in [window for window, expires_at in self.expirations.items() if expires_at <= now]:
                await self.clear(window)
        previous, current = self.sliding_window_keys(key, expiry, now)
        part_left = 1 - now / expiry % 1  # of the former window, within the last `expiry` seconds
        spent = self._spent(previous, now) * part_left + self._spent(current, now)
        if math.floor(spent) + amount > limit:
            return False
        self.storage[current] = self._spent(current, now) + amount
        self.expirations.setdefault(current, now + 2 * expiry)
        return True

    def _spent(self, window: str, now: float) -> int:
        return self.storage[window] if self.expirations.get(window, 0.0) > now else 0


class RateLimiter:
    """Limits callers. While Redis is away each process limits on its own, which is logged."""

    def __init__(self, limits: Mapping[Budget, str] = DEFAULTS, storage: str | None = None) -> None:
        """storage: redis://…, else memory. A budget that `limits` does not name is unlimited. Raises ValueError."""
        self._limits = {budget: sorted(parse_many(text), key=_expiry) for budget, text in limits.items()}
        self._local = SlidingWindowCounterRateLimiter(InMemoryStorage())
        self._redis = None if storage is None else _redis(storage)
        self._shared = self._local if self._redis is None else SlidingWindowCounterRateLimiter(self._redis)
        self._away_until = 0.0

    async def consume(self, budget: Budget, *who: str, cost: int = 1) -> None:
        """Takes `cost` from a caller's budget. Raises RateLimited if it is used up; longer windows are spared then."""
        for limit in self._limits.get(budget, ()):
            if cost and not await self._hit(limit, budget, who, cost):
                retry_after = await self._wait(limit, budget, who)
                raise RateLimited(f"At most {limit.amount:,} {budget} in {_window(limit)}.", retry_after)

    def largest_cost(self, budget: Budget) -> int | None:
        """Returns the most that one call may ever spend at once; None without a limit."""
        return min((limit.amount for limit in self._limits.get(budget, ())), default=None)

    async def reset(self, budget: Budget, *who: str) -> None:
        """Gives the caller the whole budget again."""
        for limit in self._limits.get(budget, ()):
            await self._ask(partial(_clear, limit, budget, who))

    async def close(self) -> None:
        """Closes the connections to the storage."""
        if self._redis is not None:
            await self._redis.bridge.get_connection().aclose()

    async def _hit(self, limit: RateLimitItem, budget: Budget, who: tuple[str, ...], cost: int) -> bool:
        return await self._ask(lambda limiter: limiter.hit(limit, budget.name, *who, cost=cost))

    async def _wait(self, limit: RateLimitItem, budget: Budget, who: tuple[str, ...]) -> int:
        """Returns the seconds until the budget has something again, at least one."""
        stats = await self._ask(lambda limiter: limiter.get_window_stats(limit, budget.name, *who))
        return max(1, math.ceil(stats.reset_time - time.time()))

    async def _ask(self, work: Callable[[SlidingWindowCounterRateLimiter], Awaitable[Result]]) -> Result:
        """Asks the shared storage, or for ten seconds our own after that was away."""
        if time.monotonic() < self._away_until:
            return await work(self._local)
        try:
            return await work(self._shared)
        except StorageError:
            logger.exception("the rate limits' storage is away; limiting in this process alone")
            self._away_until = time.monotonic() + 10
            return await work(self._local)


async def _clear(
    limit: RateLimitItem, budget: Budget, who: tuple[str, ...], limiter: SlidingWindowCounterRateLimiter
) -> None:
    await limiter.clear(limit, budget.name, *who)


def _redis(url: str) -> Any:
    try:
        return storage_from_string(f"async+{url}", implementation="redispy", wrap_exceptions=True)
    except ConfigurationError as error:
        message = "RATE_LIMIT_STORAGE needs the extra `redis` (the Python package of that name)."
        raise ValueError(message) from error


def _expiry(limit: RateLimitItem) -> int:
    return limit.get_expiry()


def _window(limit: RateLimitItem) -> str:
    return f"{limit.multiples} {limit.GRANULARITY.name}{'' if limit.multiples == 1 else 's'}"
