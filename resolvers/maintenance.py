"""What keeps the store in shape, done by any one process at a time."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from ml.metrics import TargetKind
from resolvers.context import Services
from resolvers.errors import ClientError
from resolvers.store import events, live, partitions, rollups, runs
from resolvers.store.alone import alone

MAINTENANCE_LOCK = 0x6263_6F6D_0006

logger = structlog.get_logger(__name__)


async def keep(services: Services, every_seconds: float) -> None:
    """For ever. `serve` has made partitions before it started."""
    while True:
        await asyncio.sleep(every_seconds)
        try:
            await maintain(services)
        except ClientError as error:
            logger.warning("maintenance pauses", reason=error.message)
        except Exception:  # the outermost loop of a worker: log and try again
            logger.exception("maintenance failed, trying again")


async def maintain(services: Services) -> bool:
    """Partitions made ahead, samples rolled up, dead trainings marked; what is over its retention goes.

    False where another process is at it.
    """
    async with alone(services.database, MAINTENANCE_LOCK) as mine:
        if mine:
            await runs.bury(services.database)
            await make_partitions(services)
            await _roll_up(services)
            async with services.database.write() as session:
                await live.forget_old(session)
            await _forget_events(services)
            await _drop_partitions(services)  # last: a table in use may put it off, and nothing else with it
    return mine


async def make_partitions(services: Services) -> None:
    """Those that will be needed; and roll-ups' for all samples that are kept, those of an older version too."""
    for kind in TargetKind:
        kept = await partitions.kept(services.database, kind)
        await partitions.create(services.database, kind, sorted({*kept, *partitions.ahead(datetime.now(UTC))}))


async def _drop_partitions(services: Services) -> None:
    """A day later than samples are refused, so that none is on its way any more."""
    over = datetime.now(UTC) - timedelta(days=services.retention_days + 1)
    for kind in TargetKind:
        for name in await partitions.drop(services.database, kind, over):
            logger.info("a partition's retention is over", partition=name)


async def _forget_events(services: Services) -> None:
    more = True
    while more:
        async with services.database.write() as session:
            more = await events.forget(session, services.event_retention_days)


async def _roll_up(services: Services) -> None:
    for kind in TargetKind:
        streams = 1
        while streams:
            async with services.database.write() as session:
                streams = await rollups.roll(session, kind)
