"""Reads a page of rows with an object in each: from this server, compiled or not, and from a handwritten endpoint.

    make bench          (or: python -m benchmarks.graphql)

The endpoint verifies the same token, looks up the same role and sends PostgreSQL the same statements.
Servers, PostgreSQL and clients share the machine. Rounds alternate, so that a noisy neighbour disturbs all alike.
"""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import insert

from benchmarks.fanout import CONTRIBUTION, serving
from benchmarks.telemetry import tell
from benchmarks.world import Client, World, operation, world
from ml.catalogue.metrics import Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly, AnomalyStatus, User
from resolvers.store.tables.incidents import Incident, IncidentKind, IncidentStatus

CONNECTIONS: Final = 16
ROUNDS: Final = 8
SECONDS: Final = 1.0  # a round
ROWS: Final = (20, 100)
BY_HAND: Final = "an endpoint written by hand"
BY_CORE: Final = "this server, executing by graphql-core"
QUERY: Final = """query Anomalies($first: Int!) { anomalies(first: $first) { nodes {
  id severity score confidence startedAt target { ... on Link { number name } } } } }"""


PAGE: Final = 50
INCIDENTS: Final = """query Incidents($first: Int!) { incidents(first: $first) { nodes {
  id title severity status affectedLinkCount startedAt endedAt lastChangedAt owner { fullName }
  culprit { ... on Satellite { name } ... on Site { name } ... on Network { name } ... on Link { name } } } } }"""


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
        await session.execute(insert(Incident), await incident_rows(made, now))


async def incident_rows(made: World, now: datetime) -> list[dict[str, Any]]:
    """Returns as many incidents as links, of any culprits and of several owners."""
    async with made.services.database.write() as session:
        people = [User(email=f"{number}@example.com", role=Role.OPERATOR, password_hash="") for number in range(5)]
        session.add_all(people)
    culprits = [*((CulpritKind.LINK, link) for link in made.links), *((kind, 1) for kind in CulpritKind)]
    return [
        {
            "id": uuid7(),
            "kind": IncidentKind.FAULT,
            "status": list(IncidentStatus)[number % 3],
            "severity": list(Severity)[number % 4],
            "title": f"Rain: link {number} (2 links)",
            "root_cause": RootCause.RAIN_FADE,
            "culprit_kind": culprits[-1 - number][0],
            "culprit_id": culprits[-1 - number][1],
            "confidence": 0.9,
            "started_at": now - timedelta(minutes=number),
            "detected_at": now,
            "announced_at": now,
            "last_changed_at": now,
            "owner_id": people[number % 5].id if number % 3 else None,
            "affected_link_count": number % 7,
        }
        for number in range(len(made.links))
    ]


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


async def compare_pages(clients: list[Client]) -> None:
    """Measures how much longer a page of incidents with all that a list shows takes than one of anomalies."""
    incidents, anomalies = operation(INCIDENTS, first=PAGE), operation(QUERY, first=PAGE)
    for body in (incidents, anomalies):
        assert b"errors" not in await clients[0].answer(body)
    rates = [[await rate(clients, body) for body in (incidents, anomalies)] for _ in range(ROUNDS)]
    mine, plain = map(statistics.median, zip(*rates, strict=True))
    tell(
        f"a page of {PAGE} incidents with 8 scalars, culprit and owner, {CONNECTIONS} connections",
        f"{mine:,.0f} requests/s",
        f"a page of {PAGE} anomalies, as above: {plain:,.0f}",
        f"{plain / mine:.2f} times as long",
        "≤ 1.5",
        reached=plain <= 1.5 * mine,
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
            await compare_pages(ours)
            for client in (*ours, *others[BY_HAND], *others[BY_CORE]):
                client.close()


if __name__ == "__main__":
    asyncio.run(main())
