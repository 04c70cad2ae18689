"""Measures what the ways past libraries' public interfaces buy: this server's way against the library's, in one run.

    python -m benchmarks.private_parts

CPU time of this process, so that a busy machine disturbs little; both ways take turns. See docs/adr.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import select
from strawberry.dataloader import DataLoader

from benchmarks.telemetry import tell
from benchmarks.world import World, world
from resolvers.base.dataloader import Loader
from resolvers.base.rate_limits import InMemoryStorage
from resolvers.store.postgres.rows import fetch_by_keys
from resolvers.store.tables.core import Link

ROUNDS: Final = 15
CALLS: Final = 200  # a round
CALLERS: Final = 10_000
KEYS: Final = [*range(100)]

Work = Callable[[], Awaitable[object]]


async def cpu_seconds(work: Work, calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        await work()
    return (time.process_time() - began) / calls


async def compare(what: str, ours: Work, library: str, theirs: Work, calls: int = CALLS) -> None:
    await ours()
    await theirs()
    rounds = [[await cpu_seconds(work, calls) for work in (ours, theirs)] for _ in range(ROUNDS)]
    mine, other = map(statistics.median, zip(*rounds, strict=True))
    tell(
        what,
        f"{mine * 1e6:.1f} µs",
        f"{library}: {other * 1e6:.1f} µs",
        f"{other / mine:.2f}",
        "≥ 1.05",
        reached=other >= 1.05 * mine,
    )


async def rate_limits() -> None:
    limit, number, storages = parse("1000000/minute"), 0, (InMemoryStorage(), MemoryStorage())
    for storage in storages:  # as so many callers leave it
        storage.storage.update(dict.fromkeys(map(str, range(CALLERS)), 1))
        storage.expirations.update(dict.fromkeys(map(str, range(CALLERS)), time.time() + 3600))
    limiters = [SlidingWindowCounterRateLimiter(storage) for storage in storages]

    async def hit(limiter: SlidingWindowCounterRateLimiter) -> None:
        nonlocal number
        number += 1
        await limiter.hit(limit, "operations", f"caller {number % 1000}")
        await asyncio.sleep(0)  # as in a server, where what the storage has begun goes on meanwhile

    what = f"charging one of {CALLERS:,} callers"
    await compare(what, lambda: hit(limiters[0]), "`limits`' MemoryStorage", lambda: hit(limiters[1]))


async def loaders() -> None:
    async def fetch(keys: Sequence[int]) -> dict[int, int | BaseException]:
        return {key: key for key in keys}

    async def fetch_list(keys: list[int]) -> list[int]:
        return keys

    async def ours() -> None:
        await Loader(fetch).load_many(KEYS)

    async def theirs() -> None:
        await DataLoader(fetch_list).load_many(KEYS)

    await compare(f"loading {len(KEYS)} keys at once", ours, "`strawberry.dataloader`", theirs)


async def connections(made: World) -> None:
    database = made.services.database

    async def ours() -> Any:
        async with database.driver() as connection:
            return await connection.fetchval("SELECT 1")

    async def theirs() -> Any:
        held = await database.engine.raw_connection()
        try:
            raw: Any = held.driver_connection
            return await raw.fetchval("SELECT 1")
        finally:
            held.close()

    await compare("a statement on a connection of the pool", ours, "SQLAlchemy's check-out and check-in", theirs)


async def rows(made: World) -> None:
    database, keys = made.services.database, made.links[:100]

    async def ours() -> Any:
        return await fetch_by_keys(database, Link, None, keys)

    async def theirs() -> Any:
        async with database.read() as session:
            return (await session.scalars(select(Link).where(Link.id.in_(keys)))).all()

    await compare("100 rows by their keys", ours, "SQLAlchemy's session and ORM", theirs, calls=20)


async def main() -> None:
    print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
    await rate_limits()
    await loaders()
    async with world(150, trained=False) as made:
        await connections(made)
        await rows(made)


if __name__ == "__main__":
    asyncio.run(main())
