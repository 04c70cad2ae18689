"""Work that one process at a time does for all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select

from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.database import Database


@asynccontextmanager
async def single_runner(database: Database, lock: AdvisoryLock) -> AsyncIterator[bool]:
    """Yields whether this process may do the work; no other process begins it meanwhile.

    The lock ends with its connection, so a process that died blocks nobody. Whoever fails or is cancelled gives up the
    connection together with the lock.
    """
    async with database.connection() as connection:
        is_ours = bool(await connection.scalar(select(func.pg_try_advisory_lock(int(lock)))))
        try:
            yield is_ours
        except BaseException:
            if is_ours:
                await connection.invalidate()
            raise
        if is_ours:
            await connection.execute(select(func.pg_advisory_unlock(int(lock))))
