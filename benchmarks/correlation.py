"""Measures analyses of root causes over HTTP, compared with reading their samples alone; and other requests meanwhile.

    make bench          (or: python -m benchmarks.correlation)

Server, PostgreSQL and client share the machine. Each window has a fault in it, so that there is something to explain.
"""

import asyncio
import base64
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from bcom_graphql.demo.fleet import specification
from benchmarks.telemetry import compared, seconds, tell
from benchmarks.world import Client, World, operation, world
from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.root_cause.report import READ
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet, LinkSpec, NetworkSpec, SatelliteSpec, SiteSpec
from ml.simulation.simulator import simulate
from resolvers.base.access import SYSTEM
from resolvers.context import Context
from resolvers.fleet import topology
from resolvers.store.telemetry import partitions
from resolvers.store.telemetry import samples as telemetry

STEP_MS: Final = 300_000
HISTORY_HOURS: Final = 24
ROUNDS: Final = 9
HOUR_MS: Final = 3_600_000
END: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
PATTERNS: Final = "{ linksAnalyzed patterns { rootCause confidence affectedLinks { number } evidence { statement } } }"
ANALYZE: Final = """mutation ($id: ID!, $hours: Float!, $until: DateTime!) {{ {field}({argument}: $id,
  hoursLookback: $hours, until: $until) {{ ... on CorrelationAnalysis {patterns} ... on Problem {{ message }} }} }}"""


@dataclass(frozen=True)
class Case:
    """An analysis of one network with so many links, a hub and a satellite of its own. number: tells cases apart."""

    what: str
    field: str
    number: int
    links: int
    hours: int
    most_ms: float


CASES: Final = (
    Case("`analyzeNetwork`, 100 links, 24 h", "analyzeNetwork", 1, 100, 24, 100.0),
    Case("`analyzeHubAntenna`, 20 links, 24 h", "analyzeHubAntenna", 2, 20, 24, 60.0),
    Case("`analyzeSatellite`, 8 links, 72 h", "analyzeSatellite", 3, 8, 72, 90.0),
    Case("`analyzeLinkBidirectional`, 24 h", "analyzeLinkBidirectional", 4, 16, 24, 25.0),
    Case("`analyzeSatellite`, 1 000 links, 24 h", "analyzeSatellite", 5, 1000, 24, 1000.0),
)


def fleet(case: Case) -> Fleet:
    """Returns a satellite, a hub, networks on transponders of their own (one for a hundred links), and remotes."""
    number, rng = case.number, np.random.default_rng(case.number)
    hub = SiteSpec(number, f"Hub {number}", "HUB", 48.0, 11.0, 9.0, mobile=False)
    names = ("A",) if case.field == "analyzeNetwork" else ("A", "B")
    networks = tuple(
        NetworkSpec(10 * number + place, f"Network {number}{name}", number, f"Satellite {number}", f"KU-{name}", "KU")
        for place, name in enumerate(names)
    )
    sites = tuple(
        SiteSpec(
            10_000 * number + place,
            f"Remote {number}-{place}",
            "REMOTE",
            round(float(48 + rng.normal(0, 2)), 3),
            round(float(11 + rng.normal(0, 2)), 3),
            1.2,
            mobile=False,
        )
        for place in range(case.links)
    )
    links = tuple(
        LinkSpec(site.number, site.name, networks[place % len(networks)].number, site.number)
        for place, site in enumerate(sites)
    )
    return Fleet((SatelliteSpec(f"Satellite {number}", 13.0 + number),), (hub, *sites), networks, links)


