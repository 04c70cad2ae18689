"""From the mutation that stores a faulty sample to everybody who follows anomalies: fifty a second, to a thousand.

    make bench          (or: python -m benchmarks.promptness)

Server, PostgreSQL and subscribers share the machine. Ten batches a second are stored, of a hundred links each, of which
five begin to fail. Time runs from when a batch is due, so that a server which falls behind cannot hide it.
"""

import asyncio
import gc
import time
from datetime import UTC, datetime
from typing import Final

import numpy as np
from sqlalchemy import insert

from benchmarks.fanout import serving
from benchmarks.sockets import Crowd, Subscriber, subscribing
from benchmarks.telemetry import LINK, tell
from benchmarks.world import Client, World, operation, world
from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import to_camel_case
from resolvers.base.roles import Role
from resolvers.store.tables.core import Stream

SUBSCRIBERS: Final = 1000
SECONDS: Final = 30
BATCHES: Final = 10  # a second
LINKS: Final = 100  # in a batch
WARM_UP: Final = 10  # batches, at most
FAILING: Final = 5  # of these
FAILED: Final = {"rx_level_dbm": -65.0, "esno_db": 2.0, "packet_loss_pct": 20.0, "throughput_mbps": 3.0}  # at once
RECORD: Final = """mutation ($columns: LinkColumns!) { recordLinkColumns(columns: $columns) {
  ... on RecordedMetrics { accepted anomalies { id } } } }"""
WATCH: Final = """subscription { anomalyDetected { cursor change anomaly { id severity score startedAt
  target { ... on Link { number name } } contributions { metric observed expected share } } } }"""


async def known(made: World) -> None:
    """Stores a profile for each link, as if it had a thousand samples."""
    usual = {"centre": LINK.usual.tolist(), "spread": LINK.least_spread.tolist()}
    rows = [
        {"kind": TargetKind.LINK, "target_id": link, "direction": "OB", "samples": 1000, "learned_samples": 1000}
        for link in made.links
    ]
    async with made.services.database.write() as session:
        await session.execute(insert(Stream), [row | usual for row in rows])


def batch(number: int) -> bytes:
    """Returns samples of links that have nothing stored yet."""
    links = np.arange(LINKS) + number * LINKS
    readings = np.tile(LINK.usual, (LINKS, 1))
    for column, reading in FAILED.items():
        readings[:FAILING, LINK.columns.index(column)] = reading
    columns = {to_camel_case(name): np.ascontiguousarray(readings[:, place]) for place, name in enumerate(LINK.columns)}
    at = np.full(LINKS, round(datetime.now(UTC).timestamp() * 1000), np.int64)
    return operation(RECORD, columns={"link": links, "direction": ["OB"] * LINKS, "at": at, **columns})


class Watching(Crowd):
    """Notes when each frame came, and its number among its subscriber's: each gets all events in order."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[int, float]] = []

    def _count(self, subscriber: Subscriber) -> None:
        super()._count(subscriber)
        self.came.append((subscriber.frames, time.perf_counter()))


async def everybody_follows(crowd: Watching, client: Client, port: int, token: str) -> int:
    """Returns how many batches it took until every subscriber is following; the server does not say when one is."""
    await crowd.join(port, "/graphql", [subscribing(token, WATCH)] * SUBSCRIBERS)
    for number in range(WARM_UP):
        before = [subscriber.frames for subscriber in crowd.subscribers]
        await client.answer(batch(number))
        await asyncio.sleep(1.0)
        heard = [subscriber.frames - then for subscriber, then in zip(crowd.subscribers, before, strict=True)]
        if min(before) >= 1 and heard == [FAILING] * SUBSCRIBERS:
            return number + 1
    raise TimeoutError("not everybody follows")


async def delays(crowd: Watching, client: Client, first: int) -> list[float]:
    """Returns milliseconds for each anomaly and subscriber, from when the batch was due."""
    for subscriber in crowd.subscribers:
        subscriber.frames = 0
    bodies = [batch(first + number) for number in range(SECONDS * BATCHES)]
    crowd.came.clear()
    crowd.expect(len(bodies) * FAILING * SUBSCRIBERS)
    gc.disable()  # what is measured here is not to be this process
    begin = time.perf_counter()
    for number, body in enumerate(bodies):
        await asyncio.sleep(max(0.0, begin + number / BATCHES - time.perf_counter()))
        await client.answer(body)
    await crowd.received()
    return [(at - begin - (frame - 1) // FAILING / BATCHES) * 1000 for frame, at in crowd.came]


async def main() -> None:
    async with world((WARM_UP + SECONDS * BATCHES) * LINKS) as made:
        await known(made)
        token = await made.token(Role.OPERATOR)
        async with serving(made, "ours") as (port, _):
            client, crowd = Client(port, token), Watching()
            await client.connect()
            first = await everybody_follows(crowd, client, port, token)
            took = await delays(crowd, client, first)
            crowd.leave()
    half, most, all_but = np.percentile(took, [50, 99, 99.9])
    print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
    tell(
        f"from ingest to {SUBSCRIBERS:,} subscribers, {FAILING * BATCHES} anomalies a second",
        f"p99 {most:.0f} ms",
        f"p50 {half:.0f} ms, p99.9 {all_but:.0f} ms",
        "",
        "p99 ≤ 100 ms",
        reached=most <= 100,
    )


if __name__ == "__main__":
    asyncio.run(main())
