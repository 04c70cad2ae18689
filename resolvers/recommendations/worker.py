"""The worker that recommends by itself: for each incident that was announced, and anew when its explanation changes.

It reads from the tables what is due, not from events, and so catches up with what happened while no process ran.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.base.access import SYSTEM
from resolvers.base.worker import Worker
from resolvers.context import Context, Services
from resolvers.recommendations.incident_advice import close_recommendations, supersede_joined
from resolvers.recommendations.incident_states import select_due
from resolvers.recommendations.recommendations import propose_for_incident
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner

INCIDENT_TOPIC: Final = "incident"  # of the events; the room of incidents stands above this one
AT_ONCE: Final = 100  # incidents
ROWS_AT_ONCE: Final = 1000  # recommendations
LOOK_SECONDS: Final = 10.0  # should nothing happen; what ended closes when it has lingered
DEADLINE_SECONDS: Final = 1800.0

Propose = Callable[[Context, UUID, int | None], Awaitable[object]]
Supersede = Callable[[AsyncSession, int, datetime], Awaitable[int]]


def build_worker(services: Services) -> Worker:
    """Returns the worker that recommends when incidents change."""
    worker = Worker(
        "automatic recommendations",
        lambda: recommend_due(services),
        every_seconds=LOOK_SECONDS,
        deadline_seconds=DEADLINE_SECONDS,
    )
    services.feed.add_hook(INCIDENT_TOPIC, worker.wake)
    return worker


async def recommend_due(services: Services, propose: Propose = propose_for_incident) -> int:
    """Closes and makes all that is due; returns for how many incidents it recommended.

    0 while another process does the work.
    """
    context, done = Context(services, SYSTEM), set[UUID]()
    async with single_runner(services.database, AdvisoryLock.AUTOMATIC_RECOMMENDATIONS) as mine:
        if mine:
            await _supersede_all(context, close_recommendations, AT_ONCE)
        while mine and (due := [each for each in await _load_due(context) if each not in done]):
            for incident in due:
                await propose(Context(services, SYSTEM), incident, None)
            done.update(due)
        if mine:
            await _supersede_all(context, supersede_joined, ROWS_AT_ONCE)
    return len(done)


async def _supersede_all(context: Context, supersede: Supersede, at_once: int) -> None:
    """Supersedes in steps, so that no transaction is long."""
    while True:
        async with context.database.write() as session:
            count = await supersede(session, at_once, context.now)
        if count < at_once:
            return


async def _load_due(context: Context) -> list[UUID]:
    """Returns incidents that need recommendations, the worst first."""
    async with context.database.read() as session:
        return list(await session.scalars(select_due(context.now).limit(AT_ONCE)))
