"""A small fleet with faults in it: simulated, recorded, and found again in the database."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl

from bcom_graphql.demo.fleet import specification
from ml.catalogue.metrics import CATALOGUE, Direction, TargetKind
from ml.catalogue.root_causes import RootCause
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet, demo_fleet
from ml.simulation.simulator import simulate
from resolvers.base.access import SYSTEM
from resolvers.context import Context, Services
from resolvers.fleet import topology
from resolvers.telemetry import recording
from resolvers.telemetry.recording import RecordedBatch

STEP_MS = 300_000
HOUR_MS = 3_600_000
NOW_MS = int(time.time() * 1000) // STEP_MS * STEP_MS
LATER_MS = NOW_MS - 1_795_795_200_000  # than when it is simulated, so that no test depends on the time of day
HUB, NETWORK, SATELLITE = 1, 101, "Meridian 2"  # the network is of that hub, on that satellite
TRANSPONDER = "KU-07"  # of that network, and of one of another hub


def fault(
    cause: RootCause, *, minutes_ago: int = 90, minutes: int = 90, strength: float = 0.9, **culprit: object
) -> Fault:
    """Until now, unless told otherwise."""
    start = NOW_MS - 60_000 * minutes_ago
    return Fault(cause, start, start + 60_000 * minutes + 1, strength, **culprit)  # type: ignore[arg-type]


HUB_FAILURE = fault(RootCause.EQUIPMENT_FAILURE, site=HUB, direction=Direction.OB)
INTERFERENCE = fault(RootCause.SATELLITE_INTERFERENCE, satellite=SATELLITE, transponder=TRANSPONDER)
DARK_HUB = fault(RootCause.POWER_OUTAGE, site=HUB)
BROKEN_REMOTE = fault(RootCause.REMOTE_EQUIPMENT, site=1001)


@cache
def fleet(remotes: int = 24) -> Fleet:
    """Six networks, four hubs, three satellites; of each network a sixth of the remotes, every one with a link."""
    return demo_fleet(remotes=remotes)


async def built(services: Services, remotes: int = 24) -> Fleet:
    """Without a sample."""
    await topology.upsert(Context(services, SYSTEM), specification(fleet(remotes)))
    return fleet(remotes)


async def recorded(
    services: Services,
    faults: Sequence[Fault] = (),
    *,
    hours: float = 30.0,
    ago_minutes: int = 0,
    remotes: int = 24,
    seed: int = 1,
    step_ms: int = STEP_MS,
) -> RecordedBatch:
    """Samples of the links, every 5 minutes unless told otherwise, to so many minutes ago, scored as any others."""
    end = NOW_MS - 60_000 * ago_minutes
    times = np.arange(end - int(hours * HOUR_MS), end + 1, step_ms, dtype=np.int64)
    then = [replace(one, start_ms=one.start_ms - LATER_MS, end_ms=one.end_ms - LATER_MS) for one in faults]
    samples = simulate(fleet(remotes), times - LATER_MS, then, seed, kinds=[TargetKind.LINK])[TargetKind.LINK]
    keys = {"number": samples.number, "at": samples.at + LATER_MS, "direction": samples.direction}
    readings = dict(zip(CATALOGUE[TargetKind.LINK].columns, samples.readings.T, strict=True))
    return await recording.record(Context(services, SYSTEM), TargetKind.LINK, pl.DataFrame({**keys, **readings}))


def numbers(remotes: int = 24, **said: object) -> set[int]:
    """Of the fleet's links whose networks this is said of: `number`, `hub`, `transponder`."""
    networks = [each for each in fleet(remotes).networks if all(getattr(each, k) == v for k, v in said.items())]
    return {link.number for link in fleet(remotes).links if link.network in {each.number for each in networks}}
