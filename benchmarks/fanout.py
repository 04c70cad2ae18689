"""Sends one event to a thousand subscribers; compared with a bare broadcast of the same bytes, and with Strawberry.

    make bench          (or: python -m benchmarks.fanout)

Server, PostgreSQL and subscribers share the machine; the subscribers have a process of their own and only count.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.sockets import Crowd, subscribing
from benchmarks.telemetry import seconds, tell
from benchmarks.world import SECRET, World, free_port, world
from ml.catalogue.metrics import Direction, TargetKind
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.store.events.log import Event, publish
from resolvers.store.tables.core import Anomaly, AnomalyStatus

SUBSCRIBERS: Final = 1000
EVENTS: Final = 100
FILTERS: Final = 1000
IDLE: Final = 10_000
WATCH: Final = """subscription ($filter: AnomalyFilter) { anomalyDetected(filter: $filter, changes: [UPDATED]) {
  cursor change anomaly { id kind severity score confidence startedAt target { ... on Link { number name } }
  contributions { metric observed expected deviation share } } } }"""
SERVERS: Final = {
    "ours": "bcom_graphql.app:create",
    "bare": "benchmarks.bare:bare",
    "stock": "benchmarks.bare:stock",
    "handwritten": "benchmarks.bare:handwritten",
    "not compiled": "bcom_graphql.app:create",
}
CONTRIBUTION: Final = {"metric": "ESNO_DB", "observed": 4.1, "expected": 11.8, "deviation": -20.0, "share": 0.6}


@asynccontextmanager
async def serving(made: World, which: str) -> AsyncIterator[tuple[int, int]]:
    """Starts one of the servers, each by uvicorn with the same options. Returns its port and process."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": made.database_url,
        "SECRET_KEY": SECRET,
        "RATE_LIMITS": "off",
        "MAX_CONNECTIONS": "100000",
        "MAX_PENDING_CONNECTIONS": "100000",
        "AUTOMATIC_INCIDENTS": "false",
        "AUTOMATIC_RECOMMENDATIONS": "false",
        "LOG_LEVEL": "error",
        "COMPILED": "false" if which == "not compiled" else "true",
    }
    ws = (
        "bcom_graphql.graphql.transports.websocket_protocol:WebSocketProtocol"
        if which in ("ours", "not compiled")
        else "auto"
    )
    http = "bcom_graphql.graphql.transports.http_protocol:HttpProtocol" if which in ("ours", "not compiled") else "auto"
    options = [
        "--factory",
        "--http",
        http,
        "--ws",
        ws,
        "--ws-per-message-deflate",
        "false",
        "--no-access-log",
        "--log-level",
        "error",
    ]
    command = [sys.executable, "-m", "uvicorn", SERVERS[which], "--port", str(port), *options]
    process = subprocess.Popen(command, env=environment)  # noqa: ASYNC220
    try:
        async with httpx.AsyncClient() as client:
            for _ in range(300):
                try:
                    await client.get(f"http://127.0.0.1:{port}/health")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


async def happen(made: World, anomaly: Anomaly, events: int) -> None:
    """Publishes so many changes at once."""
    facts = {"kind": "LINK", "target_id": anomaly.target_id, "status": "OPEN", "severity": 2, "confidence": 0.9}
    facts |= {"started_at": anomaly.started_at.isoformat(), "satellites": ["A satellite"]}
    async with made.services.database.write() as session:
        for _ in range(events):
            publish(session, Event("anomaly", "UPDATED", str(anomaly.id), facts))


async def anomaly_of(made: World) -> Anomaly:
    now = datetime.now(UTC)
    async with made.services.database.write() as session:
        row = Anomaly(
            kind=TargetKind.LINK,
            target_id=made.links[0],
            direction=Direction.OB,
            status=AnomalyStatus.OPEN,
            severity=Severity.HIGH,
            score=0.7,
            confidence=0.9,
            model_version="1.0.0",
            started_at=now,
            last_seen_at=now,
            contributions=[CONTRIBUTION] * 5,
        )
        session.add(row)
        await session.flush()
    return row


async def delivered(
    crowd: Crowd, events: int, cause: Callable[[], Awaitable[object]], rounds: int = 3, subscribers: int = SUBSCRIBERS
) -> float:
    """Returns messages a second, of the best round: other work on the machine only slows it down."""
    rates = []
    for _ in range(rounds):
        crowd.expect(events * subscribers)

        async def round() -> None:
            await cause()
            await crowd.received()

        rates.append(events * subscribers / await seconds(round))
    return max(rates)


