"""Maintains the store: partitions, roll-ups, retention. One process at a time does it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from ml.catalogue.metrics import TargetKind
from resolvers.base import counters
from resolvers.base.worker import Worker
from resolvers.context import Services
from resolvers.store.events import log as events
from resolvers.store.models import training_runs
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.telemetry import live_samples, partitions, rollups

FORGET_EVERY_SECONDS = 3600.0  # a week of samples each time
DEADLINE_SECONDS = 3600.0  # of a round: a first one after a long pause rolls up much
CLOCKS_APART = timedelta(hours=1)
LONGEST_SILENCE = timedelta(days=30)  # of a whole fleet

logger = structlog.get_logger(__name__)


def build_worker(services: Services, every_seconds: float) -> Worker:
    """Returns the worker that maintains the store. `serve` has made partitions before it starts."""
    forget_again = 0.0

    async def work() -> None:
        nonlocal forget_again
        forgets = time.monotonic() >= forget_again
        if await maintain(services, forgets=forgets) and forgets:
            forget_again = time.monotonic() + FORGET_EVERY_SECONDS

    return Worker("maintenance", work, every_seconds=every_seconds, deadline_seconds=DEADLINE_SECONDS)


def read_clock() -> datetime:
    return datetime.now(UTC)


async def maintain(services: Services, *, forgets: bool = True, clock: Callable[[], datetime] = read_clock) -> bool:
    """Creates partitions ahead, rolls samples up, fails orphaned trainings and drops what is over its retention.

    Returns False if another process is doing it.
    """
    async with single_runner(services.database, AdvisoryLock.MAINTENANCE) as mine:
        if mine:
            await training_runs.fail_orphans(services.database)
            await make_partitions(services)
            await _roll_up(services)
            async with services.database.write() as session:
                await live_samples.forget_old(session)
            if forgets:
                await _forget(services, clock)
    return mine


async def make_partitions(services: Services) -> None:
    """Creates the partitions that will be needed, and those of roll-ups for all samples that are kept."""
    now, _ = await partitions.read_clock(services.database)
    for kind in TargetKind:
        kept = await partitions.list_kept_weeks(services.database, kind)
        await partitions.create_partitions(
            services.database, kind, sorted({*kept, *partitions.list_upcoming_weeks(now)})
        )


async def _forget(services: Services, clock: Callable[[], datetime]) -> None:
    """Drops what is over its retention; nothing while the clock may be wrong, as it would not come back."""
    now, newest = await partitions.read_clock(services.database)
    if doubt := _find_doubt(now, clock(), newest):
        counters.RETENTION_PAUSED.inc()
        logger.error("nothing is dropped, as the time may be wrong", doubt=doubt)
        return
    await _forget_events(services)
    await _drop_partitions(services, now)  # last: a table in use may put it off, and nothing else with it


def _find_doubt(now: datetime, own: datetime, newest: datetime | None) -> str:
    """Returns why the database's time may be wrong, or an empty text."""
    if abs(now - own) > CLOCKS_APART:
        return f"The database's clock says {now:%Y-%m-%d %H:%M} UTC, this process's {own:%Y-%m-%d %H:%M}."
    if newest is not None and now - newest > LONGEST_SILENCE:
        days = (now - newest).days
        return f"The newest sample is {days} days older than the clock. If that is right, newer samples end this."
    return ""


async def _drop_partitions(services: Services, now: datetime) -> None:
    """Drops weeks, a day after their samples are refused, so that none is on its way any more."""
    over = now - timedelta(days=services.retention_days + 1)
    for kind in TargetKind:
        for name in await partitions.drop_oldest(services.database, kind, over):
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
                streams = await rollups.roll_up(session, kind, services.clock())
