"""A page of rows with an object in each: by this server, and by an endpoint written by hand that does the same.

    make bench          (or: python -m benchmarks.graphql)

The endpoint checks the same token in the same way and asks PostgreSQL the same; it knows what will be asked. Server,
PostgreSQL and client share the machine. Rounds alternate, so that a noisy neighbour disturbs all alike.
"""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import insert

from benchmarks.fanout import CONTRIBUTION, serving
from benchmarks.telemetry import tell
from benchmarks.world import Client, World, operation, world
from ml.episodes import Severity
from ml.metrics import Direction, TargetKind
from resolvers.store.identifiers import uuid7
from resolvers.store.tables import Anomaly, AnomalyStatus, Role

CONNECTIONS: Final = 16
ROUNDS: Final = 8
SECONDS: Final = 1.0  # a round
ROWS: Final = (20, 100)
QUERY: Final = """query Anomalies($first: Int!) { anomalies(first: $first) { nodes {
  id severity score confidence startedAt target { ... on Link { number name } } } } }"""


async def filled(made: World) -> None:
    now = datetime.now(UTC)
    rows = [
        {
            "id": uuid7(),
            "kind": TargetKind.LINK,
            "target_id": link,
            "direction": Direction.OB,
            "status": AnomalyStatus.OPEN,
            "severity": Severity.HIGH,
            "score": 0.7,
            "confidence": 0.9,
            "model_version": "1.0.0",
            "started_at": now - timedelta(minutes=number),
            "last_seen_at": now,
            "contributions": [CONTRIBUTION] * 3,
        }
        for number, link in enumerate(made.links)
    ]
    async with made.services.database.write() as session:
        await session.execute(insert(Anomaly), rows)


async def rate(clients: list[Client], body: bytes) -> float:
    """Requests a second, all connections busy."""
    done, until = 0, time.perf_counter() + SECONDS

    async def busy(client: Client) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await client.answer(body)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(busy(client) for client in clients))
    return done / (time.perf_counter() - began)


async def connected(port: int, token: str) -> list[Client]:
    clients = [Client(port, token) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(client.connect() for client in clients))
    return clients


async def main() -> None:
    async with world(max(ROWS) + 50, trained=False) as made:
        await filled(made)
        token = await made.token(Role.VIEWER)
        print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
        async with serving(made, "ours") as (own, _), serving(made, "handwritten") as (other, _):
            ours, theirs = await connected(own, token), await connected(other, token)
            for rows in ROWS:
                body = operation(QUERY, first=rows)
                assert await ours[0].answer(body) == await theirs[0].answer(body)
                rates = [(await rate(ours, body), await rate(theirs, body)) for _ in range(ROUNDS)]
                mine, bare = (statistics.median(pair[which] for pair in rates) for which in (0, 1))
                tell(
                    f"a page of {rows} rows with 5 scalars and an object, {CONNECTIONS} connections",
                    f"{mine:,.0f} requests/s",
                    f"an endpoint written by hand: {bare:,.0f}",
                    f"{mine / bare:.2f}",
                    "≥ 0.75",
                    reached=mine >= 0.75 * bare,
                )
            for client in (*ours, *theirs):
                client.close()


if __name__ == "__main__":
    asyncio.run(main())