async def fill(made: World, case: Case) -> dict[str, str]:
    """Stores the fleet and its samples, whose hub chain fails in the last third. Returns the ids to analyze."""
    simulated, context = fleet(case), Context(made.services, SYSTEM)
    await topology.upsert(context, specification(simulated))
    end = round(END.timestamp() * 1000)
    times = np.arange(end - (case.hours + HISTORY_HOURS) * HOUR_MS, end, STEP_MS, dtype=np.int64)
    fault = Fault("EQUIPMENT_FAILURE", end - case.hours * HOUR_MS // 3, end + 1, 0.6, network=10 * case.number)
    samples = simulate(simulated, times, [fault], seed=case.number, kinds=(TargetKind.LINK,))[TargetKind.LINK]
    weeks = {partitions.find_week(datetime.fromtimestamp(at / 1000, UTC)) for at in times[::288].tolist()} | {
        partitions.find_week(END)
    }
    await partitions.create_partitions(made.services.database, TargetKind.LINK, sorted(weeks))
    async with made.services.database.driver() as connection:
        ids = {record["number"]: record["id"] for record in await connection.fetch("SELECT id, number FROM links")}
        satellite = await connection.fetchval("SELECT id FROM satellites WHERE name = $1", f"Satellite {case.number}")
        network = await connection.fetchval("SELECT id FROM networks WHERE number = $1", 10 * case.number)
        hub = await connection.fetchval("SELECT id FROM sites WHERE number = $1", case.number)
    frame = pl.DataFrame(
        {
            "link_id": np.array([ids[number] for number in samples.number.tolist()], dtype=np.int64),
            "direction": samples.direction,
            "at": samples.at,
            **dict(zip(CATALOGUE[TargetKind.LINK].columns, samples.readings.T, strict=True)),
        }
    )
    for part in frame.iter_slices(100_000):
        async with made.services.database.write() as session:
            await telemetry.copy_samples(session, TargetKind.LINK, part)
    keys = {"analyzeNetwork": f"Network:{network}", "analyzeHubAntenna": f"Site:{hub}"}
    keys["analyzeLinkBidirectional"] = f"Link:{ids[simulated.links[0].number]}"
    names = {field: base64.b64encode(key.encode()).decode() for field, key in keys.items()}
    return {**names, "analyzeSatellite": f"Satellite {case.number}", "key": str(satellite)}


def asked(case: Case, ids: dict[str, str]) -> bytes:
    arguments = {"analyzeNetwork": "network", "analyzeHubAntenna": "site", "analyzeLinkBidirectional": "link"}
    document = ANALYZE.format(field=case.field, argument=arguments.get(case.field, "name"), patterns=PATTERNS)
    if case.field == "analyzeSatellite":
        document = document.replace("$id: ID!", "$id: String!")
    return operation(document, id=ids[case.field], hours=case.hours, until=END.isoformat())


async def reading(made: World, case: Case) -> Any:
    """Reads the same samples as one frame, and does nothing else."""
    async with made.services.database.driver() as connection:
        links = [
            record[0]
            for record in await connection.fetch(
                "SELECT id FROM links WHERE number >= $1 AND number < $1 + $2", 10_000 * case.number, case.links
            )
        ]
        start = END - timedelta(hours=case.hours)
        return await telemetry.load(connection, TargetKind.LINK, links, start, END, READ)


async def waiting(other: Client, body: bytes, work: Any) -> list[float]:
    """Measures the seconds of another client's small requests while there is work."""
    small, took = operation("{ viewer { email } }"), list[float]()
    task = asyncio.create_task(work(body))
    while not task.done():
        took.append(await seconds(lambda: other.answer(small)))
        await asyncio.sleep(0.002)
    await task
    return took


async def main() -> None:
    async with world() as made, made.server() as client:
        print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
        ids = {case: await fill(made, case) for case in CASES}
        async with made.services.database.driver() as connection:
            await connection.execute("VACUUM ANALYZE link_samples")
        for case in CASES:
            body = asked(case, ids[case])
            assert b"EQUIPMENT_FAILURE" in await client.answer(body), case
            ours, bare = await compared(lambda: client.answer(body), lambda: reading(made, case), ROUNDS)  # noqa: B023
            tell(
                case.what,
                f"{ours * 1e3:,.0f} ms",
                f"reading the same samples: {bare * 1e3:,.0f} ms",
                f"{ours / bare:.1f}",
                f"≤ {case.most_ms:,.0f} ms",
                reached=ours * 1e3 <= case.most_ms,
            )
        await beside(client, asked(CASES[-1], ids[CASES[-1]]))


async def beside(client: Client, body: bytes) -> None:
    """Sends small requests over another connection while a thousand links are analyzed."""
    other = await client.twin()
    took = [one for _ in range(3) for one in await waiting(other, body, client.answer)]
    other.close()
    slowest = float(np.quantile(took, 0.99))
    tell(
        "other requests meanwhile (1 000 links), p99",
        f"{slowest * 1e3:.0f} ms",
        f"median {statistics.median(took) * 1e3:.1f} ms, {len(took)} requests",
        "",
        "< 50 ms",
        reached=slowest < 0.05,
    )


if __name__ == "__main__":
    asyncio.run(main())
