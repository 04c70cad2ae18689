"""The demo's fleet in the database: its topology, its history, and samples as they are recorded."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from sqlalchemy import func, select

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.numerics.arrays import Integers
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet, demo_fleet
from ml.simulation.random_faults import random_fault
from ml.simulation.simulator import Samples, simulate
from resolvers.base.access import SYSTEM
from resolvers.base.times import to_ms
from resolvers.context import Context, Services
from resolvers.fleet import topology
from resolvers.store.tables.core import Band, Link, SiteRole
from resolvers.telemetry import recording
from resolvers.telemetry.recording import RecordedBatch

HISTORY: Final = timedelta(days=2)
HISTORY_STEP: Final = timedelta(minutes=5)
HISTORY_FAULT_EVERY: Final = timedelta(hours=3)
HISTORY_FAULT_LASTS: Final = timedelta(minutes=45)
PART: Final = 36  # steps that are simulated and recorded at once

Progress = Callable[[float, str], None]


async def is_filled(services: Services) -> bool:
    """Returns whether the database has links already."""
    async with services.database.read() as session:
        return bool(await session.scalar(select(func.count()).select_from(Link)))


async def fill(services: Services, progress: Progress, seed: int, end: datetime, *, broken: bool = True) -> None:
    """Stores the fleet, and its history up to a time. broken: with a fault every three hours."""
    fleet = demo_fleet(seed)
    await topology.upsert(Context(services, SYSTEM), specification(fleet))
    times = list_times(to_ms(end - HISTORY), to_ms(end), HISTORY_STEP)
    faults = _draw_history_faults(fleet, seed, int(times[0]), int(times[-1])) if broken else []
    parts = np.array_split(times, -(-len(times) // PART))
    simulating = _begin_simulation(fleet, parts[0], faults, seed)
    for number, part in enumerate([*parts[1:], None]):  # each is simulated while the one before is recorded
        samples = await simulating
        if part is not None:
            simulating = _begin_simulation(fleet, part, faults, seed)
        await _record(services, samples)
        progress((number + 1) / len(parts), "recording two days of history")


def list_times(start_ms: int, end_ms: int, step: timedelta) -> Integers:
    """Returns the multiples of the step from `start_ms` to before `end_ms`, epoch ms."""
    step_ms = round(step.total_seconds() * 1000)
    return step_ms * np.arange(-(-start_ms // step_ms), -(-end_ms // step_ms), dtype=np.int64)


async def record_times(
    services: Services, fleet: Fleet, times: Integers, faults: Sequence[Fault], seed: int
) -> list[RecordedBatch]:
    """Simulates and records these times, epoch ms; returns what became of each kind's samples."""
    return await _record(services, await _begin_simulation(fleet, times, faults, seed))


def _begin_simulation(
    fleet: Fleet, times: Integers, faults: Sequence[Fault], seed: int
) -> asyncio.Future[dict[TargetKind, Samples]]:
    return asyncio.ensure_future(asyncio.to_thread(simulate, fleet, times, faults, seed, marked=False))


async def _record(services: Services, samples: Mapping[TargetKind, Samples]) -> list[RecordedBatch]:
    """Records all kinds at once: while the database stores one, another is scored."""
    context = Context(services, SYSTEM)
    batches = (recording.record(context, kind, build_frame(of_kind)) for kind, of_kind in samples.items())
    return list(await asyncio.gather(*batches))


def build_frame(samples: Samples) -> pl.DataFrame:
    """Returns samples as `recording.record` takes them."""
    keys = {"number": samples.number, "at": samples.at}
    direction = {} if samples.direction is None else {"direction": samples.direction}
    readings = dict(zip(CATALOGUE[samples.kind].columns, samples.readings.T, strict=True))
    return pl.DataFrame({**keys, **direction, **readings})


def specification(fleet: Fleet) -> topology.TopologySpec:
    """Returns an invented fleet as the topology takes it."""
    return topology.TopologySpec(
        tuple(topology.SatelliteSpec(**vars(satellite)) for satellite in fleet.satellites),
        tuple(topology.SiteSpec(**{**vars(site), "role": SiteRole(site.role)}) for site in fleet.sites),
        tuple(topology.NetworkSpec(**{**vars(network), "band": Band(network.band)}) for network in fleet.networks),
        tuple(topology.LinkSpec(**vars(link)) for link in fleet.links),
    )


def _draw_history_faults(fleet: Fleet, seed: int, start_ms: int, end_ms: int) -> list[Fault]:
    """Returns one fault after the other, from an hour after the start on; the same for the same start."""
    rng = np.random.default_rng([seed, start_ms // 1000])
    every, lasts = (round(span.total_seconds() * 1000) for span in (HISTORY_FAULT_EVERY, HISTORY_FAULT_LASTS))
    return [random_fault(fleet, rng, begin, lasts) for begin in range(start_ms + every // 3, end_ms + 1, every)]
