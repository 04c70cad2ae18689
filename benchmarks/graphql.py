"""Reads a page of rows with an object in each: from this server, compiled or not, and from a handwritten endpoint.

    make bench          (or: python -m benchmarks.graphql)

The endpoint verifies the same token, looks up the same role and sends PostgreSQL the same statements.
Servers, PostgreSQL and clients share the machine. Rounds alternate, so that a noisy neighbour disturbs all alike.
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
from ml.catalogue.metrics import Direction, TargetKind
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly, AnomalyStatus

CONNECTIONS: Final = 16
ROUNDS: Final = 8
SECONDS: Final = 1.0  # a round
ROWS: Final = (20, 100)
BY_HAND: Final = "an endpoint written by hand"
BY_CORE: Final = "this server, executing by graphql-core"
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
    """Returns requests a second, with all connections busy."""
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


async def compare(rows: int, ours: list[Client], others: dict[str, list[Client]], targets: dict[str, float]) -> None:
    """Measures all of them in rounds, after checking that they respond alike."""
    body = operation(QUERY, first=rows)
    answer = await ours[0].answer(body)
    assert all([await clients[0].answer(body) == answer for clients in others.values()])
    rates = [[await rate(clients, body) for clients in (ours, *others.values())] for _ in range(ROUNDS)]
    mine, *theirs = map(statistics.median, zip(*rates, strict=True))
    for name, other in zip(others, theirs, strict=True):
        tell(
            f"a page of {rows} rows with 5 scalars and an object, {CONNECTIONS} connections",
            f"{mine:,.0f} requests/s",
            f"{name}: {other:,.0f}",
            f"{mine / other:.2f}",
            f"≥ {targets[name]:g}",
            reached=mine >= targets[name] * other,
        )


async def main() -> None:
    async with world(max(ROWS) + 50, trained=False) as made:
        await filled(made)
        token = await made.token(Role.VIEWER)
        print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
        async with (
            serving(made, "ours") as (own, _),
            serving(made, "handwritten") as (by_hand, _),
            serving(made, "not compiled") as (by_core, _),
        ):
            ours = await connected(own, token)
            others = {BY_HAND: await connected(by_hand, token), BY_CORE: await connected(by_core, token)}
            for rows in ROWS:
                await compare(rows, ours, others, {BY_HAND: 0.75, BY_CORE: 5})
            for client in (*ours, *others[BY_HAND], *others[BY_CORE]):
                client.close()


if __name__ == "__main__":
    asyncio.run(main())
