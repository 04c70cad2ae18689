"""Work that one process at a time does for all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select

from resolvers.store.postgres.database import Database


@asynccontextmanager
async def alone(database: Database, lock: int) -> AsyncIterator[bool]:
    """Whether no other process is at it, and none begins meanwhile.

    The lock lasts as long as its connection: the dead stand in nobody's way, and who fails or is stopped ends it
    together with the connection, whatever that has to say still.
    """
    async with database.connection() as connection:
        mine = bool(await connection.scalar(select(func.pg_try_advisory_lock(lock))))
        try:
            yield mine
        except BaseException:
            if mine:
                await connection.invalidate()
            raise
        if mine:
            await connection.execute(select(func.pg_advisory_unlock(lock)))
