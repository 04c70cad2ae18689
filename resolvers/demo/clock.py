"""The clock of the demo's fleet: it starts in the past, runs faster, and is the real one once it has caught up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from resolvers.store.postgres.database import Database
from resolvers.store.tables.core import Stream
from resolvers.store.tables.demo import DemoRun

NEWEST_SAMPLE: Final = select(func.max(Stream.last_at))  # of all streams, null where there is none


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
        return self._tell(self.real())

    @property
    def speed(self) -> float:
        """How many seconds of the fleet pass in a real one: 1 once it has caught up."""
        return self._measure_speed(self.real())

    async def read(self, database: Database) -> None:
        """Reads the newest row."""
        async with database.read() as session:
            self.run = await session.scalar(select(DemoRun).order_by(DemoRun.id.desc()).limit(1))

    def seconds_until(self, fleet_time: datetime) -> float:
        """Returns the real seconds until then; 0 for what is over."""
        real = self.real()
        left = (fleet_time - self._tell(real)).total_seconds()
        return max(0.0, left / self._measure_speed(real))

    def _tell(self, real: datetime) -> datetime:
        return real if self.run is None else to_fleet_time(self.run, real)

    def _measure_speed(self, real: datetime) -> float:
        return self.run.speed if self.run is not None and self._tell(real) < real else 1.0


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
        return await session.scalar(NEWEST_SAMPLE)
