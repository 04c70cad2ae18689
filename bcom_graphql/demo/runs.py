"""Starts of the demo: where the fleet's clock begins, how fast it runs, and what breaks how often."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from bcom_graphql.demo.fleet import Progress, fill, is_filled
from bcom_graphql.demo.options import DemoOptions
from resolvers.base.errors import Conflict
from resolvers.context import Services
from resolvers.demo.clock import FleetClock, find_newest_sample, read_real_time
from resolvers.detection import profile_worker
from resolvers.store.tables.demo import DemoRun

DEFAULT_SEED: Final = 1
BEHIND: Final = timedelta(hours=48)  # that a fast clock starts in the past at most
STEPS_SECONDS: Final = (10, 15, 20, 30, 60, 120, 300)  # of the fleet's time, between two samples of a stream
LEAST_REAL_SECONDS: Final = 2.0  # between two samples


async def start_run(services: Services, options: DemoOptions, progress: Progress) -> DemoRun:
    """Fills an empty database and learns what is ordinary. Then the fleet's clock starts, if it can where it stopped.

    Raises Conflict for another seed than the database was filled with.
    """
    seed = await _find_seed(services, options.seed)
    begins = read_real_time() - (BEHIND if options.speed > 1.0 else timedelta())
    clock = services.clock
    assert isinstance(clock, FleetClock)  # noqa: S101  the demo's
    if not await is_filled(services):
        clock.run = DemoRun(started_at=read_real_time(), fleet_started_at=begins, speed=1.0)  # of no row: until then
        await fill(services, progress, seed, begins)
        newest = begins
    else:
        newest = await find_newest_sample(services.database) or begins
    progress(1.0, "learning what is ordinary")
    await profile_worker.learn_due(services)
    now = read_real_time()
    run = DemoRun(
        started_at=now,
        fleet_started_at=_find_beginning(now, newest, options.speed),
        speed=options.speed,
        seed=seed,
        fault_seconds=options.fault_seconds,
        step_seconds=choose_step_seconds(options.speed),
    )
    async with services.database.write() as session:
        session.add(run)
    clock.run = run
    return run


async def _find_seed(services: Services, wanted: int | None) -> int:
    async with services.database.read() as session:
        stored = await session.scalar(select(DemoRun.seed).order_by(DemoRun.id).limit(1))
    if stored is None and await is_filled(services):
        stored = DEFAULT_SEED  # by an earlier version, which had no other
    if stored is not None and wanted not in (None, stored):
        raise Conflict(
            f"The demo's database was filled with DEMO_SEED={stored}, not {wanted}: its fleet would change its place."
            " Leave DEMO_SEED out, or point DATA_FOLDER (or DATABASE_URL) to an empty one."
        )
    return next(seed for seed in (wanted, stored, DEFAULT_SEED) if seed is not None)


def _find_beginning(now: datetime, newest: datetime, speed: float) -> datetime:
    """Returns the fleet's time at which a run begins: behind the newest sample, and as late as it may catch up."""
    return now if speed <= 1.0 else min(now, max(newest, now - BEHIND))


def choose_step_seconds(speed: float) -> int:
    """Returns the fleet's time between two samples of a stream: at least two real seconds, where that can be."""
    return next((step for step in STEPS_SECONDS if step >= LEAST_REAL_SECONDS * speed), STEPS_SECONDS[-1])
