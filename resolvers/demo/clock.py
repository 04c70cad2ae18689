"""The clock of the demo's fleet: it starts in the past, runs faster, and is the real one once it has caught up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from resolvers.store.postgres.database import Database
from resolvers.store.tables.core import Stream
from resolvers.store.tables.demo import DemoRun


def read_real_time() -> datetime:
    return datetime.now(UTC)


@dataclass
class FleetClock:
    """Tells the fleet's time: all processes and restarts agree on it, as it depends on a row alone.

    real: the real time. run: the row; without one it is the real time.
    """

    real: Callable[[], datetime] = read_real_time
    run: DemoRun | None = None

    def __call__(self) -> datetime:
        real = self.real()
        return real if self.run is None else to_fleet_time(self.run, real)

    @property
    def speed(self) -> float:
        """How many seconds of the fleet pass in a real one: 1 once it has caught up."""
        has_caught_up = self.run is None or self() >= self.real()
        return 1.0 if self.run is None or has_caught_up else self.run.speed

    async def read(self, database: Database) -> None:
        """Reads the newest row."""
        async with database.read() as session:
            self.run = await session.scalar(select(DemoRun).order_by(DemoRun.id.desc()).limit(1))

    def seconds_until(self, fleet_time: datetime) -> float:
        """Returns the real seconds until then; 0 for what is over."""
        return max(0.0, (fleet_time - self()).total_seconds() / self.speed)


def to_fleet_time(run: DemoRun, real: datetime) -> datetime:
    """Returns the fleet's time at a real one, never after it."""
    passed = (real - run.started_at).total_seconds() * run.speed
    return min(max(real, run.fleet_started_at), run.fleet_started_at + timedelta(seconds=max(0.0, passed)))


def find_catch_up(run: DemoRun) -> datetime:
    """Returns when the run's clock reaches the real one, or reached it; the end of time at speed 1."""
    behind = run.started_at - run.fleet_started_at
    if behind <= timedelta():
        return run.fleet_started_at
    if run.speed <= 1.0:
        return datetime.max.replace(tzinfo=UTC)
    return run.started_at + behind / (run.speed - 1.0)


async def find_newest_sample(database: Database) -> datetime | None:
    """Returns the time of the newest sample of all, None where there is none."""
    async with database.read() as session:
        return await session.scalar(select(func.max(Stream.last_at)))
