"""Work that one process at a time does for all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select

from resolvers.store.database import Database


@asynccontextmanager
async def alone(database: Database, lock: int) -> AsyncIterator[bool]:
    """Whether no other process is at it, and none begins meanwhile.

    The lock lasts as long as its connection: the dead stand in nobody's way.
    """
    async with database.connection() as connection:
        mine = bool(await connection.scalar(select(func.pg_try_advisory_lock(lock))))
        try:
            yield mine
        finally:
            if mine:
                await connection.execute(select(func.pg_advisory_unlock(lock)))
