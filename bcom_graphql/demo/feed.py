"""The demo's live feed: it breaks things, tells of it, and records what the fleet reports up to its clock."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog
from sqlalchemy import select

from bcom_graphql.demo.faults import DrawnFault, draw_next
from bcom_graphql.demo.fleet import PART, list_times, record_times
from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.catalogue.units import HOUR_MS
from ml.root_cause.truths import culprit_of
from ml.simulation.faults import Fault, Variant
from ml.simulation.fleet import Fleet, demo_fleet
from resolvers.base.times import from_ms, to_ms
from resolvers.base.worker import Worker
from resolvers.context import Services
from resolvers.demo.clock import FleetClock, find_newest_sample
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.tables.core import Link, Network, Satellite, Site
from resolvers.store.tables.demo import DemoFault, DemoRun

REMEMBERED_MS: Final = 6 * HOUR_MS  # of earlier faults: none lasts so long, nor is confused with one so old
IDLE_SECONDS: Final = 2.0  # until another process's feed is looked for again

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Ids:
    """The database's ids of what the fleet numbers or names."""

    links: Mapping[int, int]
    culprits: Mapping[CulpritKind, Mapping[Any, int]]


@dataclass
class Feed:
    """What is recorded next. faults: those of the last hours, in order. recorded_ms: the newest sample, epoch ms."""

    services: Services
    run: DemoRun
    fleet: Fleet
    ids: Ids
    recorded_ms: int
    faults: list[DrawnFault] = field(default_factory=list)
    upcoming: DrawnFault | None = None

    async def record_due(self) -> int:
        """Records what is due by the fleet's clock, or a part of it; returns how many times. Faults are told first."""
        until = to_ms(self.services.clock()) + 1
        times = list_times(self.recorded_ms + 1, until, self._step)[:PART]
        if not len(times):
            return 0
        await self._announce_until(int(times[-1]))
        ongoing = [drawn.fault for drawn in self.faults if drawn.fault.end_ms > times[0]]
        await record_times(self.services, self.fleet, times, ongoing, self.run.seed)
        self.recorded_ms = int(times[-1])
        return len(times)

    def find_next_time(self) -> int:
        """Returns when the next samples are due, epoch ms."""
        step_ms = round(self._step.total_seconds() * 1000)
        return (self.recorded_ms // step_ms + 1) * step_ms

    @property
    def _step(self) -> timedelta:
        return timedelta(seconds=self.run.step_seconds)

    async def _announce_until(self, end_ms: int) -> None:
        while (fault := await self._draw_upcoming()) is not None and fault.fault.start_ms <= end_ms:
            async with self.services.database.write() as session:
                session.add(to_row(fault, self.fleet, self.ids))
            logger.info("the demo breaks something", **describe(fault))
            recent = [one for one in self.faults if one.fault.end_ms > fault.fault.start_ms - REMEMBERED_MS]
            self.faults, self.upcoming = [*recent, fault], None

    async def _draw_upcoming(self) -> DrawnFault | None:
        every_ms = round(1000 * self.run.fault_seconds * self.run.speed)
        if self.upcoming is None and every_ms > 0:
            begins_ms = to_ms(self.run.fleet_started_at)
            self.upcoming = await asyncio.to_thread(
                draw_next, self.fleet, self.run.seed, self.faults, begins_ms, every_ms
            )
        return self.upcoming


async def load_feed(services: Services, run: DemoRun) -> Feed:
    """Returns the feed as the tables have it: whoever went on before has left nothing else behind."""
    newest = await find_newest_sample(services.database)
    recorded_ms = max(to_ms(run.fleet_started_at) - 1, to_ms(newest) if newest else 0)
    async with services.database.read() as session:
        rows = await session.scalars(select(DemoFault).order_by(DemoFault.number.desc()).limit(50))
        drawn = [to_drawn(row) for row in reversed(rows.all())]
    fleet = demo_fleet(run.seed)
    ids = await _load_ids(services)
    return Feed(services, run, fleet, ids, recorded_ms, _with_numbers(drawn, ids))


def build_worker(services: Services) -> Worker:
    """Returns the worker that records live samples, in one process at a time."""
    worker = Worker(
        "the demo's feed", lambda: _feed_fleet(services, worker), every_seconds=IDLE_SECONDS, begins_at_once=True
    )
    return worker


async def _feed_fleet(services: Services, worker: Worker) -> None:
    clock = services.clock
    assert isinstance(clock, FleetClock)  # noqa: S101
    assert clock.run is not None  # noqa: S101
    async with single_runner(services.database, AdvisoryLock.DEMO_FEED) as is_ours:
        if is_ours:
            feed = await load_feed(services, clock.run)
            worker.recovered()
            logger.info("the demo's live feed begins", fleet_time=f"{clock():%Y-%m-%d %H:%M}", speed=clock.speed)
            while True:
                if not await feed.record_due():
                    await asyncio.sleep(clock.seconds_until(from_ms(feed.find_next_time())) + 0.001)


# ---------------------------------------------------------------- rows


def to_row(drawn: DrawnFault, fleet: Fleet, ids: Ids) -> DemoFault:
    """Returns a fault as it is stored."""
    fault = drawn.fault
    kind, key = culprit_of(fleet, fault)
    name = fleet.satellites[key].name if kind is CulpritKind.SATELLITE else key
    return DemoFault(
        number=drawn.number,
        cause=RootCause(fault.cause),
        culprit_kind=kind,
        culprit_id=ids.culprits[kind][name],
        culprit_transponder=fault.transponder,
        started_at=from_ms(fault.start_ms),
        ended_at=from_ms(fault.end_ms),
        links=sorted(ids.links[number] for number in drawn.links),
        specification=asdict(fault),
    )


def to_drawn(row: DemoFault) -> DrawnFault:
    """Returns a stored fault; its links are ids still."""
    stored = row.specification
    direction = Direction(stored["direction"]) if stored["direction"] else None
    variant = Variant(stored["variant"]) if stored["variant"] else None
    fault = Fault(**{**stored, "direction": direction, "variant": variant})
    return DrawnFault(row.number, fault, frozenset(row.links))


def _with_numbers(stored: Sequence[DrawnFault], ids: Ids) -> list[DrawnFault]:
    numbers = {id: number for number, id in ids.links.items()}
    return [DrawnFault(one.number, one.fault, frozenset(numbers[id] for id in one.links)) for one in stored]


def describe(drawn: DrawnFault) -> dict[str, object]:
    """Returns the cause, the culprit and the times, for whoever wants to compare."""
    fault = drawn.fault
    names = ("cause", "network", "site", "link", "satellite", "transponder", "direction", "variant")
    told = {name: value for name in names if (value := getattr(fault, name)) is not None}
    begins, ends = from_ms(fault.start_ms), from_ms(fault.end_ms)
    return {**told, "links": len(drawn.links), "begins": f"{begins:%Y-%m-%d %H:%M:%S}", "ends": f"{ends:%H:%M:%S}"}


async def _load_ids(services: Services) -> Ids:
    async with services.database.read() as session:
        links, networks, sites = [
            {row.number: row.id for row in await session.execute(select(table.number, table.id))}
            for table in (Link, Network, Site)
        ]
        satellites = {row.name: row.id for row in await session.execute(select(Satellite.name, Satellite.id))}
    kinds = (CulpritKind.LINK, CulpritKind.NETWORK, CulpritKind.SITE, CulpritKind.SATELLITE)
    return Ids(links, dict(zip(kinds, (links, networks, sites, satellites), strict=True)))
