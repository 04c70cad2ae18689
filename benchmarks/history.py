"""How many anomalies ordinary days make that are imported into a new fleet, and how many of its faults are found.

    python -m benchmarks.history

The telemetry is simulated. The budget is that of the default sensitivity, for each target and day.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from bcom_graphql.demo.fleet import specification
from benchmarks.world import World, world
from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection.detector import false_alarms_per_day
from ml.numerics.arrays import Integers
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet, demo_fleet
from ml.simulation.random_faults import random_fault
from ml.simulation.simulator import Samples, simulate
from resolvers.base.access import SYSTEM
from resolvers.context import Context
from resolvers.fleet import topology
from resolvers.store.telemetry.profiles import ProfileCache
from resolvers.telemetry import recording

LINK: Final = CATALOGUE[TargetKind.LINK]
STEP_SECONDS: Final = 300
FILE_ROWS: Final = 25_000  # of a batch of an imported file
FAULT_HOURS: Final = 2
TABLES: Final = "anomalies, streams, profiles, link_samples"


@dataclass(frozen=True)
class Case:
    """What is imported: so many links of the demo's fleet for so many hours, in batches of so many rows."""

    name: str
    links: int
    hours: int
    rows: int
    faults: int = 0


CASES: Final = (
    Case("1 link, 60 days, from a file", 1, 1440, FILE_ROWS),
    Case("1 link, 60 days, a day at once", 1, 1440, 576),
    Case("34 links, 50 hours, from a file", 34, 50, FILE_ROWS),
    Case("34 links, 50 hours, at once", 34, 50, 100_000),
    Case("34 links, 50 hours, three hours at once", 34, 50, 34 * 2 * 36),
    Case("34 links, 50 hours with 12 faults, from a file", 34, 50, FILE_ROWS, faults=12),
)


async def main() -> None:
    print("| What | Anomalies | The budget | Samples of faults in anomalies | Seconds |\n|---|---|---|---|---|")
    async with world() as made:
        await topology.upsert(Context(made.services, SYSTEM), specification(demo_fleet()))
        for case in CASES:
            await measure(made, case)


async def measure(made: World, case: Case) -> None:
    """Imports a case into a fleet without history, and prints what came of it."""
    async with made.services.database.driver() as connection:
        await connection.execute(f"TRUNCATE {TABLES} CASCADE")
    fleet = demo_fleet()
    fleet = replace(fleet, links=fleet.links[: case.links])
    end = int(time.time()) // STEP_SECONDS * STEP_SECONDS - 86_400
    times = 1000 * np.arange(end - case.hours * 3600, end, STEP_SECONDS, dtype=np.int64)
    faults = draw_faults(fleet, times, case.faults)
    samples = simulate(fleet, times, faults, 1, kinds=[TargetKind.LINK])[TargetKind.LINK]
    services = replace(made.services, profiles=ProfileCache())
    frame, began = to_frame(samples), time.perf_counter()
    for part in frame.iter_slices(case.rows):
        await recording.record(Context(services, SYSTEM), TargetKind.LINK, part)
    seconds = time.perf_counter() - began
    anomalies, found = await count(made, samples)
    allowed = case.links * case.hours / 24 * false_alarms_per_day(0.5)
    shown = f"{found:.2f}" if case.faults else ""
    print(f"| {case.name} | {anomalies} | {allowed:.0f} | {shown} | {seconds:.1f} |", flush=True)


def draw_faults(fleet: Fleet, times: Integers, number: int) -> list[Fault]:
    """Returns faults one after the other; the same for the same arguments."""
    rng = np.random.default_rng(number)
    begins = np.linspace(times[0], times[-1], number, endpoint=False) + 3_600_000
    return [random_fault(fleet, rng, int(begin), FAULT_HOURS * 3_600_000) for begin in begins]


def to_frame(samples: Samples) -> pl.DataFrame:
    """Returns what `recording.record` takes, by time."""
    keys = {"number": samples.number, "at": samples.at, "direction": samples.direction}
    return pl.DataFrame({**keys, **dict(zip(LINK.columns, samples.readings.T, strict=True))}).sort("at")


async def count(made: World, samples: Samples) -> tuple[int, float]:
    """Returns how many anomalies there are, and the share of the faulty samples that lie in one."""
    async with made.services.database.driver() as connection:
        records = await connection.fetch(
            "SELECT number, direction, started_at, coalesce(ended_at, last_seen_at) AS ended_at FROM anomalies"
            " JOIN links ON links.id = target_id WHERE category = 'DEVIATION'"
        )
    within = np.zeros(len(samples.at), dtype=bool)
    for record in records:
        begin, end = (1000 * record[name].timestamp() for name in ("started_at", "ended_at"))
        own = (samples.number == record["number"]) & (samples.direction == record["direction"])
        within |= own & (samples.at >= begin) & (samples.at <= end)
    return len(records), float(within[samples.faulty].mean()) if samples.faulty.any() else 0.0


if __name__ == "__main__":
    asyncio.run(main())