async def subscribed(
    made: World, anomaly: Anomaly, crowd: Crowd, port: int, token: str, filters: list[dict[str, Any]]
) -> None:
    """Waits until an event reaches all subscribers; the server does not say when one is following."""
    await crowd.join(port, "/graphql", [subscribing(token, WATCH, {"filter": one}) for one in filters])
    while True:
        before = [subscriber.frames for subscriber in crowd.subscribers]
        await happen(made, anomaly, 1)
        await asyncio.sleep(1.0)
        after = [subscriber.frames for subscriber in crowd.subscribers]
        if min(before) >= 1 and all(now > then for now, then in zip(after, before, strict=True)):
            return


async def ours(made: World, token: str, anomaly: Anomaly) -> tuple[float, bytes]:
    async with serving(made, "ours") as (port, _):
        crowd = Crowd()
        await subscribed(made, anomaly, crowd, port, token, [{}] * SUBSCRIBERS)
        rate = await delivered(crowd, EVENTS, lambda: happen(made, anomaly, EVENTS))
        payload = crowd.subscribers[0].last
        crowd.leave()
        distinct = Crowd()
        filters = [{"minConfidence": number / (2 * FILTERS)} for number in range(FILTERS)]
        await subscribed(made, anomaly, distinct, port, token, filters)
        many = await delivered(distinct, EVENTS, lambda: happen(made, anomaly, EVENTS))
        distinct.leave()
    ratio = rate / many
    tell(
        "1 000 distinct filters, all of which let an event through",
        f"{many:,.0f} messages/s",
        f"one filter: {rate:,.0f}",
        f"{ratio:.1f}",
        "≤ 3",
        reached=ratio <= 3,
    )
    return rate, payload


async def bare(made: World, payload: bytes) -> float:
    async with serving(made, "bare") as (port, _):
        crowd = Crowd()
        await crowd.join(port, "/ws", [[]] * SUBSCRIBERS)
        await asyncio.sleep(1.0)
        async with httpx.AsyncClient(timeout=120) as client:
            url = f"http://127.0.0.1:{port}/broadcast?times={EVENTS}"
            rate = await delivered(crowd, EVENTS, lambda: client.post(url, content=payload))
        crowd.leave()
    return rate


async def stock(made: World, token: str, anomaly: Anomaly, events: int = 5) -> float:
    async with serving(made, "stock") as (port, _):
        crowd = Crowd()
        await subscribed(made, anomaly, crowd, port, token, [{}] * SUBSCRIBERS)
        rate = await delivered(crowd, events, lambda: happen(made, anomaly, events), rounds=2)
        crowd.leave()
    return rate


async def idle(made: World, token: str, anomaly: Anomaly) -> None:
    """Measures a server's memory with ten thousand subscribers that get no events."""
    async with serving(made, "ours") as (port, process):
        before = resident_mb(process)
        crowd = Crowd()
        await subscribed(made, anomaly, crowd, port, token, [{}] * IDLE)
        after = resident_mb(process)
        crowd.leave()
    tell(
        "10 000 idle subscribers, resident memory",
        f"{after:,.0f} MB",
        f"with none: {before:,.0f} MB",
        f"{(after - before) * 1000 / IDLE:.0f} KB each",
        "≤ 400 MB",
        reached=after <= 400,
    )


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


async def main() -> None:
    async with world(10, trained=False) as made:
        print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
        token, anomaly = await made.token(Role.VIEWER), await anomaly_of(made)
        rate, payload = await ours(made, token, anomaly)
        broadcast = await bare(made, payload)
        strawberry = await stock(made, token, anomaly)
        what = f"an event to {SUBSCRIBERS:,} subscribers"
        tell(
            what,
            f"{rate:,.0f} messages/s",
            f"bare broadcast by Starlette: {broadcast:,.0f}",
            f"{rate / broadcast:.2f}",
            "≥ 0.6",
            reached=rate >= 0.6 * broadcast,
        )
        tell(
            what,
            f"{rate:,.0f} messages/s",
            f"stock Strawberry: {strawberry:,.0f}",
            f"{rate / strawberry:.0f}",
            "≥ 10",
            reached=rate >= 10 * strawberry,
        )
        await idle(made, token, anomaly)


if __name__ == "__main__":
    asyncio.run(main())
