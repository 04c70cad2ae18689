"""The database as the server uses it: what a session publishes is stored with it, and other processes are woken."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.store.events.log import append, has_appended
from resolvers.store.events.postgres_notify import PostgresWakeups
from resolvers.store.events.wakeups import Channel, Wakeups
from resolvers.store.postgres.database import Database


class EventDatabase(Database):
    """A `Database` whose units of work publish events."""

    def __init__(
        self, url: str, pool_size: int = 10, statement_seconds: float = 30.0, wakeups: Wakeups | None = None
    ) -> None:
        """`wakeups`: else those of PostgreSQL itself."""
        super().__init__(url, pool_size, statement_seconds)
        self.wakeups = wakeups or PostgresWakeups(self)

    @asynccontextmanager
    async def _announce_commit(self, session: AsyncSession) -> AsyncIterator[None]:
        """Appends the events last, and tells of the commit that is done inside."""
        await append(session)
        async with self.wakeups.notifying(session, Channel.EVENTS) if has_appended(session) else nullcontext():
            yield

    async def close(self) -> None:
        await self.wakeups.close()
        await super().close()
