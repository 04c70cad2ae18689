"""The demo: an invented fleet with two days of history, kept alive with a fault now and then."""

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray
from sqlalchemy import func, select

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet, demo_fleet
from ml.simulation.random_faults import random_fault
from ml.simulation.simulator import Samples, simulate
from resolvers.base.access import SYSTEM
from resolvers.base.worker import Worker
from resolvers.context import Context, Services
from resolvers.fleet import topology
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.tables.core import Band, Link, SiteRole
from resolvers.telemetry import recording
from resolvers.telemetry.recording import RecordedBatch

SEED = 1
FEED_SECONDS = 10
FAULT_EVERY_SECONDS = 60
FAULT_LASTS_SECONDS = 100
HISTORY_DAYS = 2
HISTORY_STEP_SECONDS = 300
HISTORY_FAULT_EVERY_SECONDS = 3 * 3600
HISTORY_FAULT_LASTS_SECONDS = 45 * 60

logger = structlog.get_logger(__name__)
Progress = Callable[[float, str], None]


def secret_key(folder: Path) -> str:
    """The demo's own, made once, readable by its owner only."""
    path = folder / "demo-secret"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()


async def fill(services: Services, progress: Progress) -> None:
    """Fleet and history, where the database has no links yet."""
    context = Context(services, SYSTEM)
    async with services.database.read() as session:
        if await session.scalar(select(func.count()).select_from(Link)):
            return
    fleet = demo_fleet(SEED)
    await topology.upsert(context, specification(fleet))
    now = int(time.time())
    times = _times(now - HISTORY_DAYS * 86_400, now, HISTORY_STEP_SECONDS)
    faults = _faults(fleet, int(times[0]), int(times[-1]), HISTORY_FAULT_EVERY_SECONDS, HISTORY_FAULT_LASTS_SECONDS)
    parts = np.array_split(times, len(times) // 36)  # three hours each
    for number, part in enumerate(parts):
        await _record(Context(services, SYSTEM), await asyncio.to_thread(simulate, fleet, part, faults, SEED))
        progress((number + 1) / len(parts), "recording two days of history")


def build_worker(services: Services) -> Worker:
    """Returns the worker that records live samples, in one process at a time."""
    worker = Worker(
        "the demo's feed", lambda: _feed_fleet(services, worker), every_seconds=FEED_SECONDS, begins_at_once=True
    )
    return worker


async def _feed_fleet(services: Services, worker: Worker) -> None:
    async with single_runner(services.database, AdvisoryLock.DEMO_FEED) as is_ours:
        if is_ours:
            worker.recovered()
            logger.info("the demo's live feed begins", fault_every_seconds=FAULT_EVERY_SECONDS)
            await _record_live(services, demo_fleet(SEED), int(time.time()))


async def _record_live(services: Services, fleet: Fleet, began: int) -> None:
    known = 0
    while True:
        now = int(time.time())
        faults = _faults(fleet, began * 1000, now * 1000, FAULT_EVERY_SECONDS, FAULT_LASTS_SECONDS)
        for fault in faults[known:]:
            logger.info("the demo breaks something", **_described(fault))
        known = len(faults)
        times = np.array([now * 1000], dtype=np.int64)
        samples = await asyncio.to_thread(simulate, fleet, times, faults[-3:], SEED)
        await _record(Context(services, SYSTEM), samples)
        await asyncio.sleep(FEED_SECONDS - time.time() % FEED_SECONDS)


def _described(fault: Fault) -> dict[str, object]:
    """The cause, the culprit and the direction, for whoever wants to compare."""
    names = ("cause", "network", "site", "link", "satellite", "transponder", "direction")
    return {name: value for name in names if (value := getattr(fault, name)) is not None}


def _times(start: int, end: int, step: int) -> NDArray[np.int64]:
    """Multiples of the step, epoch ms."""
    return 1000 * np.arange(-(-start // step) * step, end, step, dtype=np.int64)


def _faults(fleet: Fleet, start_ms: int, end_ms: int, every: int, lasts: int) -> list[Fault]:
    """One after the other from a third of the first interval on; the same for the same start."""
    rng = np.random.default_rng([SEED, start_ms // 1000])
    begins = range(start_ms + every * 333, end_ms + 1, every * 1000)
    return [random_fault(fleet, rng, begin, lasts * 1000) for begin in begins]


async def _record(context: Context, samples: dict[TargetKind, Samples]) -> list[RecordedBatch]:
    return [await recording.record(context, kind, _frame(found)) for kind, found in samples.items()]


def _frame(samples: Samples) -> pl.DataFrame:
    """What `recording.record` takes."""
    keys = {"number": samples.number, "at": samples.at}
    direction = {} if samples.direction is None else {"direction": samples.direction}
    readings = dict(zip(CATALOGUE[samples.kind].columns, samples.readings.T, strict=True))
    return pl.DataFrame({**keys, **direction, **readings})


def specification(fleet: Fleet) -> topology.TopologySpec:
    """An invented fleet as the topology takes it."""
    return topology.TopologySpec(
        tuple(topology.SatelliteSpec(**vars(satellite)) for satellite in fleet.satellites),
        tuple(topology.SiteSpec(**{**vars(site), "role": SiteRole(site.role)}) for site in fleet.sites),
        tuple(topology.NetworkSpec(**{**vars(network), "band": Band(network.band)}) for network in fleet.networks),
        tuple(topology.LinkSpec(**vars(link)) for link in fleet.links),
    )
